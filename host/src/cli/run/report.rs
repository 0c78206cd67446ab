//! How a run is told when it is over: outputs, the card of a failure, one JSON document, the exit code.
//!
//! Promises: the card is the last thing on stderr; nothing in it acts on a terminal, whatever a step printed or a file
//! says; an ending has one kind, one exit code and one word about what to do next. Called by `cli::run`.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};
use stephost_job::Ending;

use super::engine::{Ended, path_text};
use super::exit;
use crate::cli::visible::visible;

/// Most lines of a step that a card repeats.
const LINES_MAX: usize = 10;

/// Most characters of such a line.
const LINE_CHARS_MAX: usize = 200;

/// What stands for a tab.
const TAB: &str = "    ";

/// The name and version of the JSON document.
const SCHEMA: &str = "stephost.run/1";

/// What kind of ending it is, for people and for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success,
    StepFailure,
    Denied,
    Limit,
    Internal,
    Cancelled,
    Timeout,
}

impl Kind {
    fn of(ending: &Ending) -> Kind {
        match ending {
            Ending::Success => Kind::Success,
            Ending::Failed { .. } => Kind::StepFailure,
            Ending::Denied { .. } => Kind::Denied,
            Ending::Limit { .. } => Kind::Limit,
            Ending::Internal { .. } => Kind::Internal,
            Ending::Cancelled { .. } => Kind::Cancelled,
            Ending::TimedOut { .. } => Kind::Timeout,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Success => "success",
            Kind::StepFailure => "step_failure",
            Kind::Denied => "denied",
            Kind::Limit => "limit",
            Kind::Internal => "internal",
            Kind::Cancelled => "cancelled",
            Kind::Timeout => "timeout",
        }
    }

    /// The beginning of a card.
    fn title(self) -> &'static str {
        match self {
            Kind::Success => "succeeded",
            Kind::StepFailure => "failed",
            Kind::Denied => "denied by the policy",
            Kind::Limit => "ended by a limit of the policy",
            Kind::Internal => "broke",
            Kind::Cancelled => "stopped",
            Kind::Timeout => "timed out",
        }
    }

    fn hint(self, exit_status: Option<i32>) -> &'static str {
        match self {
            Kind::Success => "",
            Kind::StepFailure if exit_status.is_some() => {
                "the program of the step ended with this status; its own words are above"
            }
            Kind::StepFailure => "the text above says what the step lacks",
            Kind::Denied | Kind::Limit => {
                "`stephost policy show` prints what is granted and every limit"
            }
            Kind::Internal => {
                "not the fault of the steps: a builtin or this host broke, please report it"
            }
            Kind::Cancelled => "what ran was stopped on request, later steps were not started",
            Kind::Timeout => "a longer --timeout gives it more time",
        }
    }
}

/// The exit code of this program. `signal` is that of the signal that stopped the job, if one did.
pub(super) fn code(ending: &Ending, propagate: bool, signal: Option<u8>) -> u8 {
    let own = match ending {
        Ending::Failed {
            exit_status: Some(status),
            ..
        } if propagate => u8::try_from(*status).ok().filter(|status| *status != 0),
        _ => None,
    };
    own.unwrap_or(match Kind::of(ending) {
        Kind::Success => exit::FINE,
        Kind::StepFailure | Kind::Limit | Kind::Timeout => exit::STEP_FAILED,
        Kind::Denied => exit::DENIED,
        Kind::Internal => exit::INTERNAL,
        Kind::Cancelled => signal.unwrap_or(exit::INTERRUPTED),
    })
}

fn exit_status(ending: &Ending) -> Option<i32> {
    match ending {
        Ending::Failed { exit_status, .. } => *exit_status,
        _ => None,
    }
}

/// The outputs, a line each.
pub(super) fn outputs(ended: &Ended) -> String {
    let mut text = String::new();
    for (name, value) in &ended.outputs {
        // Writing to a String cannot fail.
        let _ = match value {
            Some(value) => writeln!(text, "output {name} = {}", visible(&value.to_string())),
            None => writeln!(text, "output {name} is sensitive"),
        };
    }
    text
}

/// What is said about an ending that is no success, last of all. `what` names what was run.
pub(super) fn card(what: &str, ended: &Ended) -> String {
    let kind = Kind::of(&ended.ending);
    let mut text = String::new();
    let place = match path_text(&ended.path) {
        path if path.is_empty() => visible(what),
        path => format!("step {path}"),
    };
    let status = exit_status(&ended.ending)
        .map_or_else(String::new, |status| format!(" (exit status {status})"));
    let _ = writeln!(
        text,
        "error: {place} {}{status} after {}",
        kind.title(),
        duration(ended)
    );
    let _ = writeln!(text, "  what: {}", visible(&message(ended)));
    let lines = last_lines(&ended.tail);
    if !lines.is_empty() {
        let _ = writeln!(text, "  its last lines:");
        for line in &lines {
            let _ = writeln!(text, "    | {line}");
        }
    }
    let _ = writeln!(text, "  next: {}", kind.hint(exit_status(&ended.ending)));
    text
}

/// The document of `--json`.
pub(super) fn document(what: &str, ended: &Ended, differs: &[String], code: u8) -> String {
    let outputs: Map<String, Json> = ended
        .outputs
        .iter()
        .map(|(name, value)| {
            let shown = match value {
                Some(value) => json!({ "value": value }),
                None => json!({ "sensitive": true }),
            };
            (name.to_string(), shown)
        })
        .collect();
    let path: Vec<&str> = ended
        .path
        .iter()
        .map(stephost_steps::Name::as_str)
        .collect();
    let failed = !ended.ending.is_success();
    let rest = json!({
        "what": what,
        "ending": Kind::of(&ended.ending).word(),
        "message": if failed { Json::from(message(ended)) } else { Json::Null },
        "step": if failed { json!(path) } else { json!([]) },
        "exit_status": exit_status(&ended.ending),
        "exit_code": code,
        "elapsed_ms": u64::try_from(ended.elapsed.as_millis()).unwrap_or(u64::MAX),
        "outputs": outputs,
        "last_lines": if failed { last_lines(&ended.tail) } else { Vec::new() },
        "differs": differs,
    });
    // The schema stands first, so that a reader knows what comes.
    let rest = rest.to_string();
    format!(
        "{{\"schema\":\"{SCHEMA}\",{}\n",
        rest.trim_start_matches('{')
    )
}

/// What went wrong, without the steps that the card names anyway.
fn message(ended: &Ended) -> String {
    let steps: String = ended
        .path
        .iter()
        .map(|name| format!("step \"{name}\": "))
        .collect();
    ended
        .message
        .replacen(&steps, "", usize::from(!steps.is_empty()))
}

fn duration(ended: &Ended) -> String {
    let seconds = ended.elapsed.as_secs();
    if seconds < 60 {
        format!("{:.1} s", ended.elapsed.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// The last lines of a text, as a person would have seen them: without colours, and of a line that was written over
/// the last state.
fn last_lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let text = anstream::adapter::strip_str(&text).to_string();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let last = line.rsplit('\r').find(|state| !state.trim().is_empty());
            let line = last.unwrap_or_default().trim_end();
            let cut: String = line.chars().take(LINE_CHARS_MAX).collect();
            let dots = if cut.len() < line.len() { "…" } else { "" };
            format!("{}{dots}", visible(&cut.replace('\t', TAB)))
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].to_vec()
}

#[cfg(test)]
mod tests;
