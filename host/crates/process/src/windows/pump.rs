//! Both output pipes: from the kernel to the step's `Output`, in order.
//!
//! Promises: bytes of one stream are handed on in the order in which they were written, as soon as they are read. Every future may be dropped at any
//! await without losing a byte. The runtime reads ahead here, so what is in a pipe at one moment cannot be asked for: after the leader's end pipes
//! are read to their end, or until they have been silent for a while.
//! Called by: the driver in `running`, and `leftovers` for pipes that were given up.

use std::{
    convert::Infallible,
    future,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::windows::named_pipe::NamedPipeServer,
    select,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{Output, Stream};

/// Bytes of one read: the most that a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// A held pipe is given up after this long without a byte (design D16).
const SILENCE: Duration = Duration::from_millis(200);
/// … and after this long whatever comes through it.
const LIMIT: Duration = Duration::from_secs(1);

/// How long a held pipe is read after the leader's end. The same for both here: what was written must still be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Whoever might have had something to say is gone.
    Short,
    /// A helper of the step may be finishing.
    Long,
}

/// The read ends of a step that are not at their end yet.
pub(crate) struct Pump {
    pipes: Vec<Pipe>,
    output: Arc<dyn Output>,
    /// The step is over: whoever writes outlived it.
    late: bool,
    chunk: Vec<u8>,
    /// Which pipe is looked at first; alternates, so that a loud stream cannot hide the other.
    first: usize,
}

struct Pipe {
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

    /// How many pipes somebody still holds, as far as was read.
    pub(crate) fn held(&self) -> usize {
        self.pipes.len()
    }

    /// Reads for as long as it is polled.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            self.turn().await;
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

    /// Reads until all pipes are at their end, or `patience` is over.
    pub(crate) async fn run_until_silent(&mut self, patience: Patience) {
        let (silence, limit) = match patience {
            Patience::Short | Patience::Long => (SILENCE, LIMIT),
        };
        let give_up = Instant::now() + limit;
        while !self.pipes.is_empty() && Instant::now() < give_up {
            let silent = give_up.min(Instant::now() + silence);
            if timeout_at(silent, self.turn()).await.is_err() {
                return;
            }
        }
    }

    /// Reads on after the step's report until all pipes are at their end: whoever holds one goes on writing and never sees a closed
    /// pipe. After `killed`, whoever could write is gone: what is there is read, and then it is over.
    pub(crate) async fn run_late(mut self, killed: oneshot::Receiver<()>) {
        self.late = true;
        let all_read = async {
            while !self.pipes.is_empty() {
                self.turn().await;
            }
        };
        let killed = select! {
            biased;
            killed = killed => killed,
            () = all_read => return,
        };
        // Let go of without a kill: its reader is on its way out too.
        if killed.is_ok() {
            self.run_until_silent(Patience::Short).await;
        }
    }

    /// Hands on one chunk or sees one end. Waits for ever when no pipe is left.
    async fn turn(&mut self) {
        future::poll_fn(|context| self.poll_turn(context)).await;
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.first = self.first.wrapping_add(1);
        for offset in 0..self.pipes.len() {
            let index = (self.first.wrapping_add(offset)) % self.pipes.len();
            let Pipe { stream, end } = &self.pipes[index];
            while let Poll::Ready(ready) = end.poll_read_ready(context) {
                // `try_read` clears the readiness when there was nothing, so that the next look waits.
                match ready.and_then(|()| end.try_read(&mut self.chunk)) {
                    Ok(read_bytes) if read_bytes > 0 => {
                        let bytes = &self.chunk[..read_bytes];
                        if self.late {
                            self.output.write_late(*stream, bytes);
                        } else {
                            self.output.write(*stream, bytes);
                        }
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
