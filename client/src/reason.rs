//! What a runner reports to its server for each ending (contract 2.6).
//!
//! The only place that knows the runner's failure reasons and how it reads an exit code out of a text. The
//! table test below is the contract's table.

use crate::{JobStatus, Kind, State};

/// Why a CI job failed, in the runner's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// The script's own fault, or one that a script could have faked.
    ScriptFailure,
    /// Somebody cancelled the job.
    JobCanceled,
    /// The job ran longer than it may.
    JobExecutionTimeout,
    /// The host did not say.
    UnknownFailure,
}

impl FailureReason {
    /// The reason as the server spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::ScriptFailure => "script_failure",
            FailureReason::JobCanceled => "job_canceled",
            FailureReason::JobExecutionTimeout => "job_execution_timeout",
            FailureReason::UnknownFailure => "unknown_failure",
        }
    }
}

/// The reason a runner gives for a job with this status; `None` for a success.
pub fn failure_reason(status: &JobStatus) -> Option<FailureReason> {
    if status.state == State::Success {
        return None;
    }
    Some(match status.kind {
        Some(Kind::StepFailure | Kind::Internal) => FailureReason::ScriptFailure,
        Some(Kind::Cancelled) => FailureReason::JobCanceled,
        Some(Kind::Timeout) => FailureReason::JobExecutionTimeout,
        Some(Kind::Unknown) | None => FailureReason::UnknownFailure,
    })
}

/// The exit code a runner reads out of an error text: an integer after the first `exit status`, and nothing
/// behind it. Decimal or hexadecimal with `0x`.
pub fn exit_code(message: &str) -> Option<i64> {
    let (_, rest) = message.split_once("exit status")?;
    let rest = rest.trim();
    match rest.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => rest.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State, kind: Option<Kind>) -> JobStatus {
        JobStatus {
            id: "7".into(),
            state,
            message: String::new(),
            kind,
            started: None,
            ended: None,
        }
    }

    #[test]
    fn every_row_of_the_runners_table_holds() {
        use FailureReason::{JobCanceled, JobExecutionTimeout, ScriptFailure, UnknownFailure};
        let table = [
            ("success", State::Success, None, None),
            (
                "step failure",
                State::Failure,
                Some(Kind::StepFailure),
                Some(ScriptFailure),
            ),
            (
                "internal",
                State::Failure,
                Some(Kind::Internal),
                Some(ScriptFailure),
            ),
            (
                "cancelled",
                State::Cancelled,
                Some(Kind::Cancelled),
                Some(JobCanceled),
            ),
            (
                "timeout",
                State::Cancelled,
                Some(Kind::Timeout),
                Some(JobExecutionTimeout),
            ),
            (
                "kind unknown",
                State::Failure,
                Some(Kind::Unknown),
                Some(UnknownFailure),
            ),
            ("kind missing", State::Failure, None, Some(UnknownFailure)),
            ("still running", State::Running, None, Some(UnknownFailure)),
        ];
        for (row, state, kind, reason) in table {
            assert_eq!(
                failure_reason(&status(state, kind)),
                reason,
                "{row}: see contract 2.6"
            );
        }
    }

    #[test]
    fn an_exit_code_is_read_only_from_the_very_end_of_the_text() {
        let table = [
            ("step \"a\": exec: exit status 7", Some(7)),
            ("exit status 0x10", Some(16)),
            ("exit status 3 and more", None),
            ("exit status one: exit status 3", None),
            ("signal: killed", None),
        ];
        for (text, code) in table {
            assert_eq!(exit_code(text), code, "{text}");
        }
    }
}
