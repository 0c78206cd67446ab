//! A typed client of a step host: run a job, follow its log from any offset, see how it ended.
//!
//! Owns what a caller needs beyond the wire: connecting to a socket, resuming a log after a broken
//! connection ([`follow`]), and what a runner reports for each thing it sees ([`reason`]). Promises: a log that was
//! followed to its end is byte for byte the stored log; an error says whose fault it was ([`ClientError`]). Never starts a
//! host, never interprets log bytes. Called by `xtask`, the tests, and anybody who writes a runner.

#![forbid(unsafe_code)]

mod error;
pub mod follow;
pub mod reason;
mod status;

use std::path::Path;
use std::time::Duration;

use stephost_proto::connect::connect;
use stephost_proto::step_runner_client::StepRunnerClient;
use stephost_proto::{
    CancelRequest, CloseRequest, Job, RunRequest, StatusRequest, Variable as WireVariable,
};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use error::failed;

pub use error::{ClientError, InternalError, StatusError};
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

/// Where in which trace a job belongs (W3C Trace Context). A host leaves out what it does not understand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// `00-TRACE-PARENT-FLAGS`.
    pub parent: String,
    /// What tracing systems say to each other; may be empty.
    pub state: String,
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
    /// The trace that the job is part of, if it is.
    pub trace: Option<Trace>,
}

impl Trace {
    fn put_into(&self, metadata: &mut MetadataMap) -> Result<(), ClientError> {
        for (what, text) in [("traceparent", &self.parent), ("tracestate", &self.state)] {
            if !text.is_empty() {
                let value = text.parse().map_err(|_| ClientError::Trace { what })?;
                metadata.insert(what, value);
            }
        }
        Ok(())
    }
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
    /// [`ClientError::Call`] with the host's reason; the host has kept nothing of the job then. [`ClientError::Trace`]
    /// when nothing was sent.
    pub async fn run(&self, mut request: Request) -> Result<(), ClientError> {
        let trace = request.trace.take();
        let mut call = tonic::Request::new(RunRequest::from(request));
        if let Some(trace) = trace {
            trace.put_into(call.metadata_mut())?;
        }
        self.inner.clone().run(call).await.map_err(failed("Run"))?;
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

    /// Runs a job, hands every piece of its log to `sink`, and says how it ended. Closes it, and its log, in every
    /// case in which the host had accepted it. What the host says of a job whose log was lost is asked for, as a runner
    /// does, though the lost log is what is told.
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
        // Nobody reads any more: the host need not keep a stream open while the job is closed.
        drop(log);
        let status = self.status(&id).await;
        let closed = self.close(&id).await;
        followed?;
        let status = status?;
        closed?;
        Ok(status)
    }
}
