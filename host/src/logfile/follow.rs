//! Reading a log from an offset to its end. A reader is a function of its offset: it holds no place in the
//! writer, so any number may read, come back, or vanish.

use std::os::unix::fs::FileExt as _;

use futures_util::stream::{self, Stream as FutureStream};
use stephost_joblog::LogOffset;

use super::{End, LogReader};

/// Most bytes of one piece. Well under the 4 MiB that clients accept, large enough to be fast.
pub(crate) const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Why following ended before the log did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The host broke while the job ran.
    #[error("{0}")]
    Broken(String),
    /// The writer went away without saying that the log ends.
    #[error("internal error: the log of the job ended without its end record")]
    WriterLost,
    /// The stored bytes cannot be read.
    #[error("internal error: the stored log cannot be read: {}", .0.kind())]
    Read(#[source] std::io::Error),
}

struct Reader {
    log: LogReader,
    offset: u64,
    failed: bool,
}

impl LogReader {
    /// Streams the stored bytes from `offset` on until the log has ended. An offset past the end waits for
    /// bytes there, or ends empty when the log has ended.
    pub(crate) fn follow(
        &self,
        offset: LogOffset,
    ) -> impl FutureStream<Item = Result<Vec<u8>, FollowError>> + Send + use<> {
        let reader = Reader {
            log: self.clone(),
            offset: offset.bytes(),
            failed: false,
        };
        stream::unfold(reader, |mut reader| async move {
            if reader.failed {
                return None;
            }
            match reader.next().await {
                Ok(Some(piece)) => Some((Ok(piece), reader)),
                Ok(None) => None,
                Err(error) => {
                    reader.failed = true;
                    Some((Err(error), reader))
                }
            }
        })
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, FollowError> {
        loop {
            let progress = self.log.progress.borrow_and_update().clone();
            if progress.bytes > self.offset {
                return self.read(progress.bytes - self.offset).map(Some);
            }
            match progress.end {
                Some(End::Complete) => return Ok(None),
                Some(End::Broken(incident)) => return Err(FollowError::Broken(incident)),
                None => self
                    .log
                    .progress
                    .changed()
                    .await
                    .map_err(|_| FollowError::WriterLost)?,
            }
        }
    }

    fn read(&mut self, available: u64) -> Result<Vec<u8>, FollowError> {
        let len = usize::try_from(available)
            .unwrap_or(PIECE_BYTES_MAX)
            .min(PIECE_BYTES_MAX);
        let mut piece = vec![0; len];
        // The page cache holds what was just written, so this does not wait for a disk in practice.
        self.log
            .file
            .read_exact_at(&mut piece, self.offset)
            .map_err(FollowError::Read)?;
        self.offset += len as u64;
        Ok(piece)
    }
}
