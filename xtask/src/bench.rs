//! `cargo xtask bench WHAT`: figures of a release build, for people or as JSON.
//!
//! What is measured, and against which floor, is said by the program that measures, in the crate `bench`. Standard
//! output has the figures and nothing else.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cargo::{ensure_guest_target, root, target_dir};

/// What can be measured: the programs of the crate `bench`.
const BENCHES: [&str; 3] = ["host", "sandbox", "process"];

/// Measures what the arguments name.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let known = || BENCHES.join(", ");
    // What follows the name is the program's business.
    let Some((name, options)) = arguments.split_first() else {
        bail!("one bench at a time: {}", known());
    };
    if !BENCHES.contains(&name.as_str()) {
        bail!("there is no bench {name:?}, only: {}", known());
    }
    ensure_guest_target()?;
    for what in [["stephost", "stephost"], ["stephost-tests", "zoo"]] {
        let [package, program] = what;
        let build = ["build", "--release", "--package", package, "--bin", program];
        let status = command().args(build).status().context("starting cargo")?;
        if !status.success() {
            bail!("building {program} failed");
        }
    }
    let status = command()
        .args(["run", "--release", "--package", "stephost-bench", "--bin"])
        .args([name, "--"])
        .args(options)
        .env("STEPHOST_BIN", target_dir().join("release/stephost"))
        .env("ZOO_BIN", target_dir().join("release/zoo"))
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("the bench {name:?} failed");
    }
    Ok(())
}

fn command() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}
