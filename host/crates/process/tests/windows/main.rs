//! Real steps on Windows: job object, private console, pipes. Run under Wine by `cargo xtask test --windows`; what Wine cannot show is named in
//! docs/windows.md.
#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    os::windows::process::CommandExt,
    path::{self, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use stephost_process::{
    Exit, Leftovers, Mechanism, Plan, Report, Running, Stream, Supervisors, Surroundings,
};

use crate::{
    recorder::{Recorder, within},
    sys::Witness,
};

#[path = "../all/recorder.rs"]
mod recorder;
mod sys;

/// A process without a console, as a service is.
const DETACHED_PROCESS: u32 = 0x0000_0008;
/// What a killed process is said to have ended with.
const KILLED: Exit = Exit::Code(137);

/// The program of all roles. Where it was built is no Windows path under Wine, until it gets a drive.
fn actor() -> PathBuf {
    path::absolute(env!("CARGO_BIN_EXE_supervisor")).unwrap()
}

/// The actor in a role, with what a Windows program needs of the environment.
fn plan(arguments: &[&str]) -> Plan {
    Plan {
        program: actor().into(),
        args: arguments.iter().map(Into::into).collect(),
        env: env::var_os("SystemRoot")
            .map(|root| ("SystemRoot".into(), root))
            .into_iter()
            .collect(),
        work_dir: env::temp_dir(),
    }
}

fn supervisors() -> Supervisors {
    Supervisors::of_program(actor(), Surroundings::default()).unwrap()
}

async fn begin(plan: Plan) -> (Running, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let supervisors = supervisors();
    let started = supervisors.start(plan, recorder.clone());
    let running = within("the start", started).await.expect("the step starts");
    (running, recorder)
}

async fn run(plan: Plan) -> (Report, Arc<Recorder>) {
    let (running, recorder) = begin(plan).await;
    (within("the end", running.ended()).await, recorder)
}

fn left_by(report: &Report) -> usize {
    report.leftovers.as_ref().map_or(0, Leftovers::processes)
}

/// Waits until `count` have said that they live.
async fn witnesses(output: &Recorder, count: usize) -> Vec<Witness> {
    within(
        "everybody",
        output.until(|text| {
            let alive: Vec<_> = text
                .lines()
                .filter_map(|line| line.strip_prefix("alive "))
                .collect();
            (alive.len() == count && text.ends_with('\n'))
                .then(|| alive.into_iter().map(Witness::of).collect())
        }),
    )
    .await
}

#[tokio::test]
async fn an_exit_code_is_reported_as_it_is() {
    for (code, text) in [
        (0_u32, "exit status 0"),
        (3, "exit status 3"),
        (255, "exit status 255"),
        (0xc000_0005, "exit status 0xc0000005"),
    ] {
        let (report, _) = run(plan(&["exit", &code.to_string()])).await;
        assert_eq!(report.exit, Exit::Code(code.cast_signed()), "{code}");
        assert_eq!(report.exit.to_string(), text);
        assert_eq!(
            (report.signalled, report.killed, left_by(&report)),
            (false, false, 0),
            "{code}"
        );
        assert_eq!(report.trace.mechanism, Mechanism::Supervisor);
        assert!(report.trace.usage.is_some());
    }
}

#[tokio::test]
async fn arguments_directory_and_environment_arrive_as_they_were_given() {
    let scratch = tempfile::tempdir().unwrap();
    let arguments = [
        "",
        "two words",
        "a\"b",
        "back\\slash\\",
        "a b\\",
        "\\\"",
        "%PATH%",
        "ä€😀",
        "a&b|c",
    ];
    let mut plan = Plan {
        work_dir: scratch.path().to_owned(),
        ..plan(&["show"])
    };
    plan.args.extend(arguments.iter().map(Into::into));
    for (name, value) in [("Later", "1"), ("EMPTY", ""), ("LATER", "2 = two")] {
        plan.env.push((name.into(), value.into()));
    }
    let (report, output) = run(plan).await;
    assert!(report.exit.is_success());
    let text = output.out();
    let lines = |kind: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        lines.map(str::to_owned).collect()
    };
    let quoted: Vec<_> = arguments
        .iter()
        .map(|argument| format!("{argument:?}"))
        .collect();
    assert_eq!(lines("argument "), quoted);
    let directory = lines("directory ").remove(0);
    assert_eq!(
        std::fs::canonicalize(directory).unwrap(),
        std::fs::canonicalize(scratch.path()).unwrap()
    );
    let variables = lines("variable ");
    assert!(variables.contains(&"LATER=2 = two".to_owned()), "{text}");
    assert!(!variables.contains(&"Later=1".to_owned()), "{text}");
    assert!(env::var_os("PATH").is_some());
    let inherited = variables
        .iter()
        .any(|variable| variable.to_uppercase().starts_with("PATH="));
    assert!(!inherited, "nothing is added of the host's: {text}");
}

