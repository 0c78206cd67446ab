//! What becomes of every manner of `test/misbehave`. A manner without a row does not compile.

use stephost_guest_misbehave::Manner;

use super::*;

/// How a manner is run, and the first words of its ending.
struct Row {
    n: f64,
    limits: Limits,
    /// What it is told once it has said something, a moment apart; empty where it ends by itself.
    told: &'static [StopLevel],
    ending: &'static str,
}

fn row(manner: Manner) -> Row {
    let ends = |ending| Row {
        n: 7.0,
        limits: Limits::shipped(),
        told: &[],
        ending,
    };
    let with_n = |n, ending| Row { n, ..ends(ending) };
    let told = |told, ending| Row {
        told,
        ..ends(ending)
    };
    let with_log = |log_bytes_max, ending| Row {
        limits: Limits {
            log_bytes_max,
            ..Limits::shipped()
        },
        ..ends(ending)
    };
    match manner {
        Manner::Succeed | Manner::Echo | Manner::Emit => ends("success"),
        Manner::Fail => ends("failed: asked to fail"),
        Manner::FailWithCode => ends("failed with 7: asked to fail with a code"),
        Manner::FailAtLength => with_n(1e6, "failed: xxxx"),
        Manner::InvalidInput => ends("invalid input n: is not to its liking"),
        Manner::Denied => ends("denied net https://example.com: no-rule"),
        // A guest cannot make its step look stopped.
        Manner::Cancelled => ends("failed: the builtin gave up as if it had been stopped"),
        Manner::Panic => {
            ends("trap: panic: asked to panic with 7 at tests/guests/misbehave/src/lib.rs:")
        }
        Manner::PanicAtLength => with_n(1e6, "trap: panic: xxxx"),
        Manner::Index => ends(
            "trap: panic: index out of bounds: the len is 2 but the index is 7 at tests/guests/misbehave/src/lib.rs:",
        ),
        Manner::Trap => ends("trap: abort"),
        Manner::Recurse => ends("trap: stack overflow"),
        Manner::OutOfBounds => ends("trap: out of bounds memory access"),
        Manner::Oom | Manner::OomAtOnce => ends("limit memory: memory limit of 64 MiB exceeded"),
        Manner::Spin | Manner::SpinCalling | Manner::SpinWaiting => told(&[KILL], "killed"),
        Manner::Wait | Manner::WaitPolitely | Manner::Poll => told(&[POLITE], "stopped"),
        Manner::IgnoreStop => told(&[POLITE, KILL], "killed"),
        Manner::LogFlood | Manner::LogInsist => {
            with_log(1 << 20, "limit log: log limit of 1 MiB exceeded")
        }
        Manner::OutputFlood => with_n(5e6, "limit outputs: outputs limit of 4 MiB exceeded"),
        Manner::ManyOutputs => with_n(2e5, "limit host-call: host-call limit of 8 MiB exceeded"),
        Manner::ExportFlood => with_n(5e6, "limit outputs: outputs limit of 4 MiB exceeded"),
        Manner::HostCallFlood => with_n(9e6, "limit host-call: host-call limit of 8 MiB exceeded"),
        Manner::BadJson => ends("failed: the builtin's output `text` is not valid JSON"),
        Manner::Twice => ends("failed: the builtin returned output `text` twice"),
        // Given no secret here; what becomes of one is in `sealed`.
        Manner::Reveal | Manner::Time => ends("success"),
        Manner::ReadSealed | Manner::HoardSealed => ends("invalid input token"),
    }
}

#[tokio::test]
async fn every_manner_ends_as_it_should_and_the_builtin_runs_again_at_once() {
    for &manner in Manner::ALL {
        let Row {
            n,
            limits,
            told,
            ending: expected,
        } = row(manner);
        let tape = Tape::new();
        let mut call = call(manner.as_str(), tape.clone());
        call.arguments.push(("n".to_owned(), Value::Number(n)));
        call.limits = limits;
        let (sender, stop) = stop();
        let mut run = Box::pin(SANDBOX.run(&MISBEHAVE, call, stop));
        for level in told {
            tokio::select! {
                ending = &mut run => panic!("{manner:?} ended by itself: {ending:?}"),
                () = tape.has_text() => {}
            }
            // Time to hear it, for who does not want to.
            let early = tokio::time::timeout(Duration::from_millis(10), &mut run).await;
            assert!(early.is_err(), "{manner:?} ended too early: {early:?}");
            sender.send(*level).unwrap();
        }
        let since = Instant::now();
        let ending = brief(&run.await);
        assert!(ending.starts_with(expected), "{manner:?}: {ending}");
        assert!(
            since.elapsed() < 10 * SOON,
            "{manner:?}: {:?}",
            since.elapsed()
        );
        assert_alive().await;
    }
}

#[tokio::test]
async fn what_a_guest_says_at_length_is_cut() {
    for how in ["fail-at-length", "panic-at-length"] {
        let ending = SANDBOX
            .run(&MISBEHAVE, with_n(how, 5e6), Stop::never())
            .await;
        let text = brief(&ending);
        assert!((4096..5000).contains(&text.len()), "{how}: {}", text.len());
    }
}

#[tokio::test]
async fn what_a_guest_is_given_counts_as_its_memory() {
    let mut call = call("succeed", Tape::new());
    call.arguments
        .push(("long".to_owned(), Value::Text("x".repeat(65 << 20))));
    let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
    assert_eq!(
        brief(&ending),
        "limit memory: memory limit of 64 MiB exceeded"
    );
    assert_alive().await;
}
