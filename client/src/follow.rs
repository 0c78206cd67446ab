//! Following a log to its end, over as many connections as it takes.
//!
//! Offsets are what makes this safe: the bytes received so far are always a valid place to go on from
//! (design D4). Bounded: after [`TRIES_WITHOUT_PROGRESS`] broken streams without a single new byte the error
//! is handed out.

use std::time::Duration;

use bytes::Bytes;
use stephost_proto::step_runner_client::StepRunnerClient;
use stephost_proto::{FollowLogsRequest, FollowLogsResponse};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::ClientError;
use crate::error::failed;

/// Broken streams in a row, without a new byte, after which following gives up.
pub const TRIES_WITHOUT_PROGRESS: u32 = 5;

/// First pause before a new stream; doubles with each try without progress.
const PAUSE: Duration = Duration::from_millis(50);

/// A log being read. Dropping it tells the host that nobody listens any more.
#[derive(Debug)]
pub struct Follow {
    inner: StepRunnerClient<Channel>,
    id: String,
    offset: u64,
    stream: Option<Streaming<FollowLogsResponse>>,
    tries: u32,
}

impl Follow {
    pub(crate) fn new(inner: StepRunnerClient<Channel>, id: String, offset: u64) -> Follow {
        Follow {
            inner,
            id,
            offset,
            stream: None,
            tries: 0,
        }
    }

    /// Bytes of the stored log up to where the next piece begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece, or `None` when the job has finished and everything was read.
    ///
    /// # Errors
    ///
    /// [`ClientError::Internal`] when the host says that the log is broken, [`ClientError::Call`] when it refuses or
    /// stays away. The stream is closed then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.piece().await {
                Ok(piece) => {
                    self.tries = 0;
                    return Ok(piece);
                }
                Err(status) => {
                    self.stream = None;
                    if !is_worth_another_try(status.code()) || self.tries >= TRIES_WITHOUT_PROGRESS
                    {
                        return Err(failed("FollowLogs")(status));
                    }
                    tokio::time::sleep(PAUSE * 2_u32.pow(self.tries)).await;
                    self.tries += 1;
                }
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let offset = i64::try_from(self.offset).map_err(|_| {
                    Status::invalid_argument("the offset is too large for the wire")
                })?;
                let request = FollowLogsRequest {
                    id: self.id.clone(),
                    offset,
                };
                none.insert(self.inner.follow_logs(request).await?.into_inner())
            }
        };
        let Some(response) = stream.message().await? else {
            return Ok(None);
        };
        self.offset += response.data.len() as u64;
        Ok(Some(response.data))
    }
}

/// Whether a new stream may do better: the connection broke, and nobody said that the job did.
fn is_worth_another_try(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled)
}
