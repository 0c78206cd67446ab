//! Programs beside a guest: what reaches the other side, what comes back, and that none outlives its guest.

use std::future::ready;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

/// Programs that a test plays.
#[derive(Default)]
struct Played {
    started: Mutex<Vec<Command>>,
    /// What starting gives instead of a program.
    error: Option<StartError>,
    /// How programs end; without it they run until they are stopped.
    ending: Option<ProgramEnding>,
    alive: Arc<AtomicUsize>,
    waited_for: Arc<Notify>,
}

struct Playing {
    ending: Option<ProgramEnding>,
    stopped: Notify,
    alive: Arc<AtomicUsize>,
    waited_for: Arc<Notify>,
}

impl Programs for Played {
    fn start(&self, command: Command) -> Answer<'_, Result<Box<dyn Program>, StartError>> {
        self.started.lock().unwrap().push(command);
        if let Some(error) = &self.error {
            return Box::pin(ready(Err(error.clone())));
        }
        self.alive.fetch_add(1, Ordering::SeqCst);
        let program = Playing {
            ending: self.ending.clone(),
            stopped: Notify::new(),
            alive: Arc::clone(&self.alive),
            waited_for: Arc::clone(&self.waited_for),
        };
        Box::pin(ready(Ok(Box::new(program) as Box<dyn Program>)))
    }

    fn which<'a>(&'a self, programs: &'a [String]) -> Answer<'a, Option<String>> {
        Box::pin(ready(
            programs.get(1).map(|program| format!("/found/{program}")),
        ))
    }
}

