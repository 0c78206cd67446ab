//! Many guests, one sandbox: slots, fairness, compiling once, making and dropping it.

use std::collections::HashSet;
use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn one_guest_too_many_is_told_so_at_once() {
    let (sandbox, builtin) = narrow();
    let tape = Tape::new();
    let (sender, stop) = stop();
    let first = sandbox.run(&builtin, call("wait", tape.clone()), stop);
    let second = async {
        tape.has_text().await;
        let second = sandbox
            .run(&builtin, call("succeed", Tape::new()), Stop::never())
            .await;
        sender.send(POLITE).unwrap();
        second
    };
    let (_, second) = tokio::join!(first, second);
    assert_eq!(second, GuestEnding::Busy);
}

#[tokio::test]
async fn a_dropped_run_frees_its_slot() {
    let (sandbox, builtin) = narrow();
    for how in ["spin", "wait", "poll"] {
        let tape = Tape::new();
        tokio::select! {
            ending = sandbox.run(&builtin, call(how, tape.clone()), Stop::never()) => panic!("{how} ended by itself: {ending:?}"),
            () = tape.has_text() => {}
        }
        // The drop asks the guest to go; its slot is free when it has gone.
        let slots = Arc::clone(&sandbox.inner.slots);
        let slot = tokio::time::timeout(SOON, slots.acquire()).await;
        drop(
            slot.unwrap_or_else(|_| panic!("{how} still holds its slot"))
                .unwrap(),
        );
        let ending = sandbox
            .run(&builtin, call("succeed", Tape::new()), Stop::never())
            .await;
        assert!(
            matches!(ending, GuestEnding::Success { .. }),
            "after {how}: {ending:?}"
        );
    }
}

#[tokio::test]
async fn fifty_guests_at_once_get_their_own_answers() {
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..50_i32 {
        runs.spawn(async move {
            let manner = if number % 5 == 0 {
                "panic"
            } else {
                "fail-with-code"
            };
            (
                number,
                SANDBOX
                    .run(&MISBEHAVE, with_n(manner, f64::from(number)), Stop::never())
                    .await,
            )
        });
    }
    while let Some(run) = runs.join_next().await {
        let (number, ending) = run.unwrap();
        match ending {
            GuestEnding::Trap(trap) => assert!(
                trap.message
                    .starts_with(&format!("panic: asked to panic with {number} at ")),
                "{trap:?}"
            ),
            other => assert_eq!(
                other,
                GuestEnding::Failed {
                    message: "asked to fail with a code".to_owned(),
                    exit_code: Some(number)
                }
            ),
        }
    }
}

/// A log that remembers on which threads it was written to.
#[derive(Default)]
struct Places(Mutex<HashSet<Option<String>>>);

impl Log for Places {
    fn write(&self, _channel: Channel, _bytes: &[u8]) {
        let place = std::thread::current().name().map(str::to_owned);
        self.0.lock().unwrap().insert(place);
    }
}

#[tokio::test]
async fn a_step_starts_on_its_callers_thread_and_goes_on_elsewhere() {
    let here = std::thread::current().name().map(str::to_owned);
    let there = Some(GUEST_THREAD.to_owned());
    let short = Arc::<Places>::default();
    // A tick may come at any moment: one of these ends before it does.
    while !short.0.lock().unwrap().contains(&here) {
        SANDBOX
            .run(&MISBEHAVE, call("emit", short.clone()), Stop::never())
            .await;
    }
    let long = Arc::<Places>::default();
    let mut flood = call("log-flood", long.clone());
    flood.limits.wall_max = Some(Duration::from_millis(100));
    SANDBOX.run(&MISBEHAVE, flood, Stop::never()).await;
    assert!(long.0.lock().unwrap().contains(&there));
}

#[tokio::test]
async fn hogs_do_not_hold_up_a_short_step() {
    let (sandbox, builtin) = (
        Sandbox::new(SandboxConfig {
            slots_max: 8,
            threads: 1,
        })
        .unwrap(),
        built("test/misbehave"),
    );
    let tapes = [Tape::new(), Tape::new()];
    let hogs = async {
        let spin =
            |tape: &Arc<Tape>| sandbox.run(&builtin, call("spin", tape.clone()), Stop::never());
        tokio::join!(spin(&tapes[0]), spin(&tapes[1]))
    };
    let short = async {
        for tape in &tapes {
            tape.has_text().await;
        }
        sandbox
            .run(&builtin, call("succeed", Tape::new()), Stop::never())
            .await
    };
    tokio::select! {
        endings = hogs => panic!("hogs ended by themselves: {endings:?}"),
        ending = short => assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}"),
    }
}

#[tokio::test]
async fn first_users_share_one_compilation() {
    let builtin = built("hello");
    let describe = || SANDBOX.describe(&builtin);
    let (first, second, third) = tokio::join!(describe(), describe(), describe());
    let first = first.unwrap();
    assert!(Arc::ptr_eq(&first, &second.unwrap()) && Arc::ptr_eq(&first, &third.unwrap()));
}

#[tokio::test]
async fn a_first_user_that_goes_away_leaves_the_work_to_the_next() {
    let builtin = built("hello");
    let gone = tokio::time::timeout(Duration::ZERO, SANDBOX.describe(&builtin)).await;
    assert!(gone.is_err());
    assert!(SANDBOX.describe(&builtin).await.is_ok());
}

#[tokio::test]
async fn a_builtin_stays_with_its_sandbox() {
    let (sandbox, _) = narrow();
    SANDBOX.describe(&HELLO).await.unwrap();
    let ending = sandbox
        .run(&HELLO, call("succeed", Tape::new()), Stop::never())
        .await;
    assert_eq!(
        ending,
        GuestEnding::HostFault(HostFault::new("builtin `hello` belongs to another sandbox"))
    );
}

#[tokio::test]
async fn a_machine_without_room_for_every_slot_still_runs_guests() {
    // 512 TiB of address space are four times what there is.
    let sandbox = Sandbox::new(SandboxConfig {
        slots_max: 1 << 17,
        threads: 1,
    })
    .unwrap();
    let builtin = built("test/misbehave");
    let ending = sandbox
        .run(&builtin, call("oom", Tape::new()), Stop::never())
        .await;
    assert!(
        matches!(
            &ending,
            GuestEnding::Limit {
                which: LimitName::Memory,
                ..
            }
        ),
        "{ending:?}"
    );
    let ending = sandbox
        .run(&builtin, call("recurse", Tape::new()), Stop::never())
        .await;
    assert!(
        matches!(&ending, GuestEnding::Trap(trap) if trap.message == "stack overflow"),
        "{ending:?}"
    );
    let ending = sandbox
        .run(&builtin, call("succeed", Tape::new()), Stop::never())
        .await;
    assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
}

#[test]
fn a_sandbox_may_be_dropped_inside_a_runtime_and_outside() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (sandbox, builtin) = narrow();
        sandbox.describe(&builtin).await.unwrap();
        drop(sandbox);
    });
    drop(narrow());
}

#[test]
fn a_sandbox_is_made_within_two_milliseconds() {
    // The best of a few: a busy machine is not what is measured.
    let fastest = (0..20)
        .map(|_| {
            let since = Instant::now();
            let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
            let took = since.elapsed();
            drop(sandbox);
            took
        })
        .min()
        .unwrap();
    println!("a sandbox is made in {fastest:?}");
    assert!(
        fastest < Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 2 }),
        "{fastest:?}"
    );
}
