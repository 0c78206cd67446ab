//! How a run ends: the card, the document, the exit code; interrupts and timeouts.

use std::time::{Duration, Instant};

use expect_test::expect;
use rustix::process::Signal;
use serde_json::Value as Json;

use super::{Place, is_gone, untimed};

/// What a loaded machine may add to a time.
const SLACK: Duration = Duration::from_secs(60);

/// A function `./it` whose innermost step runs this text.
fn failing(text: &str) -> Place {
    let place = Place::new();
    place.file(
        "inner/func.yml",
        format!("{{}}\n---\nexec: {{command: [sh, -c, {text:?}]}}\n"),
    );
    place.file("it/func.yml", "{}\n---\nrun:\n  - {name: before, script: echo before}\n  - {name: build, func: ../outer}\n");
    place.file(
        "outer/func.yml",
        "{}\n---\nrun: [{name: compile, func: ../inner}]\n",
    );
    place
}

#[tokio::test]
async fn the_card_of_a_failure_comes_last_and_says_where_and_why() {
    let place = failing("printf '\\033[31mred\\033[0m\\n' >&2; echo 'x.c:1: no' >&2; exit 3");
    let ran = place.run(&["it"]).await;
    assert_eq!(ran.status.code(), Some(1));
    expect![[r#"
        [31mred[0m
        x.c:1: no
        error: step build > compile failed (exit status 3) after T
          what: exec: exit status 3
          its last lines:
            | red
            | x.c:1: no
          next: the program of the step ended with this status; its own words are above
    "#]]
    .assert_eq(&untimed(&ran.err));
    assert_eq!(
        ran.out,
        "Running step name=before\nbefore\nRunning step name=compile\n"
    );
    let propagated = place.run(&["it", "--propagate-exit"]).await;
    assert_eq!(propagated.status.code(), Some(3));
}

#[tokio::test]
async fn one_document_on_stdout_and_everything_else_on_stderr() {
    let place = failing("echo last; exit 3");
    let ran = place.run(&["it", "--json"]).await;
    assert_eq!(ran.status.code(), Some(1));
    assert!(
        ran.out.starts_with("{\"schema\":\"stephost.run/1\","),
        "{}",
        ran.out
    );
    let mut document: Json = serde_json::from_str(&ran.out).expect("one document");
    assert!(document["elapsed_ms"].take().is_u64());
    expect![[r#"
        {
          "differs": [],
          "elapsed_ms": null,
          "ending": "step_failure",
          "exit_code": 1,
          "exit_status": 3,
          "last_lines": [
            "last"
          ],
          "message": "exec: exit status 3",
          "outputs": {},
          "schema": "stephost.run/1",
          "step": [
            "build",
            "compile"
          ],
          "what": "it"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&document).expect("JSON"));
    assert!(
        ran.err.contains("Running step name=compile\nlast\n"),
        "{}",
        ran.err
    );

    let place = Place::with_greet();
    let ran = place.run(&["greet", "-i", "name=x", "--json"]).await;
    let document: Json = serde_json::from_str(&ran.out).expect("one document");
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(document["ending"], "success");
    assert_eq!(document["outputs"]["greeting"]["value"], "hello x");
    assert_eq!(
        document["outputs"]["secret"],
        serde_json::json!({ "sensitive": true })
    );
}

#[tokio::test]
async fn every_kind_of_ending_has_its_own_word_and_code() {
    let place = Place::new();
    let step = |how: &str| {
        format!(
            "{{}}\n---\nrun: [{{name: m, func: 'builtin://test/misbehave', inputs: {{how: {how}}}}}]\n"
        )
    };
    let table = [
        (step("fail"), 1, "error: step m failed after "),
        (
            step("denied"),
            4,
            "error: step m denied by the policy after ",
        ),
        (
            step("oom"),
            1,
            "error: step m ended by a limit of the policy after ",
        ),
        (step("panic"), 70, "error: step m broke after "),
        (
            "{}\n---\nrun: [{name: a, func: ./gone}]\n".to_owned(),
            1,
            "error: step a failed after ",
        ),
        (
            "{}\n---\nexec: {command: [/gone]}\n".to_owned(),
            1,
            "error: - failed after ",
        ),
    ];
    for (text, code, title) in table {
        let ran = place.run_with_stdin(&["-"], text.as_bytes()).await;
        assert_eq!(ran.status.code(), Some(code), "{text}: {}", ran.err);
        assert!(ran.err.contains(title), "{text}: {}", ran.err);
        assert!(
            ran.err
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("  next: ")),
            "{}",
            ran.err
        );
    }
}

#[tokio::test]
async fn an_interrupt_asks_politely_and_the_last_words_are_heard() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // The child says it: one that is signalled before it has dropped its parent's trap loses the signal.
        let place =
            failing("trap 'echo told; exit 0' TERM; (echo ready $$; exec sleep 300) & wait");
        let mut started = place.start(&["it", "--grace", "1h"]);
        let pid = started.wait_for("ready ").await;
        started.signal(signal);
        let ran = started.ended().await;
        assert_eq!(ran.status.code(), Some(code), "{}", ran.err);
        assert!(ran.out.ends_with("\ntold\n"), "{}", ran.out);
        assert!(ran.err.contains("stopping: "), "{}", ran.err);
        assert!(
            ran.err
                .contains("error: step build > compile stopped after "),
            "{}",
            ran.err
        );
        assert!(is_gone(&pid));
    }
}

#[tokio::test]
async fn a_second_interrupt_kills_what_does_not_listen() {
    let place =
        failing("trap 'echo refused' TERM; echo ready $$; while :; do sleep 300 & wait; done");
    let mut started = place.start(&["it", "--grace", "1h"]);
    let asked = Instant::now();
    let pid = started.wait_for("ready ").await;
    started.signal(Signal::INT);
    started.wait_for("refused").await;
    started.signal(Signal::INT);
    let ran = started.ended().await;
    assert_eq!(ran.status.code(), Some(130), "{}", ran.err);
    assert!(ran.err.contains("killing what runs\n"), "{}", ran.err);
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
    assert!(is_gone(&pid));
}

#[tokio::test]
async fn the_grace_ends_what_does_not_listen_without_a_second_interrupt() {
    let place = failing("trap '' TERM; echo ready $$; while :; do sleep 300 & wait; done");
    let mut started = place.start(&["it", "--grace", "100ms"]);
    let pid = started.wait_for("ready ").await;
    started.signal(Signal::INT);
    let ran = started.ended().await;
    assert_eq!(ran.status.code(), Some(130), "{}", ran.err);
    assert!(is_gone(&pid));
}

#[tokio::test]
async fn a_timeout_is_called_so_and_later_steps_do_not_start() {
    let place = Place::new();
    let text = "{}\n---\nrun:\n  - {name: a, script: 'exec sleep 300'}\n  - {name: b, script: echo late}\n";
    let ran = place
        .run_with_stdin(
            &["-", "--timeout", "300ms", "--grace", "1h"],
            text.as_bytes(),
        )
        .await;
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(ran.out, "Running step name=a\n");
    assert!(
        ran.err.contains("error: step a timed out after "),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .ends_with("  next: a longer --timeout gives it more time\n"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_does_not_change_how_a_run_ends() {
    let place = failing("echo ready; yes | head -c 1000000; exit 3");
    let mut started = place.start(&["it", "--propagate-exit"]);
    started.wait_for("ready").await;
    let super::Started { child, out, .. } = started;
    drop(out);
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(3));
}
