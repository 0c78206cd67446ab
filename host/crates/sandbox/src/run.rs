//! One guest from its fresh store to its ending.
//!
//! A guest starts where it is called, for the rest of a tick at most: a short step ends there, and is spared two
//! wake-ups that cost five times as much as the step. One that computes longer, or waits, goes on as a task on
//! the sandbox's own runtime, so that computing guests never hold up the host's sockets. [`supervise`] waits for
//! it on the caller's runtime with a hand on the lever: when the caller goes away, when it is told to kill, or
//! when the wall limit is over, the guest is ended wherever it is. (docs/decisions/0002)

use std::collections::HashSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use stephost_policy::{LimitName, Limits};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;
use wasmtime::Store;

use crate::bindings::Step;
use crate::bindings::exports::stephost::step::function::{Argument, Outcome};
use crate::bindings::stephost::step::types as wit;
use crate::builtin::Compiled;
use crate::cpu::counted;
use crate::ending::plain;
use crate::guest::{Guest, Lever, store};
use crate::limits::LimitHit;
use crate::{GuestEnding, HostFault, Sandbox, Signature, signature, trap, value};

/// How long a killed guest's task may take to be gone before nobody waits for it any more. Measured: 0.2 ms;
/// this is for a machine that swaps. The slot is free only when it really is.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// What is asked of a guest.
pub(crate) enum Errand {
    Describe,
    Run(Vec<Argument>),
}

/// What came of it.
pub(crate) enum Closed {
    Described(Signature),
    Ended(GuestEnding),
}

/// Runs one errand in a store of its own.
pub(crate) async fn supervise(
    sandbox: &Sandbox,
    compiled: &Compiled,
    guest: Guest,
    errand: Errand,
) -> Closed {
    let Ok(slot) = Arc::clone(&sandbox.inner.slots).try_acquire_owned() else {
        return Closed::Ended(GuestEnding::Busy);
    };
    let mut stop = guest.stop.clone();
    let limits = guest.limits.clone();
    let lever = Arc::new(Lever::new(&sandbox.inner.engine));
    let store = store(&sandbox.inner.engine, guest, Arc::clone(&lever));
    let (counting, ticks) = (Arc::clone(&lever), sandbox.inner.ticker.ticks());
    let guest = attend(slot, compiled.clone(), store, errand);
    let guest = async move { counted(&counting.cpu, &ticks, guest).await };
    // It goes on in a task of its own, and what is said there is said of its caller.
    let mut guest = Box::pin(guest.in_current_span());

    let runtime = sandbox.inner.runtime.handle();
    match first_slice(runtime, guest.as_mut()).await {
        Ok(Poll::Ready(closed)) => return closed,
        Ok(Poll::Pending) => {}
        Err(Panicked) => return broken("a host function panicked"),
    }
    let mut leash = Leash {
        task: runtime.spawn(guest),
        lever,
    };

    let verdict = tokio::select! {
        biased;
        joined = &mut leash.task => return settle(joined),
        _reason = stop.killed() => GuestEnding::Cancelled { killed: true },
        hit = wall(&limits) => hit.ending(),
    };
    leash.pull();
    match tokio::time::timeout(ABANDON_AFTER, &mut leash.task).await {
        // It was ended by our hand, in one way or the other.
        Err(_) | Ok(Ok(Closed::Ended(GuestEnding::Cancelled { killed: true }))) => {
            Closed::Ended(verdict)
        }
        Ok(Err(fault)) if fault.is_cancelled() => Closed::Ended(verdict),
        // It had ended by itself in the last moment.
        Ok(joined) => settle(joined),
    }
}

struct Panicked;

/// Polls the guest once, here, but as a task of `runtime`, where it goes on: its timers are that one's.
async fn first_slice(
    runtime: &Handle,
    mut guest: Pin<&mut impl Future<Output = Closed>>,
) -> Result<Poll<Closed>, Panicked> {
    poll_fn(|context| {
        let _entered = runtime.enter();
        // A guest that panicked is dropped with its store: nothing sees what it left half-done.
        let polled = catch_unwind(AssertUnwindSafe(|| guest.as_mut().poll(context)));
        Poll::Ready(polled.map_err(|_| Panicked))
    })
    .await
}

/// Whoever drops it, drops the guest.
struct Leash {
    task: JoinHandle<Closed>,
    lever: Arc<Lever>,
}

impl Leash {
    /// Ends a guest that computes by the lever, one that waits in a host function by dropping it.
    fn pull(&self) {
        self.lever.pull();
        self.task.abort();
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if !self.task.is_finished() {
            self.pull();
        }
    }
}

async fn wall(limits: &Limits) -> LimitHit {
    match limits.wall_max {
        Some(wall_max) => tokio::time::sleep(wall_max).await,
        None => std::future::pending().await,
    }
    LimitHit::new(LimitName::Wall, limits)
}