#[tokio::test]
async fn a_batch_file_runs_with_its_arguments_and_its_code() {
    let scratch = tempfile::tempdir().unwrap();
    let batch = "@echo off\r\necho %1 %2\r\nexit 5\r\n";
    std::fs::write(scratch.path().join("job.cmd"), batch).unwrap();
    let batch = |argument: &str| Plan {
        program: "./job".into(),
        work_dir: scratch.path().to_owned(),
        ..plan(&["one & two", argument])
    };
    let (report, output) = run(batch("three")).await;
    assert_eq!(output.out().trim_end(), "\"one & two\" \"three\"");
    assert_eq!(report.exit, Exit::Code(5));
    let refused = supervisors()
        .start(batch("\" & exit 0"), Arc::new(Recorder::default()))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("argument 2"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_started_is_named_as_the_step_wrote_it() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("garbage.exe"), "no program at all").unwrap();
    std::fs::write(scratch.path().join("text.txt"), "no program at all").unwrap();
    let long = "x".repeat(40_000);
    let program = actor().into_os_string().into_string().unwrap();
    let table: [(&str, &[&str], &str); 6] = [
        ("", &[], "exec: no command"),
        (
            "nope",
            &[],
            "exec: \"nope\": executable file not found in $PATH",
        ),
        ("./nope", &[], "fork/exec ./nope: no such file or directory"),
        ("./text.txt", &[], "fork/exec ./text.txt: "),
        ("./garbage", &[], "fork/exec ./garbage: "),
        (
            &program,
            &["show", &long],
            "argument 2 is too long: it has 40001 bytes",
        ),
    ];
    for (program, arguments, text) in table {
        let plan = Plan {
            program: program.into(),
            work_dir: scratch.path().to_owned(),
            ..plan(arguments)
        };
        let error = supervisors()
            .start(plan, Arc::new(Recorder::default()))
            .await
            .err()
            .unwrap_or_else(|| panic!("{program:?} must not start"));
        assert!(error.to_string().starts_with(text), "{program:?}: {error}");
    }
    let nowhere = Plan {
        work_dir: scratch.path().join("nowhere"),
        ..plan(&["exit", "0"])
    };
    let error = supervisors()
        .start(nowhere, Arc::new(Recorder::default()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("working directory: "),
        "{error}"
    );
}

#[tokio::test]
async fn everything_that_a_step_writes_arrives_in_order() {
    let (_, output) = run(plan(&["lines", "1000"])).await;
    for (stream, name) in [(Stream::Out, "out"), (Stream::Err, "err")] {
        let expected: String = (0..1000)
            .map(|number| format!("{name} {number}\n"))
            .collect();
        assert_eq!(output.text(stream), expected, "{name}");
    }
    let (report, output) = run(plan(&["write", "1048576"])).await;
    assert_eq!(output.bytes(Stream::Out).len(), 1 << 20);
    assert_eq!(output.text(Stream::Err), "last words");
    assert_eq!(report.background, 0);
}

#[tokio::test]
async fn there_is_nothing_to_read_on_stdin() {
    let (_, output) = run(plan(&["read"])).await;
    assert_eq!(output.out(), "read 0\n");
}

#[tokio::test]
async fn scenario_24_a_kill_ends_three_generations() {
    let (running, output) = begin(plan(&["tree", "3"])).await;
    let everybody = witnesses(&output, 3).await;
    running.stopper().kill();
    let report = within("the end", running.ended()).await;
    for witness in &everybody {
        witness.assert_dies();
    }
    assert_eq!(
        (report.exit, report.killed, report.signalled),
        (KILLED, true, true)
    );
    assert_eq!(report.trace.killed_processes, 3);
    assert_eq!(report.background, 0, "nobody holds a pipe");
    assert!(report.leftovers.is_none() && !report.trace.leaked());
}

#[tokio::test]
async fn a_dropped_step_is_killed() {
    let (running, output) = begin(plan(&["tree", "2"])).await;
    let everybody = witnesses(&output, 2).await;
    drop(running);
    for witness in &everybody {
        witness.assert_dies();
    }
}

#[tokio::test]
async fn scenario_24_who_outlives_the_leader_is_kept_until_the_job_lets_go() {
    let (report, output) = run(plan(&["leave"])).await;
    let child = witnesses(&output, 1).await.remove(0);
    assert_eq!((report.exit, report.killed), (Exit::Code(7), false));
    child.assert_lives();
    let leftovers = report.leftovers.expect("a process is left");
    assert_eq!(leftovers.processes(), 1);
    let trace = within("the kill", leftovers.kill()).await;
    child.assert_dies();
    assert_eq!((trace.killed_processes, trace.leaked()), (1, false));

    let (report, output) = run(plan(&["leave"])).await;
    let child = witnesses(&output, 1).await.remove(0);
    child.assert_lives();
    drop(report);
    child.assert_dies();
}

#[tokio::test]
async fn scenario_24_nobody_leaves_the_job() {
    let (report, output) = run(plan(&["break-away"])).await;
    assert_eq!(output.out(), "refused Some(5)\n", "access is denied");
    assert_eq!(left_by(&report), 0);
}

#[tokio::test]
async fn scenario_24_a_job_in_the_job_ends_with_it() {
    // A step that is itself a host of steps.
    let (running, output) = begin(plan(&["host", "tree", "2"])).await;
    let inner = witnesses(&output, 2).await;
    running.stopper().kill();
    let report = within("the end", running.ended()).await;
    for witness in &inner {
        witness.assert_dies();
    }
    assert!(!report.trace.leaked());
}

#[tokio::test]
async fn scenario_24_a_polite_stop_reaches_every_generation() {
    let (running, output) = begin(plan(&["polite", "3"])).await;
    for generation in 1..=3 {
        output.line(&format!("ready {generation}")).await;
    }
    running.stopper().terminate();
    let report = within("the end", running.ended()).await;
    for generation in 1..=3 {
        assert!(
            output.out().contains(&format!("asked {generation}\n")),
            "{}",
            output.out()
        );
    }
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Code(0), true, false)
    );
    assert!(report.trace.terminated_after.is_some() && report.trace.killed_after.is_none());
}

