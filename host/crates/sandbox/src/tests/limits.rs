//! Every limit, just beyond it and just within it.

use super::*;

/// A guest that goes beyond a limit, and the limit's words. A limit without one does not compile.
fn beyond(which: LimitName) -> Vec<(Run, Limits, &'static str)> {
    let shipped = Limits::shipped;
    let small = |set: fn(&mut Limits)| {
        let mut limits = Limits::shipped();
        set(&mut limits);
        limits
    };
    match which {
        LimitName::Memory => vec![
            (manner("oom"), shipped(), "64 MiB"),
            (
                manner("succeed"),
                small(|limits| limits.memory_bytes_max = 1 << 16),
                "64 KiB",
            ),
        ],
        LimitName::Wall => {
            let limits = || small(|limits| limits.wall_max = Some(Duration::from_millis(30)));
            vec![
                (manner("spin"), limits(), "30 ms"),
                (manner("wait"), limits(), "30 ms"),
            ]
        }
        LimitName::Cpu => {
            let limits = || small(|limits| limits.cpu_max = Some(Duration::from_millis(30)));
            vec![
                (manner("spin"), limits(), "30 ms"),
                (manner("spin-calling"), limits(), "30 ms"),
                (manner("spin-waiting"), limits(), "30 ms"),
            ]
        }
        LimitName::Log => {
            let limits = || small(|limits| limits.log_bytes_max = 1024);
            vec![
                (manner("log-flood"), limits(), "1 KiB"),
                (manner("log-insist"), limits(), "1 KiB"),
            ]
        }
        LimitName::Outputs => {
            let limits = || small(|limits| limits.outputs_bytes_max = 1024);
            vec![
                (with_n("output-flood", 1025.0).into(), limits(), "1 KiB"),
                (with_n("export-flood", 1025.0).into(), limits(), "1 KiB"),
            ]
        }
        LimitName::HostCall => vec![(
            with_n("host-call-flood", 2_000_000.0).into(),
            small(|limits| limits.host_call_bytes_max = 1 << 20),
            "1 MiB",
        )],
        LimitName::Memories => vec![(
            manner("succeed"),
            small(|limits| limits.memories_max = 0),
            "0",
        )],
        LimitName::Tables => vec![(
            manner("succeed"),
            small(|limits| limits.tables_max = 0),
            "0",
        )],
        LimitName::TableElements => vec![(
            manner("succeed"),
            small(|limits| limits.table_elements_max = 1),
            "1",
        )],
        LimitName::Instances => vec![(
            manner("succeed"),
            small(|limits| limits.instances_max = 0),
            "0",
        )],
        LimitName::Handles => vec![
            (
                Run(evil::HANDLES.builtin(), call("", Tape::new())),
                shipped(),
                "512",
            ),
            (
                Run(evil::HANDLES.builtin(), call("", Tape::new())),
                small(|limits| limits.handles_max = 0),
                "0",
            ),
        ],
    }
}

/// A builtin and what it is called with.
struct Run(Builtin, Call);

impl From<Call> for Run {
    fn from(call: Call) -> Run {
        Run(MISBEHAVE.clone(), call)
    }
}

fn manner(how: &str) -> Run {
    call(how, Tape::new()).into()
}

#[tokio::test]
async fn every_limit_is_named_and_ends_the_run() {
    for which in LimitName::ALL {
        for (Run(builtin, mut call), limits, text) in beyond(which) {
            let row = format!("{which}: {:?}", call.arguments);
            call.limits = limits;
            let since = Instant::now();
            let ending = SANDBOX.run(&builtin, call, Stop::never()).await;
            let expected = format!("limit {which}: {which} limit of {text} exceeded");
            assert_eq!(brief(&ending), expected, "{row}");
            assert!(since.elapsed() < 10 * SOON, "{row}: {:?}", since.elapsed());
            assert_alive().await;
        }
    }
}

/// A guest that waits for twenty times what it may compute.
#[tokio::test]
async fn waiting_is_free() {
    let (sender, stop) = stop();
    let tape = Tape::new();
    let mut call = call("wait", tape.clone());
    call.limits.cpu_max = Some(Duration::from_millis(20));
    let mut run = Box::pin(SANDBOX.run(&MISBEHAVE, call, stop));
    let waited = tokio::time::timeout(Duration::from_millis(400), &mut run).await;
    assert!(waited.is_err(), "{waited:?}");
    sender.send(POLITE).unwrap();
    assert_eq!(run.await, GuestEnding::Cancelled { killed: false });
}

#[tokio::test]
async fn a_log_that_is_cut_is_cut_at_the_limit() {
    for how in ["log-flood", "log-insist"] {
        let tape = Tape::new();
        let mut call = call(how, tape.clone());
        call.limits.log_bytes_max = 1000;
        SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
        assert_eq!(tape.text(Channel::Output).len(), 1000, "{how}");
    }
}

#[tokio::test]
async fn what_stays_within_its_limits_ends_well() {
    for (how, size) in [("output-flood", 1020.0), ("export-flood", 1019.0)] {
        let mut call = with_n(how, size);
        call.limits.outputs_bytes_max = 1024;
        let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
        assert!(
            matches!(ending, GuestEnding::Success { .. }),
            "{how}: {ending:?}"
        );
    }
}

/// The SDK's allocator serves from what a guest starts with: growing is the dearest thing a short step can
/// do.
#[tokio::test]
async fn a_short_step_never_grows_its_memory() {
    let arguments = vec![("name".to_owned(), Value::Text("x".repeat(4096)))];
    let limits = Limits {
        // The stack (1 MiB) and one page for data and arena.
        memory_bytes_max: 17 << 16,
        ..Limits::shipped()
    };
    let call = Call {
        arguments,
        context: Context::default(),
        log: Tape::new(),
        limits,
        programs: None,
    };
    let ending = SANDBOX.run(&HELLO, call, Stop::never()).await;
    assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
}
