//! How a host ends (contract 1.12, S21).

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stephost_tests::{Options, State, step_test, text_of};
use tonic::Code;

use super::{WAIT, refusal};

step_test!(
    s21_a_host_that_is_asked_to_end_takes_no_new_jobs_and_finishes_the_others,
    |host| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        job.wait_for("ready").await;
        let follow = job.log();
        let drained = async {
            host.signal(Signal::TERM);
            let refused = refusal(host).await;
            assert_eq!(refused, Code::Unavailable);
            assert_eq!(
                job.status().await.state,
                State::Running,
                "others can still be asked about"
            );
            host.open_gate("gate").await;
        };
        let (log, ()) = tokio::join!(follow, drained);
        assert_eq!(text_of(&log), "Running step name=it\nready\ndone\n");
        assert_eq!(job.status().await.state, State::Success);
        job.close().await;
        assert_eq!(host.exited().await.code(), Some(0));
    }
);

step_test!(s21_a_host_without_jobs_ends_at_once, |host| {
    let asked = Instant::now();
    host.signal(Signal::INT);
    assert_eq!(host.exited().await.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(30),
        "{:?}",
        asked.elapsed()
    );
});

step_test!(s21_a_second_signal_stops_the_jobs, |host| {
    let text = "trap 'echo told; exit 0' TERM; (echo ready; exec sleep 300) & wait";
    let job = host.script(text).start().await;
    job.wait_for("ready").await;
    let twice = async {
        host.signal(Signal::TERM);
        refusal(host).await;
        assert_eq!(
            job.status().await.state,
            State::Running,
            "the first one is patient"
        );
        host.signal(Signal::TERM);
    };
    let (log, ()) = tokio::join!(job.log(), twice);
    assert_eq!(text_of(&log), "Running step name=it\nready\ntold\n");
    assert_eq!(host.exited().await.code(), Some(0));
});

step_test!(
    s21_patience_ends_with_the_drain_timeout,
    Options {
        arguments: vec!["--drain-timeout".into(), "300ms".into()],
        ..Options::default()
    },
    |host| {
        let job = host
            .script("trap '' TERM; echo ready; sleep 300")
            .grace_ms(300)
            .start()
            .await;
        job.wait_for("ready").await;
        let (log, ()) = tokio::join!(job.log(), async { host.signal(Signal::TERM) });
        assert_eq!(
            text_of(&log),
            "Running step name=it\nready\n\
             step host: killed 1 process that had not ended when asked to\n"
        );
        assert_eq!(host.exited().await.code(), Some(0));
    }
);
