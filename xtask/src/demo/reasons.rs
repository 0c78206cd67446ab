//! What a runner reports for each way in which a job does not succeed, made to happen one by one (docs/failures.md).
//!
//! The reasons come from the client crate's own function, the same that a runner would use.

use std::path::Path;

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets};
use stephost_client::reason::{Seen, report};
use stephost_client::{Client, ClientError, JobStatus, Request};

/// The variable by which a host that is made for tests finds the points at which it is to fail.
pub(super) const POINTS: &str = "STEPHOST_FAULT_DIRECTORY";
/// A point that every step passes.
const POINT: &str = "walk.step";

/// What is tried, and how a runner calls it.
const JOBS: [(&str, &str, &str); 8] = [
    (
        "a program fails",
        "run: [{name: it, script: exit 7}]",
        "script_failure, exit code 7",
    ),
    (
        "a builtin says that it failed",
        "{how: fail-with-code}",
        "script_failure, exit code 7",
    ),
    (
        "a builtin was denied something",
        "{how: denied}",
        "script_failure",
    ),
    ("a builtin meets a limit", "{how: oom}", "script_failure"),
    ("a builtin breaks", "{how: panic}", "script_failure"),
    ("the steps are no steps", "exec: [", "script_failure"),
    (
        "the job takes too long",
        "exec: {command: [sleep, '60']}",
        "job_execution_timeout",
    ),
    (
        "the host breaks",
        "run: [{name: it, script: 'true'}]",
        "script_failure",
    ),
];

/// What happened, what was seen of it, and what a runner must report.
pub(super) struct Caused {
    what: &'static str,
    seen: Result<JobStatus, ClientError>,
    expected: &'static str,
}

/// What a runner reports, in short.
pub(super) fn reported(seen: Seen<'_>) -> String {
    let Some(report) = report(seen) else {
        return "success".to_owned();
    };
    let code = report.exit_code.map(|code| format!(", exit code {code}"));
    format!("{}{}", report.reason.as_str(), code.unwrap_or_default())
}

/// Makes all of it happen.
pub(super) async fn cause(
    client: &Client,
    points: &Path,
    nobody: &Path,
) -> anyhow::Result<Vec<Caused>> {
    let mut caused = Vec::new();
    for (number, (what, definition, expected)) in JOBS.into_iter().enumerate() {
        if what == "the host breaks" {
            for sub in ["armed", "fired"] {
                std::fs::create_dir_all(points.join(sub)).context("making a host's points")?;
            }
            std::fs::write(points.join("armed").join(POINT), "panic").context("arming a point")?;
        }
        let definition = if definition.starts_with('{') {
            format!("run: [{{name: it, func: 'builtin://test/misbehave', inputs: {definition}}}]")
        } else {
            definition.to_owned()
        };
        let request = Request {
            id: format!("reason-{number}"),
            steps: format!("{{}}\n---\n{definition}"),
            timeout: (what == "the job takes too long")
                .then_some(std::time::Duration::from_millis(300)),
            ..Request::default()
        };
        caused.push(Caused {
            what,
            seen: client.run_and_follow(request, |_| {}).await,
            expected,
        });
    }
    let cancelled = Request {
        id: "reason-cancelled".to_owned(),
        steps: "{}\n---\nexec: {command: [sleep, '60']}".to_owned(),
        ..Request::default()
    };
    client.run(cancelled).await?;
    client.cancel("reason-cancelled").await?;
    let mut log = client.follow("reason-cancelled", 0);
    while log.next().await?.is_some() {}
    caused.push(Caused {
        what: "somebody cancels",
        seen: client.status("reason-cancelled").await,
        expected: "job_canceled",
    });
    client.close("reason-cancelled").await?;
    caused.push(Caused {
        what: "nobody listens",
        seen: match Client::connect(nobody).await {
            Ok(_) => anyhow::bail!("somebody listens at {}", nobody.display()),
            Err(error) => Err(error),
        },
        expected: "runner_system_failure",
    });
    Ok(caused)
}

/// Prints it, and fails where a runner would report something else.
pub(super) fn print(caused: &[Caused]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["what happened", "the host says", "a runner reports"]);
    for Caused { what, seen, .. } in caused {
        let said = match seen {
            Ok(status) => format!(
                "{}, {}",
                super::state_word(status.state),
                status.kind.map_or("-", super::kind_word)
            ),
            Err(error) => error
                .code()
                .map_or("nothing".to_owned(), |code| format!("{code:?}")),
        };
        table.add_row([(*what).to_owned(), said, reported(Seen::from(seen))]);
    }
    println!("\n{table}");
    for Caused {
        what,
        seen,
        expected,
    } in caused
    {
        let found = reported(Seen::from(seen));
        ensure!(
            found == *expected,
            "{what}: a runner reports {found}, not {expected}"
        );
    }
    Ok(())
}
