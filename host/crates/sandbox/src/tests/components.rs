//! Bytes that are no step.

use super::*;

/// What a test expects of an ending.
type Expected = fn(&GuestEnding) -> bool;

#[tokio::test]
async fn what_is_no_step_is_refused_with_the_reason() {
    let module: &[u8] = b"\0asm\x01\0\0\0";
    let empty_component: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut truncated = HELLO.wasm().to_vec();
    truncated.truncate(truncated.len() / 2);
    let table: [(&str, Arc<[u8]>, Expected); 6] = [
        ("nothing", Arc::from(&[][..]), |ending| {
            matches!(ending, GuestEnding::NotAComponent { .. })
        }),
        ("text", Arc::from(&b"(component)"[..]), |ending| {
            matches!(ending, GuestEnding::NotAComponent { .. })
        }),
        ("a core module", Arc::from(module), |ending| {
            matches!(ending, GuestEnding::NotAComponent { .. })
        }),
        ("half a component", truncated.into(), |ending| {
            matches!(ending, GuestEnding::NotAComponent { .. })
        }),
        (
            "a component that exports nothing",
            Arc::from(empty_component),
            |ending| matches!(ending, GuestEnding::Link { missing, .. } if missing == "stephost:step/function"),
        ),
        (
            "a component that wants more",
            foreign_import(),
            |ending| matches!(ending, GuestEnding::Link { missing, .. } if missing == "stephost:step/fog@0.1.0"),
        ),
    ];
    for (row, wasm, expected) in table {
        let builtin = Builtin::new(row, wasm);
        let ending = SANDBOX
            .run(&builtin, call("succeed", Tape::new()), Stop::never())
            .await;
        assert!(expected(&ending), "{row}: {ending:?}");
        assert_eq!(
            SANDBOX.describe(&builtin).await.err(),
            Some(ending),
            "{row}"
        );
    }
}

/// `hello`, with its import `log` renamed in place.
fn foreign_import() -> Arc<[u8]> {
    let (from, to) = (b"stephost:step/log@0.1.0", b"stephost:step/fog@0.1.0");
    let mut wasm = HELLO.wasm().to_vec();
    for at in 0..wasm.len() - from.len() {
        if wasm[at..].starts_with(from) {
            wasm[at..at + to.len()].copy_from_slice(to);
        }
    }
    wasm.into()
}
