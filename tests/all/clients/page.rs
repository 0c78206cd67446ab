//! docs/clients.md is true: its tables are what clients see and runners make of it, and its examples run.

use std::path::Path;
use std::process::Stdio;

use stephost_client::reason::{Seen, report};
use stephost_tests::{
    Host, JobStatus, Kind, Language, Options, Points, State, block_on, blocks, rows_below, text_of,
    with_host,
};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Code;

use super::carrier::Carrier;
use super::differences::DIFFERENCES;
use super::{example, prepared};

const PAGE: &str = include_str!("../../../docs/clients.md");

/// The rows of the table whose first column is called so, as cells without back quotes.
pub(super) fn rows(first_column: &str) -> Vec<Vec<String>> {
    let rows = rows_below(PAGE, &format!("\n| {first_column} |")).into_iter();
    rows.map(|row| row.iter().map(|cell| cell.replace('`', "")).collect())
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
        let ours = report(Seen::Status(&status)).map_or("", |report| report.reason.as_str());
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

/// The log of the job of an example, and the ending that the page shows.
fn says(language: &str, printed: &[u8]) {
    let [ending] = blocks(PAGE, "text")[..] else {
        panic!("the page shows one text");
    };
    let log = printed.strip_suffix(ending.as_bytes());
    let log = log.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(printed)));
    let expected = format!("Running step name=greet\nhello from {language}\n");
    assert_eq!(text_of(log), expected);
}

/// What a program prints that has to succeed.
async fn printed(mut command: Command) -> Vec<u8> {
    let done = command.stderr(Stdio::inherit()).output().await;
    let done = done.expect("what was prepared starts");
    assert!(done.status.success(), "{}", done.status);
    done.stdout
}

/// Runs an example to its end: that of a language, or else ours.
async fn runs(language: Option<Language>, socket: &Path) {
    let Some(language) = language else {
        let said = example::run(socket, "example").await;
        let said = said.expect("the host answers");
        // The same but for the words of our own types.
        let said = said.replace("Failure, script_failure: ", "failure, step_failure: ");
        return says("rust", said.as_bytes());
    };
    let mut command = language.program("example");
    command.arg(socket);
    let name = format!("{language:?}").to_lowercase();
    says(&name, &printed(command).await);
}

/// Ours, and every other whose client was prepared.
fn languages() -> impl Iterator<Item = Option<Language>> {
    prepared().map(Some).chain([None])
}

#[test]
fn every_example_runs_and_prints_what_is_shown() {
    with_host(Options::default(), async |host: &Host| {
        for language in languages() {
            runs(language, host.socket()).await;
            let left = host.client().list().await.expect("a list");
            assert_eq!(left, [], "{language:?}: it closes its job");
        }
    });
}

#[test]
fn every_example_goes_on_where_its_connection_has_broken() {
    block_on(async {
        let points = Points::new();
        let host = Host::start(points.options()).await;
        let dir = TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made");
        for language in languages() {
            // Before the first byte of the log, and between the last one and its end.
            for stage in ["frame", "trailers"] {
                let point = format!("rpc.FollowLogs.{stage}");
                let socket = dir.path().join(format!("{stage}-{language:?}"));
                let (breaks, broken) = tokio::sync::oneshot::channel();
                let broken = async {
                    let _ = broken.await;
                };
                let mut carrier = Carrier::start(&socket, host.socket(), u64::MAX, broken);
                points.arm(&point, "hold");
                let breaking = async {
                    points.fired(&point).await;
                    breaks.send(()).expect("it is carried");
                    carrier.first_is_over().await;
                    points.release(&point);
                };
                tokio::join!(runs(language, &socket), breaking);
            }
        }
        host.finish().await;
    });
}

#[test]
fn the_commands_for_python_generate_what_its_example_imports() {
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
    with_host(Options::default(), async |host: &Host| {
        let programs = python.parent().expect("it lies in a directory");
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", commands])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("SOCKET", host.socket())
            .stdin(Stdio::null());
        says("python", &printed(command).await);
    });
    for generated in ["step_runner_pb2.py", "step_runner_pb2_grpc.py"] {
        assert!(place.path().join(generated).is_file(), "{generated}");
    }
}
