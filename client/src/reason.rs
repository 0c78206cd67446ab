//! What a runner reports to its server for each thing that it can see (contract 2.6).
//!
//! The only place that knows the runner's failure reasons and how it reads an exit code out of a text. The table test
//! below is the contract's table.
//!
//! Why so little is called a system failure: who pays for a job, and whether it is tried again, hangs on the reason. A
//! host that shares a container with the job's own steps can be killed by them, made to say anything by a builtin that
//! traps, or cut off in the middle of an answer. So nothing that happens after a job was handed over excuses it: a broken
//! host (`Internal`, or an ending of kind internal) is the script's failure, and so is a lost connection. Alarms about
//! broken hosts come from the host's own log and counters, which no job can write. One thing is left that no job can
//! cause, because none was handed over yet: nobody answers when the runner connects.
//!
//! Not decided here: what a container means that ended before its host was ready (the runner knows its exit code), and
//! who cancelled a job. A caller that cancelled because its own clock ran out reports that instead of
//! [`FailureReason::JobCanceled`].

use crate::{ClientError, JobStatus, Kind, State};

/// What a runner saw of a job in the end.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// The host's word on it.
    Status(&'a JobStatus),
    /// A call that was not answered.
    Error(&'a ClientError),
}

impl<'a> From<&'a Result<JobStatus, ClientError>> for Seen<'a> {
    fn from(outcome: &'a Result<JobStatus, ClientError>) -> Seen<'a> {
        match outcome {
            Ok(status) => Seen::Status(status),
            Err(error) => Seen::Error(error),
        }
    }
}

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
    /// The runner's own fault: there was no host to hand the job to.
    RunnerSystemFailure,
}

impl FailureReason {
    /// The reason as the server spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::ScriptFailure => "script_failure",
            FailureReason::JobCanceled => "job_canceled",
            FailureReason::JobExecutionTimeout => "job_execution_timeout",
            FailureReason::UnknownFailure => "unknown_failure",
            FailureReason::RunnerSystemFailure => "runner_system_failure",
        }
    }
}

/// What a runner reports for a job that is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Why it failed.
    pub reason: FailureReason,
    /// The number that it failed with, if the text has one.
    pub exit_code: Option<i64>,
}

/// What a runner reports; `None` for a success.
pub fn report(seen: Seen<'_>) -> Option<Report> {
    let (reason, text) = match seen {
        Seen::Status(status) => match status.state {
            State::Success => return None,
            State::Created
            | State::Running
            | State::Failure
            | State::Cancelled
            | State::Unknown(_) => (of_kind(status.kind), status.message.as_str()),
        },
        Seen::Error(error) => {
            let text = error.status().map_or("", tonic::Status::message);
            (of_error(error), text)
        }
    };
    let exit_code = match reason {
        // The runner's error is replaced by its own word for it.
        FailureReason::JobCanceled => None,
        FailureReason::ScriptFailure
        | FailureReason::JobExecutionTimeout
        | FailureReason::UnknownFailure
        | FailureReason::RunnerSystemFailure => exit_code(text),
    };
    Some(Report { reason, exit_code })
}

fn of_kind(kind: Option<Kind>) -> FailureReason {
    match kind {
        Some(Kind::StepFailure | Kind::Internal) => FailureReason::ScriptFailure,
        Some(Kind::Cancelled) => FailureReason::JobCanceled,
        Some(Kind::Timeout) => FailureReason::JobExecutionTimeout,
        Some(Kind::Unknown) | None => FailureReason::UnknownFailure,
    }
}

fn of_error(error: &ClientError) -> FailureReason {
    match error {
        // For another code than `Internal` the runner gives no reason, and its server takes that for this one.
        ClientError::Internal(_) | ClientError::Call { .. } => FailureReason::ScriptFailure,
        ClientError::NoStatus => FailureReason::UnknownFailure,
        // The host has heard of no job, so no job can have made this up.
        ClientError::Connect { .. } | ClientError::Trace { .. } => {
            FailureReason::RunnerSystemFailure
        }
    }
}

