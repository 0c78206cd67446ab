//! `serve --metrics-listen`: what a host counts, who may read it, and that the page about it is true.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use stephost_tests::{
    Client, Figures, Points, Request, block_on, blocks, run_program, usual_policy,
};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::net::{TcpStream, UnixStream};
use tonic::Code;
use tonic::transport::Endpoint;

use super::daemon::Place;
use super::{Running, mode, read, request, text};
use crate::raw;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// Sends this, and returns what is answered until the connection ends.
async fn answered(mut connection: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    // A reader that is refused may find the connection closed before it has said everything.
    let _ = connection.write_all(request).await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("an answer is text")
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The figures behind an answer.
fn figures(answer: &str) -> Figures {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    Figures::parse(body)
}

/// A daemon whose figures can be read at the socket `m`, and whose clients connect to `s`.
struct Watched {
    place: Place,
    daemon: Running,
}

impl Watched {
    async fn start(arguments: &[&str]) -> Watched {
        Watched::start_at(Place::new(), arguments).await
    }

    async fn start_at(place: Place, arguments: &[&str]) -> Watched {
        let (socket, metrics) = (place.path("s"), format!("unix:{}", text(&place.path("m"))));
        let own = ["--socket", text(&socket), "--metrics-listen", &metrics];
        let daemon = place.serve(&[&own, arguments].concat());
        place.told("READY=1").await;
        Watched { place, daemon }
    }

    async fn client(&self) -> Client {
        self.place.client("s").await
    }

    async fn figures(&self) -> Figures {
        let reader = UnixStream::connect(self.place.path("m")).await;
        figures(&answered(reader.expect("it listens"), &get("/metrics")).await)
    }

    /// What has grown since, calls and log bytes left out.
    async fn grown(&self, before: &Figures) -> BTreeMap<String, f64> {
        let (before, after) = (before.counts(), self.figures().await.counts());
        let grown = after.into_iter().map(|(series, value)| {
            let grown = value - before.get(&series).copied().unwrap_or_default();
            (series, grown)
        });
        let told = |series: &str| !series.contains("_rpc_") && !series.contains("_log_");
        grown
            .filter(|(series, grown)| *grown != 0.0 && told(series))
            .collect()
    }

    /// Ends the daemon; returns its log.
    async fn end(mut self) -> String {
        self.daemon.signal(Signal::TERM);
        let log = read(&mut self.daemon.stderr).await;
        assert_eq!(self.daemon.ended().await.code(), Some(0), "{log}");
        log
    }
}

/// What somebody does about a job once it says `ready`.
#[derive(Clone, Copy)]
enum Then {
    Waits,
    Cancels,
}

const SUCCESS: &str = "stephost_jobs_total{result=\"success\"}";
const FAILURE: &str = "stephost_jobs_total{result=\"step_failure\"}";
const INTERNAL: &str = "stephost_jobs_total{result=\"internal\"}";
const CANCELLED: &str = "stephost_jobs_total{result=\"cancelled\"}";
const TIMEOUT: &str = "stephost_jobs_total{result=\"timeout\"}";

fn step(kind: &str, result: &str) -> String {
    format!("stephost_steps_total{{kind={kind:?},result={result:?}}}")
}

fn misbehave(how: &str) -> String {
    format!("run: [{{name: it, func: 'builtin://test/misbehave', inputs: {{how: {how}}}}}]")
}

fn shell(text: &str) -> String {
    format!("exec: {{command: [sh, -c, {text:?}]}}")
}

#[test]
fn every_ending_is_counted_once_and_by_its_own_words() {
    let killed = |reason: &str| format!("stephost_processes_killed_total{{reason={reason:?}}}");
    let trap = |kind: &str| format!("stephost_traps_total{{trap={kind:?}}}");
    let waits = Then::Waits;
    let table: Vec<(&str, String, Then, &str, Vec<String>)> = vec![
        ("a program", shell("true"), waits, SUCCESS, vec![step("exec", "success")]),
        ("one that fails", shell("exit 3"), waits, FAILURE, vec![step("exec", "step_failure")]),
        (
            "two steps",
            "run: [{name: a, script: 'true'}, {name: b, func: 'builtin://hello', inputs: {name: b}}]".to_owned(),
            waits,
            SUCCESS,
            vec![step("builtin", "success"), step("builtin", "success")],
        ),
        (
            "a panic of a builtin",
            misbehave("panic"),
            waits,
            INTERNAL,
            vec![step("builtin", "internal"), trap("panic")],
        ),
        (
            "an abort",
            misbehave("trap"),
            waits,
            INTERNAL,
            vec![step("builtin", "internal"), trap("unreachable")],
        ),
        (
            "a stack that ends",
            misbehave("recurse"),
            waits,
            INTERNAL,
            vec![step("builtin", "internal"), trap("stack_overflow")],
        ),
        (
            "too much memory",
            misbehave("oom-at-once"),
            waits,
            FAILURE,
            vec![
                step("builtin", "step_failure"),
                "stephost_limits_total{limit=\"memory\"}".to_owned(),
            ],
        ),
        (
            "a failure of its own",
            misbehave("fail"),
            waits,
            FAILURE,
            vec![step("builtin", "step_failure")],
        ),
        (
            "a program that is not granted",
            "run: [{name: it, func: 'builtin://test/launch', inputs: {how: stop, program: cat}}]".to_owned(),
            waits,
            FAILURE,
            vec![
                step("builtin", "step_failure"),
                "stephost_denials_total{capability=\"process\"}".to_owned(),
            ],
        ),
        (
            "a job that ends when it is asked to",
            shell("echo ready; exec sleep 300"),
            Then::Cancels,
            CANCELLED,
            vec![step("exec", "cancelled")],
        ),
        (
            "one that does not",
            shell("trap '' TERM; echo ready; while :; do sleep 300; done"),
            Then::Cancels,
            CANCELLED,
            vec![step("exec", "cancelled"), killed("stop")],
        ),
        (
            "its timeout",
            shell("exec sleep 300"),
            waits,
            TIMEOUT,
            vec![step("exec", "timeout")],
        ),
        (
            "who outlives the job",
            shell("sleep 300 >/dev/null 2>&1 &"),
            waits,
            SUCCESS,
            vec![step("exec", "success"), killed("outlived")],
        ),
        ("a mistake before any step", "run: [{name: it, func: ./gone}]".to_owned(), waits, FAILURE, vec![]),
    ];
    block_on(async {
        let watched = Watched::start(&[]).await;
        let client = watched.client().await;
        for (number, (row, definition, then, result, more)) in table.into_iter().enumerate() {
            let before = watched.figures().await;
            let id = format!("job-{number}");
            let request = Request {
                timeout: (result == TIMEOUT).then_some(Duration::from_millis(300)),
                grace: Some(Duration::from_millis(300)),
                build_dir: text(watched.place.dir.path()).to_owned(),
                ..request(&id, &format!("{{}}\n---\n{definition}"))
            };
            client.run(request).await.expect(row);
            let mut follow = client.follow(&id, 0);
            let mut log = Vec::new();
            while let Some(piece) = follow.next().await.expect(row) {
                log.extend_from_slice(&piece);
                if matches!(then, Then::Cancels) && String::from_utf8_lossy(&log).contains("ready")
                {
                    client.cancel(&id).await.expect(row);
                }
            }
            client.close(&id).await.expect(row);
            let mut expected = BTreeMap::from([
                (result.to_owned(), 1.0),
                ("stephost_job_duration_seconds_count".to_owned(), 1.0),
            ]);
            for series in more {
                *expected.entry(series.clone()).or_default() += 1.0;
                if let Some((_, kind)) = series.split_once("_steps_total{") {
                    let (kind, _) = kind.split_once(',').expect("two labels");
                    let duration = format!("stephost_step_duration_seconds_count{{{kind}}}");
                    *expected.entry(duration).or_default() += 1.0;
                }
            }
            let grown = watched.grown(&before).await;
            // How many of a shell's children are there to be killed is the shell's business.
            let grown: BTreeMap<String, f64> = grown
                .into_iter()
                .map(|(series, by)| match series.contains("_killed_") {
                    true => (series, by.min(1.0)),
                    false => (series, by),
                })
                .collect();
            assert_eq!(grown, expected, "{row}: {}", String::from_utf8_lossy(&log));
        }
        let after = watched.figures().await;
        for gauge in [
            "jobs_running",
            "followers",
            "draining",
            "process_survivors_total",
        ] {
            assert_eq!(after.value(&format!("stephost_{gauge}")), 0.0, "{gauge}");
        }
        assert_eq!(after.value("stephost_serving"), 1.0);
        assert!(after.value("stephost_process_resident_memory_bytes") > 1e6);
        assert!(after.value("stephost_process_open_fds") > 3.0);
        let log = watched.end().await;
        assert_eq!(log.matches("a job ended").count(), 14, "{log}");
    });
}

#[test]
fn a_job_counts_as_running_while_it_does_and_its_log_by_its_bytes() {
    block_on(async {
        let watched = Watched::start(&[]).await;
        let client = watched.client().await;
        let before = watched.figures().await;
        let job = "{}\n---\nexec: {command: [sh, -c, 'echo ready; exec sleep 300']}\n";
        client.run(request("job", job)).await.expect("it runs");
        let mut follow = client.follow("job", 0);
        let first = follow.next().await.expect("it is followed");
        let mut bytes = first.expect("it has not ended").len();
        let during = watched.figures().await;
        assert_eq!(during.value("stephost_jobs_running"), 1.0);
        assert_eq!(during.value("stephost_followers"), 1.0);
        client.cancel("job").await.expect("it is there");
        while let Some(piece) = follow.next().await.expect("it is followed") {
            bytes += piece.len();
        }
        client.close("job").await.expect("it is there");
        let after = watched.figures().await;
        assert_eq!(after.value("stephost_jobs_running"), 0.0);
        let logged = "stephost_log_bytes_total";
        assert_eq!(after.value(logged) - before.value(logged), bytes as f64);
        assert_eq!(after.value("stephost_log_dropped_bytes_total"), 0.0);
        watched.end().await;
    });
}

#[test]
fn every_call_is_counted_by_what_its_client_was_answered() {
    block_on(async {
        let watched = Watched::start(&[]).await;
        let channel = Endpoint::try_from(format!("unix://{}", text(&watched.place.path("s"))));
        let channel = channel
            .expect("an address")
            .connect()
            .await
            .expect("it listens");
        let client = Client::over(channel.clone());
        let series = |method: &str, code: &str| {
            format!("stephost_rpc_total{{code={code:?},method={method:?}}}")
        };
        let before = watched.figures().await;
        client.status("nobody").await.expect_err("there is none");
        client.close("nobody").await.expect("it is fine");
        client
            .run(request("bad", "run: ["))
            .await
            .expect_err("it is no YAML");
        let waits = "{}\n---\nexec: {command: [sh, -c, 'echo ready; exec sleep 300']}\n";
        client.run(request("job", waits)).await.expect("it runs");
        let mut follow = client.follow("job", 0);
        follow.next().await.expect("it says something");
        drop(follow);
        // A path that a client made up is no label.
        let answer = raw::call_over(channel, "Made-up", b"").await;
        assert_eq!(raw::code(answer), Code::Unimplemented);
        client.close("job").await.expect("it is there");
        let expected = BTreeMap::from([
            (series("Status", "NotFound"), 1.0),
            (series("Close", "OK"), 2.0),
            (series("Run", "InvalidArgument"), 1.0),
            (series("Run", "OK"), 1.0),
            (series("FollowLogs", "Cancelled"), 1.0),
            (series("unknown", "Unimplemented"), 1.0),
        ]);
        // That a client has gone is heard of when its connection says so.
        loop {
            let after = watched.figures().await;
            let grown = expected.keys().map(|series| {
                let grown = after.value(series) - before.value(series);
                (series.clone(), grown)
            });
            let grown: BTreeMap<String, f64> = grown.collect();
            let total = |figures: &Figures| {
                let counts = figures.counts();
                let calls = counts.iter().filter(|(series, _)| series.contains("_rpc_"));
                calls.map(|(_, count)| count).sum::<f64>()
            };
            let others = total(&after) - total(&before) - grown.values().sum::<f64>();
            assert_eq!(others, 0.0, "nothing else: {:?}", after.counts());
            if grown == expected {
                break;
            }
            assert!(
                grown.iter().all(|(series, by)| by <= &expected[series]),
                "{grown:?}"
            );
        }
        watched.end().await;
    });
}

#[test]
fn a_panic_of_the_host_is_counted_once_where_it_was() {
    let table = [
        ("rpc.Status.call", "Status", "call"),
        ("status.named", "Status", "call"),
        ("rpc.Status.frame", "Status", "body"),
        ("walk.step", "", "walk"),
        ("driver.begun", "", "driver"),
        ("log.write", "", "task"),
    ];
    block_on(async {
        let points = Points::new();
        let place = Place::new().with_points(&points);
        // Its stacks are more than a pipe holds that nobody reads.
        let log = place.path("log");
        let arguments = ["--panic-budget", "off", "--log-file", text(&log)];
        let watched = Watched::start_at(place, &arguments).await;
        let client = watched.client().await;
        for (point, rpc, place) in table {
            let before = watched.figures().await;
            points.arm(point, "panic");
            // In the sandbox it would be the builtin's panic, which is no job's.
            let job = match point {
                "log.write" => "{}\n---\nexec: {command: [echo, said]}\n",
                _ => "{}\n---\nrun: [{name: it, script: echo said}]\n",
            };
            client.run(request(point, job)).await.expect("it is taken");
            let mut follow = client.follow(point, 0);
            while let Ok(Some(_)) = follow.next().await {}
            let status = client.status(point).await;
            status.expect_err("it is broken, or the call");
            client.close(point).await.expect("it can be closed");
            assert!(points.release(point), "{point}");
            let grown = watched.grown(&before).await;
            let panics: BTreeMap<&str, f64> = grown
                .iter()
                .filter(|(series, _)| series.contains("panics"))
                .map(|(series, by)| (series.as_str(), *by))
                .collect();
            let series = format!("stephost_panics_total{{rpc={rpc:?},where={place:?}}}");
            assert_eq!(panics, BTreeMap::from([(series.as_str(), 1.0)]), "{point}");
            // The job was broken by its own panic; one that had ended when a call broke it has ended as it did.
            if rpc.is_empty() {
                assert_eq!(grown.get(INTERNAL), Some(&1.0), "{point}: {grown:?}");
            }
        }
        watched.end().await;
    });
}

#[test]
fn a_drain_and_a_policy_that_cannot_be_read_can_be_seen() {
    block_on(async {
        let place = Place::new();
        let policy = place.write("policy.toml", usual_policy());
        let mut watched = Watched::start_at(place, &["--policy", text(&policy)]).await;
        let at = "stephost_config_last_reload_success_timestamp_seconds";
        let successful = "stephost_config_last_reload_successful";
        let first = watched.figures().await;
        assert_eq!(first.value(successful), 1.0);
        for (content, fine) in [("policy = \n", 0.0), (usual_policy(), 1.0)] {
            watched.place.write("policy.toml", content);
            watched.daemon.signal(Signal::HUP);
            watched.place.told("RELOADING=1").await;
            watched.place.told("READY=1").await;
            let figures = watched.figures().await;
            assert_eq!(figures.value(successful), fine);
            let again = figures.value(at) > first.value(at);
            assert_eq!(again, fine == 1.0, "the time is that of the last success");
        }
        let client = watched.client().await;
        let job = "{}\n---\nexec: {command: [sh, -c, 'echo ready; exec sleep 300']}\n";
        client.run(request("job", job)).await.expect("it runs");
        watched.daemon.signal(Signal::TERM);
        watched.place.told("STOPPING=1").await;
        let figures = loop {
            let figures = watched.figures().await;
            if figures.value("stephost_draining") == 1.0 {
                break figures;
            }
        };
        assert_eq!(figures.value("stephost_serving"), 0.0);
        assert_eq!(figures.value("stephost_jobs_running"), 1.0);
        client.close("job").await.expect("it is there");
        let log = read(&mut watched.daemon.stderr).await;
        assert_eq!(watched.daemon.ended().await.code(), Some(0), "{log}");
        assert!(!watched.place.path("m").exists(), "it removes its socket");
    });
}

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
        let state = super::run_job(&client, job).await;
        assert_eq!(
            state,
            stephost_tests::State::Success,
            "a job does not notice"
        );
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
        super::make_dir(&place.path("open"), 0o777);
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

/// Rows of the page's tables: name, type, and the values of each label; no values where they are not words of ours.
fn told_families() -> BTreeMap<String, (String, BTreeMap<String, BTreeSet<String>>)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `stephost_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("four cells: {row}");
        };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels.split(';').map(str::trim);
        let labels = labels.filter(|label| *label != "–").map(|label| {
            let mut words = label.split('`').skip(1).step_by(2).map(str::to_owned);
            (words.next().expect(row), words.collect())
        });
        let name = name.trim_matches('`').to_owned();
        (name, (kind.to_owned(), labels.collect()))
    })
    .collect()
}

