//! The operator's log: where it goes; and [`panics`], who catches them and what is told of them.
//!
//! Under `steps` there is none unless a file is named: stderr ends up in the job's log (design D13). Field
//! names are those of the style guide: `job.id`, `rpc.method`, `grpc.code`, `error.kind`, `wasm.trap`. Never
//! logged: values of variables, arguments, environment.

pub(crate) mod panics;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

use crate::files;

/// Where the operator's log goes.
pub(crate) enum OperatorLog<'a> {
    Nowhere,
    Stderr,
    File(&'a Path),
}

/// Starts the operator's log.
///
/// # Errors
///
/// When its file cannot be opened.
pub(crate) fn start(log: OperatorLog<'_>) -> io::Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO);
    match log {
        OperatorLog::Nowhere => {}
        OperatorLog::Stderr => subscriber.with_writer(io::stderr).init(),
        OperatorLog::File(path) => {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            let file = files::for_us_alone(&mut options).open(path)?;
            subscriber.with_writer(Mutex::new(file)).init();
        }
    }
    std::panic::set_hook(Box::new(panics::hook));
    Ok(())
}
