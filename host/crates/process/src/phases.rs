//! The life of one step's processes, as a pure state machine.
//!
//! Contract: [`Life::apply`] is total: every state answers every event. It sends nothing and reads no clock: the time comes with the event, and
//! what it answers is the deed that is due. The supervisor looks at the kernel, asks here, and does it.
//! Called by: `supervisor`. Calls: nothing.
//!
//! ```text
//! leader runs ──ended──► others live (kept) ──all gone──► over: empty
//!      │ stop                   │ stop                        ▲
//!      ▼                        ▼                             │
//!   asked to end ──────────────────────────────all gone───────┤
//!      │ kill, or nobody is left to ask                       │
//!      ▼                                                      │
//!   killed, swept until the kernel knows nobody ──all gone────┘
//!      └──five seconds──► over: somebody is left
//! ```

use std::time::Duration;

use crate::Exit;

/// How long killed processes may take to die before it is reported that they did not (stuck in the kernel, another user's).
pub(crate) const KILL_BUDGET: Duration = Duration::from_secs(5);

/// How far a stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Terminate,
    Insist,
    Kill,
}

/// What can happen to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The kernel was asked: how the leader ended, if it did, and whether any other descendant lives.
    Seen { leader: Option<Exit>, others: bool },
    /// Somebody asks for a polite stop.
    Terminate,
    /// The polite stop takes long: whatever lies between it and the hard one is due, where there is such a thing (Windows).
    Insist,
    /// Somebody asks for a hard stop, or nobody is there any more who could.
    Kill,
}

/// What is to be done after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Say that the leader has ended and others live on.
    TellLeaderEnded,
    /// Ask everybody to end.
    Terminate,
    /// Ask once more, in the stronger way.
    Insist,
    /// Kill everybody, the group first.
    Kill,
    /// Kill whoever is still seen.
    Sweep,
    /// Say that nobody is left.
    TellEmpty,
    /// Say who is left.
    TellLeft,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The kernel knows no descendant any more.
    Empty,
    /// The time for dying is over, and somebody lives.
    Left,
}

/// One step's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    leader: Option<Exit>,
    asked: Asked,
    told: bool,
    signalled: bool,
    /// When a killed tree's time is over.
    give_up: Option<Duration>,
    over: Option<Over>,
}

impl Life {
    /// A step whose leader was just spawned.
    pub(crate) fn new() -> Life {
        Life {
            leader: None,
            asked: Asked::Nothing,
            told: false,
            signalled: false,
            give_up: None,
            over: None,
        }
    }

