//! The host's end of one supervisor: its process, its socket.
//!
//! Promises: packets go out whole and in order; no signal goes to a supervisor that was reaped; [`Link::hang_up`], and so every drop of
//! whoever owns a step, makes the supervisor kill everybody and end. Who ended is reaped by whoever looks next ([`reap_dead`]).
//! Called by: `pool`, `running`, `leftovers`, `orphans`.

use std::{
    ffi::OsStr,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{net::UnixDatagram as StdSocket, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::{
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recv, sendmsg, socketpair,
    },
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use tokio::{io::Interest, net::UnixDatagram};

use crate::{
    descriptors,
    supervisor::MARKER,
    wire::{self, TOLD_BYTES_MAX, Told},
};

/// Supervisors that were not reaped yet, those that run included. Also the list of the host's children that are not orphans.
static SUPERVISORS: Mutex<Vec<Arc<Process>>> = Mutex::new(Vec::new());

/// The process of a supervisor.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Its number may be anybody's.
    reaped: Mutex<bool>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        let reaped = lock(&self.reaped);
        if !*reaped {
            // Ours to signal, dead or alive; nothing else can go wrong.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Reaps it if it is dead; returns whether it was.
    fn reap(&self) -> bool {
        let mut reaped = lock(&self.reaped);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        *reaped = *reaped || !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None));
        *reaped
    }

    /// Waits until it is dead. Blocks; only for one that was killed.
    fn wait(&self) {
        // Looked at without reaping, so that nobody waits with the lock held.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(
            waitid(WaitId::Pid(self.pid), options),
            Err(rustix::io::Errno::INTR)
        ) {}
        self.reap();
    }
}

/// Children of the host that are neither supervisors nor orphans: whoever started them waits for them.
static OTHERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Starts a child that is none of this crate's business. A subreaper must know its own children from those it adopts, so a host that
/// has [`Supervisors`](crate::Supervisors) starts every other child by this that gets a group of its own.
///
/// # Errors
///
/// Those of `spawn`.
pub fn start_other<T>(
    spawn: impl FnOnce() -> io::Result<T>,
    id: impl FnOnce(&T) -> Option<u32>,
) -> io::Result<T> {
    // Started and listed under one lock, so that nobody takes it for an orphan.
    let mut others = lock(&OTHERS);
    let child = spawn()?;
    let pid = id(&child).and_then(|id| i32::try_from(id).ok());
    others.extend(pid);
    Ok(child)
}

/// Reaps supervisors that have ended; returns how many there are still.
pub(crate) fn reap_dead() -> usize {
    let mut supervisors = lock(&SUPERVISORS);
    supervisors.retain(|process| !process.reap());
    supervisors.len()
}

/// Calls `visit` with a question: whether a child was started by the host. Nobody is started meanwhile.
pub(crate) fn with_own_children<T>(visit: impl FnOnce(&dyn Fn(i32) -> bool) -> T) -> T {
    let others = lock(&OTHERS);
    let supervisors = lock(&SUPERVISORS);
    visit(&|pid| {
        let supervises = |process: &Arc<Process>| process.pid.as_raw_pid() == pid;
        others.contains(&pid) || supervisors.iter().any(supervises)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Everything behind these locks is changed in single steps, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One supervisor.
#[derive(Debug)]
pub(crate) struct Link {
    process: Arc<Process>,
    /// A socket that keeps packets; tokio has no type of its own for its kind, and only waits for it.
    socket: UnixDatagram,
    steps: AtomicU32,
}

impl Link {
    /// Starts a supervisor: `program` with the marker, and with the host's cgroup, which it removes should the host die. Needs the
    /// runtime's context.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn start(program: &Path, cgroup: Option<&Path>) -> io::Result<Link> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let ours = StdSocket::from(ours);
        ours.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(ours)?;
        let mut command = Command::new(program);
        command
            .arg0(OsStr::new("step-supervisor"))
            .arg(MARKER)
            .args(cgroup)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Started and listed under one lock, so that nobody takes it for an orphan.
        let mut supervisors = lock(&SUPERVISORS);
        // Reaped by that list.
        let child = command.spawn()?;
        let process = Arc::new(Process {
            pid: Pid::from_child(&child),
            reaped: Mutex::new(false),
        });
        supervisors.push(Arc::clone(&process));
        drop(supervisors);
        // Before it hears of a step, which inherits this.
        descriptors::restore_in(process.pid);
        Ok(Link {
            process,
            socket,
            steps: AtomicU32::new(0),
        })
    }

    /// A number for the next step.
    pub(crate) fn next_step(&self) -> u32 {
        self.steps.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a packet and descriptors with it.
    ///
    /// # Errors
    ///
    /// When the supervisor is gone, or the host is out of descriptors or memory.
    pub(crate) async fn send(
        &self,
        packet: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        stephost_fault::point!("link.send", waits, fails: Err(io::ErrorKind::BrokenPipe.into()));
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut extra = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                extra.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            sendmsg(
                self.socket.as_fd(),
                &[IoSlice::new(packet)],
                &mut extra,
                flags,
            )?;
            Ok(())
        };
        // The runtime only knows of room after its next turn; there nearly always is some.
        match send() {
            Err(error) if would_block(&error) => {
                self.socket.async_io(Interest::WRITABLE, send).await
            }
            sent => sent,
        }
    }

    /// Sends a stop and wakes whoever was put to sleep by his own step. Never waits; that it arrives shows in what is told next.
    pub(crate) fn send_stop(&self, packet: &[u8]) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(self.socket.as_fd(), packet, flags);
        self.wake();
    }

    /// Wakes a supervisor that was put to sleep.
    pub(crate) fn wake(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits for the next thing that the supervisor tells; `None` when it is gone, or talks nonsense.
    pub(crate) async fn told(&self) -> Option<Told> {
        // Waits in its caller's stead, who may give up at any time.
        stephost_fault::point!("link.told", waits, fails: None);
        match self.told_now() {
            Err(error) if would_block(&error) => {
                let told = self.socket.async_io(Interest::READABLE, || self.told_now());
                told.await.ok().flatten()
            }
            told => told.ok().flatten(),
        }
    }

    /// What the supervisor has told already.
    fn told_now(&self) -> io::Result<Option<Told>> {
        let mut packet = [0; TOLD_BYTES_MAX];
        let (bytes, _) = recv(self.socket.as_fd(), &mut packet[..], RecvFlags::DONTWAIT)?;
        Ok(Told::decode(&packet[..bytes]))
    }

    /// Whether an idle supervisor is still what it ought to be: alive, and with nothing to tell.
    pub(crate) fn is_fresh(&self) -> bool {
        self.told_now().is_err_and(|error| would_block(&error))
    }

    /// Lets go: the supervisor kills everybody and ends.
    pub(crate) fn hang_up(&self) {
        // Said first, so that nobody takes us for dead.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(self.socket.as_fd(), &wire::dismiss(), flags);
        let _ = self.socket.shutdown(Shutdown::Both);
        // One that was stopped would not notice.
        self.wake();
    }

    /// Kills the supervisor itself, and waits until it is dead: its step's processes are the host's children then.
    pub(crate) async fn kill(&self) {
        self.process.signal(Signal::KILL);
        let process = Arc::clone(&self.process);
        // Dead in no time; on another thread, in case it is not.
        let _ = tokio::task::spawn_blocking(move || process.wait()).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
