//! Every limit, just beyond it and just within it.

use super::*;

#[tokio::test]
async fn every_limit_is_named_and_ends_the_run() {
    let shipped = Limits::shipped();
    let table = [
        (
            call("oom", Tape::new()),
            shipped.clone(),
            LimitName::Memory,
            "memory limit of 64 MiB exceeded",
        ),
        (
            call("spin", Tape::new()),
            Limits {
                wall_max: Some(Duration::from_millis(30)),
                ..shipped.clone()
            },
            LimitName::Wall,
            "wall limit of 30 ms exceeded",
        ),
        (
            call("wait", Tape::new()),
            Limits {
                wall_max: Some(Duration::from_millis(30)),
                ..shipped.clone()
            },
            LimitName::Wall,
            "wall limit of 30 ms exceeded",
        ),
        (
            call("log-flood", Tape::new()),
            Limits {
                log_bytes_max: 1024,
                ..shipped.clone()
            },
            LimitName::Log,
            "log limit of 1 KiB exceeded",
        ),
        (
            call("log-insist", Tape::new()),
            Limits {
                log_bytes_max: 1024,
                ..shipped.clone()
            },
            LimitName::Log,
            "log limit of 1 KiB exceeded",
        ),
        (
            with_n("output-flood", 1025.0),
            Limits {
                outputs_bytes_max: 1024,
                ..shipped.clone()
            },
            LimitName::Outputs,
            "outputs limit of 1 KiB exceeded",
        ),
        (
            with_n("export-flood", 1025.0),
            Limits {
                outputs_bytes_max: 1024,
                ..shipped.clone()
            },
            LimitName::Outputs,
            "outputs limit of 1 KiB exceeded",
        ),
        (
            with_n("host-call-flood", 2_000_000.0),
            Limits {
                host_call_bytes_max: 1 << 20,
                ..shipped.clone()
            },
            LimitName::HostCall,
            "host-call limit of 1 MiB exceeded",
        ),
        (
            call("succeed", Tape::new()),
            Limits {
                memory_bytes_max: 1 << 16,
                ..shipped.clone()
            },
            LimitName::Memory,
            "memory limit of 64 KiB exceeded",
        ),
        (
            call("succeed", Tape::new()),
            Limits {
                tables_max: 0,
                ..shipped.clone()
            },
            LimitName::Tables,
            "tables limit of 0 exceeded",
        ),
        (
            call("succeed", Tape::new()),
            Limits {
                instances_max: 0,
                ..shipped
            },
            LimitName::Instances,
            "instances limit of 0 exceeded",
        ),
    ];
    for (mut call, limits, which, message) in table {
        let row = format!("{message}: {:?}", call.arguments);
        call.limits = limits;
        let since = Instant::now();
        let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
        assert_eq!(
            ending,
            GuestEnding::Limit {
                which,
                message: message.to_owned()
            },
            "{row}"
        );
        assert!(since.elapsed() < 10 * SOON, "{row}: {:?}", since.elapsed());
        assert_alive().await;
    }
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
