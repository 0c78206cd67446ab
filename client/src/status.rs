//! How a job is doing, in a caller's types. The wire's integers end here.

use std::time::{Duration, SystemTime};

use stephost_proto::status_error::ErrorKind;
use stephost_proto::{Status, step_result};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Registered, not started.
    Created,
    /// Running or stopping.
    Running,
    /// Ended well.
    Success,
    /// Ended badly.
    Failure,
    /// Was stopped.
    Cancelled,
    /// A number this client does not know.
    Unknown(i32),
}

/// What kind of failure a job ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The host did not say, or said something this client does not know.
    Unknown,
    /// A step failed by itself.
    StepFailure,
    /// The host or a builtin broke.
    Internal,
    /// Somebody stopped the job.
    Cancelled,
    /// The job ran longer than it may.
    Timeout,
}

/// The host's word on one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// The job.
    pub id: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it did not succeed; empty on success.
    pub message: String,
    /// The kind of failure; `None` while it has none.
    pub kind: Option<Kind>,
    /// When it started.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub ended: Option<SystemTime>,
}

impl JobStatus {
    /// How long the job ran, if it has ended.
    pub fn wall_time(&self) -> Option<Duration> {
        self.ended?.duration_since(self.started?).ok()
    }
}

impl From<Status> for JobStatus {
    fn from(status: Status) -> JobStatus {
        let state = match step_result::Status::try_from(status.status) {
            Ok(step_result::Status::Unspecified) => State::Created,
            Ok(step_result::Status::Running) => State::Running,
            Ok(step_result::Status::Success) => State::Success,
            Ok(step_result::Status::Failure) => State::Failure,
            Ok(step_result::Status::Cancelled) => State::Cancelled,
            Err(_) => State::Unknown(status.status),
        };
        let kind = status
            .error
            .map(|error| match ErrorKind::try_from(error.kind) {
                Ok(ErrorKind::StepFailure) => Kind::StepFailure,
                Ok(ErrorKind::Internal) => Kind::Internal,
                Ok(ErrorKind::Cancelled) => Kind::Cancelled,
                Ok(ErrorKind::Timeout) => Kind::Timeout,
                Ok(ErrorKind::Unknown) | Err(_) => Kind::Unknown,
            });
        JobStatus {
            id: status.id,
            state,
            message: status.message,
            kind,
            started: status
                .start_time
                .and_then(|time| SystemTime::try_from(time).ok()),
            ended: status
                .end_time
                .and_then(|time| SystemTime::try_from(time).ok()),
        }
    }
}
