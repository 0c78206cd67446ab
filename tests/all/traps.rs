//! Every way in which a builtin breaks, through the service: its ending, the one line that the job's log gets, what the
//! operator reads, and a host that runs the same builtin again at once (design D2).

use stephost_tests::{Ended, Host, Kind, PAYLOAD, Points, State, block_on};

/// A way to break.
struct Row {
    /// What it is called in the contract of the sandbox.
    name: &'static str,
    /// The input `how` of `test/misbehave`.
    how: &'static str,
    /// What is done to the host function that it calls.
    host_function: Option<&'static str>,
    kind: Kind,
    /// The line of the job's log, to its end or to the place of a panic.
    line: &'static str,
    /// What the operator's log says, in one line.
    operator: &'static [&'static str],
    /// A function of the guest or of its SDK that must be among the frames.
    frame: Option<&'static str>,
}

/// The guest's own function, without a hash and without the type it was made for.
const RUN: &str = "<stephost_guest_misbehave::Misbehave as stephost_sdk::Function>::run";
/// Which limits there are is said by the policy; this one is the shipped one.
const MEMORY: &str = "exec: memory limit of 64 MiB exceeded";

const ROWS: [Row; 8] = [
    Row {
        name: "a panic",
        how: "panic",
        host_function: None,
        kind: Kind::Internal,
        line: "exec: panic: asked to panic with 7 at tests/guests/misbehave/src/lib.rs:",
        operator: &[
            "a builtin trapped",
            "wasm.trap=panic: asked to panic with 7 at tests/guests/misbehave/src/lib.rs:",
        ],
        frame: Some(RUN),
    },
    Row {
        name: "unreachable",
        how: "trap",
        host_function: None,
        kind: Kind::Internal,
        line: "exec: abort",
        operator: &["a builtin trapped", "wasm.trap=abort"],
        frame: Some(RUN),
    },
    Row {
        name: "a stack overflow",
        how: "recurse",
        host_function: None,
        kind: Kind::Internal,
        line: "exec: stack overflow",
        operator: &["a builtin trapped", "wasm.trap=stack overflow"],
        frame: Some("stephost_guest_misbehave::descend"),
    },
    Row {
        name: "out of bounds",
        how: "out-of-bounds",
        host_function: None,
        kind: Kind::Internal,
        line: "exec: out of bounds memory access",
        operator: &["a builtin trapped", "wasm.trap=out of bounds memory access"],
        frame: Some(RUN),
    },
    Row {
        name: "the limit of memory",
        how: "oom",
        host_function: None,
        kind: Kind::StepFailure,
        line: MEMORY,
        operator: &["a builtin was ended at a limit", "policy.limit=memory"],
        frame: Some(RUN),
    },
    Row {
        name: "the limit of memory, met in one piece",
        how: "oom-at-once",
        host_function: None,
        kind: Kind::StepFailure,
        line: MEMORY,
        operator: &["a builtin was ended at a limit", "policy.limit=memory"],
        frame: Some(RUN),
    },
    Row {
        name: "an error of a host function",
        how: "emit",
        host_function: Some("error"),
        kind: Kind::Internal,
        line: "exec: a host function failed while it served the guest",
        operator: &[
            "the host broke while it served a builtin",
            "a test made it fail",
        ],
        frame: Some(RUN),
    },
    // Who unwinds through the guest leaves no frames of it; the host's own stack is told.
    Row {
        name: "a panic of a host function",
        how: "emit",
        host_function: Some("panic"),
        kind: Kind::Internal,
        line: "exec: a host function panicked while it served the guest",
        operator: &[
            "the host panicked",
            "s3cr3t-of-a-job",
            "stephost_sandbox::imports::log::",
        ],
        frame: None,
    },
];

async fn misbehave(host: &Host, how: &str) -> Ended {
    let job = host.job(&format!(
        "run: [{{name: m, func: 'builtin://test/misbehave', inputs: {{how: {how}}}}}]"
    ));
    job.run().await
}

#[test]
fn every_way_to_break_is_told_to_everybody_in_his_own_words_and_harms_nobody() {
    let points = Points::new();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("operator.log");
    let options = points.options().with_log(&file);
    block_on(async {
        let host = Host::start(options).await;
        for row in ROWS {
            let before = std::fs::read_to_string(&file).map_or(0, |log| log.len());
            if let Some(action) = row.host_function {
                points.arm("guest.log", action);
            }
            let ended = misbehave(&host, row.how).await;
            ended.is(State::Failure, Some(row.kind));
            told_in_the_log(&row, &ended);
            let log = std::fs::read_to_string(&file).expect("there is a log");
            told_to_the_operator(&row, &log[before..]);
            let again = misbehave(&host, "succeed").await;
            assert_eq!(again.succeeds().out(), "", "after {}", row.name);
            if row.host_function.is_some() {
                points.release("guest.log");
            }
        }
        host.finish().await;
    });
}

/// One line, and the same words in the status: no frame, no name of a symbol, nothing of the host's own.
fn told_in_the_log(row: &Row, ended: &Ended) {
    let text = ended.text();
    let lines: Vec<&str> = text.lines().collect();
    let ["Running step name=m", line] = lines[..] else {
        panic!("{}: one line, not: {text}", row.name);
    };
    let place = line.strip_prefix(row.line);
    let place = place.unwrap_or_else(|| panic!("{}: {line}", row.name));
    assert!(
        place
            .split(':')
            .all(|number| number.is_empty() || number.parse::<u32>().is_ok()),
        "{}: {line}",
        row.name
    );
    assert_eq!(
        ended.status.message,
        format!("step \"m\": {line}"),
        "{}",
        row.name
    );
    for hidden in PAYLOAD.into_iter().chain([RUN, "_ZN", "a test made it"]) {
        assert!(!text.contains(hidden), "{}: {hidden} in {text}", row.name);
    }
}

/// One line that has everything, in names that people read.
fn told_to_the_operator(row: &Row, log: &str) {
    let first = row.operator[0];
    let told: Vec<&str> = log.lines().filter(|line| line.contains(first)).collect();
    let [line] = told[..] else {
        panic!("{}: one line with {first:?}, not:\n{log}", row.name);
    };
    for words in row.operator {
        assert!(line.contains(words), "{}: no {words:?} in {line}", row.name);
    }
    let Some(frame) = row.frame else { return };
    let frames = line.split_once("frames=[").map(|(_, frames)| frames);
    let frames = frames.unwrap_or_else(|| panic!("{}: no frames in {line}", row.name));
    assert!(frames.contains(frame), "{}: {frames}", row.name);
    for machinery in [
        "_ZN",
        "_R",
        "17h",
        "panicking",
        "rust_begin_unwind",
        "panic_fmt",
    ] {
        assert!(
            !frames.contains(machinery),
            "{}: {machinery} in {frames}",
            row.name
        );
    }
}
