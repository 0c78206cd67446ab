//! A host that panics too often lets another take its place, and harms nobody who is still with it.

use std::process::Stdio;

use rustix::process::Signal;
use stephost_tests::{
    Client, Host, Job, Points, Program, State, block_on, installed_program, run_program, text_of,
};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Makes the host panic so often, in a call that is about no job.
async fn panic_times(points: &Points, client: &Client, times: usize) {
    for number in 1..=times {
        points.arm("status.listed", "panic");
        let answer = client.list().await;
        let error = answer.expect_err("a call that panicked has no answer");
        assert_eq!(error.code(), Some(Code::Internal), "panic {number}");
        points.release("status.listed");
    }
}

/// Waits until the host says that this service is not serving.
async fn not_serving(host: &Host, service: &str) {
    let mut health = HealthClient::new(host.channel().await);
    let service = service.to_owned();
    let watched = health.watch(HealthCheckRequest { service }).await;
    let mut watched = watched.expect("it is watched").into_inner();
    loop {
        let now = watched.message().await.expect("the host is there");
        let now = now.expect("the host is there").status();
        if now == ServingStatus::NotServing {
            return;
        }
        assert_eq!(now, ServingStatus::Serving);
    }
}

/// A job that has said `ready` and waits at the gate.
async fn waiting(host: &Host) -> Job<'_> {
    host.gate("gate");
    let job = host.script("echo ready; read _ < gate; echo after");
    let job = job.start().await;
    job.wait_for("ready").await;
    job
}

#[test]
fn five_panics_end_a_host_when_its_jobs_have_ended_and_by_its_own_exit_code() {
    let points = Points::new();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("operator.log");
    let options = points.options_with_budget().with_log(&file);
    block_on(async {
        let host = Host::start(options).await;
        let job = waiting(&host).await;
        panic_times(&points, host.client(), 4).await;
        host.script("true").run().await.succeeds();
        panic_times(&points, host.client(), 1).await;
        // Every service that there is, and the host as a whole.
        for service in ["proto.StepRunner", ""] {
            not_serving(&host, service).await;
        }
        let refused = host.script("true").try_start().await;
        let refused = refused.expect_err("no new jobs");
        assert_eq!(refused.code(), Some(Code::Unavailable), "{refused}");
        let health = ["health", "--socket", host.socket().to_str().expect("text")];
        let asked: Program = run_program(&health, &[]).await;
        assert_eq!(
            (asked.status.code(), asked.out.as_str()),
            (Some(1), "not serving\n")
        );
        // The job that runs is followed, asked about and closed as ever.
        assert_eq!(job.status().await.state, State::Running);
        let (log, ()) = tokio::join!(job.log(), host.open_gate("gate"));
        assert_eq!(text_of(&log), "Running step name=it\nready\nafter\n");
        assert_eq!(job.status().await.state, State::Success);
        job.close().await;
        assert_eq!(host.exited().await.code(), Some(70));
        let log = std::fs::read_to_string(&file).expect("there is a log");
        let told: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("the host has panicked too often"))
            .collect();
        let [told] = told[..] else {
            panic!("it is told once: {log}");
        };
        assert!(
            told.contains("ERROR") && told.contains("panic_budget=5/10m"),
            "{told}"
        );
        host.finish().await;
    });
}

#[test]
fn a_host_that_is_worn_out_still_obeys_who_wants_it_to_end() {
    let points = Points::new();
    block_on(async {
        let host = Host::start(points.options_with_budget()).await;
        let job = waiting(&host).await;
        panic_times(&points, host.client(), 5).await;
        not_serving(&host, "").await;
        // The first is patient as ever, the second is not.
        let log = async {
            host.signal(Signal::TERM);
            host.signal(Signal::INT);
            job.log().await
        };
        assert!(!text_of(&log.await).contains("after"));
        assert_eq!(host.exited().await.code(), Some(70));
        host.finish().await;
    });
}

/// Nobody asked for the end of the command; that it cannot run steps any more it will hear itself.
#[test]
fn d13_the_command_of_a_host_that_is_worn_out_goes_on_and_its_exit_code_counts() {
    let points = Points::new();
    let dir = tempfile::TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made");
    let socket = dir.path().join("s");
    block_on(async {
        let (name, place) = points.variable();
        let mut host = Command::new(installed_program())
            .args(["steps", "serve", "--socket"])
            .arg(&socket)
            .args(["/bin/sh", "-c", "read one; echo $one; exit 3"])
            .env_clear()
            .env("TMPDIR", dir.path())
            .env(name, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program under test starts");
        let stderr = host.stderr.take().expect("it is piped");
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stderr));
        let marker = lines.next_line().await.expect("it is text");
        assert!(marker.is_some_and(|line| line.contains("is listening")));
        let client = Client::connect(&socket).await.expect("it listens");
        panic_times(&points, &client, 5).await;
        // The connection ends with the serving, and the command has not begun.
        while client.list().await.is_ok() {}
        let mut stdin = host.stdin.take().expect("it is piped");
        stdin.write_all(b"said\n").await.expect("it is read");
        drop(stdin);
        let output = host.wait_with_output().await.expect("it ends");
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(output.stdout, b"said\n");
    });
}
