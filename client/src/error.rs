//! What can go wrong for a caller, by whose fault it is.
//!
//! Three things that must not be mixed up: the host broke while it worked for a job ([`InternalError`]), the host is
//! well and reports that a job ended badly ([`StatusError`]), and nobody answered or the answer is a refusal (the other
//! rows of [`ClientError`]). What a runner makes of each is said in [`reason`](crate::reason), once.

use std::path::PathBuf;

use tonic::Code;

use crate::{JobStatus, State};

/// Why a call did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error("connecting to the step host at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the connection said.
        #[source]
        source: tonic::transport::Error,
    },
    /// The host broke.
    #[error(transparent)]
    Internal(InternalError),
    /// The host refuses, or the connection was lost.
    #[error("{call}: {}", status.message())]
    Call {
        /// Name of the call.
        call: &'static str,
        /// What the host answered; boxed because it is large.
        status: Box<tonic::Status>,
    },
    /// The trace cannot be sent.
    #[error("the {what} of a trace must be printable ASCII")]
    Trace {
        /// Which part of it.
        what: &'static str,
    },
    /// The host's answer holds nothing for the job that was asked for.
    #[error("the host's answer to Status names no job")]
    NoStatus,
}

impl ClientError {
    /// What the host answered, if it did.
    pub fn status(&self) -> Option<&tonic::Status> {
        match self {
            ClientError::Internal(InternalError { status, .. })
            | ClientError::Call { status, .. } => Some(status),
            ClientError::Connect { .. } | ClientError::Trace { .. } | ClientError::NoStatus => None,
        }
    }

    /// The gRPC code of the answer, if there was one.
    pub fn code(&self) -> Option<Code> {
        self.status().map(tonic::Status::code)
    }
}

/// The host broke while it worked for a job: gRPC `Internal`. Final: every later call about this job is answered so.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {}", status.message())]
pub struct InternalError {
    pub(crate) call: &'static str,
    pub(crate) status: Box<tonic::Status>,
}

impl InternalError {
    /// Name of the call that was answered so.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The host's words: the number under which its operator's log has the rest.
    pub fn message(&self) -> &str {
        self.status.message()
    }
}

/// The host is well, and reports that the job is no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job {}: {}", deed(.0.state), .0.message)]
pub struct StatusError(JobStatus);

impl StatusError {
    /// The host's word on the job.
    pub fn status(&self) -> &JobStatus {
        &self.0
    }
}

fn deed(state: State) -> &'static str {
    match state {
        State::Created | State::Running => "has not ended",
        State::Success => "succeeded",
        State::Failure => "failed",
        State::Cancelled => "was stopped",
        State::Unknown(_) => "is in a state that this client does not know",
    }
}

impl JobStatus {
    /// Makes an error of whatever is no success.
    ///
    /// # Errors
    ///
    /// [`StatusError`] with this status.
    pub fn success(self) -> Result<JobStatus, StatusError> {
        match self.state {
            State::Success => Ok(self),
            State::Created
            | State::Running
            | State::Failure
            | State::Cancelled
            | State::Unknown(_) => Err(StatusError(self)),
        }
    }
}

/// Makes an error of an answer to `call`.
pub(crate) fn failed(call: &'static str) -> impl FnOnce(tonic::Status) -> ClientError {
    move |status| {
        let status = Box::new(status);
        match status.code() {
            Code::Internal => ClientError::Internal(InternalError { call, status }),
            _ => ClientError::Call { call, status },
        }
    }
}
