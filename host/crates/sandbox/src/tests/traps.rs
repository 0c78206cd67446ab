//! Guests that break, and a host function that does.

use super::*;

#[tokio::test]
async fn a_panic_is_told_with_its_text_and_its_place() {
    let GuestEnding::Trap(trap) = misbehave("panic").await else {
        panic!("a panic is a trap");
    };
    let line = "panic: asked to panic with 7 at tests/guests/misbehave/src/lib.rs:";
    let place = trap.message.strip_prefix(line).expect(&trap.message);
    assert!(
        place.split(':').all(|number| number.parse::<u32>().is_ok()),
        "line and column: {place}"
    );
    expect![[r#"
        <stephost_guest_misbehave::Misbehave as stephost_sdk::Function>::run
        stephost_sdk::entry::run
        stephost_sdk::bindings::exports::stephost::step::function::_export_run_cabi
        stephost:step/function@0.1.0#run"#]]
    .assert_eq(&trap.frames.join("\n"));
    assert_alive().await;
}

#[tokio::test]
async fn every_trap_has_a_plain_line_and_its_kind() {
    let table = [
        (
            "index",
            TrapKind::Panic,
            "panic: index out of bounds: the len is 2 but the index is 7 at tests/guests/misbehave/src/lib.rs:",
        ),
        ("trap", TrapKind::Unreachable, "abort"),
        ("recurse", TrapKind::StackOverflow, "stack overflow"),
    ];
    for (how, kind, line) in table {
        match misbehave(how).await {
            GuestEnding::Trap(trap) => {
                assert!(trap.message.starts_with(line), "{how}: {}", trap.message);
                assert_eq!(trap.kind, kind, "{how}");
                assert!(trap.frames.len() <= 20, "{how}: {:?}", trap.frames);
                assert!(
                    trap.frames.iter().any(|frame| frame.contains("isbehave")),
                    "{how}: {:?}",
                    trap.frames
                );
            }
            other => panic!("{how}: {other:?}"),
        }
        assert_alive().await;
    }
}

#[tokio::test]
async fn a_host_function_that_panics_breaks_its_own_run_only() {
    let (sender, stop) = stop();
    let tape = Tape::new();
    let neighbour = SANDBOX.run(&MISBEHAVE, call("wait-politely", tape.clone()), stop);
    let breaking = async {
        tape.has_text().await;
        let ending = SANDBOX
            .run(&MISBEHAVE, call("spin", Arc::new(Broken)), Stop::never())
            .await;
        let fault = HostFault::new("a host function panicked while it served the guest");
        assert_eq!(ending, GuestEnding::HostFault(fault));
        sender.send(POLITE).unwrap();
    };
    let (neighbour, ()) = tokio::join!(neighbour, breaking);
    assert_eq!(neighbour, GuestEnding::Cancelled { killed: false });
    assert_alive().await;
}
