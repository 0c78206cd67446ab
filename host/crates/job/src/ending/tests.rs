//! What endings say to a client, as tables.

use proptest::prelude::*;

use super::*;

fn failed(message: &str, exit_status: Option<i32>) -> Ending {
    Ending::Failed {
        message: message.into(),
        exit_status,
    }
}

/// What a runner reads out of a text: the number behind the first magic words, if nothing follows it.
fn number_read_by_a_runner(text: &str) -> Option<i64> {
    text.split_once("exit status")?.1.trim().parse().ok()
}

#[test]
fn each_ending_has_its_kind_and_only_success_is_one() {
    let message = || "m".to_owned();
    let table = [
        // ending, kind, source
        (Ending::Success, None, "contract 2.5, no error"),
        (
            failed("m", Some(3)),
            Some(Kind::StepFailure),
            "contract 2.5, exec exits non-zero",
        ),
        (
            failed("m", None),
            Some(Kind::StepFailure),
            "contract 2.5, builtin returned an error",
        ),
        (
            Ending::Denied { message: message() },
            Some(Kind::StepFailure),
            "D2, denial",
        ),
        (
            Ending::Limit { message: message() },
            Some(Kind::StepFailure),
            "D2, policy limit",
        ),
        (
            Ending::Internal { message: message() },
            Some(Kind::Internal),
            "D2, guest trap",
        ),
        (
            Ending::Cancelled { message: message() },
            Some(Kind::Cancelled),
            "D2, Cancel and Close",
        ),
        (
            Ending::TimedOut { message: message() },
            Some(Kind::Timeout),
            "D2, RunRequest.timeout",
        ),
    ];
    for (ending, kind, source) in table {
        assert_eq!(ending.kind(), kind, "{ending:?}: see {source}");
        assert_eq!(
            ending.is_success(),
            kind.is_none(),
            "{ending:?}: see {source}"
        );
    }
}

#[test]
fn the_text_is_one_line_and_names_an_exit_status_only_at_its_end() {
    let table = [
        // ending, text, source
        (Ending::Success, "", "contract 1.9, empty on success"),
        (failed("", Some(7)), "exit status 7", "contract 2.6"),
        (failed("exec", Some(7)), "exec: exit status 7", "L12"),
        (
            failed("exec: ", Some(7)),
            "exec: exit status 7",
            "one colon is enough",
        ),
        (
            failed("exec", Some(-1)),
            "exec: exit status -1",
            "contract 2.6, normalised values",
        ),
        (failed("exec: not found", None), "exec: not found", "L14"),
        (
            failed("exit status 3", None),
            "exit-status 3",
            "a step cannot invent a number",
        ),
        (
            failed("exit status 3", Some(4)),
            "exit-status 3: exit status 4",
            "2.1 (c), once",
        ),
        (
            failed("exit\nstatus 3", None),
            "exit-status 3",
            "a line break is no way around",
        ),
        (
            failed("exit \u{a0}\tstatus 3", None),
            "exit-status 3",
            "nor is another blank",
        ),
        (
            failed("exit exit status status", None),
            "exit exit-status status",
            "nor is nesting",
        ),
        (
            Ending::Internal {
                message: "exit status 3".into(),
            },
            "exit-status 3",
            "D2, a trap has no number",
        ),
        (
            failed("a\r\n  b\u{1b}[31mc\0", None),
            "a b [31mc",
            "control characters are flattened",
        ),
        (
            failed("a\u{2028}b\u{85}c", None),
            "a b c",
            "so are other line breaks",
        ),
        (failed(" \n\t", None), "", "nothing but blanks"),
    ];
    for (ending, text, source) in table {
        assert_eq!(ending.message(), text, "{ending:?}: see {source}");
    }
}

