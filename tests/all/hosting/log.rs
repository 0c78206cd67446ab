//! The operator's log: two shapes, four levels, and nothing in either that a terminal would act on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use expect_test::expect;
use rustix::process::Signal;
use serde_json::Value;
use stephost_tests::{Request, block_on, run_program, step_test, usual_policy};

use super::daemon::Place;
use super::{read, request, text};

/// An id with letters that turn a line round, in a name of a step that a YAML text chose.
const HOSTILE: &str = "job-\u{202e}eno\u{2066}";

/// Jobs that make a host say most of what it can.
fn jobs(work: &Path) -> Vec<Request> {
    let builtin = |name: &str, inputs: &str| {
        format!("run: [{{name: it, func: 'builtin://{name}', inputs: {{{inputs}}}}}]")
    };
    let steps = [
        "exec: {command: [sh, -c, 'sleep 300 >/dev/null 2>&1 &']}".to_owned(),
        builtin("test/misbehave", "how: panic"),
        builtin("test/launch", r#"how: run, program: "c\ea\u009bt\u202e""#),
        builtin("test/launch", "how: run, program: 'true'"),
    ];
    let numbered = steps.iter().enumerate();
    numbered
        .map(|(number, definition)| Request {
            build_dir: text(work).to_owned(),
            ..request(
                &format!("{HOSTILE}{number}"),
                &format!("{{}}\n---\n{definition}\n"),
            )
        })
        .collect()
}

/// What a daemon writes that runs those jobs, reads a bad policy, and ends.
fn logged(arguments: &[&str]) -> String {
    block_on(async {
        let place = Place::new();
        let socket = place.path("s");
        let policy = place.write("policy.toml", usual_policy());
        let own = ["--socket", text(&socket), "--policy", text(&policy)];
        let mut daemon = place.serve(&[&own, arguments].concat());
        place.told("READY=1").await;
        let client = place.client("s").await;
        for job in jobs(place.dir.path()) {
            client.run_and_follow(job, |_| {}).await.expect("it runs");
        }
        place.write("policy.toml", "policy = \n");
        daemon.signal(Signal::HUP);
        place.told("RELOADING=1").await;
        place.told("READY=1").await;
        daemon.signal(Signal::TERM);
        let log = read(&mut daemon.stderr).await;
        assert_eq!(daemon.ended().await.code(), Some(0), "{log}");
        log
    })
}

/// Whether a terminal shows these letters in their order, and does nothing else about them.
fn is_harmless(line: &str) -> bool {
    let turns = |letter| matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !line
        .chars()
        .any(|letter| letter.is_control() || turns(letter))
}

#[test]
fn a_log_of_text_has_a_line_an_event_and_shows_what_a_stranger_wrote_as_numbers() {
    let log = logged(&[]);
    for line in log.lines() {
        assert!(is_harmless(line), "{line:?}");
        let (time, rest) = line.split_at("2026-01-01T00:00:00.000000Z".len());
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
        let level = rest.split_whitespace().next();
        assert!(matches!(level, Some("INFO" | "WARN" | "ERROR")), "{line}");
    }
    for words in [
        r"a job ended job.id=job-\u{202e}eno\u{2066}1 job.result=",
        r#"policy.target="c\u{1b}a\u{9b}t\u{202e}""#,
        "wasm.trap_kind=\"panic\"",
        "the policy stays as it was",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn a_log_of_json_has_an_object_a_line_and_these_fields() {
    let log = logged(&["--log-format", "json", "--log-level", "debug"]);
    let mut fields = BTreeMap::<String, BTreeSet<String>>::new();
    for line in log.lines() {
        assert!(is_harmless(line), "{line:?}");
        let event: Value = serde_json::from_str(line).expect(line);
        let event = event.as_object().expect(line);
        let word = |name: &str| event.get(name).and_then(Value::as_str).expect(line);
        assert_eq!(word("timestamp").len(), "2026-01-01T00:00:00.000000Z".len());
        assert!(matches!(word("level"), "ERROR" | "WARN" | "INFO" | "DEBUG"));
        let target = word("target");
        // What libraries have to say is theirs to name.
        if target == "audit" || target.starts_with("stephost") {
            let usual = ["timestamp", "level", "target", "message", "spans"];
            let own = event.keys().filter(|key| !usual.contains(&key.as_str()));
            let told = fields.entry(word("message").to_owned()).or_default();
            told.extend(own.cloned());
            for (key, value) in event {
                let counts = key.ends_with("_ms") || key.ends_with("_s") || key.ends_with("_kib");
                assert!(!counts || value.is_number(), "{key}: {line}");
            }
        }
    }
    // Where the host runs decides about these.
    fields.retain(|message, _| !message.contains("cgroup") && !message.contains("left"));
    let shown: Vec<String> = fields
        .iter()
        .map(|(message, keys)| {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            format!("{message}: {}\n", keys.join(" "))
        })
        .collect();
    expect![[r#"
        a builtin is compiled: func.ref
        a builtin starts a program: process.pid process.program step.name
        a builtin trapped: error.kind frames wasm.trap wasm.trap_kind
        a job ended: job.duration_s job.id job.result
        a native program ended: process.cgroup process.ended process.kept process.killed process.leaked process.left_by process.memory_kills process.peak_rss_kib process.signalled process.system_ms process.user_ms step.name
        a step ended: step.duration_s step.kind step.name step.result
        denied: policy.capability policy.code policy.line policy.name policy.target step.function step.name
        draining: no new jobs: 
        ended: 
        listening: socket
        the policy stays as it was: error
    "#]].assert_eq(&shown.concat());
    let events = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect(line));
    let mut ends = events.filter(|event| event["message"] == "a job ended");
    assert!(
        ends.any(|end| end["job.id"] == format!("{HOSTILE}1") && end["job.result"] == "internal"),
        "as it was: {log}"
    );
}

#[test]
fn a_level_leaves_out_what_is_less_serious() {
    let of = |level: &str| {
        let log = logged(&["--log-level", level, "--log-format", "json"]);
        let levels = log.lines().map(|line| {
            let event: Value = serde_json::from_str(line).expect(line);
            event["level"].as_str().expect(line).to_owned()
        });
        levels.collect::<BTreeSet<String>>()
    };
    let expected = |levels: &[&str]| levels.iter().map(|level| (*level).to_owned()).collect();
    let table: [(&str, BTreeSet<String>); 4] = [
        ("error", expected(&["ERROR"])),
        ("warn", expected(&["ERROR", "WARN"])),
        ("info", expected(&["ERROR", "INFO", "WARN"])),
        ("debug", expected(&["DEBUG", "ERROR", "INFO", "WARN"])),
    ];
    for (level, levels) in table {
        assert_eq!(of(level), levels, "{level}");
    }
}

#[test]
fn a_file_gets_the_log_in_the_shape_that_the_configuration_says() {
    block_on(async {
        let place = Place::new();
        let config =
            "socket = \"s\"\nlog-file = \"log\"\nlog-format = \"json\"\nlog-level = \"warn\"\n";
        let config = place.write("config.toml", config);
        let mut daemon = place.serve(&["--config", text(&config), "--log-level", "info"]);
        place.told("READY=1").await;
        daemon.signal(Signal::TERM);
        assert_eq!(read(&mut daemon.stderr).await, "");
        assert_eq!(daemon.ended().await.code(), Some(0));
        let log = std::fs::read_to_string(place.path("log")).expect("there is a log");
        let mut events = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect(line));
        assert!(events.any(|event| event["message"] == "listening" && event["level"] == "INFO"));
    });
}

step_test!(
    steps_serve_writes_the_same_log_into_the_file_that_it_is_told,
    stephost_tests::Options {
        arguments: [
            "--log-file",
            "log",
            "--log-format",
            "json",
            "--log-level",
            "debug"
        ]
        .map(Into::into)
        .into(),
        ..stephost_tests::Options::default()
    },
    |host| {
        let ended = host.script("echo said").run().await;
        assert_eq!(ended.succeeds().out(), "said\n");
        let log = std::fs::read_to_string(host.work().join("log")).expect("there is a log");
        let mut events = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect(line));
        let mut told = |message: &str| events.any(|event| event["message"] == message);
        assert!(told("a step ended") && told("a job ended"), "{log}");
    }
);

#[tokio::test]
async fn words_that_there_are_not_are_refused() {
    for (verb, option, word) in [
        (&["serve"][..], "--log-format", "xml"),
        (&["serve"], "--log-level", "loud"),
        (&["serve"], "--panic-budget", "0/10m"),
        (&["steps", "serve"], "--log-format", "xml"),
        (&["steps", "serve"], "--log-level", "trace"),
    ] {
        let done = run_program(&[verb, &[option, word]].concat(), &[]).await;
        assert_eq!(done.status.code(), Some(2), "{option}: {done:?}");
        assert!(done.err.contains(option), "{done:?}");
    }
}