/// The exit code a runner reads out of an error text: an integer after the first `exit status`, and nothing
/// behind it. Decimal or hexadecimal with `0x`. What Windows shows of a negative one becomes negative again.
pub fn exit_code(message: &str) -> Option<i64> {
    let (_, rest) = message.split_once("exit status")?;
    let rest = rest.trim();
    let code = match rest.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => rest.parse().ok(),
    }?;
    match u32::try_from(code) {
        Ok(code) => Some(i64::from(code.cast_signed())),
        Err(_) => Some(code),
    }
}

#[cfg(test)]
mod tests {
    use FailureReason::{
        JobCanceled, JobExecutionTimeout, RunnerSystemFailure, ScriptFailure, UnknownFailure,
    };
    use tonic::{Code, Status};

    use super::*;
    use crate::error::failed;

    fn status(state: State, kind: Option<Kind>) -> JobStatus {
        JobStatus {
            id: "7".into(),
            state,
            message: "step \"it\": exec: exit status 3".into(),
            kind,
            started: None,
            ended: None,
        }
    }

    #[test]
    fn every_row_of_the_runners_table_holds() {
        let table = [
            (
                "step_failure",
                State::Failure,
                Some(Kind::StepFailure),
                (ScriptFailure, Some(3)),
            ),
            (
                "internal",
                State::Failure,
                Some(Kind::Internal),
                (ScriptFailure, Some(3)),
            ),
            (
                "cancelled",
                State::Cancelled,
                Some(Kind::Cancelled),
                (JobCanceled, None),
            ),
            (
                "timeout",
                State::Cancelled,
                Some(Kind::Timeout),
                (JobExecutionTimeout, Some(3)),
            ),
            (
                "kind unknown",
                State::Failure,
                Some(Kind::Unknown),
                (UnknownFailure, Some(3)),
            ),
            (
                "kind missing",
                State::Failure,
                None,
                (UnknownFailure, Some(3)),
            ),
            (
                "still running",
                State::Running,
                None,
                (UnknownFailure, Some(3)),
            ),
            ("not begun", State::Created, None, (UnknownFailure, Some(3))),
            (
                "a state of tomorrow",
                State::Unknown(9),
                None,
                (UnknownFailure, Some(3)),
            ),
        ];
        for (row, state, kind, (reason, exit_code)) in table {
            assert_eq!(
                report(Seen::Status(&status(state, kind))),
                Some(Report { reason, exit_code }),
                "{row}: see contract 2.6"
            );
            assert!(status(state, kind).success().is_err(), "{row}");
        }
        let success = status(State::Success, None);
        assert_eq!(report(Seen::Status(&success)), None);
        assert_eq!(success.clone().success(), Ok(success));
    }

    #[test]
    fn after_a_job_was_handed_over_no_answer_is_a_system_failure() {
        for code in 1..=16 {
            let code = Code::from_i32(code);
            for (text, exit_code) in [("lost", None), ("exec: exit status 3", Some(3))] {
                let error = failed("FollowLogs")(Status::new(code, text));
                assert_eq!(
                    matches!(error, ClientError::Internal(_)),
                    code == Code::Internal,
                    "{code:?}"
                );
                let reason = ScriptFailure;
                assert_eq!(
                    report(Seen::Error(&error)),
                    Some(Report { reason, exit_code }),
                    "{code:?}: see contract 2.6"
                );
            }
        }
        let reason = UnknownFailure;
        let exit_code = None;
        assert_eq!(
            report(Seen::Error(&ClientError::NoStatus)),
            Some(Report { reason, exit_code })
        );
    }

    #[tokio::test]
    async fn where_nobody_listens_the_runner_is_to_blame() {
        let nobody = std::path::Path::new("/no/such/directory/socket");
        let error = crate::Client::connect(nobody).await.unwrap_err();
        let reason = RunnerSystemFailure;
        let exit_code = None;
        assert_eq!(
            report(Seen::Error(&error)),
            Some(Report { reason, exit_code })
        );
    }

    #[test]
    fn an_exit_code_is_read_only_from_the_very_end_of_the_text() {
        let table = [
            ("step \"a\": exec: exit status 7", Some(7)),
            ("exit status 0x10", Some(16)),
            ("exit status -1", Some(-1)),
            ("exit status 4294967295", Some(-1)),
            ("exit status 3 and more", None),
            ("exit status one: exit status 3", None),
            ("exit status", None),
            ("signal: killed", None),
        ];
        for (text, code) in table {
            assert_eq!(exit_code(text), code, "{text}");
        }
    }
}
