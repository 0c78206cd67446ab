//! What the host tells its operator: its [log](mod@log), its [figures](metrics); and [`panics`], who catches them, what is
//! told of them, and [how many](budget) are too many.
//!
//! Under `steps` there is no log unless a file is named: stderr ends up in the job's log (design D13). Field
//! names are those of the style guide: `job.id`, `rpc.method`, `grpc.code`, `error.kind`, `wasm.trap`. Never
//! logged: values of variables, arguments, environment.

pub(crate) mod budget;
mod log;
pub(crate) mod metrics;
pub(crate) mod panics;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use budget::PanicBudget;
pub(crate) use log::{LogFormat, LogLevel};

/// Where the operator's log goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Destination<'a> {
    Nowhere,
    Stderr,
    File(&'a Path),
}

/// The operator's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorLog<'a> {
    pub(crate) to: Destination<'a>,
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
}

/// Starts the operator's log, and lets the host panic as often as `budget` says.
///
/// # Errors
///
/// When the log's file cannot be opened.
pub(crate) fn start(log: OperatorLog<'_>, budget: PanicBudget) -> io::Result<()> {
    let OperatorLog { to, format, level } = log;
    let layer = match to {
        Destination::Nowhere => None,
        Destination::Stderr => Some(log::layer(io::stderr, format, level)),
        Destination::File(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?;
            Some(log::layer(Mutex::new(file), format, level))
        }
    };
    // Without anybody who listens an event costs nothing.
    if let Some(layer) = layer {
        tracing_subscriber::registry().with(layer).init();
    }
    // Not in the hook, when a panic is being looked at.
    metrics::begin();
    budget::allow(budget);
    std::panic::set_hook(Box::new(panics::hook));
    Ok(())
}
