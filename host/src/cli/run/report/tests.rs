//! Cards, documents and codes, as a person and a program read them.

use std::time::Duration;

use expect_test::expect;
use stephost_steps::Name;

use super::*;

fn ended(ending: Ending, path: &[&str], tail: &[u8]) -> Ended {
    Ended {
        message: ending.message(),
        ending,
        path: path
            .iter()
            .map(|name| Name::parse(name).expect("a name"))
            .collect(),
        tail: tail.to_vec(),
        outputs: [("token", None), ("greeting", Some(json!("hi\u{202E}")))]
            .into_iter()
            .map(|(name, value)| (Name::parse(name).expect("a name"), value))
            .collect(),
        elapsed: Duration::from_millis(1_234),
    }
}

fn failed(message: &str, exit_status: Option<i32>) -> Ending {
    Ending::Failed {
        message: message.to_owned(),
        exit_status,
    }
}

#[test]
fn a_card_says_where_what_and_what_next() {
    let tail = b"one\n\x1b[31mcc: \x1b[0merror\n10%\r100%\r\n\xff\x07\xe2\x80\xae\n";
    let ending = failed("step \"build\": step \"compile\": exec", Some(3));
    expect![[r#"
        error: step build > compile failed (exit status 3) after 1.2 s
          what: exec: exit status 3
          its last lines:
            | one
            | cc: error
            | 100%
            | �\u{202e}
          next: the program of the step ended with this status; its own words are above
    "#]]
    .assert_eq(&card("./x", &ended(ending, &["build", "compile"], tail)));
    let message = "step \"a\": exec: net of \"x\" is denied (P1)".to_owned();
    expect![[r#"
        error: step a denied by the policy after 1.2 s
          what: exec: net of "x" is denied (P1)
          next: `stephost policy show` prints what is granted and every limit
    "#]]
    .assert_eq(&card(
        "./x",
        &ended(Ending::Denied { message }, &["a"], b""),
    ));
    let message = "job timed out: exec: exit code 143".to_owned();
    expect![[r#"
        error: ./x\u{1b} timed out after 1.2 s
          what: job timed out: exec: exit code 143
          next: a longer --timeout gives it more time
    "#]]
    .assert_eq(&card(
        "./x\u{1b}",
        &ended(Ending::TimedOut { message }, &[], b""),
    ));
}

#[test]
fn a_card_has_few_short_lines_however_much_was_printed() {
    let tail = format!("{}\n", "x".repeat(5_000)).repeat(50);
    let card = card("x", &ended(failed("exec", Some(1)), &[], tail.as_bytes()));
    assert_eq!(card.lines().count(), 4 + LINES_MAX);
    assert!(
        card.lines()
            .all(|line| line.chars().count() <= LINE_CHARS_MAX + 7)
    );
}

#[test]
fn outputs_are_told_without_what_is_sensitive() {
    expect![[r#"
        output greeting = "hi\u{202e}"
        output token is sensitive
    "#]]
    .assert_eq(&outputs(&ended(Ending::Success, &[], b"")));
}

#[test]
fn the_document_opens_with_its_schema_and_is_json() {
    let differs = ["`image`: x".to_owned()];
    let ended = ended(failed("step \"a\": exec", Some(3)), &["a"], b"last\n");
    let text = document("./x\n", &ended, &differs, 1);
    assert!(
        text.starts_with("{\"schema\":\"stephost.run/1\","),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
    let document: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        document,
        json!({
            "schema": "stephost.run/1", "what": "./x\n", "ending": "step_failure", "message": "exec: exit status 3",
            "step": ["a"], "exit_status": 3, "exit_code": 1, "elapsed_ms": 1234,
            "outputs": {"greeting": {"value": "hi\u{202E}"}, "token": {"sensitive": true}},
            "last_lines": ["last"], "differs": ["`image`: x"],
        })
    );
}

#[test]
fn every_ending_has_its_exit_code() {
    let text = String::new;
    let table = [
        // ending, as it is, propagated
        (Ending::Success, 0, 0),
        (failed("", Some(3)), 1, 3),
        (failed("", Some(0)), 1, 1),
        (failed("", Some(300)), 1, 1),
        (failed("", None), 1, 1),
        (Ending::Denied { message: text() }, 4, 4),
        (Ending::Limit { message: text() }, 1, 1),
        (Ending::Internal { message: text() }, 70, 70),
        (Ending::TimedOut { message: text() }, 1, 1),
        (Ending::Cancelled { message: text() }, 143, 143),
    ];
    for (ending, plain, propagated) in table {
        assert_eq!(code(&ending, false, Some(143)), plain, "{ending:?}");
        assert_eq!(code(&ending, true, Some(143)), propagated, "{ending:?}");
    }
    let cancelled = Ending::Cancelled { message: text() };
    assert_eq!(code(&cancelled, false, None), exit::INTERRUPTED);
}
