//! The host's side of a call that goes wrong: a host function that fails, that never answers, that blocks its
//! thread.

use std::io;
use std::sync::{Condvar, Mutex};

use super::evil::{Evil, IDLE};
use super::*;

/// A sandbox of one slot whose `context.grace-millis` is another one, and a step that calls it.
fn with_host_function(
    name: &str,
    replace: impl FnOnce(&mut wasmtime::component::LinkerInstance<'_, Guest>),
) -> (Sandbox, Builtin) {
    let config = SandboxConfig {
        slots_max: 1,
        threads: 1,
    };
    let (engine, slots) = engine::engine(config.slots_max).unwrap();
    let mut linker = imports::linker(&engine).unwrap();
    linker.allow_shadowing(true);
    replace(&mut linker.instance(name).unwrap());
    let calling = Evil {
        run: "(drop (call $grace)) (i32.const 0x8000)",
        ..IDLE
    };
    (
        Sandbox::assemble(config, engine, slots, linker).unwrap(),
        calling.builtin(),
    )
}

const CONTEXT: &str = "stephost:step/context@0.1.0";

#[tokio::test]
async fn a_host_function_that_fails_is_the_hosts_fault_and_tells_no_secret() {
    let (sandbox, builtin) = with_host_function(CONTEXT, |context| {
        context
            .func_wrap("grace-millis", |_, (): ()| -> wasmtime::Result<(u64,)> {
                Err(io::Error::other("no space left below /var/lib/secret").into())
            })
            .unwrap();
    });
    for _ in 0..2 {
        let ending = sandbox
            .run(&builtin, call("anything", Tape::new()), Stop::never())
            .await;
        assert_eq!(
            brief(&ending),
            "host fault: a host function failed while it served the guest"
        );
        let GuestEnding::HostFault(fault) = ending else {
            unreachable!("it is one");
        };
        assert!(
            fault
                .detail
                .ends_with("no space left below /var/lib/secret"),
            "the operator sees why: {fault:?}"
        );
        assert!(!fault.frames.is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_guest_in_a_host_function_that_never_answers_is_ended_all_the_same() {
    let (sandbox, builtin) = with_host_function(CONTEXT, |context| {
        context
            .func_wrap_async("grace-millis", |_, (): ()| {
                Box::new(std::future::pending::<wasmtime::Result<(u64,)>>())
            })
            .unwrap();
    });
    // By the limit.
    let mut limited = call("anything", Tape::new());
    limited.limits.wall_max = Some(Duration::from_millis(30));
    let ending = sandbox.run(&builtin, limited, Stop::never()).await;
    assert_eq!(brief(&ending), "limit wall: wall limit of 30 ms exceeded");
    // By the kill, and no sooner.
    let (sender, stop) = stop();
    let mut run = Box::pin(sandbox.run(&builtin, call("anything", Tape::new()), stop));
    sender.send(POLITE).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(30), &mut run).await;
    assert!(early.is_err(), "{early:?}");
    sender.send(KILL).unwrap();
    let since = Instant::now();
    assert_eq!(brief(&run.await), "killed");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(sandbox.inner.slots.available_permits(), 1);
}

/// A log that holds a thread of the sandbox until it is opened. (The thread of a test is needed for the test.)
#[derive(Default)]
struct Dam {
    open: Mutex<bool>,
    changed: Condvar,
    reached: tokio::sync::Notify,
}

impl Dam {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Log for Dam {
    fn write(&self, _channel: Channel, _bytes: &[u8]) {
        if std::thread::current().name() != Some(GUEST_THREAD) {
            return;
        }
        self.reached.notify_one();
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }
}

/// Nothing ends a thread. The caller has its answer, and the slot is not given away before it is free.
#[tokio::test]
async fn a_host_function_that_blocks_its_thread_holds_the_slot_and_not_the_caller() {
    let (sandbox, builtin) = narrow();
    let dam = Arc::<Dam>::default();
    let (sender, stop) = stop();
    let run = sandbox.run(&builtin, call("log-flood", dam.clone()), stop);
    let killed = async {
        dam.reached.notified().await;
        sender.send(KILL).unwrap();
        Instant::now()
    };
    let (ending, since) = tokio::join!(run, killed);
    assert_eq!(brief(&ending), "killed");
    assert!(since.elapsed() < 4 * SOON, "{:?}", since.elapsed());
    let again = || sandbox.run(&builtin, call("succeed", Tape::new()), Stop::never());
    assert_eq!(brief(&again().await), "busy");
    dam.open();
    let slot = tokio::time::timeout(SOON, sandbox.inner.slots.acquire()).await;
    drop(slot.expect("its slot is free once the thread is").unwrap());
    assert_eq!(brief(&again().await), "success");
}
