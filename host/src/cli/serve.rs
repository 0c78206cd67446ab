//! `steps serve`: listen, say so, serve until told to end.
//!
//! The marker line on stderr is what a runner waits for (contract 7.3); nothing may end with exit code 0
//! before it, because to a runner that means that the job has succeeded (design D13). With a command, the
//! host lives as long as the command does, and ends with its exit code.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use stephost_process::JobLimits;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::{self, Failure};
use super::{Answers, ServeArguments, policy};
use crate::config;
use crate::observe::{self, Destination, OperatorLog, budget};
use crate::run::{Functions, room};
use crate::server::listen::ListenError;
use crate::server::{self, Drain, listen};

/// Time between the polite signal and the kill for the command (contract 2.4).
const COMMAND_GRACE: Duration = Duration::from_secs(5);
/// Stack of a worker thread. Functions nest, and a debug build takes some 40 KB for each level of
/// [`crate::run::DEPTH_MAX`]; only what is used takes memory.
const STACK_BYTES: usize = 16 << 20;
/// How long the command's first byte may be looked for before signals are looked at again.
const ROUND: Duration = Duration::from_millis(200);

/// Serves until a signal, or until the command has ended.
pub(super) fn serve(arguments: ServeArguments) -> Result<u8, Failure> {
    let log = OperatorLog {
        to: match &arguments.log_file {
            Some(file) => Destination::File(file),
            None => Destination::Nowhere,
        },
        format: arguments.log_format,
        level: arguments.log_level,
    };
    // No collector: nothing here is configured (design D11).
    observe::start(log, arguments.panic_budget(), None)
        .context("opening the operator's log")
        .map_err(Failure::cannot_create)?;
    let answers = Answers::All(super::tidy_up());
    let runtime = runtime()?;
    let code = runtime.block_on(serving(arguments, answers));
    // Blocking work that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    code
}

/// The runtime of a host, with every descriptor that the system lets it have.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    if let Err(error) = stephost_process::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("starting the runtime")
        .map_err(Failure::internal)
}

/// Listens at this socket, or at the usual one.
pub(super) fn listening(socket: Option<&Path>) -> Result<(UnixListener, PathBuf), Failure> {
    listen::listen(socket).map_err(not_listening)
}

/// How the program ends that has no socket.
pub(super) fn not_listening(error: ListenError) -> Failure {
    match error {
        ListenError::Io { .. } => Failure::cannot_create(error),
        ListenError::TooLong(..)
        | ListenError::NotASocket(..)
        | ListenError::Foreign(..)
        | ListenError::InUse(..)
        | ListenError::OpenDirectory(..) => Failure::usage(error),
    }
}

async fn serving(arguments: ServeArguments, answers: Answers) -> Result<u8, Failure> {
    let policy = match config::policy() {
        Ok(loaded) => loaded.policy,
        Err(error) => return Ok(policy::refused(error)),
    };
    let own_builtins = config::own_builtins().map_err(Failure::config)?;
    let (listener, path) = listening(arguments.socket.as_deref())?;
    let _socket = SocketFile::new(path.clone());
    config::announce_socket(&path);
    let functions = Functions::new(policy, own_builtins)
        .context("starting the sandbox")
        .map_err(Failure::internal)?;
    let (limits, background) = (JobLimits::default(), config::Background::Keep);
    let (jobs, hosting) = super::jobs(&room::new_id(), functions, limits, background, answers)?;
    let (drain, drain_heard) = watch::channel(Drain::No);
    let signals = watch_signals(drain.clone())
        .context("listening for signals")
        .map_err(Failure::internal)?;
    let wear = tokio::spawn(drain_when_worn_out(drain.clone()));

    // The marker, in one write, so that nothing can come between its parts.
    let marker = format!("step-runner is listening on socket {}\n", path.display());
    std::io::stderr()
        .write_all(marker.as_bytes())
        .context("saying where the host listens")
        .map_err(Failure::cannot_create)?;

    let serving = server::serve(listener, jobs, drain_heard.clone(), arguments.drain_timeout);
    let has_command = !arguments.command.is_empty();
    let command = async {
        let code = match arguments.command.split_first() {
            None => None,
            Some((program, rest)) => Some(run_command(program, rest, drain_heard).await),
        };
        match code {
            None => std::future::pending().await,
            Some(code) => {
                drain.send_modify(ask_to_end);
                code
            }
        }
    };
    let mut command = std::pin::pin!(command);
    let mut serving = std::pin::pin!(serving);
    let (code, served) = tokio::select! {
        // A drain tells the command too; its exit code is ours in any case.
        served = &mut serving => (if has_command { Some(command.await) } else { None }, served),
        code = &mut command => (Some(code), serving.await),
    };
    signals.abort();
    wear.abort();
    super::close(&hosting).await;
    served.context("serving").map_err(Failure::internal)?;
    match code {
        Some(code) => code,
        None => Ok(ended()),
    }
}