    /// How the leader ended, once it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.leader
    }

    /// Whether a stop was asked for before the leader ended.
    pub(crate) fn signalled(&self) -> bool {
        self.signalled
    }

    /// Whether everybody alive was sent the kill.
    pub(crate) fn killed(&self) -> bool {
        self.give_up.is_some()
    }

    /// Whether and how it ended.
    pub(crate) fn over(&self) -> Option<Over> {
        self.over
    }

    /// Takes `event`, which happened `at` this time, and answers with what is due now.
    pub(crate) fn apply(&mut self, event: Event, at: Duration) -> Due {
        if self.over.is_some() {
            return Due::Nothing;
        }
        match event {
            Event::Seen { leader, others } => self.see(leader, others, at),
            Event::Terminate => self.ask(Asked::Terminate, at),
            Event::Insist => self.ask(Asked::Insist, at),
            Event::Kill => self.ask(Asked::Kill, at),
        }
    }

    fn see(&mut self, leader: Option<Exit>, others: bool, at: Duration) -> Due {
        self.leader = self.leader.or(leader);
        match (self.leader, self.give_up) {
            (Some(_), _) if !others => {
                self.over = Some(Over::Empty);
                Due::TellEmpty
            }
            (_, Some(give_up)) if at >= give_up => {
                self.over = Some(Over::Left);
                Due::TellLeft
            }
            (_, Some(_)) => Due::Sweep,
            // The leader's end ends neither a stop nor what it left in the background.
            (Some(_), None) if !self.told => {
                self.told = true;
                Due::TellLeaderEnded
            }
            (Some(_) | None, None) => Due::Nothing,
        }
    }

    /// Goes on to `asked`; a stop that goes no further than an earlier one changes nothing.
    fn ask(&mut self, asked: Asked, at: Duration) -> Due {
        if asked <= self.asked {
            return Due::Nothing;
        }
        self.asked = asked;
        self.signalled |= self.leader.is_none();
        match asked {
            Asked::Nothing => Due::Nothing,
            Asked::Terminate => Due::Terminate,
            Asked::Insist => Due::Insist,
            Asked::Kill => {
                self.give_up = Some(at.saturating_add(KILL_BUDGET));
                Due::Kill
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXIT: Exit = Exit::Code(3);
    const RUNS: Event = Event::Seen {
        leader: None,
        others: true,
    };
    const KEPT: Event = Event::Seen {
        leader: Some(EXIT),
        others: true,
    };
    const GONE: Event = Event::Seen {
        leader: Some(EXIT),
        others: false,
    };

    fn any_event() -> impl Strategy<Value = Event> {
        let exit = prop_oneof![
            Just(None),
            (0..3).prop_map(|code| Some(Exit::Code(code))),
            Just(Some(Exit::Signal(9)))
        ];
        prop_oneof![
            4 => (exit, any::<bool>()).prop_map(|(leader, others)| Event::Seen { leader, others }),
            1 => Just(Event::Terminate),
            1 => Just(Event::Insist),
            1 => Just(Event::Kill),
        ]
    }

    /// Events, and the milliseconds that pass before each.
    fn any_story() -> impl Strategy<Value = Vec<(Event, u64)>> {
        prop::collection::vec((any_event(), 0..2000_u64), 0..40)
    }

    fn play(story: &[(Event, u64)], mut check: impl FnMut(&Life, Event, Due, &Life, Duration)) {
        let mut life = Life::new();
        let mut at = Duration::from_secs(1000);
        for &(event, passed) in story {
            at += Duration::from_millis(passed);
            let before = life;
            let due = life.apply(event, at);
            check(&before, event, due, &life, at);
        }
    }

    proptest! {
        #[test]
        fn no_story_breaks_the_rules(story in any_story()) {
            let (mut terminates, mut insists, mut kills, mut ends, mut kill_at) = (0, 0, 0, 0, None);
            play(&story, |before, event, due, after, at| {
                match due {
                    Due::Nothing => {}
                    Due::TellLeaderEnded => assert!(after.exit().is_some() && kills == 0),
                    Due::Terminate => {
                        assert_eq!((insists, kills), (0, 0), "polite after hard");
                        terminates += 1;
                    }
                    Due::Insist => {
                        assert_eq!(kills, 0, "polite after hard");
                        insists += 1;
                    }
                    Due::Kill => {
                        kills += 1;
                        kill_at = Some(at);
                    }
                    Due::Sweep => assert_eq!(kills, 1, "a sweep without a kill"),
                    Due::TellEmpty => {
                        assert!(matches!(event, Event::Seen { others: false, .. }), "others were seen");
                        assert!(after.exit().is_some(), "the leader runs");
                        ends += 1;
                    }
                    Due::TellLeft => {
                        assert!(kill_at.is_some_and(|kill_at| at >= kill_at + KILL_BUDGET), "given up early");
                        ends += 1;
                    }
                }
                if before.over().is_some() {
                    assert_eq!((before, due), (after, Due::Nothing), "over is over");
                }
                if before.exit().is_some() {
                    assert_eq!(before.exit(), after.exit(), "an exit is final");
                }
                if before.signalled() != after.signalled() {
                    assert!(before.exit().is_none(), "signalled after its end");
                }
                assert_eq!(ends == 1, after.over().is_some());
                assert_eq!(kills == 1, after.killed());
            });
            assert!(terminates <= 1 && insists <= 1 && kills <= 1 && ends <= 1, "each of them once");
        }

        #[test]
        fn every_life_can_be_brought_to_its_end_by_a_kill(story in any_story(), leaves in any::<bool>()) {
            let mut story = story;
            story.push((Event::Kill, 1));
            story.push((if leaves { GONE } else { KEPT }, 5000));
            let mut end = None;
            play(&story, |_, _, _, after, _| end = after.over());
            prop_assert!(end.is_some());
        }
    }

    /// What it is called; what happens; what is due at the end of it; whether it was signalled and killed.
    type Row<'a> = (&'a str, &'a [(Event, u64)], Due, bool, bool);

    #[test]
    fn what_is_due_stands_in_a_table() {
        use Due::{Insist, Kill, Nothing, Sweep, TellEmpty, TellLeaderEnded, TellLeft, Terminate};
        let table: [Row<'_>; 17] = [
            ("nothing has happened", &[(RUNS, 0)], Nothing, false, false),
            ("an ordinary end", &[(GONE, 0)], TellEmpty, false, false),
            (
                "others live on",
                &[(KEPT, 0)],
                TellLeaderEnded,
                false,
                false,
            ),
            ("said once", &[(KEPT, 0), (KEPT, 0)], Nothing, false, false),
            (
                "they end too",
                &[(KEPT, 0), (GONE, 9)],
                TellEmpty,
                false,
                false,
            ),
            ("a stop", &[(Event::Terminate, 0)], Terminate, true, false),
            (
                "a second stop",
                &[(Event::Terminate, 0), (Event::Terminate, 0)],
                Nothing,
                true,
                false,
            ),
            (
                "a stop that takes long",
                &[(Event::Terminate, 0), (Event::Insist, 9)],
                Insist,
                true,
                false,
            ),
            (
                "… has no way back",
                &[(Event::Insist, 0), (Event::Terminate, 0)],
                Nothing,
                true,
                false,
            ),
            (
                "the leader's end does not end a stop",
                &[(Event::Terminate, 0), (KEPT, 1)],
                TellLeaderEnded,
                true,
                false,
            ),
            (
                "time does not end a polite stop",
                &[(Event::Terminate, 0), (KEPT, 1), (KEPT, 60_000)],
                Nothing,
                true,
                false,
            ),
            (
                "everybody left by himself",
                &[(Event::Terminate, 0), (KEPT, 1), (GONE, 1)],
                TellEmpty,
                true,
                false,
            ),
            (
                "somebody stayed",
                &[(Event::Terminate, 0), (KEPT, 1), (Event::Kill, 1)],
                Kill,
                true,
                true,
            ),
            (
                "… and is looked for",
                &[(KEPT, 0), (Event::Kill, 1), (KEPT, 4999)],
                Sweep,
                false,
                true,
            ),
            (
                "… and cannot be killed",
                &[(KEPT, 0), (Event::Kill, 1), (KEPT, 5000)],
                TellLeft,
                false,
                true,
            ),
            (
                "a leader that cannot be killed",
                &[(Event::Kill, 0), (RUNS, 5000)],
                TellLeft,
                true,
                true,
            ),
            (
                "too late",
                &[(GONE, 0), (Event::Kill, 0)],
                Nothing,
                false,
                false,
            ),
        ];
        for (row, story, due, signalled, killed) in table {
            let mut last = None;
            play(story, |_, _, due, life, _| {
                last = Some((due, life.signalled(), life.killed()));
            });
            assert_eq!(last, Some((due, signalled, killed)), "{row}");
        }
    }
}
