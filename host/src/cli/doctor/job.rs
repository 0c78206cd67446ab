//! A job, sent as a runner would: over a socket, with an `exec` step and a builtin, followed to its end and closed.
//!
//! The host is this process, the socket a private one in a temporary directory; both are gone afterwards. The program
//! of the `exec` step is this one, which is there in every image.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use stephost_process::JobLimits;
use stephost_proto::step_runner_client::StepRunnerClient;
use stephost_proto::{
    CloseRequest, FollowLogsRequest, Job, RunRequest, StatusRequest, step_result,
};
use tokio::sync::watch;

use super::{Check, told};
use crate::cli;
use crate::cli::exit::Failure;
use crate::cli::health::channel;
use crate::clock::Stopwatch;
use crate::config;
use crate::run::{Functions, room};
use crate::server::{self, Drain, listen};

const ID: &str = "doctor";
/// Longest time of the whole job. A hundred times what a slow machine needs.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The builtin that is called, if the policy has a rule for it.
pub(super) const BUILTIN: &str = "hello";
/// What it says.
const GREETING: &str = "Hello, doctor!";

/// Runs the job.
pub(super) async fn check(functions: Functions, may_greet: bool) -> Check {
    let name = "job";
    let steps = if may_greet {
        "an exec step and a builtin"
    } else {
        "an exec step (the policy has no rule for the builtin hello)"
    };
    match run(functions, may_greet).await {
        Ok(took) => Check::ok(
            name,
            format!(
                "{steps}, sent, followed and closed over a socket, took {:.1} ms",
                took.as_secs_f64() * 1000.0
            ),
        ),
        Err(error) => Check::fail(
            name,
            told(&*error),
            "look at the checks above; `steps serve --log-file FILE` says more",
        ),
    }
}

async fn run(functions: Functions, may_greet: bool) -> anyhow::Result<Duration> {
    let dir = tempfile::Builder::new()
        .prefix("sh")
        .tempdir_in(config::temp_dir())
        .context("making a temporary directory")?;
    write_program(dir.path()).context("writing a function")?;
    let (listener, socket) = listen::listen(Some(&listen::private_place(dir.path())))?;
    let (limits, background) = (JobLimits::default(), config::Background::Keep);
    let (jobs, hosting) = cli::jobs(
        &room::new_id(),
        functions,
        limits,
        background,
        cli::Answers::Own,
    )
    .map_err(Failure::into_error)?;
    let (drain, drain_heard) = watch::channel(Drain::No);
    let asking = async {
        let asked = tokio::time::timeout(TIMEOUT, ask(&socket, dir.path(), may_greet)).await;
        drain.send_replace(Drain::Now);
        asked.unwrap_or_else(|_elapsed| bail!("no end within {TIMEOUT:?}"))
    };
    let (served, took) = tokio::join!(
        server::serve(listener, jobs, drain_heard, Duration::ZERO),
        asking
    );
    cli::close(&hosting).await;
    served.context("serving")?;
    took
}

/// A function that runs this program.
fn write_program(dir: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let program = program
        .to_str()
        .context("the path of this program is no text")?;
    let function = format!(
        "spec: {{}}\n---\nexec:\n  command: [{}, version]\n",
        serde_json::Value::from(program)
    );
    let place = dir.join("program");
    std::fs::create_dir(&place)?;
    std::fs::write(place.join("func.yml"), function)?;
    Ok(())
}

fn steps(may_greet: bool) -> String {
    let mut steps = "{}\n---\nrun:\n- { name: program, func: ./program }\n".to_owned();
    if may_greet {
        // Writing to a String cannot fail.
        let _ = writeln!(
            steps,
            "- {{ name: builtin, func: 'builtin://{BUILTIN}', inputs: {{ name: doctor }} }}"
        );
    }
    steps
}

/// What a runner does; returns how long it took.
async fn ask(socket: &Path, dir: &Path, may_greet: bool) -> anyhow::Result<Duration> {
    let id = || ID.to_owned();
    let mut host = StepRunnerClient::new(channel(socket).await?);
    let watch = Stopwatch::start();
    let request = RunRequest {
        id: id(),
        steps: steps(may_greet),
        job: Some(Job {
            build_dir: dir.to_string_lossy().into_owned(),
            ..Job::default()
        }),
        ..RunRequest::default()
    };
    host.run(request).await.context("Run")?;
    let follow = FollowLogsRequest {
        id: id(),
        offset: 0,
    };
    let mut pieces = host
        .follow_logs(follow)
        .await
        .context("FollowLogs")?
        .into_inner();
    let mut log = Vec::new();
    while let Some(piece) = pieces.message().await.context("FollowLogs")? {
        log.extend(piece.data);
    }
    let status = host
        .status(StatusRequest { id: id() })
        .await
        .context("Status")?
        .into_inner();
    host.close(CloseRequest { id: id() })
        .await
        .context("Close")?;
    let took = watch.at().since_zero();

    let job = status.jobs.first().context("Status names no job")?;
    ensure!(
        job.status == step_result::Status::Success as i32,
        "the job ended badly: {}",
        job.message
    );
    let log = String::from_utf8_lossy(&log);
    let said = |text: &str| log.contains(text);
    ensure!(
        said("stephost ") && said(GREETING) == may_greet,
        "the log lacks what the steps said: {log}"
    );
    Ok(took)
}
