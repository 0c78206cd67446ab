//! `doctor`: can jobs be run here, and what is contained while they do.
//!
//! Owns the list of checks and how they are told. Every check says what it found on this machine and in this build, not
//! what a later version might use; what it cannot find out is no failure. The last one is a job, over a socket, as a
//! runner would send it. Changes nothing that outlives it.

mod job;
#[cfg_attr(not(target_os = "linux"), path = "doctor/other_machine.rs")]
mod machine;
mod program;

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Color, Style};
use serde::Serialize;
use stephost_policy::Policy;

use super::exit::{self, Failure};
use super::visible::visible;
use super::{print_json, serve, written};
use crate::config;
use crate::run::Functions;

/// Width of the column of names.
const NAME_WIDTH: usize = 14;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be, or of no consequence.
    Ok,
    /// Jobs run, but something is slower or smaller than it could be.
    Warn,
    /// Jobs do not run, or not as they should.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check {
            name,
            verdict: Verdict::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    fn warn(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            verdict: Verdict::Warn,
            advice: Some(advice.into()),
            ..Check::ok(name, detail)
        }
    }

    fn fail(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            verdict: Verdict::Fail,
            advice: Some(advice.into()),
            ..Check::ok(name, detail)
        }
    }
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    version: &'static str,
    verdict: Verdict,
    checks: Vec<Check>,
}

/// Looks at everything and tells it.
pub(super) fn doctor(json: bool) -> Result<u8, Failure> {
    let runtime = serve::runtime()?;
    let checks = runtime.block_on(checks());
    serve::end(runtime);
    let verdicts = checks.iter().map(|check| check.verdict);
    let verdict = verdicts.max().unwrap_or(Verdict::Ok);
    if json {
        print_json(&Report {
            schema: "stephost.doctor/1",
            version: env!("CARGO_PKG_VERSION"),
            verdict,
            checks,
        })?;
    } else {
        // Colours are taken out where nobody sees them.
        written(anstream::stdout().write_all(lines(&checks).as_bytes()))?;
    }
    Ok(match verdict {
        Verdict::Ok | Verdict::Warn => exit::FINE,
        Verdict::Fail => exit::NO,
    })
}

async fn checks() -> Vec<Check> {
    let (policy, own) = (config::policy(), config::own_builtins());
    let (mut checks, has_cgroup) = machine::checks();
    checks.extend([
        program::temporary_files(),
        program::socket(),
        program::policy(&policy),
        program::own_builtins(&own),
        machine::containment(has_cgroup),
    ]);
    let in_force = policy.ok().zip(own.ok());
    let a_host_starts = in_force.is_some();
    let (policy, own) = match in_force {
        Some((loaded, own)) => (loaded.policy, own),
        // For a look at the sandbox.
        None => (Policy::shipped(), Vec::new()),
    };
    let may_greet = policy.functions().any(|function| function == job::BUILTIN);
    let functions = match Functions::new(policy, own) {
        Ok(functions) => {
            checks.extend(program::sandbox(functions.slots()));
            a_host_starts.then_some(functions)
        }
        Err(error) => {
            let advice = "run where memory can be mapped and made executable";
            checks.push(Check::fail("sandbox", told(&error), advice));
            None
        }
    };
    checks.push(match functions {
        Some(functions) => job::check(functions, may_greet).await,
        None => Check::fail(
            "job",
            "not sent: no host starts here",
            "look at what fails above",
        ),
    });
    checks
}

/// An error and its causes.
fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(told, ": {error}");
        cause = error.source();
    }
    told
}

/// One line for each check.
fn lines(checks: &[Check]) -> String {
    let mut lines = String::new();
    for check in checks {
        let (word, colour) = match check.verdict {
            Verdict::Ok => ("ok", AnsiColor::Green),
            Verdict::Warn => ("warn", AnsiColor::Yellow),
            Verdict::Fail => ("fail", AnsiColor::Red),
        };
        let style = Style::new().fg_color(Some(Color::Ansi(colour)));
        let advice = check.advice.as_deref().map(|advice| format!(" → {advice}"));
        let text = visible(&format!("{}{}", check.detail, advice.unwrap_or_default()));
        // Writing to a String cannot fail.
        let _ = writeln!(
            lines,
            "{style}{word:<4}{style:#}  {:<NAME_WIDTH$}  {text}",
            check.name
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_check_is_a_line_whatever_it_found() {
        let checks = [
            Check::ok("kernel", "Linux 6.1"),
            Check::warn("processes", "at most 100", "raise the limit (ulimit -u)"),
            Check::fail("socket", "'/tmp/a\nb\u{1b}[2J\u{202E}'", "use --socket"),
        ];
        let plain = anstream::adapter::strip_str(&lines(&checks)).to_string();
        expect![[r"
            ok    kernel          Linux 6.1
            warn  processes       at most 100 → raise the limit (ulimit -u)
            fail  socket          '/tmp/a\nb\u{1b}[2J\u{202e}' → use --socket
        "]]
        .assert_eq(&plain);
    }

    #[test]
    fn the_worst_verdict_counts() {
        assert!(Verdict::Ok < Verdict::Warn && Verdict::Warn < Verdict::Fail);
    }
}
