//! `serve --metrics-listen`: what a host counts; [`readers`] and what they may do; [`page`], which tells it to operators;
//! [`unread`], a log of the host that nobody reads.

mod page;
mod readers;
mod unread;

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use stephost_tests::{Client, Figures, Points, Request, block_on, raw, usual_policy};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::Endpoint;

use super::daemon::Place;
use super::{Running, read, request, text};

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
