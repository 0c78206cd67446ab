//! `health`: what an image without tools asks a host (design, exit codes 0, 1 and 69).

use rustix::process::Signal;
use stephost_tests::{block_on, run_program, step_test};
use tokio::net::UnixListener;

use super::{WAIT, directory, refusal, text};

step_test!(health_tells_a_serving_host_from_a_draining_one, |host| {
    let arguments = ["health", "--socket", text(host.socket())];
    let serving = run_program(&arguments, &[]).await;
    assert_eq!(
        (
            serving.status.code(),
            serving.out.as_str(),
            serving.err.as_str()
        ),
        (Some(0), "serving\n", "")
    );
    host.gate("gate");
    let job = host.script(WAIT).start().await;
    job.wait_for("ready").await;
    let drained = async {
        host.signal(Signal::TERM);
        refusal(host).await;
        let draining = run_program(&arguments, &[]).await;
        assert_eq!(
            (
                draining.status.code(),
                draining.out.as_str(),
                draining.err.as_str()
            ),
            (Some(1), "not serving\n", "")
        );
        host.open_gate("gate").await;
    };
    tokio::join!(job.log(), drained);
    job.close().await;
    assert_eq!(host.exited().await.code(), Some(0));
});

#[test]
fn health_says_when_nobody_answers() {
    block_on(async {
        let dir = directory();
        let (absent, silent) = (dir.path().join("absent"), dir.path().join("silent"));
        let left = dir.path().join("left");
        drop(UnixListener::bind(&left).expect("a socket can be made"));
        // It is connected to, and never says a word.
        let _listener = UnixListener::bind(&silent).expect("a socket can be made");
        let table = [
            (
                "absent",
                &absent,
                "there is none; where a host listens is for --socket to say",
            ),
            ("left", &left, "nobody listens there any more"),
            ("silent", &silent, "no answer within 200ms"),
        ];
        for (row, socket, expected) in table {
            let arguments = ["health", "--timeout", "200ms", "--socket", text(socket)];
            let done = run_program(&arguments, &[]).await;
            assert_eq!(
                (done.status.code(), done.out.as_str()),
                (Some(69), ""),
                "{row}: {done:?}"
            );
            assert!(
                done.err.contains(text(socket)) && done.err.contains(expected),
                "{row}: {}",
                done.err
            );
        }
    });
}
