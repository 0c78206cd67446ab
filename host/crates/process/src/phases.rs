//! The life of one step's group, as a pure state machine.
//!
//! Contract: [`Life::apply`] is total: every phase answers every event. It sends nothing and reads no clock; it says which signal is
//! due, and `group` sends it under the same lock. What the driver does next follows from [`Life::phase`] alone.
//! Called by: `group`. Calls: nothing.
//!
//! ```text
//! Running ──leader ended──────────────────────────► Reading ──read──► Settled
//!    └─────leader ended, stop asked──► Emptying ──empty──┘ ▲
//!                                         └◄──stop asked───┘
//! ```

use crate::Exit;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The leader runs.
    Running,
    /// The leader ended, a stop was asked for: the group is watched until nobody is left in it.
    Emptying { exit: Exit },
    /// Nobody is waited for any more; what the pipes hold is read.
    Reading { exit: Exit, patience: Patience },
    /// The leader may be reaped. No signal is sent from here on.
    Settled { exit: Exit },
}

/// How long a held pipe is read after the leader's end; `pump` has the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Whoever might have had something to say is gone; only a moment for one who holds a pipe without knowing it.
    Short,
    /// A helper of the step (`> >(tee)`) may be finishing.
    Long,
}

/// How far a stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Terminate,
    Kill,
}

/// What can happen to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody asks for a polite stop. `leader_lives` is what the kernel says at this moment.
    Terminate { leader_lives: bool },
    /// Somebody asks for a hard stop. `others_live`: members besides the leader; only asked when the leader has ended.
    Kill {
        leader_lives: bool,
        others_live: bool,
    },
    /// The leader ended and was not reaped.
    LeaderEnded(Exit),
    /// Nobody but the dead leader is in the group, or nobody can be seen.
    GroupEmpty,
    /// The time that a killed group may take to die is over.
    BudgetSpent,
    /// The pipes are at their end, or were given up.
    OutputRead,
}

/// The signal that is due after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Terminate,
    Kill,
}

/// One step's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    phase: Phase,
    asked: Asked,
    signalled: bool,
    killed: bool,
}

impl Life {
    /// A step whose leader was just spawned.
    pub(crate) fn new() -> Life {
        Life {
            phase: Phase::Running,
            asked: Asked::Nothing,
            signalled: false,
            killed: false,
        }
    }

    /// Where the step is now.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a stop was asked for before the leader ended.
    pub(crate) fn signalled(&self) -> bool {
        self.signalled
    }

    /// Whether the hard kill met somebody alive.
    pub(crate) fn killed(&self) -> bool {
        self.killed
    }

    /// Whether the hard kill was asked for.
    pub(crate) fn kill_asked(&self) -> bool {
        self.asked == Asked::Kill
    }

    /// Takes `event` and answers with the signal that is due now.
    pub(crate) fn apply(&mut self, event: Event) -> Due {
        match (self.phase, event) {
            (
                Phase::Running | Phase::Emptying { .. } | Phase::Reading { .. },
                Event::Terminate { leader_lives },
            ) => self.ask(Asked::Terminate, leader_lives, false),
            (
                Phase::Running | Phase::Emptying { .. } | Phase::Reading { .. },
                Event::Kill {
                    leader_lives,
                    others_live,
                },
            ) => self.ask(Asked::Kill, leader_lives, leader_lives || others_live),
            (Phase::Running, Event::LeaderEnded(exit)) => {
                self.phase = match self.asked {
                    Asked::Nothing => Phase::Reading {
                        exit,
                        patience: Patience::Long,
                    },
                    // The end of the leader does not end a stop: others may still be cleaning up, or refusing to.
                    Asked::Terminate | Asked::Kill => Phase::Emptying { exit },
                };
                Due::Nothing
            }
            (Phase::Emptying { exit }, Event::GroupEmpty) => {
                self.phase = Phase::Reading {
                    exit,
                    patience: Patience::Short,
                };
                Due::Nothing
            }
            (Phase::Emptying { exit }, Event::BudgetSpent) => {
                // Only a killed group runs out of time; a polite stop lasts until its owner's clock says otherwise.
                if self.asked == Asked::Kill {
                    self.phase = Phase::Reading {
                        exit,
                        patience: Patience::Short,
                    };
                }
                Due::Nothing
            }
            (Phase::Reading { exit, .. }, Event::OutputRead) => {
                self.phase = Phase::Settled { exit };
                Due::Nothing
            }
            (Phase::Running, Event::GroupEmpty | Event::BudgetSpent | Event::OutputRead)
            | (Phase::Emptying { .. }, Event::LeaderEnded(_) | Event::OutputRead)
            | (
                Phase::Reading { .. },
                Event::LeaderEnded(_) | Event::GroupEmpty | Event::BudgetSpent,
            )
            | (
                Phase::Settled { .. },
                Event::Terminate { .. }
                | Event::Kill { .. }
                | Event::LeaderEnded(_)
                | Event::GroupEmpty
                | Event::BudgetSpent
                | Event::OutputRead,
            ) => Due::Nothing,
        }
    }

