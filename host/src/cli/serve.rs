//! `steps serve`: listen, say so, serve until told to end.
//!
//! The marker line on stderr is what a runner waits for (contract 7.3); nothing may end with exit code 0
//! before it, because to a runner that means that the job has succeeded (design D13). With a command, the
//! host lives as long as the command does, and ends with its exit code.

#[cfg_attr(windows, path = "serve/absent_command.rs")]
mod command;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use stephost_process::JobLimits;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::exit::{self, Failure};
use super::signals::{Asked, Listening};
use super::{Answers, ServeArguments, policy};
use crate::config;
use crate::observe::{self, Destination, OperatorLog, budget};
use crate::run::{Functions, room};
use crate::server::listen::{ListenError, Listener};
use crate::server::{self, Drain, listen};

/// Stack of a worker thread. Functions nest, and a debug build takes some 40 KB for each level of
/// [`crate::run::DEPTH_MAX`]; only what is used takes memory.
const STACK_BYTES: usize = 16 << 20;
/// How long the end of a host waits for its tasks where one of them may have to remove the host's room. None of them waits for
/// anything, but the one that drops the sandbox gives back all its reserved memory, which was seen to take two seconds under Wine
/// on a busy machine.
const TASKS_PATIENCE: Duration = Duration::from_secs(10);

/// Serves until a signal, or until the command has ended.
pub(super) fn serve(arguments: ServeArguments) -> Result<u8, Failure> {
    if !arguments.command.is_empty() {
        command::check()?;
    }
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
    end(runtime);
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

/// Ends what is left of it. Blocking work that nobody waits for any more must not hold up the end.
pub(super) fn end(runtime: Runtime) {
    // The last task that has a file open in the host's room removes that.
    let patience = if cfg!(windows) {
        TASKS_PATIENCE
    } else {
        Duration::ZERO
    };
    runtime.shutdown_timeout(patience);
}

/// Listens at this socket, or at the usual one.
pub(super) fn listening(socket: Option<&Path>) -> Result<(Listener, PathBuf), Failure> {
    listen::listen(socket).map_err(not_listening)
}

/// How the program ends that has no socket.
pub(super) fn not_listening(error: ListenError) -> Failure {
    if error.is_about_the_place() {
        Failure::usage(error)
    } else {
        Failure::cannot_create(error)
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
            Some((program, rest)) => Some(command::run(program, rest, drain_heard).await),
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
        listen::leave(&self.0);
    }
}

/// The first SIGTERM or SIGINT drains patiently, the second at once.
pub(super) fn watch_signals(
    drain: watch::Sender<Drain>,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = Listening::to(Asked::Terminate)?;
    let mut interrupt = Listening::to(Asked::Interrupt)?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.heard() => {}
                _ = interrupt.heard() => {}
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