impl Program for Playing {
    fn wait(&mut self) -> Answer<'_, Exit> {
        Box::pin(async {
            self.waited_for.notify_one();
            let ending = match &self.ending {
                Some(ending) => ending.clone(),
                None => {
                    self.stopped.notified().await;
                    ProgramEnding::Signal {
                        name: "TERM".to_owned(),
                        text: "signal: terminated".to_owned(),
                    }
                }
            };
            Exit {
                ending,
                background: true,
            }
        })
    }

    fn stop(&self) {
        self.stopped.notify_one();
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn ending_with(code: i32) -> Played {
    Played {
        ending: Some(ProgramEnding::Code(code)),
        ..Played::default()
    }
}

fn launching(how: &str, n: f64, programs: &Arc<Played>) -> Call {
    let mut call = with_n(how, n);
    call.programs = Some(Arc::clone(programs) as Arc<dyn Programs>);
    call
}

async fn launch(how: &str, n: f64, programs: &Arc<Played>) -> String {
    let ending = SANDBOX
        .run(&LAUNCH, launching(how, n, programs), Stop::never())
        .await;
    assert_eq!(
        programs.alive.load(Ordering::SeqCst),
        0,
        "{how}: {ending:?}"
    );
    match ending {
        GuestEnding::Success { outputs, .. } => match &outputs[0].1 {
            Value::Text(text) => text.clone(),
            other => panic!("{how}: {other:?}"),
        },
        ending => panic!("{how}: {ending:?}"),
    }
}

#[tokio::test]
async fn a_builtin_that_runs_programs_is_not_started_without_them() {
    let ending = SANDBOX
        .run(&LAUNCH, call("run", Tape::new()), Stop::never())
        .await;
    let missing = "stephost:step/process@0.1.0".to_owned();
    assert_eq!(
        ending,
        GuestEnding::Link {
            missing,
            message: "this run was given no programs".to_owned()
        }
    );
    let signature = SANDBOX.describe(&LAUNCH).await;
    assert!(
        signature.is_ok(),
        "it can be asked what it takes: {signature:?}"
    );
}

#[tokio::test]
async fn a_builtin_that_runs_none_does_not_care() {
    let played = Arc::new(Played::default());
    let ending = SANDBOX
        .run(
            &MISBEHAVE,
            launching("succeed", 1.0, &played),
            Stop::never(),
        )
        .await;
    assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
}

#[tokio::test]
async fn a_command_reaches_the_other_side_as_the_guest_gave_it() {
    let played = Arc::new(ending_with(0));
    let mut call = launching("dress", 1.0, &played);
    for (name, text) in [("program", "/bin/sh"), ("argument", "echo it")] {
        call.arguments
            .push((name.to_owned(), Value::Text(text.to_owned())));
    }
    SANDBOX.run(&LAUNCH, call, Stop::never()).await;
    let text = |text: &str| text.to_owned();
    let expected = Command {
        program: text("/bin/sh"),
        arguments: ["", "one", ""].map(text).to_vec(),
        environment: vec![
            (text("SET"), Some(text("set"))),
            (text("PASSING"), Some(text("by"))),
            (text("PASSING"), None),
            (text("GONE"), None),
        ],
        files: vec![File {
            argument: 0,
            name: text("a script.sh"),
            content: b"echo it".to_vec(),
        }],
    };
    let started = played.started.lock().unwrap();
    assert!(
        started[..] == [expected],
        "{started:?} {:?}",
        started[0].environment
    );
}

#[tokio::test]
async fn every_way_a_program_ends_or_does_not_start_comes_back() {
    let denied = StartError::Denied {
        capability: "process".to_owned(),
        target: "true".to_owned(),
        code: "no-rule".to_owned(),
    };
    let refusing = |error: StartError| Played {
        error: Some(error),
        ..Played::default()
    };
    let table = [
        (ending_with(0), "Code(0) true"),
        (ending_with(-1), "Code(-1) true"),
        (refusing(StartError::NotFound), "NotFound"),
        (refusing(StartError::Stopping), "Stopping"),
        (
            refusing(StartError::Failed("words".to_owned())),
            "Failed(\"words\")",
        ),
        (
            refusing(denied),
            "Denied(Denial { capability: \"process\", target: \"true\", code: \"no-rule\" })",
        ),
    ];
    for (played, expected) in table {
        let text = launch("run", 1.0, &Arc::new(played)).await;
        assert!(text.ends_with(expected), "{text}: {expected}");
    }
    let text = launch("which", 1.0, &Arc::new(ending_with(0))).await;
    assert_eq!(text, "Some(\"/found/true\")");
}

#[tokio::test]
async fn a_guest_stops_a_program_and_waits_for_it_twice() {
    let text = launch("stop", 0.0, &Arc::new(Played::default())).await;
    let signal = "Signal { name: \"TERM\", text: \"signal: terminated\" }";
    assert_eq!(
        text,
        format!("Ending::Signal({signal}) Ending::Signal({signal})")
    );
}

#[tokio::test]
async fn no_program_outlives_its_guest_however_that_ends() {
    for how in ["drop", "forget"] {
        launch(how, 1.0, &Arc::new(Played::default())).await;
    }
    let played = Arc::new(Played::default());
    let ending = SANDBOX
        .run(&LAUNCH, launching("panic", 1.0, &played), Stop::never())
        .await;
    assert!(matches!(ending, GuestEnding::Trap(_)), "{ending:?}");
    assert_eq!(played.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_guest_that_waits_for_a_program_is_killed_with_it() {
    let played = Arc::new(Played::default());
    let (sender, stop) = stop();
    let mut run = Box::pin(SANDBOX.run(&LAUNCH, launching("run", 1.0, &played), stop));
    tokio::select! {
        ending = &mut run => panic!("it ended by itself: {ending:?}"),
        () = played.waited_for.notified() => {}
    }
    sender.send(POLITE).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(30), &mut run).await;
    assert!(
        early.is_err(),
        "a polite stop is the program's business: {early:?}"
    );
    let since = Instant::now();
    sender.send(KILL).unwrap();
    assert_eq!(run.await, GuestEnding::Cancelled { killed: true });
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(played.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn programs_of_a_run_are_bounded_at_once_and_in_all() {
    let played = Arc::new(Played::default());
    let held = CHILDREN_MAX as f64;
    assert_eq!(launch("hoard", held, &played).await, held.to_string());
    let text = launch("hoard", held + 1.0, &played).await;
    assert!(
        text.starts_with("32 ") && text.contains("a step may hold 32 programs at a time"),
        "{text}"
    );
    let played = Arc::new(ending_with(0));
    let all = STARTS_MAX as f64;
    assert_eq!(launch("churn", all, &played).await, all.to_string());
    let text = launch("churn", all + 1.0, &played).await;
    assert!(text.contains("a step may start 4096 programs"), "{text}");
}

#[tokio::test]
async fn a_command_is_bounded_in_bytes() {
    let played = Arc::new(ending_with(0));
    for (how, words) in [
        (
            "long-argument",
            "arguments and variables may have 4 MiB together",
        ),
        (
            "long-file",
            "the files of a program may have 4 MiB together",
        ),
    ] {
        let most = STRINGS_BYTES_MAX as f64;
        assert!(
            launch(how, most, &played).await.contains("Code(0)"),
            "{how}"
        );
        let text = launch(how, most + 1.0, &played).await;
        assert!(text.contains(words), "{how}: {text}");
    }
    assert_eq!(played.started.lock().unwrap().len(), 2);
}

#[test]
fn a_command_shows_no_values() {
    let secret = "hunter2".to_owned();
    let command = Command {
        program: "sh".to_owned(),
        arguments: vec![secret.clone()],
        environment: vec![("TOKEN".to_owned(), Some(secret.clone()))],
        files: vec![File {
            argument: 0,
            name: String::new(),
            content: secret.into_bytes(),
        }],
    };
    let shown = format!("{command:?} {:?}", command.files);
    assert!(
        !shown.contains("hunter2") && !shown.contains("104"),
        "{shown}"
    );
}
