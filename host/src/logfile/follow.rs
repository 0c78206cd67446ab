//! Reading a log from an offset to its end. A reader is a function of its offset: it holds no place in the
//! writer, so any number may read, come back, or vanish.

use std::io::ErrorKind;

use bytes::Bytes;
use futures_util::stream::{self, Stream as FutureStream};
use stephost_joblog::LogOffset;

use super::{End, LogReader};
use crate::files;

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
    /// The piece before, whose memory serves again once nobody else has it: to give it back to the system and take it
    /// again costs more than to fill it.
    last: Bytes,
}

impl LogReader {
    /// Streams the stored bytes from `offset` on until the log has ended. An offset past the end waits for
    /// bytes there, or ends empty when the log has ended.
    pub(crate) fn follow(
        &self,
        offset: LogOffset,
    ) -> impl FutureStream<Item = Result<Bytes, FollowError>> + Send + use<> {
        let reader = Reader {
            log: self.clone(),
            offset: offset.bytes(),
            failed: false,
            last: Bytes::new(),
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
    async fn next(&mut self) -> Result<Option<Bytes>, FollowError> {
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

    fn read(&mut self, available: u64) -> Result<Bytes, FollowError> {
        stephost_fault::point!("follow.read", fails: Err(FollowError::Read(ErrorKind::Other.into())));
        let len = usize::try_from(available)
            .unwrap_or(PIECE_BYTES_MAX)
            .min(PIECE_BYTES_MAX);
        let mut piece = std::mem::take(&mut self.last)
            .try_into_mut()
            .map_or_else(|_| Vec::new(), Vec::from);
        piece.clear();
        piece.reserve(len);
        while piece.len() < len {
            let from = self.offset + piece.len() as u64;
            // The page cache holds what was just written, so this does not wait for a disk in practice.
            let read = files::read_at(&self.log.stored.file, &mut piece, from)
                .map_err(FollowError::Read)?;
            if read == 0 {
                return Err(FollowError::Read(ErrorKind::UnexpectedEof.into()));
            }
        }
        // The room may have been a little more than was asked for.
        piece.truncate(len);
        self.offset += len as u64;
        self.last = piece.into();
        Ok(self.last.clone())
    }
}
