//! Values of the wire to values of the host and back. Checks what can be checked without knowing a job.

use std::path::PathBuf;
use std::time::Duration;

use stephost_job::{Ending, JobId, Kind};
use stephost_joblog::LogOffset;
use stephost_proto::status_error::ErrorKind;
use stephost_proto::{RunRequest, Status as WireStatus, StatusError, step_result};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::jobs::{JobView, Life, Submission, Variable, Work};
use crate::observe::TraceContext;

/// Largest steps text in bytes (design D3).
const STEPS_BYTES_MAX: usize = 4 << 20;
/// Longest timeout and grace. A clock cannot count much further, and nobody means it.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A job id.
pub(super) fn id(text: &str) -> Result<JobId, Status> {
    JobId::parse(text).map_err(|error| Status::invalid_argument(format!("id: {error}")))
}

/// A log offset.
pub(super) fn offset(offset: i64) -> Result<LogOffset, Status> {
    LogOffset::try_from(offset)
        .map_err(|error| Status::invalid_argument(format!("offset: {error}")))
}

/// Whose trace a call is part of, as its metadata says (W3C Trace Context). What is not understood is left out: it must
/// not keep a job from running.
pub(super) fn trace_context(metadata: &MetadataMap) -> Option<TraceContext> {
    let mut parents = metadata.get_all("traceparent").iter();
    let parent = parents.next()?;
    let parent = parent.to_str().unwrap_or_default();
    let mut context = match TraceContext::parse(parent) {
        Ok(context) if parents.next().is_none() => context,
        Ok(_) => {
            tracing::warn!("the traceparent of a call is left out: there are several");
            return None;
        }
        Err(fault) => {
            tracing::warn!("the traceparent of a call is left out: {fault}");
            return None;
        }
    };
    // Several of them are one list.
    let states: Option<Vec<&str>> = metadata
        .get_all("tracestate")
        .iter()
        .map(|state| state.to_str().ok())
        .collect();
    let is_absent = states.as_ref().is_some_and(Vec::is_empty);
    let is_passed_on = states.is_some_and(|states| context.add_state(&states.join(",")));
    if !is_absent && !is_passed_on {
        tracing::warn!("the tracestate of a call is left out: not a list of the standard");
    }
    Some(context)
}

/// A job to run.
pub(super) fn submission(
    request: RunRequest,
    trace: Option<TraceContext>,
) -> Result<Submission, Status> {
    let id = id(&request.id)?;
    if request.steps.len() > STEPS_BYTES_MAX {
        return Err(Status::resource_exhausted(format!(
            "steps: {} bytes of YAML are more than the {} MiB that a job may have",
            request.steps.len(),
            STEPS_BYTES_MAX >> 20
        )));
    }
    let job = request.job.unwrap_or_default();
    let directory = [job.build_dir, request.work_dir]
        .into_iter()
        .find(|dir| !dir.is_empty());
    if directory
        .as_ref()
        .is_some_and(|directory| directory.contains('\0'))
    {
        return Err(Status::invalid_argument(
            "job.build_dir, work_dir: a path cannot contain a NUL byte",
        ));
    }
    Ok(Submission {
        id,
        work: Work::Text(request.steps),
        directory: directory.map(PathBuf::from),
        env: request.env.into_iter().collect(),
        variables: job
            .variables
            .into_iter()
            .map(|variable| Variable {
                key: variable.key,
                value: variable.value,
                file: variable.file,
                masked: variable.masked,
            })
            .collect(),
        // Zero is what clients send that know no limit.
        timeout: duration("timeout", request.timeout)?.filter(|timeout| !timeout.is_zero()),
        grace: duration("graceful_exit_timeout", request.graceful_exit_timeout)?,
        trace,
        watcher: None,
    })
}

fn duration(field: &str, value: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let Some(value) = value else { return Ok(None) };
    // Of any sign and size, also where both parts disagree. The wire's own conversion overflows at the ends.
    let nanos = i128::from(value.seconds) * 1_000_000_000 + i128::from(value.nanos);
    let Ok(nanos) = u128::try_from(nanos) else {
        return Err(Status::invalid_argument(format!("{field}: negative")));
    };
    if nanos > DURATION_MAX.as_nanos() {
        return Err(Status::invalid_argument(format!(
            "{field}: longer than a year"
        )));
    }
    Ok(Some(Duration::from_nanos_u128(nanos)))
}

