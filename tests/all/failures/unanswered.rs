//! The second table: a code where an ending was expected.

use rustix::process::Signal;
use stephost_client::reason::Seen;
use stephost_tests::{Client, ClientError, Host, JobStatus, Options, Request, block_on};
use tempfile::TempDir;

use super::{World, length, reported, rows, told_to_the_operator};

const UNANSWERED: &str = "| what happened | call";

/// What a runner's client saw, and what the host has told its operator.
struct Saw {
    outcome: Result<JobStatus, ClientError>,
    told: (std::path::PathBuf, usize),
}

/// A host with a log and a directory of the test's own, that others may have after it.
async fn host_in(dir: &TempDir) -> Host {
    let options = Options {
        env: vec![("TMPDIR".into(), dir.path().into())],
        ..Options::default()
    };
    Host::start(options.with_log(&dir.path().join("log"))).await
}

fn job(id: &str, definition: &str) -> Request {
    Request {
        id: id.to_owned(),
        steps: format!("{{}}\n---\n{definition}"),
        ..Request::default()
    }
}

/// Runs a job on the world's host as a runner does.
async fn run(world: &World, request: Request) -> Saw {
    let before = length(&world.log);
    let outcome = world.host.client().run_and_follow(request, |_| {}).await;
    Saw {
        outcome,
        told: (world.log.clone(), before),
    }
}

/// A job that has begun, and a client that follows it, while something is done to the host.
async fn while_it_runs(host: &Host, then: impl AsyncFnOnce()) -> Result<JobStatus, ClientError> {
    let client = host.new_client().await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    let request = job(
        "it",
        "exec: {command: [sh, -c, 'echo ready; exec sleep 300']}",
    );
    let followed = client.run_and_follow(request, |_| {
        if let Some(begun) = begun.take() {
            let _ = begun.send(());
        }
    });
    let then = async {
        has_begun.await.expect("the job begins");
        then().await;
    };
    tokio::join!(followed, then).0
}

async fn cause(world: &World, row: &str, dir: &TempDir) -> Saw {
    let nothing = "exec: {command: ['true']}";
    let of_own = |outcome| Saw {
        outcome,
        told: (dir.path().join("log"), 0),
    };
    match row {
        "the host breaks while it works for the job" => {
            world.points.arm("walk.step", "panic");
            let definition = "run: [{name: it, script: 'true'}]";
            run(world, job("broken", definition)).await
        }
        "the host died while the job ran, and another asks for it" => {
            let dead = host_in(dir).await;
            let lost = while_it_runs(&dead, async || {
                dead.signal(Signal::KILL);
                dead.exited().await;
            });
            lost.await.expect_err("the host is gone");
            let heir = host_in(dir).await;
            let followed = heir.client().follow("it", 0).next().await;
            let error = followed.expect_err("it is lost");
            heir.finish().await;
            of_own(Err(error))
        }
        "the host dies" => {
            let host = host_in(dir).await;
            of_own(
                while_it_runs(&host, async || {
                    host.signal(Signal::KILL);
                    host.exited().await;
                })
                .await,
            )
        }
        "the steps are no steps" => run(world, job("none", "exec: [")).await,
        "the request is too large" => {
            let long = format!("{nothing}\n#{}", "x".repeat(5 << 20));
            run(world, job("large", &long)).await
        }
        "the job's directory cannot be used" => {
            let request = Request {
                build_dir: "/dev/null/x".to_owned(),
                ..job("elsewhere", nothing)
            };
            run(world, request).await
        }
        "the host drains" => {
            let host = host_in(dir).await;
            let mut refused = None;
            let drained = while_it_runs(&host, async || {
                let client = host.new_client().await;
                host.signal(Signal::TERM);
                // Taken until the signal has arrived.
                while refused.is_none() {
                    refused = client.run(job("late", nothing)).await.err();
                    let _ = client.close("late").await;
                }
                client.cancel("it").await.expect("it runs");
            });
            drained.await.expect("what runs goes on");
            host.exited().await;
            of_own(Err(refused.expect("it drains")))
        }
        "nobody knows the job" => Saw {
            outcome: world.host.client().status("nobody").await,
            told: (world.log.clone(), 0),
        },
        "nobody listens" => {
            let nobody = Client::connect(&dir.path().join("nobody")).await;
            of_own(Err(nobody.expect_err("nobody is there")))
        }
        unknown => panic!("{unknown:?} is a new row: say here how it happens"),
    }
}

#[test]
fn whatever_is_not_answered_is_as_the_page_says() {
    let rows = rows(UNANSWERED);
    assert_eq!(rows.len(), 9, "{rows:?}");
    block_on(async {
        let world = World::new().await;
        for (row, cells) in rows {
            let [call, code, runner, operator] = cells[..] else {
                panic!("{row}: five cells");
            };
            let dir = tempfile::tempdir().expect("a directory can be made");
            let saw = cause(&world, row, &dir).await;
            let error = saw.outcome.as_ref().expect_err(row);
            let found = match error {
                ClientError::Internal(error) => {
                    (format!("`{}`", error.call()), "`Internal`".to_owned())
                }
                ClientError::Call { call, status } => {
                    (format!("`{call}`"), format!("`{:?}`", status.code()))
                }
                ClientError::Connect { .. } => ("–".to_owned(), "–".to_owned()),
                ClientError::NoStatus | ClientError::Trace { .. } => panic!("{row}: {error}"),
            };
            assert_eq!(found, (call.to_owned(), code.to_owned()), "{row}: {error}");
            assert_eq!(reported(Seen::from(&saw.outcome)), runner, "{row}");
            let (log, before) = &saw.told;
            if operator != "–" {
                told_to_the_operator(row, operator, log, *before);
            }
        }
        world.host.finish().await;
    });
}