fn settle(joined: Result<Closed, JoinError>) -> Closed {
    joined.unwrap_or_else(|fault| {
        broken(if fault.is_panic() {
            "a host function panicked"
        } else {
            "the sandbox was closed"
        })
    })
}

/// The text of a panic went to the panic hook; it is for operators, not for clients.
fn broken(what: &str) -> Closed {
    let message = format!("{what} while it served the guest");
    Closed::Ended(GuestEnding::HostFault(HostFault::new(message)))
}

/// The guest's work. Parameters are dropped in reverse: the store before the slot, so that a free slot is one
/// in the pool too.
async fn attend(
    _slot: OwnedSemaphorePermit,
    compiled: Compiled,
    mut store: Store<Guest>,
    errand: Errand,
) -> Closed {
    let step = match compiled.step.instantiate_async(&mut store).await {
        Ok(step) => step,
        Err(fault) => return Closed::Ended(trap::ending(&fault, store.data())),
    };
    stephost_fault::point!("guest.instantiated", waits, fails: broken("a test made it fail"));
    let answer = match errand {
        Errand::Describe => describe(&step, &mut store).await,
        Errand::Run(arguments) => run(&step, &mut store, &arguments).await,
    };
    let guest = store.data();
    match (answer, guest.limit_hit()) {
        // Killed is killed; but a limit that was hit is the reason for whatever the guest did afterwards.
        (Ok(_), Some(hit)) => Closed::Ended(hit.ending()),
        (Err(fault), hit) => Closed::Ended(match (trap::ending(&fault, guest), hit) {
            (ending @ GuestEnding::Trap(_), None) => ending,
            (GuestEnding::Trap(_), Some(hit)) => hit.ending(),
            (ending, _) => ending,
        }),
        (Ok(closed), None) => closed,
    }
}

async fn describe(step: &Step, store: &mut Store<Guest>) -> wasmtime::Result<Closed> {
    let answer = step.stephost_step_function().call_describe(store).await?;
    Ok(match signature::lift(answer) {
        Ok(signature) => Closed::Described(signature),
        Err(fault) => Closed::Ended(failed(format!("the builtin's description {fault}"))),
    })
}

async fn run(
    step: &Step,
    store: &mut Store<Guest>,
    arguments: &[Argument],
) -> wasmtime::Result<Closed> {
    let answer = step
        .stephost_step_function()
        .call_run(&mut *store, arguments)
        .await?;
    let guest = store.data();
    // A guest that returned after it was asked to stop is stopped, whatever it returned (design D5).
    let asked_to_stop = guest.stop.level().reason().is_some();
    Ok(Closed::Ended(match answer {
        _ if asked_to_stop => GuestEnding::Cancelled { killed: false },
        Ok(outcome) => success(outcome, &guest.limits),
        Err(failure) => refusal(failure),
    }))
}

fn success(outcome: Outcome, limits: &Limits) -> GuestEnding {
    let Outcome { outputs, exports } = outcome;
    let outputs_bytes = outputs
        .iter()
        .map(|(name, value)| name.len() + value::bytes(value))
        .sum::<usize>();
    let exports_bytes = exports
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>();
    if u64::try_from(outputs_bytes.saturating_add(exports_bytes)).unwrap_or(u64::MAX)
        > limits.outputs_bytes_max
    {
        return LimitHit::new(LimitName::Outputs, limits).ending();
    }
    if let Some(name) = first_repeated(outputs.iter().map(|(name, _)| name)) {
        return failed(format!(
            "the builtin returned output `{}` twice",
            plain(name)
        ));
    }
    if let Some(name) = first_repeated(exports.iter().map(|(name, _)| name)) {
        return failed(format!("the builtin exported `{}` twice", plain(name)));
    }
    let mut lifted = Vec::with_capacity(outputs.len());
    for (name, value) in outputs {
        match value::lift(value) {
            Ok(value) => lifted.push((name, value)),
            Err(fault) => {
                return failed(format!("the builtin's output `{}` {fault}", plain(&name)));
            }
        }
    }
    GuestEnding::Success {
        outputs: lifted,
        exports,
    }
}

fn refusal(failure: wit::Failure) -> GuestEnding {
    match failure {
        wit::Failure::Failed(wit::FailedStep { message, exit_code }) => GuestEnding::Failed {
            message: plain(&message),
            exit_code,
        },
        wit::Failure::InvalidInput(wit::InvalidInput { name, message }) => {
            GuestEnding::InvalidInput {
                name: plain(&name),
                message: plain(&message),
            }
        }
        wit::Failure::Denied(wit::Denial {
            capability,
            target,
            code,
        }) => GuestEnding::Denied {
            capability: plain(&capability),
            target: plain(&target),
            code: plain(&code),
        },
        // Nobody asked: a guest cannot make its step look stopped.
        wit::Failure::Cancelled => {
            failed("the builtin gave up as if it had been stopped".to_owned())
        }
    }
}

fn failed(message: String) -> GuestEnding {
    GuestEnding::Failed {
        message,
        exit_code: None,
    }
}

fn first_repeated<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