/// The exit code of a host that has let its jobs end: one that was worn out is to be started anew.
pub(super) fn ended() -> u8 {
    if budget::is_worn_out() {
        exit::INTERNAL
    } else {
        exit::FINE
    }
}

/// The socket's file, which goes when the host does.
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn new(path: PathBuf) -> SocketFile {
        SocketFile(path)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It is ours; that somebody removed it first is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The first SIGTERM or SIGINT drains patiently, the second at once.
pub(super) fn watch_signals(
    drain: watch::Sender<Drain>,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            drain.send_modify(|drain| match drain {
                Drain::Patient | Drain::Now => *drain = Drain::Now,
                Drain::No | Drain::WornOut => ask_to_end(drain),
            });
        }
    }))
}

/// Asks for the end, unless somebody has.
fn ask_to_end(drain: &mut Drain) {
    *drain = match drain {
        Drain::No | Drain::WornOut | Drain::Patient => Drain::Patient,
        Drain::Now => Drain::Now,
    };
}

/// A host that has panicked too often takes no new jobs, and ends when the others have.
pub(super) async fn drain_when_worn_out(drain: watch::Sender<Drain>) {
    budget::worn_out().await;
    drain.send_if_modified(|drain| {
        let first = *drain == Drain::No;
        if first {
            *drain = Drain::WornOut;
        }
        first
    });
}

/// Whether somebody has asked for the end. A host that is worn out goes on for its command, which nobody asked to end.
fn is_asked_to_end(drain: Drain) -> bool {
    match drain {
        Drain::No | Drain::WornOut => false,
        Drain::Patient | Drain::Now => true,
    }
}

/// Runs the command once stdin has a first byte for it; 0 if stdin ends before.
async fn run_command(
    program: &std::ffi::OsStr,
    arguments: &[std::ffi::OsString],
    mut drain: watch::Receiver<Drain>,
) -> Result<u8, Failure> {
    let input = tokio::task::spawn_blocking({
        let drain = drain.clone();
        move || has_input(&drain)
    });
    if !input.await.unwrap_or(false) {
        return Ok(exit::FINE);
    }
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(config::host_environment())
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .process_group(0);
    let mut command = tokio::process::Command::from(command);
    let mut child = stephost_process::start_other(|| command.spawn(), tokio::process::Child::id)
        .with_context(|| format!("starting {}", program.display()))
        .map_err(Failure::unavailable)?;
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = drain.wait_for(|drain| is_asked_to_end(*drain)) => {
            // The leader is not reaped yet, so the group is still its own.
            signal_group(group, Signal::TERM);
            match tokio::time::timeout(COMMAND_GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    signal_group(group, Signal::KILL);
                    child.wait().await
                }
            }
        }
    };
    let status = status
        .context("waiting for the command")
        .map_err(Failure::internal)?;
    Ok(code(status))
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // A group that is gone needs no signal.
        let _ = kill_process_group(group, signal);
    }
}

/// The exit code of a command as a shell would give it.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(exit::INTERNAL)
}

/// Waits until stdin has a byte, without taking it. False when it ends before, or a drain begins.
fn has_input(drain: &watch::Receiver<Drain>) -> bool {
    let stdin = std::io::stdin();
    let timeout = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: ROUND.as_nanos() as i64,
    };
    while !is_asked_to_end(*drain.borrow()) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // Readable with nothing to read is the end; so is a descriptor that cannot say, like /dev/null.
            Ok(_) => return rustix::io::ioctl_fionread(stdin.as_fd()).is_ok_and(|bytes| bytes > 0),
            Err(_) => return false,
        }
    }
    false
}
