//! Both output pipes: from the kernel to the step's `Output`, in order.
//!
//! Promises: bytes of one stream are handed on in the order in which they were written, as soon as they are read; nothing is
//! buffered, so the pace is that of the output. Every future may be dropped at any await without losing a byte.
//! Called by: the driver in `running`, and `leftovers` for pipes that were given up.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustix::io::ioctl_fionread;
use tokio::net::unix::pipe::Receiver;

use crate::{
    Output, Stream,
    reading::{Patience, give},
};

/// What a pipe holds by default.
const PIPE_BYTES: usize = 64 * 1024;
/// What the pipe of a loud stream is made to hold, and what one read takes at most: fewer turns for as many bytes.
const LOUD_PIPE_BYTES: usize = 256 * 1024;
/// A stream is loud when this many reads in a row were full.
const LOUD_READS: u8 = 8;
/// The most that a pipe can hold when an ordinary user enlarged it (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES_MAX: u64 = 1024 * 1024;
/// A held pipe is given up after this long without a byte (design D16).
const LONG_SILENCE: Duration = Duration::from_millis(200);
/// … and after this long whatever comes through it.
const LONG_LIMIT: Duration = Duration::from_secs(1);
/// The same when nobody of the step is left. A pipe may still be held for a moment by somebody who does not know it: a child of the host
/// has a copy of every descriptor until its `exec` closes them. (A lock around spawning would prevent
/// this, and let one program on a hanging file system hold up every other job's start.)
const SHORT_LIMIT: Duration = Duration::from_millis(50);

impl Patience {
    /// The longest silence, and the longest time altogether.
    pub(crate) fn times(self) -> (Duration, Duration) {
        match self {
            Patience::Short => (SHORT_LIMIT, SHORT_LIMIT),
            Patience::Long => (LONG_SILENCE, LONG_LIMIT),
        }
    }
}

