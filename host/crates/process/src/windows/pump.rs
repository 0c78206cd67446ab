//! Both output pipes: from the kernel to the step's `Output`, in order.
//!
//! Promises: bytes of one stream are handed on in the order in which they were written, as soon as they are read. Every future may be dropped at any
//! await without losing a byte. The runtime reads ahead here, so what is in a pipe at one moment cannot be asked for: after the leader's end pipes
//! are read to their end, or until they have been silent for a while.
//! Called by: the driver in `running`, and `leftovers` for pipes that were given up.

use std::{
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::net::windows::named_pipe::NamedPipeServer;

use crate::{
    Output, Stream,
    reading::{Patience, give},
};

/// Bytes of one read: the most that a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// A held pipe is given up after this long without a byte (design D16).
const SILENCE: Duration = Duration::from_millis(200);
/// … and after this long whatever comes through it.
const LIMIT: Duration = Duration::from_secs(1);

impl Patience {
    /// The longest silence, and the longest time altogether. The same for both here: what was written must still be on its way.
    pub(crate) fn times(self) -> (Duration, Duration) {
        match self {
            Patience::Short | Patience::Long => (SILENCE, LIMIT),
        }
    }
}

/// The read ends of a step that are not at their end yet.
pub(crate) struct Pump {
    pub(crate) pipes: Vec<Pipe>,
    output: Arc<dyn Output>,
    /// The step is over: whoever writes outlived it.
    pub(crate) late: bool,
    chunk: Vec<u8>,
    /// Which pipe is looked at first; alternates, so that a loud stream cannot hide the other.
    first: usize,
}

pub(crate) struct Pipe {
    stream: Stream,
    end: NamedPipeServer,
}

impl Pump {
    /// Reads `out` and `err` into `output`.
    pub(crate) fn new(out: NamedPipeServer, err: NamedPipeServer, output: Arc<dyn Output>) -> Pump {
        let pipe = |stream, end| Pipe { stream, end };
        Pump {
            pipes: vec![pipe(Stream::Out, out), pipe(Stream::Err, err)],
            output,
            late: false,
            chunk: vec![0; CHUNK_BYTES],
            first: 0,
        }
    }

    /// Reads what the runtime has already.
    pub(crate) fn read_what_is_there(&mut self) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut turns = 0;
        // An endless writer must not keep us here.
        while turns < 32 && self.poll_turn(&mut context).is_ready() {
            turns += 1;
        }
    }

    /// Hands on one chunk or sees one end.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.first = self.first.wrapping_add(1);
        for offset in 0..self.pipes.len() {
            let index = (self.first.wrapping_add(offset)) % self.pipes.len();
            let Pipe { stream, end } = &self.pipes[index];
            while let Poll::Ready(ready) = end.poll_read_ready(context) {
                // `try_read` clears the readiness when there was nothing, so that the next look waits.
                match ready.and_then(|()| end.try_read(&mut self.chunk)) {
                    Ok(read_bytes) if read_bytes > 0 => {
                        let bytes = &self.chunk[..read_bytes];
                        give(&*self.output, self.late, *stream, bytes);
                        return Poll::Ready(());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // Its end is an error here (a broken pipe); no other is known, and it would come again.
                    Ok(_) | Err(_) => {
                        drop(self.pipes.swap_remove(index));
                        return Poll::Ready(());
                    }
                }
            }
        }
        Poll::Pending
    }
}
