//! `steps proxy`: bytes there and back, and nothing else (contract 7.2, 12).

use stephost_tests::{Client, State, block_on, run_program, step_test, text_of};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::{directory, proxied, read, read_all, start, text};

step_test!(h04_a_runner_can_work_through_a_proxy, |host| {
    let arguments = ["steps", "proxy", "--socket", text(host.socket())];
    let dir = directory();
    let mut proxy = start(&dir, &arguments, &[]);
    // A runner's connection is the proxy's stdio; here it is a socket that is copied there and back.
    let near = dir.path().join("near");
    let listener = UnixListener::bind(&near).expect("a socket can be made");
    let connected = async {
        let client = Client::connect(&near).await.expect("there is a listener");
        let mut log = Vec::new();
        let request = host.script("echo through; seq 1 20000").request();
        let status = client
            .run_and_follow(request, |piece| log.extend_from_slice(piece))
            .await;
        assert_eq!(status.expect("the job runs").state, State::Success);
        assert!(text_of(&log).ends_with("19999\n20000\n"));
    };
    let copied = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let stdin = proxy.stdin.take().expect("stdin is piped");
        let mut stdio = tokio::io::join(&mut proxy.stdout, stdin);
        // How a connection breaks off when its client goes away is not looked at.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut stdio).await;
    };
    tokio::join!(connected, copied);
    assert_eq!(read(&mut proxy.stderr).await, "");
    assert_eq!(proxy.ended().await.code(), Some(0));
});

#[test]
fn h04_a_proxy_changes_no_byte() {
    block_on(async {
        let dir = directory();
        let (mut proxy, stream) = proxied(&dir).await;
        let (mut from, mut to) = stream.into_split();
        let up: Vec<u8> = (0..3_000_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let down: Vec<u8> = up.iter().map(|byte| byte ^ 0x55).collect();
        let mut stdin = proxy.stdin.take().expect("stdin is piped");
        let (mut received, mut returned) = (Vec::new(), Vec::new());
        let sent = async {
            stdin.write_all(&up).await.expect("it reads");
            drop(stdin);
        };
        let answered = async {
            to.write_all(&down).await.expect("it reads");
            from.read_to_end(&mut received)
                .await
                .expect("the end of stdin arrives");
            drop(to);
        };
        let (_, (), read) = tokio::join!(sent, answered, proxy.stdout.read_to_end(&mut returned));
        read.expect("stdout can be read");
        assert!(
            received == up && returned == down,
            "{} up, {} down",
            received.len(),
            returned.len()
        );
        assert_eq!(read_all(&mut proxy).await, (String::new(), String::new()));
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn h04_a_proxy_ends_when_the_server_closes_even_while_stdin_stays_open() {
    block_on(async {
        let dir = directory();
        let (mut proxy, mut stream) = proxied(&dir).await;
        let stdin = proxy.stdin.take();
        stream.write_all(b"bye").await.expect("it reads");
        drop(stream);
        assert_eq!(read(&mut proxy.stdout).await, "bye");
        assert_eq!(proxy.ended().await.code(), Some(0));
        drop(stdin);
    });
}

#[test]
fn h04_after_the_end_of_stdin_a_proxy_passes_on_what_the_server_still_says() {
    block_on(async {
        let dir = directory();
        let (mut proxy, mut stream) = proxied(&dir).await;
        proxy.feed("last words").await;
        let mut heard = String::new();
        stream
            .read_to_string(&mut heard)
            .await
            .expect("the end of stdin arrives");
        stream
            .write_all(b"understood")
            .await
            .expect("it still reads");
        drop(stream);
        assert_eq!(
            (heard.as_str(), read(&mut proxy.stdout).await.as_str()),
            ("last words", "understood")
        );
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn h04_a_proxy_without_a_host_fails_and_keeps_stdout_clean() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("nobody");
        let done = run_program(&["steps", "proxy", "--socket", text(&socket)], &[]).await;
        assert_eq!(
            (done.status.code(), done.out.as_str()),
            (Some(69), ""),
            "{done:?}"
        );
        assert!(done.err.contains("nobody"), "{done:?}");
    });
}
