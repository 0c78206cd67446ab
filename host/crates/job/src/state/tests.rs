//! The life of a job as stories, as the contract's table, and against a small model.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{CLOSE_MARGIN, Kind, close_answers_by, wake_at};

fn at(ms: u64) -> At {
    At::new(Duration::from_millis(ms))
}

/// The grace of every story.
const GRACE: Duration = Duration::from_millis(1_000);

fn failed(exit_status: i32) -> Ending {
    Ending::Failed {
        message: "exec".into(),
        exit_status: Some(exit_status),
    }
}

// ---- stories ----

/// Reads one event of a story: `picked-up`, `tick`, `cancel`, `timeout`, `close`, `exit N`, `trap`,
/// `gives-up`; `interrupted` in front of the last three says that the stop had a part in it.
fn event(words: &str) -> Event {
    let (interrupted, words) = match words.strip_prefix("interrupted ") {
        Some(rest) => (true, rest),
        None => (false, words),
    };
    let ending = match words {
        "picked-up" => return Event::PickedUp,
        "tick" => return Event::Tick,
        "cancel" => return Event::Stop(StopReason::Cancel),
        "timeout" => return Event::Stop(StopReason::Timeout),
        "close" => return Event::Stop(StopReason::Close),
        "trap" => Ending::Internal {
            message: "guest panicked".into(),
        },
        "gives-up" => Ending::Cancelled {
            message: "gave up".into(),
        },
        "exit 0" => Ending::Success,
        exit => failed(
            exit.strip_prefix("exit ")
                .and_then(|code| code.parse().ok())
                .expect(exit),
        ),
    };
    Event::Finished {
        ending,
        interrupted,
    }
}

fn state_text(state: &State) -> String {
    match state {
        State::Created | State::Running => format!("{state:?}"),
        State::Stopping { reason, kill_at } => format!(
            "Stopping({reason:?}, kill at {})",
            kill_at.since_zero().as_millis()
        ),
        State::Killing { reason, .. } => format!("Killing({reason:?})"),
        State::Done(ending) => match ending.kind() {
            Some(kind) => format!("Done({kind:?})"),
            None => "Done(success)".to_owned(),
        },
    }
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Nothing => String::new(),
        Effect::Terminate(_) | Effect::Kill(_) => format!(" -> {effect:?}"),
        Effect::Publish(ending) => format!(" -> Publish({:?})", ending.message()),
    }
}

fn told(story: &str) -> String {
    let mut state = State::Created;
    let mut text = String::new();
    for moment in story.split(", ") {
        let (ms, words) = moment.split_once(' ').expect(moment);
        let (next, effect) = step(state, event(words), at(ms.parse().expect(moment)), GRACE);
        text += &format!(
            "{ms:<5}{words:<22}{}{}\n",
            state_text(&next),
            effect_text(&effect)
        );
        state = next;
    }
    text
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an inline snapshot reads best as a value"
)]
fn check(story: &str, expected: Expect) {
    expected.assert_eq(&told(story));
}

