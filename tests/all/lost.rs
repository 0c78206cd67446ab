//! A host dies, and the next one answers for its jobs (docs/operating.md, "After a crash").

use std::path::PathBuf;

use rustix::process::Signal;
use stephost_tests::{ClientError, Host, Kills, Kind, Options, Points, State, block_on, rooms_in};
use tempfile::TempDir;
use tonic::Code;

/// How many hosts the short form kills.
const ROUNDS: usize = 6;

/// `cargo xtask campaign kills` is the long form.
#[test]
fn a_host_that_is_killed_at_any_moment_leaves_nothing_but_truthful_answers() {
    let kills = Kills {
        zoo: PathBuf::from(env!("CARGO_BIN_EXE_zoo")),
        rounds: ROUNDS,
        seed: 1,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    // Each round has a patience of its own.
    let tally = runtime.block_on(kills.run());
    assert_eq!(tally.rounds, ROUNDS);
}

async fn host_at(temp: &TempDir, mut options: Options) -> Host {
    options.env.push(("TMPDIR".into(), temp.path().into()));
    Host::start(options).await
}

async fn killed(host: &Host) {
    host.signal(Signal::KILL);
    host.exited().await;
}

fn code<T>(answer: Result<T, ClientError>) -> Option<Code> {
    answer.err().and_then(|error| error.code())
}

#[test]
fn each_job_of_a_dead_host_is_answered_for_until_it_is_closed() {
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let points = Points::new();
        let dead = host_at(&temp, points.options()).await;
        let exec = |script: &str| dead.job(&format!("exec: {{command: [sh, -c, '{script}']}}"));
        exec("exit 0").id("fine").run().await.succeeds();
        exec("echo secret-words; exit 3").id("failed").run().await;
        exec("exit 0").id("closed").run().await.succeeds();
        dead.client().close("closed").await.expect("it is over");
        let cancelled = exec("echo ready; sleep 300").id("cancelled").start().await;
        cancelled.wait_for("ready").await;
        cancelled.cancel().await;
        cancelled.ended().await.is_cancelled();
        points.arm("run.named", "panic");
        let incident = exec("exit 0").id("broken").refused().await;
        let runs = exec("echo ready; sleep 300").id("runs").start().await;
        runs.wait_for("ready").await;
        let before = runs.status().await;
        let journal = rooms_in(temp.path())[0].join("jobs.journal");
        let journal = std::fs::read_to_string(journal).expect("there is a journal");
        assert!(!journal.contains("secret-words"), "{journal}");
        killed(&dead).await;

        let heir = host_at(&temp, Options::default()).await;
        let client = heir.client();
        let lost = "the step host ended while this job ran: the job is lost";
        let silent = "the step host ended after this job, and what the job said last is lost";
        let failed = format!("{silent}: exit status 3");
        let table = [
            ("fine", State::Success, None, "", Code::DataLoss),
            (
                "failed",
                State::Failure,
                Some(Kind::StepFailure),
                &*failed,
                Code::DataLoss,
            ),
            (
                "cancelled",
                State::Cancelled,
                Some(Kind::Cancelled),
                silent,
                Code::DataLoss,
            ),
            (
                "runs",
                State::Failure,
                Some(Kind::Internal),
                lost,
                Code::Internal,
            ),
        ];
        let mut listed: Vec<String> = client
            .list()
            .await
            .expect("it lists")
            .into_iter()
            .map(|job| job.id)
            .collect();
        listed.sort_unstable();
        assert_eq!(listed, ["broken", "cancelled", "failed", "fine", "runs"]);
        for (id, state, kind, message, log) in table {
            let status = client.status(id).await.expect(id);
            assert_eq!(
                (status.state, status.kind, &*status.message),
                (state, kind, message),
                "{id}"
            );
            assert!(
                status.started.is_some() && status.ended >= status.started,
                "{id}: {status:?}"
            );
            assert_eq!(code(client.follow(id, 0).next().await), Some(log), "{id}");
        }
        let status = client.status("runs").await.expect("it is known");
        let ms = |at: Option<std::time::SystemTime>| {
            let since = at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            since.map(|since| since.as_millis())
        };
        assert!(
            ms(status.started) <= ms(before.started),
            "{status:?}, {before:?}"
        );
        let error = client.status("broken").await.expect_err("it is broken");
        let status = error.status().expect("the heir answers");
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, incident.message())
        );
        for id in listed {
            let job = || heir.job("exec: {command: ['true']}").id(&id);
            assert_eq!(
                job().refused().await.code(),
                Code::FailedPrecondition,
                "{id}"
            );
            client.cancel(&id).await.expect("that is fine");
            client.close(&id).await.expect("that is fine");
            assert_eq!(code(client.status(&id).await), Some(Code::NotFound), "{id}");
            job().run().await.succeeds();
        }
        assert_eq!(code(client.status("closed").await), Some(Code::NotFound));
        heir.finish().await;
        assert_eq!(rooms_in(temp.path()).len(), 0);
    });
}

#[test]
fn what_an_heir_took_over_and_nobody_closed_goes_to_its_own_heir() {
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let first = host_at(&temp, Options::default()).await;
        for id in ["kept", "closed"] {
            let job = first.job("exec: {command: [sh, -c, 'echo ready; sleep 300']}");
            job.id(id).start().await.wait_for("ready").await;
        }
        killed(&first).await;
        let second = host_at(&temp, Options::default()).await;
        second.client().close("closed").await.expect("that is fine");
        let told = second.client().status("kept").await.expect("it is lost");
        killed(&second).await;
        let third = host_at(&temp, Options::default()).await;
        let again = third.client().status("kept").await.expect("it is lost");
        assert_eq!((again.state, again.message), (told.state, told.message));
        assert_eq!(
            code(third.client().status("closed").await),
            Some(Code::NotFound)
        );
        // Nobody has to close what is not this host's own: its end waits for nobody.
        third.signal(Signal::TERM);
        assert_eq!(third.exited().await.code(), Some(0));
        third.finish().await;
    });
}