thread_local! {
    /// Where bytes are between the kernel and the output; one for a thread and not one for a step: hundreds of steps may be running.
    static CHUNK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The read ends of a step that are not at their end yet.
pub(crate) struct Pump {
    pub(crate) pipes: Vec<Pipe>,
    output: Arc<dyn Output>,
    /// The step is over: whoever writes outlived it.
    pub(crate) late: bool,
    /// Which pipe is looked at first; alternates, so that a loud stream cannot hide the other.
    first: usize,
}

pub(crate) struct Pipe {
    stream: Stream,
    end: Receiver,
    /// Reads that were full, one after the other; counts no further than [`LOUD_READS`].
    full_reads: u8,
}

impl Pipe {
    fn new(stream: Stream, end: OwnedFd) -> io::Result<Pipe> {
        let end = Receiver::from_owned_fd(end)?;
        Ok(Pipe {
            stream,
            end,
            full_reads: 0,
        })
    }

    /// Gives a stream that fills its pipe again and again a larger one. Not everybody gets one: what pipes of one user
    /// hold together is limited (`/proc/sys/fs/pipe-user-pages-soft`).
    fn has_read(&mut self, bytes: usize) {
        if self.full_reads == LOUD_READS {
            return;
        }
        self.full_reads = if bytes < PIPE_BYTES {
            0
        } else {
            self.full_reads + 1
        };
        if self.full_reads == LOUD_READS {
            // Who may not has the pipe that he had; so has everybody on other systems.
            #[cfg(target_os = "linux")]
            let _ = rustix::pipe::fcntl_setpipe_size(&self.end, LOUD_PIPE_BYTES);
        }
    }
}

enum Got {
    Bytes,
    NothingNow,
    End,
}

impl Pump {
    /// Reads `out` and `err` into `output`.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch another descriptor.
    pub(crate) fn new(out: OwnedFd, err: OwnedFd, output: Arc<dyn Output>) -> io::Result<Pump> {
        let pipes = vec![Pipe::new(Stream::Out, out)?, Pipe::new(Stream::Err, err)?];
        Ok(Pump {
            pipes,
            output,
            late: false,
            first: 0,
        })
    }

    /// Reads everything that is in the pipes at this moment, asking the kernel and not the runtime, whose view may be late.
    /// After the leader's end this is everything that the leader wrote.
    pub(crate) fn read_what_is_there(&mut self) {
        let (output, late) = (&*self.output, self.late);
        self.pipes.retain(|pipe| {
            // More than this came later: an endless writer must not keep us here.
            let there = ioctl_fionread(&pipe.end).unwrap_or(PIPE_BYTES_MAX);
            let mut read_bytes = 0;
            while read_bytes <= there {
                match read_chunk(
                    |chunk| Ok(rustix::io::read(&pipe.end, chunk)?),
                    |bytes| {
                        read_bytes += bytes.len() as u64;
                        give(output, late, pipe.stream, bytes);
                    },
                ) {
                    Got::Bytes => {}
                    Got::NothingNow => return true,
                    Got::End => return false,
                }
            }
            true
        });
    }

    /// Hands on one chunk or sees one end.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.first = self.first.wrapping_add(1);
        for offset in 0..self.pipes.len() {
            let index = (self.first.wrapping_add(offset)) % self.pipes.len();
            let pipe = &mut self.pipes[index];
            while let Poll::Ready(ready) = pipe.end.poll_read_ready(context) {
                let mut read_bytes = 0;
                // `try_read` clears the readiness when there was nothing, so that the next look waits.
                let got = match ready {
                    Ok(()) => read_chunk(
                        |chunk| pipe.end.try_read(chunk),
                        |bytes| {
                            give(&*self.output, self.late, pipe.stream, bytes);
                            read_bytes = bytes.len();
                        },
                    ),
                    // The runtime is ending; nothing will be read any more.
                    Err(_) => Got::End,
                };
                match got {
                    Got::NothingNow => continue,
                    Got::Bytes => pipe.has_read(read_bytes),
                    Got::End => drop(self.pipes.swap_remove(index)),
                }
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// Gives one chunk to `take`, if `read` has one.
fn read_chunk(read: impl Fn(&mut [u8]) -> io::Result<usize>, take: impl FnOnce(&[u8])) -> Got {
    stephost_fault::point!("pump.read");
    let mut chunk = CHUNK.take();
    chunk.resize(LOUD_PIPE_BYTES, 0);
    let got = loop {
        match read(&mut chunk) {
            Ok(0) => break Got::End,
            Ok(read_bytes) => {
                take(&chunk[..read_bytes]);
                break Got::Bytes;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break Got::NothingNow,
            // No other error is known for a pipe; it would come again.
            Err(_) => break Got::End,
        }
    };
    CHUNK.set(chunk);
    got
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        io::{PipeWriter, Write, pipe},
        sync::{Mutex, PoisonError},
    };

    use rustix::pipe::fcntl_setpipe_size;
    use tokio::{sync::oneshot, time::Instant};

    use super::*;

    struct Nowhere;

    impl Output for Nowhere {
        fn write(&self, _: Stream, _: &[u8]) {}

        fn write_late(&self, _: Stream, _: &[u8]) {}
    }

    /// Counts what it gets, and writes the same again while `echoes` says so.
    struct Echo {
        got: Mutex<usize>,
        back: PipeWriter,
        echoes: bool,
    }

    impl Output for Echo {
        fn write_late(&self, stream: Stream, bytes: &[u8]) {
            self.write(stream, bytes);
        }

        fn write(&self, _: Stream, bytes: &[u8]) {
            *self.got.lock().unwrap_or_else(PoisonError::into_inner) += bytes.len();
            if self.echoes {
                (&self.back)
                    .write_all(bytes)
                    .expect("there is room for what was just read");
            }
        }
    }

    /// A pump whose stdout is still held, with `bytes` in it.
    fn pump_holding(bytes: usize, echoes: bool) -> (Pump, Arc<Echo>) {
        let (out, mut writer) = pipe().unwrap();
        fcntl_setpipe_size(&out, 512 * 1024).unwrap();
        writer.write_all(&vec![b'x'; bytes]).unwrap();
        let (err, closed) = pipe().unwrap();
        drop(closed);
        let echo = Arc::new(Echo {
            got: Mutex::default(),
            back: writer,
            echoes,
        });
        (
            Pump::new(out.into(), err.into(), echo.clone()).unwrap(),
            echo,
        )
    }

    #[tokio::test]
    async fn everything_that_is_in_a_held_pipe_is_read_without_waiting() {
        for bytes in [0, 1, LOUD_PIPE_BYTES, LOUD_PIPE_BYTES + 1, 300_000] {
            let (mut pump, echo) = pump_holding(bytes, false);
            pump.read_what_is_there();
            assert_eq!(*echo.got.lock().unwrap(), bytes);
            assert_eq!(
                pump.held(),
                1,
                "the closed one is gone, the held one is not"
            );
        }
    }

    #[tokio::test]
    async fn an_endless_writer_does_not_keep_the_pump_from_returning() {
        let (mut pump, echo) = pump_holding(200_000, true);
        pump.read_what_is_there();
        let got = *echo.got.lock().unwrap();
        assert!(
            (200_000..=200_000 + 2 * LOUD_PIPE_BYTES).contains(&got),
            "{got} bytes"
        );
        assert_eq!(pump.held(), 1);
    }

    #[tokio::test]
    async fn who_was_killed_is_read_to_the_last_byte_and_who_was_let_go_of_is_not() {
        for (is_killed, expected) in [(true, 300_000), (false, 0)] {
            let (pump, echo) = pump_holding(300_000, false);
            let (killed, hears) = oneshot::channel();
            if is_killed {
                killed.send(()).unwrap();
            } else {
                drop(killed);
            }
            pump.run_late(hears).await;
            assert_eq!(*echo.got.lock().unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_silent_pipe_is_given_up_and_not_before_its_time() {
        for (patience, limit) in [
            (Patience::Short, SHORT_LIMIT),
            (Patience::Long, LONG_SILENCE),
        ] {
            let (mut pump, _) = pump_holding(0, false);
            let began = Instant::now();
            pump.run_until_silent(patience).await;
            assert!(
                began.elapsed() >= limit,
                "{patience:?}: {:?}",
                began.elapsed()
            );
            assert_eq!(pump.held(), 1);
        }
    }

    #[tokio::test]
    async fn a_loud_pipe_is_given_up_in_time() {
        let (mut pump, echo) = pump_holding(LOUD_PIPE_BYTES, true);
        let began = Instant::now();
        pump.run_until_silent(Patience::Long).await;
        assert!(began.elapsed() >= LONG_LIMIT);
        assert!(
            *echo.got.lock().unwrap() > 10 * LOUD_PIPE_BYTES,
            "it was read all the time"
        );
    }

    #[tokio::test]
    async fn a_stream_gets_a_larger_pipe_only_when_it_fills_its_own_again_and_again() {
        for (bytes, larger) in [(PIPE_BYTES, true), (PIPE_BYTES - 1, false)] {
            let (out, mut writer) = pipe().unwrap();
            let (err, _held) = pipe().unwrap();
            let mut pump = Pump::new(out.into(), err.into(), Arc::new(Nowhere)).unwrap();
            for _ in 0..LOUD_READS {
                writer.write_all(&vec![b'x'; bytes]).unwrap();
                pump.turn().await;
            }
            let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
            assert_eq!(
                size >= LOUD_PIPE_BYTES,
                larger,
                "{bytes} bytes at once: {size}"
            );
        }
    }
}
