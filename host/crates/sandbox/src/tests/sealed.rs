//! Sensitive inputs: sealed on their way, opened by request, and the request told.

use super::*;

fn with_token(how: &str, token: Value, tape: &Arc<Tape>) -> Call {
    let mut call = call(how, tape.clone());
    call.arguments.push(("token".to_owned(), token));
    call
}

fn secret() -> Value {
    Value::Text("s3cret".to_owned())
}

#[tokio::test]
async fn a_sensitive_input_shows_itself_only_when_it_is_opened() {
    let tape = Tape::new();
    let call = with_token("reveal", secret(), &tape);
    let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
    assert_eq!(ending, returned("s3cret s3cret"));
    assert_eq!(tape.text(Channel::Output), "Secret(token)\n");
    assert_eq!(
        *tape.revealed.lock().unwrap(),
        ["token"],
        "opened twice, told once"
    );
}

#[tokio::test]
async fn a_sensitive_input_is_not_among_the_arguments() {
    let tape = Tape::new();
    let call = with_token("read-sealed", secret(), &tape);
    let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
    let expected = GuestEnding::InvalidInput {
        name: "token".to_owned(),
        message: "is sensitive and arrives sealed: the step reads it with `Call::secret`"
            .to_owned(),
    };
    assert_eq!(ending, expected);
    assert!(tape.revealed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_sensitive_input_without_a_value_is_not_there() {
    let tape = Tape::new();
    let null = with_token("reveal", Value::Null, &tape);
    for call in [null, call("reveal", tape.clone())] {
        let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
        assert_eq!(ending, returned("nothing to reveal"));
    }
}

#[tokio::test]
async fn a_guest_that_hoards_handles_is_ended_at_their_number() {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let hoard = |handles: usize| {
        let mut call = with_token("hoard-sealed", secret(), &Tape::new());
        call.arguments
            .push(("n".to_owned(), Value::Number(handles as f64)));
        SANDBOX.run(&MISBEHAVE, call, Stop::never())
    };
    let most = Limits::shipped().handles_max;
    let within = hoard(most).await;
    assert!(
        matches!(within, GuestEnding::Success { .. }),
        "the number itself, again after letting go: {within:?}"
    );
    let beyond = hoard(most + 1).await;
    assert!(
        matches!(
            beyond,
            GuestEnding::Limit {
                which: LimitName::Handles,
                ..
            }
        ),
        "one more is too many: {beyond:?}"
    );
}