#[test]
fn the_page_names_every_figure_with_its_labels_and_no_other() {
    block_on(async {
        let watched = Watched::start(&[]).await;
        let figures = watched.figures().await;
        let mut shown: BTreeMap<_, _> = figures
            .families()
            .into_iter()
            .map(|(name, family)| (name, (family.kind.clone(), family.labels())))
            .collect();
        let told = told_families();
        // A version is not written down twice.
        for (name, (_, labels)) in &mut shown {
            for (label, values) in labels {
                let told = told.get(name).and_then(|(_, labels)| labels.get(label));
                if told.is_some_and(BTreeSet::is_empty) {
                    assert_eq!(
                        values.len(),
                        1,
                        "{name}: {label} has many words; the page has to name them"
                    );
                    values.clear();
                }
                // Nothing to name.
                values.remove("");
            }
        }
        assert_eq!(shown, told);
        watched.end().await;
    });
}

#[test]
fn the_alerts_of_the_page_ask_for_figures_that_there_are() {
    let told = told_families();
    let [rules] = blocks(PAGE, "yaml")[..] else {
        panic!("the page has one set of rules");
    };
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("stephost_")).collect();
    assert!(asked.len() >= 3, "{asked:?}");
    for name in asked {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        assert!(told.contains_key(family), "{name} is asked for");
    }
    assert_eq!(
        rules.matches("alert:").count(),
        rules.matches("expr:").count()
    );
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/metrics.md")
            .is_file()
    );
}