#[test]
fn step_names_stand_from_outer_to_inner_before_the_number() {
    let ending = failed("exec", Some(7)).within("inner").within("outer");
    assert_eq!(
        ending.message(),
        r#"step "outer": step "inner": exec: exit status 7"#
    );
    let hostile = failed("", Some(7)).within("exit status 0");
    assert_eq!(hostile.message(), r#"step "exit-status 0": exit status 7"#);
    assert_eq!(Ending::Success.within("a"), Ending::Success);
}

#[test]
fn a_long_text_keeps_its_beginning_its_end_and_its_number() {
    let text = failed(&"o".repeat(10_000), Some(1))
        .within("outer")
        .message();
    assert_eq!(text.len(), MESSAGE_BYTES_MAX);
    assert!(text.starts_with("step \"outer\": ooo"), "{text}");
    assert!(text.ends_with("ooo: exit status 1"), "{text}");
    assert!(text.contains("o [...] o"), "{text}");

    let text = failed(&"é".repeat(10_000), None).message();
    assert!(
        text.len() <= MESSAGE_BYTES_MAX && text.len() > MESSAGE_BYTES_MAX - 4,
        "{} bytes",
        text.len()
    );

    let fits = "f".repeat(MESSAGE_BYTES_MAX);
    assert_eq!(
        failed(&fits, None).message(),
        fits,
        "a text that fits is not touched"
    );
}

#[test]
fn a_mask_changes_the_words_but_not_the_number() {
    let masked = failed("7 and exit", Some(7))
        .map_message(|text| text.replace("7", "[MASKED]").replace("exit", "[MASKED]"));
    assert_eq!(masked.message(), "[MASKED] and [MASKED]: exit status 7");
}

#[test]
fn what_a_stopped_step_said_last_is_kept() {
    use StopReason::{Cancel, Close, Timeout};
    let table = [
        (
            failed("signal: terminated", None).within("x"),
            Cancel,
            r#"job cancelled: step "x": signal: terminated"#,
        ),
        (
            failed("exec", Some(3)),
            Cancel,
            "job cancelled: exec: exit code 3",
        ),
        (failed("", Some(3)), Cancel, "job cancelled: exit code 3"),
        (Ending::Success, Cancel, "job cancelled"),
        (Ending::Success, Timeout, "job timed out"),
        (
            Ending::Internal {
                message: "trap".into(),
            },
            Close,
            "job cancelled by close: trap",
        ),
        (
            Ending::Cancelled {
                message: "gave up".into(),
            },
            Timeout,
            "job timed out: gave up",
        ),
    ];
    for (ending, reason, text) in table {
        let stopped = ending.clone().interrupted_by(reason);
        assert_eq!(stopped.message(), text, "{ending:?} stopped by {reason:?}");
        let kind = if reason == Timeout {
            Kind::Timeout
        } else {
            Kind::Cancelled
        };
        assert_eq!(
            stopped.kind(),
            Some(kind),
            "{ending:?} stopped by {reason:?}"
        );
    }
}

/// Texts with much of what the rules are about.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("exit".to_owned()),
        Just("status".to_owned()),
        Just("exit status".to_owned()),
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("-".to_owned()),
        Just(": ".to_owned()),
        any::<char>().prop_map(String::from),
        "[0-9]{1,3}",
        "[a-zé]{1,300}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_becomes_one_short_line_with_the_number_it_was_given(
        text in texts(),
        name in texts(),
        number in proptest::option::of(any::<i32>()),
    ) {
        let message = failed(&text, number).within(&name).message();
        prop_assert!(message.len() <= MESSAGE_BYTES_MAX, "{} bytes", message.len());
        prop_assert!(!message.contains(char::is_control), "{message:?}");
        prop_assert_eq!(number_read_by_a_runner(&message), number.map(i64::from), "{:?}", &message);
        prop_assert_eq!(message.matches("exit status").count(), usize::from(number.is_some()), "{:?}", &message);
        for ending in [Ending::Internal { message: text.clone() }, failed(&text, number).interrupted_by(StopReason::Timeout)] {
            prop_assert!(!ending.message().contains("exit status"), "{ending:?}");
        }
    }
}
