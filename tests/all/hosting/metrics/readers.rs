//! Who may read figures, where, and what hostile readers come to.

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use stephost_tests::{State, block_on, run_program};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::super::daemon::Place;
use super::super::{Running, make_dir, mode, run_job, text};
use super::{SUCCESS, Watched, answered, figures, get};

/// Reads the daemon's log on until this line; returns what follows the words in it.
async fn told(daemon: &mut Running, words: &str) -> String {
    loop {
        let mut line = String::new();
        let read = daemon.stderr.read_line(&mut line).await;
        assert!(read.expect("it is text") > 0, "{words} was never told");
        if let Some((_, rest)) = line.split_once(words) {
            return rest.trim().to_owned();
        }
    }
}

#[test]
fn a_port_of_this_machine_answers_one_question_and_survives_hostile_readers() {
    block_on(async {
        let place = Place::new();
        let socket = place.path("s");
        let arguments = ["--socket", text(&socket), "--metrics-listen", "127.0.0.1:0"];
        let mut daemon = place.serve(&arguments);
        let address = told(&mut daemon, "metrics can be read address=").await;
        let connect = async || TcpStream::connect(&address).await.expect("it listens");
        let long = format!(
            "GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n",
            "x".repeat(64 << 10)
        );
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
        let post = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let table: [(&[u8], &str); 9] = [
            (&get("/metrics"), "HTTP/1.1 200 "),
            (&get("/metrics?x=y"), "HTTP/1.1 200 "),
            (
                b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP/1.1 200 ",
            ),
            (&get("/"), "HTTP/1.1 404 "),
            (&get("/metrics/"), "HTTP/1.1 404 "),
            (post, "HTTP/1.1 405 "),
            (long.as_bytes(), "HTTP/1.1 431 "),
            (many.as_bytes(), "HTTP/1.1 431 "),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all\r\n\r\n",
                "HTTP/1.1 400 ",
            ),
        ];
        for (question, answer) in table {
            let row = String::from_utf8_lossy(&question[..question.len().min(40)]).into_owned();
            let answered = answered(connect().await, question).await;
            // Who is refused before he has said everything may find nothing but the end.
            let cut = answer.contains(" 431 ") && answered.is_empty();
            assert!(answered.starts_with(answer) || cut, "{row}: {answered}");
        }
        let head = answered(
            connect().await,
            b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
        assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
        // As many as may be there say half a word and wait.
        let mut silent = Vec::new();
        for _ in 0..8 {
            let mut reader = connect().await;
            reader.write_all(b"GET /me").await.expect("it is let in");
            silent.push(reader);
        }
        assert_eq!(
            answered(connect().await, &get("/metrics")).await,
            "",
            "one too many"
        );
        let client = place.client("s").await;
        let job = "{}\n---\nexec: {command: ['true']}\n";
        let state = run_job(&client, job).await;
        assert_eq!(state, State::Success, "a job does not notice");
        drop(silent);
        loop {
            // The host has heard of their going, or is about to.
            let answer = answered(connect().await, &get("/metrics")).await;
            if !answer.is_empty() {
                assert_eq!(figures(&answer).value(SUCCESS), 1.0);
                break;
            }
        }
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
    });
}

#[test]
fn a_socket_for_figures_is_made_with_the_care_of_the_other() {
    block_on(async {
        let place = Place::new();
        place.write("file", "");
        symlink("nowhere", place.path("link")).expect("a link can be made");
        make_dir(&place.path("open"), 0o777);
        let long = format!("unix:{}", text(&place.path(&"x".repeat(120))));
        let at = |name: &str| format!("unix:{}", text(&place.path(name)));
        let table = [
            (at("file"), "exists and is not a socket"),
            (at("link"), "exists and is not a socket"),
            (at("open/m"), "others may write to"),
            (long, "socket path is"),
            (
                "0.0.0.0:9464".to_owned(),
                "0.0.0.0 can be reached from other machines",
            ),
            ("192.0.2.1:9464".to_owned(), "use 127.0.0.1:9464"),
            ("localhost:9464".to_owned(), "use 127.0.0.1:PORT"),
        ];
        let socket = place.path("s");
        for (address, words) in table {
            let arguments = [
                "serve",
                "--socket",
                text(&socket),
                "--metrics-listen",
                &address,
            ];
            let done = run_program(&arguments, &[("TMPDIR", text(place.dir.path()))]).await;
            assert_eq!(done.status.code(), Some(2), "{address}: {done:?}");
            assert!(done.err.contains(words), "{address}: {done:?}");
            let advice = done.err.contains("--metrics-listen") && !done.err.contains("--socket ");
            assert!(advice, "{address}: {done:?}");
        }
        let taken = TcpTaken::new().await;
        let arguments = [
            "serve",
            "--socket",
            text(&socket),
            "--metrics-listen",
            &taken.address,
        ];
        let done = run_program(&arguments, &[("TMPDIR", text(place.dir.path()))]).await;
        assert_eq!(done.status.code(), Some(69), "{done:?}");
        assert!(done.err.contains(&taken.address), "{done:?}");
        // What a dead host left is replaced, and only this user may connect.
        drop(
            std::os::unix::net::UnixListener::bind(place.path("m")).expect("a socket can be made"),
        );
        let watched = Watched::start_at(place, &[]).await;
        assert_eq!(mode(&watched.place.path("m")), 0o600);
        watched.figures().await;
        let (other, metrics) = (watched.place.path("other"), at_of(&watched.place, "m"));
        let arguments = [
            "serve",
            "--socket",
            text(&other),
            "--metrics-listen",
            &metrics,
        ];
        let done = run_program(&arguments, &[("TMPDIR", text(watched.place.dir.path()))]).await;
        assert_eq!(done.status.code(), Some(2), "somebody listens: {done:?}");
        watched.end().await;
    });
}

fn at_of(place: &Place, name: &str) -> String {
    format!("unix:{}", text(&place.path(name)))
}

/// A port that somebody else has.
struct TcpTaken {
    address: String,
    _listener: tokio::net::TcpListener,
}

impl TcpTaken {
    async fn new() -> TcpTaken {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a port");
        TcpTaken {
            address: listener
                .local_addr()
                .expect("it has an address")
                .to_string(),
            _listener: listener,
        }
    }
}

/// Design D11: nothing of this inside a job's container.
#[tokio::test]
async fn d11_a_host_inside_a_job_shows_no_figures() {
    let arguments = ["steps", "serve", "--metrics-listen", "127.0.0.1:0"];
    let done = run_program(&arguments, &[]).await;
    assert_eq!(done.status.code(), Some(2), "{done:?}");
}

#[test]
fn an_address_in_the_file_is_relative_to_it_and_config_show_prints_it() {
    block_on(async {
        let place = Place::new();
        let config = "socket = \"s\"\nmetrics-listen = \"unix:m\"\n";
        let config = place.write("config.toml", config);
        let shown = run_program(&["config", "show", "--config", text(&config)], &[]).await;
        let line = format!("metrics-listen = \"unix:{}\"", text(&place.path("m")));
        assert!(shown.out.contains(&line), "{shown:?}");
        let mut daemon = place.serve(&["--config", text(&config)]);
        place.told("READY=1").await;
        let reader = UnixStream::connect(place.path("m"))
            .await
            .expect("it listens");
        figures(&answered(reader, &get("/metrics")).await);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
    });
}