#[test]
fn a_job_runs_to_its_end() {
    check(
        "0 picked-up, 70 exit 0",
        expect![[r#"
            0    picked-up             Running
            70   exit 0                Done(success) -> Publish("")
        "#]],
    );
    check(
        "0 picked-up, 70 exit 7",
        expect![[r#"
            0    picked-up             Running
            70   exit 7                Done(StepFailure) -> Publish("exec: exit status 7")
        "#]],
    );
    check(
        "0 picked-up, 70 trap",
        expect![[r#"
            0    picked-up             Running
            70   trap                  Done(Internal) -> Publish("guest panicked")
        "#]],
    );
}

#[test]
fn a_second_cancel_changes_nothing() {
    check(
        "0 picked-up, 100 cancel, 150 cancel, 160 interrupted exit 0",
        expect![[r#"
            0    picked-up             Running
            100  cancel                Stopping(Cancel, kill at 1100) -> Terminate(Cancel)
            150  cancel                Stopping(Cancel, kill at 1100)
            160  interrupted exit 0    Done(Cancelled) -> Publish("job cancelled")
        "#]],
    );
}

#[test]
fn a_job_that_outlives_its_grace_is_killed_once() {
    check(
        "0 picked-up, 100 cancel, 1099 tick, 1100 tick, 1200 tick, 1201 interrupted exit 137",
        expect![[r#"
            0    picked-up             Running
            100  cancel                Stopping(Cancel, kill at 1100) -> Terminate(Cancel)
            1099 tick                  Stopping(Cancel, kill at 1100)
            1100 tick                  Killing(Cancel) -> Kill(Cancel)
            1200 tick                  Killing(Cancel)
            1201 interrupted exit 137  Done(Cancelled) -> Publish("job cancelled: exec: exit code 137")
        "#]],
    );
}

#[test]
fn a_timeout_after_a_cancel_stays_a_cancel_and_the_other_way_round() {
    check(
        "0 picked-up, 100 cancel, 900 timeout, 950 interrupted exit 143",
        expect![[r#"
            0    picked-up             Running
            100  cancel                Stopping(Cancel, kill at 1100) -> Terminate(Cancel)
            900  timeout               Stopping(Cancel, kill at 1100)
            950  interrupted exit 143  Done(Cancelled) -> Publish("job cancelled: exec: exit code 143")
        "#]],
    );
    check(
        "0 picked-up, 100 timeout, 900 cancel, 950 close, 960 interrupted exit 143",
        expect![[r#"
            0    picked-up             Running
            100  timeout               Stopping(Timeout, kill at 1100) -> Terminate(Timeout)
            900  cancel                Stopping(Timeout, kill at 1100)
            950  close                 Stopping(Timeout, kill at 1100)
            960  interrupted exit 143  Done(Timeout) -> Publish("job timed out: exec: exit code 143")
        "#]],
    );
}

#[test]
fn close_does_not_give_a_cancelled_job_more_time_nor_less() {
    check(
        "0 picked-up, 100 cancel, 1000 close, 1050 tick, 1100 tick, 1110 close, 1120 interrupted exit 137",
        expect![[r#"
            0    picked-up             Running
            100  cancel                Stopping(Cancel, kill at 1100) -> Terminate(Cancel)
            1000 close                 Stopping(Cancel, kill at 1100)
            1050 tick                  Stopping(Cancel, kill at 1100)
            1100 tick                  Killing(Cancel) -> Kill(Cancel)
            1110 close                 Killing(Cancel)
            1120 interrupted exit 137  Done(Cancelled) -> Publish("job cancelled: exec: exit code 137")
        "#]],
    );
}

#[test]
fn a_job_that_finished_before_the_signal_keeps_its_ending() {
    check(
        "0 picked-up, 100 cancel, 101 exit 0",
        expect![[r#"
            0    picked-up             Running
            100  cancel                Stopping(Cancel, kill at 1100) -> Terminate(Cancel)
            101  exit 0                Done(success) -> Publish("")
        "#]],
    );
    check(
        "0 picked-up, 100 close, 101 exit 7",
        expect![[r#"
            0    picked-up             Running
            100  close                 Stopping(Close, kill at 1100) -> Terminate(Close)
            101  exit 7                Done(StepFailure) -> Publish("exec: exit status 7")
        "#]],
    );
}

#[test]
fn a_job_stopped_before_it_starts_executes_nothing() {
    check(
        "0 close, 1 picked-up, 2 exit 0",
        expect![[r#"
            0    close                 Done(Cancelled) -> Publish("job cancelled by close before it started")
            1    picked-up             Done(Cancelled)
            2    exit 0                Done(Cancelled)
        "#]],
    );
    check(
        "0 cancel, 1 cancel",
        expect![[r#"
            0    cancel                Done(Cancelled) -> Publish("job cancelled before it started")
            1    cancel                Done(Cancelled)
        "#]],
    );
    check(
        "0 timeout",
        expect![[r#"
            0    timeout               Done(Timeout) -> Publish("job timed out before it started")
        "#]],
    );
}

#[test]
fn a_step_cannot_cancel_its_own_job() {
    check(
        "0 picked-up, 50 gives-up",
        expect![[r#"
            0    picked-up             Running
            50   gives-up              Done(StepFailure) -> Publish("gave up: gave up although nobody stopped the job")
        "#]],
    );
    check(
        "0 picked-up, 40 timeout, 50 gives-up",
        expect![[r#"
            0    picked-up             Running
            40   timeout               Stopping(Timeout, kill at 1040) -> Terminate(Timeout)
            50   gives-up              Done(Timeout) -> Publish("job timed out: gave up")
        "#]],
    );
}

#[test]
fn nothing_changes_a_job_that_is_over() {
    check(
        "0 picked-up, 70 exit 3, 80 cancel, 90 close, 95 tick, 96 exit 0, 97 picked-up",
        expect![[r#"
            0    picked-up             Running
            70   exit 3                Done(StepFailure) -> Publish("exec: exit status 3")
            80   cancel                Done(StepFailure)
            90   close                 Done(StepFailure)
            95   tick                  Done(StepFailure)
            96   exit 0                Done(StepFailure)
            97   picked-up             Done(StepFailure)
        "#]],
    );
}

// ---- the contract's table ----

#[test]
fn every_transition_of_the_contract_holds() {
    use State::{Created, Done, Running};
    use StopReason::{Cancel, Close, Timeout};
    let now = at(500);
    let stopping = |reason| State::Stopping {
        reason,
        kill_at: at(500),
    };
    let killing = |reason| State::Killing {
        reason,
        kill_at: at(500),
    };
    let table = [
        // row of contract 2.2, state, event, new state
        (
            "created, executor picks up",
            Created,
            "picked-up",
            "Running",
        ),
        ("created, Close (L20)", Created, "close", "Done(Cancelled)"),
        ("running, success", Running, "exit 0", "Done(success)"),
        ("running, error", Running, "exit 1", "Done(StepFailure)"),
        (
            "running, panic in builtin",
            Running,
            "trap",
            "Done(Internal)",
        ),
        (
            "running, Cancel",
            Running,
            "cancel",
            "Stopping(Cancel, kill at 1500)",
        ),
        (
            "running, job timeout",
            Running,
            "timeout",
            "Stopping(Timeout, kill at 1500)",
        ),
        (
            "running, Close",
            Running,
            "close",
            "Stopping(Close, kill at 1500)",
        ),
        (
            "stopping, leaf in time (L01)",
            stopping(Cancel),
            "interrupted exit 3",
            "Done(Cancelled)",
        ),
        (
            "stopping, exit 0 on TERM (L04)",
            stopping(Cancel),
            "interrupted exit 0",
            "Done(Cancelled)",
        ),
        (
            "stopping, timeout (L09)",
            stopping(Timeout),
            "interrupted exit 3",
            "Done(Timeout)",
        ),
        (
            "stopping, trap",
            stopping(Close),
            "interrupted trap",
            "Done(Cancelled)",
        ),
        (
            "stopping, grace over (L02)",
            stopping(Cancel),
            "tick",
            "Killing(Cancel)",
        ),
        (
            "killing, leaf is gone",
            killing(Timeout),
            "interrupted exit 137",
            "Done(Timeout)",
        ),
        (
            "killing, a second stop",
            killing(Timeout),
            "cancel",
            "Killing(Timeout)",
        ),
        (
            "stopping, success despite Cancel (L18)",
            stopping(Cancel),
            "exit 0",
            "Done(success)",
        ),
        (
            "stopping, failed before the signal",
            stopping(Cancel),
            "exit 2",
            "Done(StepFailure)",
        ),
        (
            "final, Cancel (L06)",
            Done(failed(1)),
            "cancel",
            "Done(StepFailure)",
        ),
        (
            "final, Close",
            Done(Ending::Success),
            "close",
            "Done(success)",
        ),
    ];
    for (row, state, words, expected) in table {
        let (next, _) = step(state, event(words), now, GRACE);
        assert_eq!(state_text(&next), expected, "{row}: see contract 2.2");
    }
}

// ---- against a model ----

/// Says what a whole history must lead to, without states: by looking for the first of things.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    kind: Option<Option<Kind>>,
    terminated: Option<At>,
    killed: Option<At>,
    published: usize,
}

fn model(history: &[(At, Event)], grace: Duration) -> Verdict {
    let mut verdict = Verdict::default();
    let picked_up = history
        .iter()
        .position(|(_, event)| *event == Event::PickedUp);
    let stop = history
        .iter()
        .position(|(_, event)| matches!(event, Event::Stop(_)));
    let finish = history
        .iter()
        .position(|(_, event)| matches!(event, Event::Finished { .. }));
    let reason_kind = |index: usize| match history[index].1 {
        Event::Stop(StopReason::Timeout) => Kind::Timeout,
        Event::Stop(_) | Event::PickedUp | Event::Tick | Event::Finished { .. } => Kind::Cancelled,
    };
    let before = |a: Option<usize>, b: Option<usize>| a.is_some_and(|a| b.is_none_or(|b| a < b));
    if before(stop, picked_up) && before(stop, finish) {
        verdict.kind = stop.map(|stop| Some(reason_kind(stop)));
        verdict.published = 1;
        return verdict;
    }
    let stop = stop.filter(|_| before(stop, finish));
    if let Some(stop) = stop {
        let asked_at = history[stop].0;
        verdict.terminated = Some(asked_at);
        let rest = &history[stop..finish.unwrap_or(history.len())];
        verdict.killed = rest
            .iter()
            .find(|(at, event)| *event == Event::Tick && asked_at.until(*at) >= grace)
            .map(|(at, _)| *at);
    }
    if let Some((
        _,
        Event::Finished {
            ending,
            interrupted,
        },
    )) = finish.map(|finish| &history[finish])
    {
        let gave_up = matches!(ending.kind(), Some(Kind::Cancelled | Kind::Timeout));
        verdict.published = 1;
        verdict.kind = Some(match stop {
            Some(stop) if *interrupted || gave_up => Some(reason_kind(stop)),
            None if gave_up => Some(Kind::StepFailure),
            _ => ending.kind(),
        });
    }
    verdict
}

fn reasons() -> impl Strategy<Value = StopReason> {
    prop_oneof![
        Just(StopReason::Cancel),
        Just(StopReason::Timeout),
        Just(StopReason::Close)
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![
        Just(Ending::Success),
        Just(failed(1)),
        Just(Ending::Internal {
            message: "trap".into()
        }),
        Just(Ending::Cancelled {
            message: String::new()
        }),
        Just(Ending::TimedOut {
            message: "late".into()
        }),
    ];
    prop_oneof![
        3 => Just(Event::PickedUp),
        3 => reasons().prop_map(Event::Stop),
        4 => Just(Event::Tick),
        1 => (ending, any::<bool>()).prop_map(|(ending, interrupted)| Event::Finished { ending, interrupted }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_history_leads_where_the_model_says(
        moments in proptest::collection::vec((0_u64..400, events()), 0..12),
        grace_ms in 0_u64..800,
    ) {
        let grace = Duration::from_millis(grace_ms);
        let mut now = 0;
        let history: Vec<(At, Event)> = moments
            .into_iter()
            .map(|(later, event)| { now += later; (at(now), event) })
            .collect();

        let mut verdict = Verdict::default();
        let mut state = State::Created;
        let mut close_due: Option<At> = None;
        for (now, event) in &history {
            let (next, effect) = step(state, event.clone(), *now, grace);
            match effect {
                Effect::Nothing => {}
                Effect::Terminate(_) => {
                    prop_assert_eq!(verdict.terminated.replace(*now), None, "terminated twice");
                    prop_assert_eq!(wake_at(&next), Some(now.after(grace)));
                }
                Effect::Kill(_) => prop_assert_eq!(verdict.killed.replace(*now), None, "killed twice"),
                Effect::Publish(ending) => {
                    verdict.published += 1;
                    verdict.kind = Some(ending.kind());
                    prop_assert_eq!(&next, &State::Done(ending));
                }
            }
            // Once the grace runs, the answer to Close is fixed until the job is over.
            if matches!(next, State::Stopping { .. } | State::Killing { .. }) {
                let due = close_answers_by(&next, *now, grace);
                prop_assert_eq!(*close_due.get_or_insert(due), due);
                prop_assert_eq!(Some(due), verdict.terminated.map(|at| at.after(grace).after(CLOSE_MARGIN)));
            }
            prop_assert_eq!(wake_at(&next).is_some(), matches!(next, State::Stopping { .. }));
            state = next;
        }
        prop_assert_eq!(verdict, model(&history, grace), "{:?}", history);
    }
}