    /// Goes on to `asked`; a stop that goes no further than an earlier one changes nothing.
    fn ask(&mut self, asked: Asked, leader_lives: bool, kills: bool) -> Due {
        if asked <= self.asked {
            return Due::Nothing;
        }
        self.asked = asked;
        self.signalled |= leader_lives;
        self.killed |= kills;
        if let Phase::Reading { exit, .. } = self.phase {
            self.phase = Phase::Emptying { exit };
        }
        match asked {
            Asked::Nothing => Due::Nothing,
            Asked::Terminate => Due::Terminate,
            Asked::Kill => Due::Kill,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 11] = [
        Event::Terminate { leader_lives: true },
        Event::Terminate {
            leader_lives: false,
        },
        Event::Kill {
            leader_lives: true,
            others_live: true,
        },
        Event::Kill {
            leader_lives: false,
            others_live: true,
        },
        Event::Kill {
            leader_lives: false,
            others_live: false,
        },
        Event::LeaderEnded(Exit::Code(0)),
        Event::LeaderEnded(Exit::Signal(9)),
        Event::GroupEmpty,
        Event::BudgetSpent,
        Event::OutputRead,
        Event::Terminate { leader_lives: true },
    ];

    /// Calls `check` with every sequence of `depth` events.
    fn every_story(depth: u32, mut check: impl FnMut(&[Event])) {
        let mut story = Vec::new();
        for number in 0..EVENTS.len().pow(depth) {
            story.clear();
            let mut rest = number;
            for _ in 0..depth {
                story.push(EVENTS[rest % EVENTS.len()]);
                rest /= EVENTS.len();
            }
            check(&story);
        }
    }

    fn exit_of(phase: Phase) -> Option<Exit> {
        match phase {
            Phase::Running => None,
            Phase::Emptying { exit } | Phase::Reading { exit, .. } | Phase::Settled { exit } => {
                Some(exit)
            }
        }
    }

    #[test]
    fn no_story_breaks_the_rules() {
        every_story(5, |story| {
            let mut life = Life::new();
            let (mut terminates, mut kills) = (0, 0);
            for &event in story {
                let before = life;
                let due = life.apply(event);
                match due {
                    Due::Nothing => {}
                    Due::Terminate => {
                        assert_eq!(kills, 0, "{story:?}: polite after hard");
                        terminates += 1;
                    }
                    Due::Kill => kills += 1,
                }
                if let Phase::Settled { .. } = before.phase() {
                    assert_eq!(
                        (life, due),
                        (before, Due::Nothing),
                        "{story:?}: settled is the end"
                    );
                }
                if let Some(exit) = exit_of(before.phase()) {
                    assert_eq!(
                        exit_of(life.phase()),
                        Some(exit),
                        "{story:?}: an exit is final"
                    );
                }
                if matches!(life.phase(), Phase::Settled { .. }) && before != life {
                    assert_eq!(
                        event,
                        Event::OutputRead,
                        "{story:?}: only a read pipe settles"
                    );
                }
                assert!(
                    !life.killed() || kills == 1,
                    "{story:?}: killed without a kill"
                );
            }
            assert!(
                terminates <= 1 && kills <= 1,
                "{story:?}: a stop is sent once"
            );
        });
    }

    #[test]
    fn every_life_can_be_brought_to_its_end_by_a_kill() {
        every_story(4, |story| {
            let mut life = Life::new();
            for &event in story {
                life.apply(event);
            }
            for event in [
                Event::Kill {
                    leader_lives: true,
                    others_live: true,
                },
                Event::LeaderEnded(Exit::Signal(9)),
                Event::BudgetSpent,
                Event::OutputRead,
            ] {
                life.apply(event);
            }
            assert!(
                matches!(life.phase(), Phase::Settled { .. }),
                "{story:?}: {life:?}"
            );
        });
    }

    /// Applies `story`; says where it ends.
    fn check(name: &str, story: &[Event], phase: Phase, signalled: bool, killed: bool) {
        let mut life = Life::new();
        for &event in story {
            life.apply(event);
        }
        assert_eq!(
            (life.phase(), life.signalled(), life.killed()),
            (phase, signalled, killed),
            "{name}"
        );
    }

    #[test]
    fn a_stop_goes_on_after_the_leader_and_until_the_group_is_empty() {
        let exit = Exit::Code(3);
        let term = Event::Terminate { leader_lives: true };
        let kill = Event::Kill {
            leader_lives: false,
            others_live: true,
        };
        let ended = Event::LeaderEnded(exit);
        let gone = Phase::Reading {
            exit,
            patience: Patience::Short,
        };
        let quiet = Phase::Reading {
            exit,
            patience: Patience::Long,
        };
        let emptying = Phase::Emptying { exit };
        check("no stop", &[ended], quiet, false, false);
        check("stopped", &[term, ended], emptying, true, false);
        check(
            "time does not end a polite stop",
            &[term, ended, Event::BudgetSpent],
            emptying,
            true,
            false,
        );
        check(
            "everybody left by himself",
            &[term, ended, Event::GroupEmpty],
            gone,
            true,
            false,
        );
        check(
            "somebody stayed",
            &[term, ended, kill],
            emptying,
            true,
            true,
        );
        check(
            "somebody cannot be killed",
            &[term, ended, kill, Event::BudgetSpent],
            gone,
            true,
            true,
        );
        let late = Event::Terminate {
            leader_lives: false,
        };
        check(
            "a stop after the leader's end",
            &[ended, late],
            emptying,
            false,
            false,
        );
        check(
            "a stop before its end was noticed",
            &[late, ended],
            emptying,
            false,
            false,
        );
        check(
            "too late",
            &[ended, Event::OutputRead, term, kill],
            Phase::Settled { exit },
            false,
            false,
        );
    }
}
