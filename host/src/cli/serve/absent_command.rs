//! The command beside a host, where there is none: it is for the container of a job, which is told when to begin by the first byte on stdin, and
//! Windows has nothing that could be asked for that without taking it.

use std::ffi::{OsStr, OsString};

use anyhow::anyhow;
use tokio::sync::watch;

use crate::cli::exit::Failure;
use crate::server::Drain;

/// Whether a command can be run: never.
///
/// # Errors
///
/// Always.
pub(super) fn check() -> Result<(), Failure> {
    Err(Failure::usage(anyhow!(
        "a command beside the host is not there on Windows; start it beside `steps serve` yourself"
    )))
}

/// Runs nothing.
///
/// # Errors
///
/// Always.
pub(super) async fn run(
    _program: &OsStr,
    _arguments: &[OsString],
    _drain: watch::Receiver<Drain>,
) -> Result<u8, Failure> {
    check().map(|()| 0)
}
