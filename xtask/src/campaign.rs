//! `cargo xtask campaign NAME [--seed N] [--size N]`: thousands of random faults against the built host, as a table.
//!
//! What is tried and what counts is said in `tests/fixture/campaign`, whose program this starts. The host is that of the
//! tests: with points at which it can be made to fail, with checks for overflows, and slower than a release, so that what
//! it keeps of times and memory a release keeps all the more.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::cargo::{build_host, root};

/// Runs what the arguments name; the program knows them.
pub(crate) fn campaign(arguments: &[String]) -> anyhow::Result<()> {
    let host = build_host()?;
    let status = Command::new(host.with_file_name("campaign"))
        .args(arguments)
        .env("STEPHOST_BIN", &host)
        .current_dir(root())
        .status()
        .context("starting the campaign")?;
    ensure!(status.success(), "the campaign ended with {status}");
    Ok(())
}
