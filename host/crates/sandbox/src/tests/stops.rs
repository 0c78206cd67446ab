//! Being asked to stop, being killed, and the manners of guests in between.

use super::*;

#[tokio::test]
async fn a_polite_stop_is_heard_by_who_listens() {
    for how in ["wait", "wait-politely", "poll"] {
        let (ending, took, _) = interrupted(how, |stop| stop.send(POLITE).unwrap()).await;
        assert_eq!(ending, GuestEnding::Cancelled { killed: false }, "{how}");
        assert!(took < SOON, "{how}: {took:?}");
    }
    assert_alive().await;
}

#[tokio::test]
async fn a_guest_that_is_stopped_knows_why_and_how_long_it_has() {
    let kill_at = Instant::now() + Duration::from_secs(60);
    let polite = StopLevel::Polite {
        reason: StopReason::Deadline,
        kill_at: Some(kill_at),
    };
    let (_, _, tape) = interrupted("wait-politely", |stop| stop.send(polite).unwrap()).await;
    assert!(
        tape.text(Channel::Output)
            .contains("stopped: Stop::Deadline, some grace"),
        "{}",
        tape.text(Channel::Output)
    );
}

#[tokio::test]
async fn a_kill_ends_every_manner_soon() {
    for how in ["spin", "wait", "wait-politely", "poll", "ignore-stop"] {
        let (ending, took, _) = interrupted(how, |stop| stop.send(KILL).unwrap()).await;
        // Who listens may be quick enough to end by itself.
        let by_itself = matches!(how, "wait" | "wait-politely" | "poll");
        assert!(
            ending == GuestEnding::Cancelled { killed: true }
                || by_itself && ending == GuestEnding::Cancelled { killed: false },
            "{how}: {ending:?}"
        );
        assert!(took < SOON, "{how}: {took:?}");
        assert_alive().await;
    }
}

#[tokio::test]
async fn a_guest_that_ignores_the_polite_stop_runs_until_the_kill() {
    for how in ["spin", "ignore-stop"] {
        let (sender, stop) = stop();
        let tape = Tape::new();
        let mut run = Box::pin(SANDBOX.run(&MISBEHAVE, call(how, tape.clone()), stop));
        tokio::select! {
            ending = &mut run => panic!("{how} ended by itself: {ending:?}"),
            () = tape.has_text() => {}
        }
        sender.send(POLITE).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(30), &mut run).await;
        assert!(early.is_err(), "{how}: {early:?}");
        sender.send(KILL).unwrap();
        assert_eq!(run.await, GuestEnding::Cancelled { killed: true }, "{how}");
    }
}

#[tokio::test]
async fn what_was_killed_before_it_began_does_not_begin() {
    let (sender, stop) = stop();
    sender.send(KILL).unwrap();
    let tape = Tape::new();
    let ending = SANDBOX
        .run(&MISBEHAVE, call("spin", tape.clone()), stop)
        .await;
    assert_eq!(ending, GuestEnding::Cancelled { killed: false });
    assert_eq!(tape.text(Channel::Output), "");
}

#[tokio::test]
async fn a_stop_whose_sender_is_gone_never_comes() {
    let (sender, stop) = stop();
    drop(sender);
    let ending = SANDBOX
        .run(&MISBEHAVE, call("succeed", Tape::new()), stop)
        .await;
    assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
}
