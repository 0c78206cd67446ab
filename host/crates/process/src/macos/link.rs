//! The host's end of one supervisor: its process, its socket.
//!
//! Promises: packets go out whole and in order; [`Link::hang_up`], and so every drop of whoever owns a step, makes the supervisor kill the step's
//! group and end. A supervisor that has ended is reaped by the runtime.
//! Called by: `pool`, `running`, `leftovers`, `orphans`.

use std::{
    ffi::OsStr,
    io::{self, PipeWriter},
    os::unix::net::UnixStream as StdSocket,
    path::Path,
    process::Stdio,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::{
    net::Shutdown,
    process::{Pid, Signal, kill_process, kill_process_group},
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    time::sleep,
};

use crate::{
    framed::{self, Frames},
    supervisor::MARKER,
    wire::Told,
};

/// Bytes that are read from a supervisor at once.
const CHUNK_BYTES: usize = 1024;
/// Pause between two looks at a supervisor that was killed.
const DYING_PAUSE: Duration = Duration::from_millis(1);

/// Starts a child that is none of this crate's business. It matters where a host adopts orphans, which nobody does here.
///
/// # Errors
///
/// Those of `spawn`.
pub fn start_other<T>(
    spawn: impl FnOnce() -> io::Result<T>,
    _id: impl FnOnce(&T) -> Option<u32>,
) -> io::Result<T> {
    spawn()
}

/// One supervisor.
#[derive(Debug)]
pub(crate) struct Link {
    process: Mutex<Child>,
    socket: UnixStream,
    /// What was read and is not told yet.
    frames: Mutex<Frames>,
    steps: AtomicU32,
    /// The group of the step; 0 before there is one, and when it is over.
    group: AtomicI32,
}

impl Link {
    /// Starts a supervisor: `program` with the marker. It has the step's outputs, until the step has them. Needs the runtime's context.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn start(program: &Path, out: PipeWriter, err: PipeWriter) -> io::Result<Link> {
        let (ours, theirs) = StdSocket::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(program);
        command
            .arg0(OsStr::new("step-supervisor"))
            .arg(MARKER)
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err));
        Ok(Link {
            process: Mutex::new(command.spawn()?),
            socket: UnixStream::from_std(ours)?,
            frames: Mutex::default(),
            steps: AtomicU32::new(0),
            group: AtomicI32::new(0),
        })
    }

    /// A number for the next step.
    pub(crate) fn next_step(&self) -> u32 {
        self.steps.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes the step's group, which the host kills when the supervisor cannot.
    pub(crate) fn note_group(&self, group: i32) {
        self.group.store(group, Ordering::Relaxed);
    }

    /// The step's group, if there is one.
    pub(crate) fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.group.load(Ordering::Relaxed))
    }

    /// Sends a packet.
    ///
    /// # Errors
    ///
    /// When the supervisor is gone.
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let frame = framed::frame(packet);
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match self.socket.try_write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a stop and wakes whoever was put to sleep by his own step. There is room for all stops of a step.
    pub(crate) fn send_stop(&self, packet: &[u8]) {
        let _ = self.socket.try_write(&framed::frame(packet));
        self.wake();
    }

    /// Waits for the next thing that the supervisor tells; `None` when it is gone, or talks nonsense. May be dropped at any await.
    pub(crate) async fn told(&self) -> Option<Told> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            if let Some(packet) = self.frames().next().ok()? {
                let told = Told::decode(&packet);
                if matches!(told, Some(Told::Over(_))) {
                    self.note_group(0);
                }
                return told;
            }
            match self.socket.try_read(&mut chunk) {
                Ok(0) => return None,
                Ok(read_bytes) => self.frames().push(&chunk[..read_bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.readable().await.ok()?;
                }
                Err(_) => return None,
            }
        }
    }

    /// Lets go: the supervisor kills the group and ends.
    pub(crate) fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        // One that was stopped would not notice.
        self.wake();
        // One that was killed leaves its group to us.
        let is_dead = !matches!(self.process().try_wait(), Ok(None));
        if let (true, Some(group)) = (is_dead, self.group()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills the supervisor itself, and waits until it is dead.
    pub(crate) async fn kill(&self) {
        let _ = self.process().start_kill();
        while matches!(self.process().try_wait(), Ok(None)) {
            sleep(DYING_PAUSE).await;
        }
    }

    /// Wakes a supervisor that was put to sleep.
    pub(crate) fn wake(&self) {
        // Without a number it was reaped.
        let process = self.process();
        let pid = process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done. The same for what was read.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hang_up();
    }
}
