//! The times of a stop: when to kill, and when Close has to answer.
//!
//! One clock per stop: it starts at the first stop, whatever the reason, and nothing restarts or shortens it
//! (design D5). All arithmetic saturates, so a grace of any length is harmless.

use std::time::Duration;

use crate::state::State;

/// How long Close waits beyond the end of the grace: time for a kill to take effect (contract 2.4).
pub const CLOSE_MARGIN: Duration = Duration::from_millis(500);

/// The polite period when the client names none (contract 2.4).
pub const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// The furthest moment, a hundred years in seconds: what a client may mean by "never", and still near enough
/// for every clock of a shell to add it to its own zero without overflow.
const FURTHEST_S: u64 = 100 * 365 * 24 * 60 * 60;

/// A moment of one job: time since the job's own zero, its registration.
///
/// Moments of two jobs must not be compared. Not wall time: it never jumps. Ends a hundred years after zero:
/// a later moment becomes that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct At(Duration);

impl At {
    /// The job's registration.
    pub const ZERO: At = At(Duration::ZERO);

    /// The last moment there is.
    pub const FURTHEST: At = At(Duration::from_secs(FURTHEST_S));

    /// The moment `since_zero` after the job's registration.
    pub const fn new(since_zero: Duration) -> At {
        if since_zero.as_secs() >= FURTHEST_S {
            At::FURTHEST
        } else {
            At(since_zero)
        }
    }

    /// Returns the time since the job's registration.
    pub const fn since_zero(self) -> Duration {
        self.0
    }

    /// Returns the moment `later` than this one.
    pub const fn after(self, later: Duration) -> At {
        At::new(self.0.saturating_add(later))
    }

    /// Returns how long it is from here to `then`; zero when that has passed.
    pub const fn until(self, then: At) -> Duration {
        then.0.saturating_sub(self.0)
    }
}

/// When the job needs a [`Tick`](crate::Event::Tick); `None` while no time matters to it.
pub fn wake_at(state: &State) -> Option<At> {
    match state {
        State::Stopping { kill_at, .. } => Some(*kill_at),
        State::Created | State::Running | State::Killing { .. } | State::Done(_) => None,
    }
}

/// The latest moment for the answer to a Close that arrives at `now` and finds `state`.
///
/// The end of the grace and [`CLOSE_MARGIN`]; for a job that somebody stopped before, the end of *that*
/// grace. The moment does not move when it is asked for again later, except while the job runs unstopped.
/// It may lie in the past: the answer is due then.
pub fn close_answers_by(state: &State, now: At, grace: Duration) -> At {
    match state {
        // Its stop ends it at once.
        State::Created | State::Done(_) => now,
        State::Running => now.after(grace).after(CLOSE_MARGIN),
        State::Stopping { kill_at, .. } | State::Killing { kill_at, .. } => {
            kill_at.after(CLOSE_MARGIN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ending, StopReason};

    fn at(ms: u64) -> At {
        At::new(Duration::from_millis(ms))
    }

    #[test]
    fn every_state_knows_its_next_moment_and_when_close_must_answer() {
        let reason = StopReason::Cancel;
        let table = [
            // state, wake_at, close answers by, source
            (
                State::Created,
                None,
                at(700),
                "contract 2.2, created + Close",
            ),
            (State::Running, None, at(2_200), "contract 2.4, Close wait"),
            (
                State::Stopping {
                    reason,
                    kill_at: at(900),
                },
                Some(at(900)),
                at(1_400),
                "D5, grace of the first stop",
            ),
            (
                State::Stopping {
                    reason,
                    kill_at: at(600),
                },
                Some(at(600)),
                at(1_100),
                "D5, tick is late",
            ),
            (
                State::Killing {
                    reason,
                    kill_at: at(100),
                },
                None,
                at(600),
                "D5, due already",
            ),
            (
                State::Done(Ending::Success),
                None,
                at(700),
                "contract 1.11, finished job",
            ),
        ];
        for (state, wake, answer, source) in table {
            assert_eq!(wake_at(&state), wake, "{state:?}: see {source}");
            assert_eq!(
                close_answers_by(&state, at(700), Duration::from_secs(1)),
                answer,
                "{state:?}: see {source}"
            );
        }
    }

    #[test]
    fn an_endless_grace_does_not_overflow() {
        let never = At::FURTHEST;
        assert_eq!(At::new(Duration::MAX), never);
        assert_eq!(
            close_answers_by(&State::Running, at(1), Duration::MAX),
            never
        );
        assert_eq!(at(1).after(Duration::MAX), never);
        assert_eq!(never.until(at(5)), Duration::ZERO);
        assert_eq!(at(5).until(at(7)), Duration::from_millis(2));
    }
}
