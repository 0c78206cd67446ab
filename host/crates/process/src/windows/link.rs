//! The host's end of one supervisor: its process, the job around it, a pipe in either direction.
//!
//! Promises: packets go out whole and in order; [`Link::hang_up`], and so every drop of whoever owns a step, makes the supervisor kill everybody and
//! end. A supervisor is in a job of its own with everybody below it, so its death, by whomever, and the host's death leave nobody.
//! Called by: `pool`, `running`, `leftovers`, `orphans`.

use std::{
    env,
    fs::OpenOptions,
    io::{self, PipeWriter, Write},
    os::windows::{
        io::{AsHandle, OwnedHandle},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions};
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use crate::{
    framed::{self, Frames},
    supervisor::MARKER,
    sys::{self, Job},
    wire::Told,
};

/// What a pipe holds.
const PIPE_BYTES: u32 = 64 * 1024;
/// Bytes that are read from a supervisor at once.
const CHUNK_BYTES: usize = 1024;

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
    process: OwnedHandle,
    /// The supervisor and everybody below it.
    job: Arc<Job>,
    /// `None` when it was let go.
    requests: Mutex<Option<PipeWriter>>,
    told: NamedPipeServer,
    /// What was read and is not told yet.
    frames: Mutex<Frames>,
    steps: AtomicU32,
}

impl Link {
    /// Starts a supervisor: `program` with the marker, in a console of its own that has no window.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) async fn start(program: &Path) -> io::Result<Link> {
        let (requests_end, requests) = io::pipe()?;
        let (told, told_end) = pipe().await?;
        let job = Arc::new(Job::new()?);
        let mut command = Command::new(program);
        command
            .arg(MARKER)
            .env_clear()
            // Without it the system's libraries do not find each other.
            .envs(env::var_os("SystemRoot").map(|root| ("SystemRoot", root)))
            .creation_flags(CREATE_NO_WINDOW)
            .stdin(Stdio::from(requests_end))
            .stdout(Stdio::from(told_end))
            .stderr(Stdio::null());
        let child = command.spawn()?;
        let process = OwnedHandle::from(child);
        // Before it hears of a step, so whatever it starts is in there too.
        job.assign(&process)?;
        Ok(Link {
            process,
            job,
            requests: Mutex::new(Some(requests)),
            told,
            frames: Mutex::default(),
            steps: AtomicU32::new(0),
        })
    }

    /// A number for the next step.
    pub(crate) fn next_step(&self) -> u32 {
        self.steps.fetch_add(1, Ordering::Relaxed)
    }

    /// The job around the supervisor.
    pub(crate) fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Gives the supervisor a handle of the same thing; returns its number there.
    ///
    /// # Errors
    ///
    /// When the supervisor is gone.
    pub(crate) fn give(&self, handle: &impl AsHandle) -> io::Result<u64> {
        sys::give_handle(handle, &self.process)
    }

    /// Sends packets. Blocks while the supervisor does not read: on a thread that may.
    ///
    /// # Errors
    ///
    /// When the supervisor is gone or was let go.
    pub(crate) fn send(&self, packets: &[Vec<u8>]) -> io::Result<()> {
        let mut requests = self.requests();
        let requests = requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        for packet in packets {
            requests.write_all(&framed::frame(packet))?;
        }
        Ok(())
    }

    /// Sends a stop. There is room for all stops of a step, so it does not block; that it arrives shows in what is told next.
    pub(crate) fn send_stop(&self, packet: &[u8]) {
        if let Some(requests) = self.requests().as_mut() {
            let _ = requests.write_all(&framed::frame(packet));
        }
    }

    /// Waits for the next thing that the supervisor tells; `None` when it is gone, or talks nonsense. May be dropped at any await.
    pub(crate) async fn told(&self) -> Option<Told> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            if let Some(packet) = self.frames().next().ok()? {
                return Told::decode(&packet);
            }
            match self.told.try_read(&mut chunk) {
                Ok(0) => return None,
                Ok(read_bytes) => self.frames().push(&chunk[..read_bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.told.readable().await.ok()?;
                }
                Err(_) => return None,
            }
        }
    }

    /// Lets go: the supervisor kills everybody and ends.
    pub(crate) fn hang_up(&self) {
        match self.requests.try_lock() {
            Ok(mut requests) => drop(requests.take()),
            Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
            // It is being written to, and does not read: it is not well.
            Err(TryLockError::WouldBlock) => self.job.terminate(),
        }
    }

    fn requests(&self) -> MutexGuard<'_, Option<PipeWriter>> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done. The same for what was read.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A pipe into this process: our end, and the one to write to, which nobody inherits unless he is given it.
///
/// It has a name, as everything has that can be waited for; the name is of no use to others: there is one place at the other end, and it is taken
/// before anybody hears of it. Somebody who took it first makes this fail.
///
/// # Errors
///
/// What the system says.
pub(crate) async fn pipe() -> io::Result<(NamedPipeServer, OwnedHandle)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!(
        r"\\.\pipe\stephost-step-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let ours = ServerOptions::new()
        .access_outbound(false)
        .first_pipe_instance(true)
        .max_instances(1)
        .reject_remote_clients(true)
        .pipe_mode(PipeMode::Byte)
        .in_buffer_size(PIPE_BYTES)
        .create(&name)?;
    let theirs = OpenOptions::new().write(true).open(&name)?;
    ours.connect().await?;
    Ok((ours, theirs.into()))
}
