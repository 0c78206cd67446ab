//! `steps serve`: listen, say so, serve until told to end.
//!
//! The marker line on stderr is what a runner waits for (contract 7.3); nothing may end with exit code 0
//! before it, because to a runner that means that the job has succeeded (design D13). With a command, the
//! host lives as long as the command does, and ends with its exit code.

#[cfg_attr(windows, path = "serve/absent_command.rs")]
mod command;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use stephost_process::JobLimits;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::exit::{self, Failure};
use super::signals::{Asked, Listening};
use super::{ServeArguments, policy};
use crate::config;
use crate::observe::{self, OperatorLog};
use crate::run::Functions;
use crate::server::listen::Listener;
use crate::server::{self, Drain, listen};

/// Stack of a worker thread. Functions nest, and a debug build takes some 40 KB for each level of
/// [`crate::run::DEPTH_MAX`]; only what is used takes memory.
const STACK_BYTES: usize = 16 << 20;

/// Serves until a signal, or until the command has ended.
pub(super) fn serve(arguments: ServeArguments) -> Result<u8, Failure> {
    if !arguments.command.is_empty() {
        command::check()?;
    }
    let log = match &arguments.log_file {
        Some(file) => OperatorLog::File(file),
        None => OperatorLog::Nowhere,
    };
    observe::start(log)
        .context("opening the operator's log")
        .map_err(Failure::cannot_create)?;
    super::tidy_up();
    let runtime = runtime()?;
    let code = runtime.block_on(serving(arguments));
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
pub(super) fn listening(socket: Option<&Path>) -> Result<(Listener, PathBuf), Failure> {
    listen::listen(socket).map_err(|error| {
        if error.is_about_the_place() {
            Failure::usage(error)
        } else {
            Failure::cannot_create(error)
        }
    })
}

async fn serving(arguments: ServeArguments) -> Result<u8, Failure> {
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
    let (jobs, hosting) = super::jobs(functions, JobLimits::default(), config::Background::Keep)?;
    let (drain, drain_heard) = watch::channel(Drain::No);
    let signals = watch_signals(drain.clone())
        .context("listening for signals")
        .map_err(Failure::internal)?;

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
                drain.send_replace(Drain::Patient);
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
    super::close(&hosting).await;
    served.context("serving").map_err(Failure::internal)?;
    match code {
        Some(code) => code,
        None => Ok(exit::FINE),
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
            drain.send_modify(|drain| {
                *drain = match drain {
                    Drain::No => Drain::Patient,
                    Drain::Patient | Drain::Now => Drain::Now,
                };
            });
        }
    }))
}
