//! Every way a guest can end, with real guests: `hello`, and `test/misbehave`, whose input `how` names the
//! manner.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use serde_json::json;
use stephost_policy::{LimitName, Limits};
use tokio::sync::watch;

use crate::*;

mod answers;
mod components;
mod evil;
mod hosting;
mod limits;
mod manners;
mod precompiled;
mod programs;
mod sealed;
mod sharing;
mod stops;
mod time;
mod traps;

/// What ending a guest may take on a busy machine. Idle it is 0.2 ms.
const SOON: Duration = Duration::from_millis(500);

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(SandboxConfig::default()).unwrap());
static HELLO: LazyLock<Builtin> = LazyLock::new(|| built("hello"));
static MISBEHAVE: LazyLock<Builtin> = LazyLock::new(|| built("test/misbehave"));
static LAUNCH: LazyLock<Builtin> = LazyLock::new(|| built("test/launch"));

fn built(name: &str) -> Builtin {
    let (shipped, for_tests) = (
        stephost_builtins::shipped(),
        stephost_builtins::test_guests(),
    );
    let mut all = shipped.iter().chain(for_tests);
    let found = all.find(|builtin| builtin.name == name);
    Builtin::new(name, found.expect("it was built").wasm)
}

/// A log that can be waited on.
struct Tape {
    written: watch::Sender<Vec<(Channel, u8)>>,
    revealed: Mutex<Vec<String>>,
}

impl Tape {
    fn new() -> Arc<Tape> {
        Arc::new(Tape {
            written: watch::channel(Vec::new()).0,
            revealed: Mutex::default(),
        })
    }

    fn text(&self, wanted: Channel) -> String {
        let written = self.written.borrow();
        let bytes = written
            .iter()
            .filter(|(channel, _)| *channel == wanted)
            .map(|(_, byte)| *byte);
        String::from_utf8(bytes.collect()).unwrap()
    }

    async fn has_text(&self) {
        self.written
            .subscribe()
            .wait_for(|written| !written.is_empty())
            .await
            .unwrap();
    }
}

impl Log for Tape {
    fn write(&self, channel: Channel, bytes: &[u8]) {
        self.written
            .send_modify(|written| written.extend(bytes.iter().map(|byte| (channel, *byte))));
    }

    fn revealed(&self, name: &str) {
        self.revealed.lock().unwrap().push(name.to_owned());
    }
}

/// A log that breaks.
struct Broken;

impl Log for Broken {
    fn write(&self, _channel: Channel, _bytes: &[u8]) {
        panic!("a log that breaks on purpose");
    }
}

fn call(how: &str, log: Arc<dyn Log>) -> Call {
    let arguments = vec![("how".to_owned(), Value::Text(how.to_owned()))];
    Call {
        arguments,
        context: Context::default(),
        log,
        limits: Limits::shipped(),
        programs: None,
    }
}

fn with_n(how: &str, n: f64) -> Call {
    let mut call = call(how, Tape::new());
    call.arguments.push(("n".to_owned(), Value::Number(n)));
    call
}

fn returned(text: &str) -> GuestEnding {
    GuestEnding::Success {
        outputs: vec![("text".to_owned(), Value::Text(text.to_owned()))],
        exports: Vec::new(),
    }
}

async fn misbehave(how: &str) -> GuestEnding {
    SANDBOX
        .run(&MISBEHAVE, call(how, Tape::new()), Stop::never())
        .await
}

async fn assert_alive() {
    let ending = misbehave("succeed").await;
    assert!(
        matches!(ending, GuestEnding::Success { .. }),
        "the builtin runs again: {ending:?}"
    );
}

/// One line for each ending, for tables.
fn brief(ending: &GuestEnding) -> String {
    match ending {
        GuestEnding::Success { .. } => "success".to_owned(),
        GuestEnding::Failed { message, exit_code } => match exit_code {
            Some(code) => format!("failed with {code}: {message}"),
            None => format!("failed: {message}"),
        },
        GuestEnding::InvalidInput { name, message } => format!("invalid input {name}: {message}"),
        GuestEnding::Denied {
            capability,
            target,
            code,
        } => format!("denied {capability} {target}: {code}"),
        GuestEnding::Cancelled { killed: false } => "stopped".to_owned(),
        GuestEnding::Cancelled { killed: true } => "killed".to_owned(),
        GuestEnding::Limit { which, message, .. } => format!("limit {which}: {message}"),
        GuestEnding::Trap(trap) => format!("trap: {}", trap.message),
        GuestEnding::HostFault(fault) => format!("host fault: {}", fault.message),
        GuestEnding::Link { missing, .. } => format!("link: {missing}"),
        GuestEnding::NotAComponent { message } => format!("not a component: {message}"),
        GuestEnding::Busy => "busy".to_owned(),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an `expect!` is written where it is used"
)]
fn check(ending: &GuestEnding, expected: Expect) {
    expected.assert_eq(&format!("{ending:#?}\n"));
}

fn stop() -> (watch::Sender<StopLevel>, Stop) {
    let (sender, receiver) = watch::channel(StopLevel::None);
    (sender, Stop(receiver))
}

const POLITE: StopLevel = StopLevel::Polite {
    reason: StopReason::Cancelled,
    kill_at: None,
};
const KILL: StopLevel = StopLevel::Kill {
    reason: StopReason::Cancelled,
};

/// Starts a guest, waits until it has said something, does what `then` says, and returns how and how soon
/// after that it ended.
async fn interrupted(
    how: &str,
    then: impl FnOnce(&watch::Sender<StopLevel>),
) -> (GuestEnding, Duration, Arc<Tape>) {
    let (sender, stop) = stop();
    let tape = Tape::new();
    let run = SANDBOX.run(&MISBEHAVE, call(how, tape.clone()), stop);
    let mut run = Box::pin(run);
    tokio::select! {
        ending = &mut run => panic!("{how} ended by itself: {ending:?}"),
        () = tape.has_text() => {}
    }
    then(&sender);
    let since = Instant::now();
    (run.await, since.elapsed(), tape)
}

/// A sandbox with one slot, to see when it is free.
fn narrow() -> (Sandbox, Builtin) {
    (
        Sandbox::new(SandboxConfig {
            slots_max: 1,
            threads: 1,
        })
        .unwrap(),
        built("test/misbehave"),
    )
}
