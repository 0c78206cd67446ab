//! The states of a job, and what each of them answers to each event.
//!
//! ```text
//! Created ──picked up──► Running ──stop──► Stopping ──grace is over──► Killing
//!    │                      │                  │                          │
//!    └──stop────────────────┴──finished────────┴──finished────────────────┴──► Done
//! ```
//!
//! Contract: [`step`] is total: every state answers every event. It only *describes* work ([`Effect`]); doing
//! it is the driver's duty. No clock is read here: every event comes with its moment. The first stop decides
//! why a job ends and when it is killed; a later one changes nothing (design D5). `Done` never changes.
//! Called by: the driver in `host::jobs`, which owns the one `State` of its job. Calls: nothing.

use std::time::Duration;

use crate::deadline::At;
use crate::ending::Ending;

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Registered; nothing of it has run.
    Created,
    /// Its steps run.
    Running,
    /// Its running step was asked to end.
    Stopping {
        /// Why; the first stop's reason.
        reason: StopReason,
        /// The end of the grace.
        kill_at: At,
    },
    /// The grace is over; what runs is being killed.
    Killing {
        /// Why; the first stop's reason.
        reason: StopReason,
        /// The end of the grace, now past.
        kill_at: At,
    },
    /// Over.
    Done(Ending),
}

/// Why a job is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The Cancel call.
    Cancel,
    /// The timeout that came with the job.
    Timeout,
    /// The Close call.
    Close,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its steps begin.
    PickedUp,
    /// Somebody wants it to end.
    Stop(StopReason),
    /// Time has passed; due at [`wake_at`](crate::wake_at), harmless at any other time.
    Tick,
    /// Nothing of it runs any more.
    Finished {
        /// How its steps ended.
        ending: Ending,
        /// Whether the stop had a part in it: a step was signalled before it ended, or steps were left
        /// unstarted because of the stop.
        interrupted: bool,
    },
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Ask the running step to end, and start no other.
    Terminate(StopReason),
    /// Kill what runs.
    Kill(StopReason),
    /// Tell everybody how the job ended. Happens exactly once per job. A job that was only created must not
    /// be picked up any more.
    Publish(Ending),
}

/// Answers `event` at `at`. `grace` is the polite period between a stop and the kill.
pub fn step(state: State, event: Event, at: At, grace: Duration) -> (State, Effect) {
    use {Event as E, State as S};
    match (state, event) {
        (S::Created, E::PickedUp) => (S::Running, Effect::Nothing),
        (S::Created, E::Stop(reason)) => done(Ending::unstarted(reason)),
        (S::Running, E::Stop(reason)) => (
            S::Stopping {
                reason,
                kill_at: at.after(grace),
            },
            Effect::Terminate(reason),
        ),
        (S::Stopping { reason, kill_at }, E::Tick) if at >= kill_at => {
            (S::Killing { reason, kill_at }, Effect::Kill(reason))
        }

        // A job that ended before its steps began ended all the same: a state that ignored this would be
        // waited for without end.
        (
            S::Created | S::Running,
            E::Finished {
                ending,
                interrupted: _,
            },
        ) => done(ending.unstopped()),
        (
            S::Stopping { reason, .. } | S::Killing { reason, .. },
            E::Finished {
                ending,
                interrupted,
            },
        ) => {
            let gave_up = matches!(ending, Ending::Cancelled { .. } | Ending::TimedOut { .. });
            // What had ended before the signal keeps its ending; a step that says it gave up was reached.
            done(if interrupted || gave_up {
                ending.interrupted_by(reason)
            } else {
                ending
            })
        }

        (state @ S::Created, E::Tick)
        | (state @ S::Running, E::PickedUp | E::Tick)
        | (state @ (S::Stopping { .. } | S::Killing { .. }), E::PickedUp | E::Stop(_) | E::Tick)
        | (state @ S::Done(_), E::PickedUp | E::Stop(_) | E::Tick | E::Finished { .. }) => {
            (state, Effect::Nothing)
        }
    }
}

fn done(ending: Ending) -> (State, Effect) {
    (State::Done(ending.clone()), Effect::Publish(ending))
}

#[cfg(test)]
mod tests;
