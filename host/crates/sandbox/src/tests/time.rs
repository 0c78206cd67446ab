//! The clocks of a guest.

use super::*;

#[tokio::test]
async fn a_guest_sees_time_pass_from_the_date_it_was_given() {
    let mut call = with_n("time", 20.0);
    call.context.began_at = Duration::from_secs(1_800_000_000);
    let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
    let GuestEnding::Success { outputs, .. } = ending else {
        panic!("{ending:?}");
    };
    let Value::Text(text) = &outputs[0].1 else {
        panic!("{outputs:?}");
    };
    let (took, date) = text.split_once(' ').unwrap();
    // A millisecond may fall between two looks; a slow machine only adds.
    assert!(took.parse::<u64>().unwrap() >= 19, "{text}");
    let late = date.parse::<u64>().unwrap() - 1_800_000_000;
    assert!(late < 60, "{text}");
}

#[tokio::test]
async fn a_guest_that_was_given_no_date_begins_in_1970() {
    let ending = SANDBOX
        .run(&MISBEHAVE, with_n("time", 0.0), Stop::never())
        .await;
    assert!(
        matches!(&ending, GuestEnding::Success { outputs, .. }
            if matches!(&outputs[0].1, Value::Text(text) if text.split(' ').nth(1).unwrap().len() <= 2)),
        "{ending:?}"
    );
}