/// How a job is doing, for the wire. The only place where an ending gets a wire status.
pub(super) fn status(view: JobView) -> WireStatus {
    use step_result::Status as State;
    let (state, message, kind) = match view.life {
        Life::Created => (State::Unspecified, String::new(), None),
        Life::Running => (State::Running, String::new(), None),
        Life::Done { ending, message } => (state(&ending), message, ending.kind().map(error_kind)),
        Life::Broken(incident) => (State::Failure, incident, Some(ErrorKind::Internal)),
    };
    WireStatus {
        id: view.id.to_string(),
        error: kind.map(|kind| StatusError {
            message: message.clone(),
            kind: kind.into(),
        }),
        message,
        status: state.into(),
        start_time: view.started.map(Into::into),
        end_time: view.ended.map(Into::into),
    }
}

fn state(ending: &Ending) -> step_result::Status {
    match ending {
        Ending::Success => step_result::Status::Success,
        Ending::Failed { .. }
        | Ending::Denied { .. }
        | Ending::Limit { .. }
        | Ending::Internal { .. } => step_result::Status::Failure,
        Ending::Cancelled { .. } | Ending::TimedOut { .. } => step_result::Status::Cancelled,
    }
}

fn error_kind(kind: Kind) -> ErrorKind {
    match kind {
        Kind::StepFailure => ErrorKind::StepFailure,
        Kind::Internal => ErrorKind::Internal,
        Kind::Cancelled => ErrorKind::Cancelled,
        Kind::Timeout => ErrorKind::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_the_status_and_kind_of_the_contract() {
        use step_result::Status as State;
        let message = String::new;
        let failed = Ending::Failed {
            message: message(),
            exit_status: Some(3),
        };
        let table = [
            (Ending::Success, State::Success, None, "contract 2.5"),
            (
                failed,
                State::Failure,
                Some(ErrorKind::StepFailure),
                "contract 2.5",
            ),
            (
                Ending::Denied { message: message() },
                State::Failure,
                Some(ErrorKind::StepFailure),
                "design D2",
            ),
            (
                Ending::Limit { message: message() },
                State::Failure,
                Some(ErrorKind::StepFailure),
                "design D2",
            ),
            (
                Ending::Internal { message: message() },
                State::Failure,
                Some(ErrorKind::Internal),
                "design D2",
            ),
            (
                Ending::Cancelled { message: message() },
                State::Cancelled,
                Some(ErrorKind::Cancelled),
                "design D2",
            ),
            (
                Ending::TimedOut { message: message() },
                State::Cancelled,
                Some(ErrorKind::Timeout),
                "design D2",
            ),
        ];
        for (ending, expected_state, expected_kind, source) in table {
            assert_eq!(state(&ending), expected_state, "{ending:?}: see {source}");
            assert_eq!(
                ending.kind().map(error_kind),
                expected_kind,
                "{ending:?}: see {source}"
            );
        }
    }

    #[test]
    fn durations_that_no_clock_can_count_are_refused() {
        let wire = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        assert_eq!(duration("t", None).unwrap(), None);
        assert_eq!(
            duration("t", wire(1, 500_000_000)).unwrap(),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            duration("t", wire(2, -500_000_000)).unwrap(),
            Some(Duration::from_millis(1500)),
            "parts that disagree"
        );
        let refused = [
            ("negative", wire(-1, 0)),
            ("negative", wire(0, -1)),
            ("negative", wire(i64::MIN, i32::MIN)),
            ("negative", wire(i64::MIN, i32::MAX)),
            ("longer than a year", wire(i64::MAX, 0)),
            ("longer than a year", wire(i64::MAX, i32::MAX)),
            ("longer than a year", wire(i64::MAX, i32::MIN)),
        ];
        for (row, value) in refused {
            let status = duration("t", value).expect_err(row);
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{row}");
            assert_eq!(status.message(), format!("t: {row}"));
        }
    }
}