#[tokio::test]
async fn scenario_24_who_does_not_end_when_asked_is_killed() {
    let (running, output) = begin(plan(&["deaf"])).await;
    let deaf = witnesses(&output, 1).await.remove(0);
    let stopper = running.stopper();
    stopper.terminate();
    output.line("asked").await;
    deaf.assert_lives();
    stopper.kill();
    let report = within("the end", running.ended()).await;
    deaf.assert_dies();
    assert_eq!((report.exit, report.killed), (KILLED, true));
    assert!(report.trace.killed_after >= report.trace.terminated_after);
}

#[tokio::test]
async fn a_stop_of_one_step_is_not_heard_by_another() {
    let (stopped, _) = begin(plan(&["polite", "1"])).await;
    let (other, output) = begin(plan(&["polite", "1"])).await;
    output.line("ready 1").await;
    stopped.stopper().kill();
    let _ = within("the end", stopped.ended()).await;
    let (third, third_output) = begin(plan(&["polite", "1"])).await;
    third_output.line("ready 1").await;
    third.stopper().terminate();
    let _ = within("the end", third.ended()).await;
    assert!(!output.out().contains("asked"), "{}", output.out());
    other.stopper().terminate();
    assert!(within("the end", other.ended()).await.exit.is_success());
}

#[tokio::test]
async fn a_step_that_kills_its_supervisor_is_lost_and_leaves_nobody() {
    let (running, output) = begin(plan(&["tree", "2"])).await;
    let everybody = witnesses(&output, 2).await;
    let leader = Witness::of(&running.pid().to_string());
    leader.parent().put_down();
    let report = within("the end", running.ended()).await;
    for witness in &everybody {
        witness.assert_dies();
    }
    assert_eq!(report.exit, Exit::LOST);
    assert_eq!(
        (report.trace.mechanism, report.trace.leaked()),
        (Mechanism::Host, false)
    );
}

/// A host that is a process of its own.
struct Host {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Host {
    fn start(arguments: &[&str], flags: u32) -> Host {
        let mut process = Command::new(actor())
            .arg("host")
            .args(arguments)
            .creation_flags(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Host { process, lines }
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{word}").unwrap();
    }
}

#[test]
fn the_death_of_the_host_leaves_nobody() {
    let mut host = Host::start(&["tree", "3"], 0);
    let everybody: Vec<_> = (0..3)
        .map(|_| Witness::of(host.line().strip_prefix("alive ").unwrap()))
        .collect();
    host.process.kill().unwrap();
    for witness in &everybody {
        witness.assert_dies();
    }
    host.process.wait().unwrap();
}

#[test]
fn scenario_24_a_host_without_a_console_stops_a_step_politely() {
    let mut host = Host::start(&["polite", "2"], DETACHED_PROCESS);
    let mut ready = [host.line(), host.line()];
    ready.sort();
    assert_eq!(ready, ["ready 1", "ready 2"]);
    host.tell("stop");
    let mut asked = [host.line(), host.line()];
    asked.sort();
    assert_eq!(asked, ["asked 1", "asked 2"]);
    assert_eq!(
        host.line(),
        "ended exit status 0 signalled true killed false"
    );
    assert!(host.process.wait().unwrap().success());
}

#[tokio::test]
async fn many_steps_at_once_do_not_mix_up_their_endings() {
    let supervisors = supervisors();
    let mut steps = Vec::new();
    for number in 0..8_i32 {
        let recorder = Arc::new(Recorder::default());
        let plan = plan(&["exit", &number.to_string()]);
        steps.push((number, supervisors.start(plan, recorder).await.unwrap()));
    }
    for (number, running) in steps {
        let report = within("the end", running.ended()).await;
        assert_eq!(report.exit, Exit::Code(number));
    }
    within("the close", supervisors.close()).await;
}
