//! A typed client of a step host: run a job, follow its log from any offset, see how it ended.
//!
//! Owns what a caller needs beyond the wire: connecting to a socket, resuming a log after a broken
//! connection ([`follow`]), and what a runner reports for each ending ([`reason`]). Promises: a log that was
//! followed to its end is byte for byte the stored log; an error says whose fault it was. Never starts a
//! host, never interprets log bytes. Called by `xtask`, the tests, and anybody who writes a runner.

#![forbid(unsafe_code)]

pub mod follow;
pub mod reason;
mod status;

use std::path::{Path, PathBuf};
use std::time::Duration;

use stephost_proto::connect::connect;
use stephost_proto::step_runner_client::StepRunnerClient;
use stephost_proto::{
    CancelRequest, CloseRequest, Job, RunRequest, StatusRequest, Variable as WireVariable,
};
use tonic::transport::Channel;

pub use follow::Follow;
pub use status::{JobStatus, Kind, State};

/// Largest frame in bytes that a host may send: more than a piece of a log has, so that each travels in one.
const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// A CI variable of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value, or the content of the file.
    pub value: String,
    /// Hand it over as a file.
    pub file: bool,
    /// Hide the value in the log.
    pub masked: bool,
}

/// A job to run.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Unique in the host: 1 to 256 bytes without control characters.
    pub id: String,
    /// Two YAML documents: spec and definition.
    pub steps: String,
    /// Where the job works; the host's own directory when empty.
    pub build_dir: String,
    /// Environment of every step.
    pub env: Vec<(String, String)>,
    /// Variables, seen by expressions as `job` and `vars`.
    pub variables: Vec<Variable>,
    /// Longest run time, counted by the host.
    pub timeout: Option<Duration>,
    /// Time between the polite signal and the kill; the host's default when absent.
    pub grace: Option<Duration>,
}

impl From<Request> for RunRequest {
    fn from(request: Request) -> RunRequest {
        let duration = |value: Duration| prost_types::Duration {
            seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
        };
        RunRequest {
            id: request.id,
            work_dir: String::new(),
            env: request.env.into_iter().collect(),
            job: Some(Job {
                variables: request
                    .variables
                    .into_iter()
                    .map(|variable| WireVariable {
                        key: variable.key,
                        value: variable.value,
                        file: variable.file,
                        masked: variable.masked,
                    })
                    .collect(),
                build_dir: request.build_dir,
            }),
            steps: request.steps,
            timeout: request.timeout.map(duration),
            graceful_exit_timeout: request.grace.map(duration),
        }
    }
}

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
    /// The host answered with an error.
    #[error("{call}: {}", status.message())]
    Call {
        /// Name of the call.
        call: &'static str,
        /// What the host answered; boxed because it is large.
        status: Box<tonic::Status>,
    },
    /// The host's answer holds nothing for the job that was asked for.
    #[error("the host's answer to Status names no job")]
    NoStatus,
}

impl ClientError {
    /// The gRPC code of the answer, if there was one.
    pub fn code(&self) -> Option<tonic::Code> {
        match self {
            ClientError::Call { status, .. } => Some(status.code()),
            ClientError::Connect { .. } | ClientError::NoStatus => None,
        }
    }
}

fn failed(call: &'static str) -> impl FnOnce(tonic::Status) -> ClientError {
    move |status| ClientError::Call {
        call,
        status: Box::new(status),
    }
}

/// A connection to one host. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: StepRunnerClient<Channel>,
}

impl Client {
    /// Connects to the host that listens at `socket`; on Windows that is a named pipe.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`] when nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Client, ClientError> {
        let refused = |source| ClientError::Connect {
            socket: socket.to_owned(),
            source,
        };
        let channel = connect(socket, |endpoint| endpoint.max_frame_size(FRAME_BYTES_MAX))
            .await
            .map_err(refused)?;
        Ok(Client::over(channel))
    }

    /// Speaks over a channel that exists already, whatever carries it.
    pub fn over(channel: Channel) -> Client {
        Client {
            inner: StepRunnerClient::new(channel),
        }
    }

    /// Registers a job and starts it; returns as soon as the host has it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with the host's reason; the host has kept nothing of the job then.
    pub async fn run(&self, request: Request) -> Result<(), ClientError> {
        self.inner
            .clone()
            .run(RunRequest::from(request))
            .await
            .map_err(failed("Run"))?;
        Ok(())
    }

    /// Follows the log of `id` from `offset`, in stored bytes, until the job has finished.
    pub fn follow(&self, id: &str, offset: u64) -> Follow {
        Follow::new(self.inner.clone(), id.to_owned(), offset)
    }

    /// Says how `id` is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with `NotFound` when the host knows no such job.
    pub async fn status(&self, id: &str) -> Result<JobStatus, ClientError> {
        self.statuses(id)
            .await?
            .into_iter()
            .next()
            .ok_or(ClientError::NoStatus)
    }

    /// Says how every job of the host is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] when the host does not answer.
    pub async fn list(&self) -> Result<Vec<JobStatus>, ClientError> {
        self.statuses("").await
    }

    async fn statuses(&self, id: &str) -> Result<Vec<JobStatus>, ClientError> {
        let request = StatusRequest { id: id.to_owned() };
        let response = self
            .inner
            .clone()
            .status(request)
            .await
            .map_err(failed("Status"))?;
        Ok(response
            .into_inner()
            .jobs
            .into_iter()
            .map(JobStatus::from)
            .collect())
    }

    /// Asks the running step of `id` to stop politely. May be called again.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] with `NotFound` when the host knows no such job.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let request = CancelRequest { id: id.to_owned() };
        self.inner
            .clone()
            .cancel(request)
            .await
            .map_err(failed("Cancel"))?;
        Ok(())
    }

    /// Ends `id`, removes what it left and frees the id. Answers for unknown ids too.
    ///
    /// # Errors
    ///
    /// [`ClientError::Call`] when the host does not answer.
    pub async fn close(&self, id: &str) -> Result<(), ClientError> {
        let request = CloseRequest { id: id.to_owned() };
        self.inner
            .clone()
            .close(request)
            .await
            .map_err(failed("Close"))?;
        Ok(())
    }

    /// Runs a job, hands every piece of its log to `sink`, and says how it ended. Closes it in every case
    /// in which the host had accepted it.
    ///
    /// # Errors
    ///
    /// The first call that failed. A job that failed is no error of this function.
    pub async fn run_and_follow(
        &self,
        request: Request,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<JobStatus, ClientError> {
        let id = request.id.clone();
        self.run(request).await?;
        let mut log = self.follow(&id, 0);
        let followed = loop {
            match log.next().await {
                Ok(Some(piece)) => sink(&piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let status = self.status(&id).await;
        let closed = self.close(&id).await;
        followed?;
        let status = status?;
        closed?;
        Ok(status)
    }
}
