//! What a runner reports for each way in which a job does not succeed, made to happen one by one (docs/failures.md).
//!
//! The reasons come from the client crate's own function, the same that a runner would use.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets};
use stephost_client::reason::{Seen, report};
use stephost_client::{Client, ClientError, JobStatus, Request};

/// The variable by which a host that is made for tests finds the points at which it is to fail.
pub(super) const POINTS: &str = "STEPHOST_FAULT_DIRECTORY";
/// A point that every step passes.
const POINT: &str = "walk.step";

/// A job that ends badly.
struct Try {
    what: &'static str,
    /// The second document of its steps.
    definition: String,
    timeout: Option<Duration>,
    /// Whether the host is to panic at [`POINT`] of it.
    host_breaks: bool,
    /// What a runner must report.
    expected: &'static str,
}

impl Try {
    fn new(what: &'static str, definition: &str, expected: &'static str) -> Try {
        Try {
            what,
            definition: definition.to_owned(),
            timeout: None,
            host_breaks: false,
            expected,
        }
    }

    /// A builtin that was made to fail in this way.
    fn misbehave(what: &'static str, how: &str, expected: &'static str) -> Try {
        let call = "func: 'builtin://test/misbehave', inputs:";
        let definition = format!("run: [{{name: it, {call} {{how: {how}}}}}]");
        Try::new(what, &definition, expected)
    }
}

/// What is tried.
fn tries() -> [Try; 8] {
    let endless = "exec: {command: [sleep, '60']}";
    let exits = "run: [{name: it, script: exit 7}]";
    let fine = "run: [{name: it, script: 'true'}]";
    let with_code = "script_failure, exit code 7";
    [
        Try::new("a program fails", exits, with_code),
        Try::misbehave("a builtin says that it failed", "fail-with-code", with_code),
        Try::misbehave("a builtin was denied something", "denied", "script_failure"),
        Try::misbehave("a builtin meets a limit", "oom", "script_failure"),
        Try::misbehave("a builtin breaks", "panic", "script_failure"),
        Try::new("the steps are no steps", "exec: [", "script_failure"),
        Try {
            timeout: Some(Duration::from_millis(300)),
            ..Try::new("the job takes too long", endless, "job_execution_timeout")
        },
        Try {
            host_breaks: true,
            ..Try::new("the host breaks", fine, "script_failure")
        },
    ]
}

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
    for (number, tried) in tries().into_iter().enumerate() {
        if tried.host_breaks {
            for sub in ["armed", "fired"] {
                std::fs::create_dir_all(points.join(sub)).context("making a host's points")?;
            }
            std::fs::write(points.join("armed").join(POINT), "panic").context("arming a point")?;
        }
        let request = Request {
            id: format!("reason-{number}"),
            steps: format!("{{}}\n---\n{}", tried.definition),
            timeout: tried.timeout,
            ..Request::default()
        };
        caused.push(Caused {
            what: tried.what,
            seen: client.run_and_follow(request, |_| {}).await,
            expected: tried.expected,
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
