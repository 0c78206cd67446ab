//! docs/clients.md is true: its tables are what clients see and runners make of it, and its examples run.

use std::path::Path;
use std::process::Stdio;

use stephost_client::reason::failure_reason;
use stephost_tests::{Host, JobStatus, Kind, Language, State, block_on, blocks, text_of};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Code;

use super::differences::DIFFERENCES;
use super::example;

const PAGE: &str = include_str!("../../../docs/clients.md");

/// The rows of the table whose first column is called so, as cells without back quotes.
pub(super) fn rows(first_column: &str) -> Vec<Vec<String>> {
    let head = format!("\n| {first_column} |");
    let (_, table) = PAGE.split_once(&head).expect("there is such a table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

/// A code as the other libraries spell it: `INVALID_ARGUMENT`.
pub(super) fn spelled(code: Code) -> String {
    let mut spelled = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !spelled.is_empty() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_uppercase());
    }
    spelled
}

#[test]
fn the_differences_of_the_page_are_those_that_are_tested() {
    let tested = DIFFERENCES.map(|difference| {
        let codes = [difference.tonic, difference.grpc_go, difference.grpcio];
        let mut row = vec![difference.what.to_owned()];
        row.extend(codes.map(spelled));
        row.push(difference.why.replace('`', ""));
        row
    });
    assert_eq!(rows("what happens"), tested);
}

#[test]
fn the_failure_reasons_of_the_page_are_those_of_our_client() {
    let mut checked = 0;
    for row in rows("`status`") {
        let [state, kind, reason] = &row[..] else {
            panic!("three cells: {row:?}");
        };
        let state = match state.as_str() {
            "success" => State::Success,
            "failure" => State::Failure,
            "cancelled" => State::Cancelled,
            unknown => panic!("no state: {unknown}"),
        };
        let kind = match kind.as_str() {
            "" => None,
            "step_failure" => Some(Kind::StepFailure),
            "internal" => Some(Kind::Internal),
            "cancelled" => Some(Kind::Cancelled),
            "timeout" => Some(Kind::Timeout),
            "unknown" => Some(Kind::Unknown),
            unknown => panic!("no kind: {unknown}"),
        };
        let status = JobStatus {
            id: "it".to_owned(),
            state,
            message: String::new(),
            kind,
            started: None,
            ended: None,
        };
        let ours = failure_reason(&status).map_or("", |reason| reason.as_str());
        assert_eq!(ours, reason, "{row:?}");
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn the_programs_of_the_page_are_those_that_run() {
    let shown = |language: &str| {
        let [program] = blocks(PAGE, language)[..] else {
            panic!("one program in {language}");
        };
        program
    };
    let go = include_str!("../../clients/go/example/main.go");
    assert!(go.ends_with(shown("go")) && shown("go").starts_with("import"));
    let python = include_str!("../../clients/python/example.py");
    assert!(python.ends_with(shown("python")) && shown("python").starts_with("import"));
    let rust = include_str!("example.rs").replace("pub(super) ", "pub ");
    assert!(rust.ends_with(shown("rust")) && shown("rust").starts_with("use std"));
}

/// Runs an example against a host of its own, and looks at what it printed.
fn prints(language: &str, command: impl AsyncFnOnce(&Host) -> Command) {
    block_on(async {
        let host = Host::start(stephost_tests::Options::default()).await;
        let mut command = command(&host).await;
        let done = command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let done = done.output().await.expect("the example starts");
        assert!(done.status.success(), "{}", done.status);
        says(language, &done.stdout);
        assert_eq!(host.client().list().await.expect("a list"), [], "it closed");
        host.finish().await;
    });
}

/// The log of the job, and the ending that the page shows.
fn says(language: &str, printed: &[u8]) {
    let [ending] = blocks(PAGE, "text")[..] else {
        panic!("the page shows one text");
    };
    let log = printed.strip_suffix(ending.as_bytes());
    let log = log.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(printed)));
    let expected = format!("Running step name=greet\nhello from {language}\n");
    assert_eq!(text_of(log), expected);
}

#[test]
fn the_example_in_go_runs() {
    if Language::Go.prepared().is_some() {
        prints("go", async |host| {
            let mut command = Language::Go.program("example");
            command.arg(host.socket());
            command
        });
    }
}

#[test]
fn the_commands_and_the_example_in_python_run() {
    let Some(python) = Language::Python.prepared() else {
        return;
    };
    let place = TempDir::new().expect("a directory can be made");
    let proto = place.path().join("proto");
    std::fs::create_dir(&proto).expect("a directory can be made");
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/step_runner.proto");
    std::fs::copy(wire, proto.join("step_runner.proto")).expect("it is there");
    let program = blocks(PAGE, "python")[0];
    std::fs::write(place.path().join("example.py"), program).expect("a file can be written");
    let [commands, of_the_gate] = blocks(PAGE, "sh")[..] else {
        panic!("two blocks of commands");
    };
    assert_eq!(of_the_gate, "cargo xtask clients\n");
    prints("python", async |host| {
        let mut command = Command::new("sh");
        let programs = python.parent().expect("it lies in a directory");
        command
            .args(["-eu", "-c", commands])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("SOCKET", host.socket());
        command
    });
}

#[test]
fn the_example_in_rust_runs() {
    stephost_tests::with_host(stephost_tests::Options::default(), async |host: &Host| {
        let said = example::run(host.socket(), "example").await;
        let said = said.expect("the host answers");
        let (log, ending) = said.split_at(said.find("Failure").expect("it failed"));
        assert_eq!(
            text_of(log.as_bytes()),
            "Running step name=greet\nhello from rust\n"
        );
        let shown = blocks(PAGE, "text")[0];
        let (_, message) = shown.split_once(": ").expect("a kind and a message");
        assert_eq!(ending, format!("Failure, script_failure: {message}"));
    });
}
