//! The systems that this machine is not: everything that can be built for Windows and macOS without a machine of theirs is type-checked here, and
//! what can be run under Wine is run by [`wine`].
//!
//! Promises: what cannot be done is said aloud and is no failure; an error in the code is one.

pub(crate) mod wine;

use crate::cargo::{cargo, ensure_target};

/// Windows, as Wine runs it.
pub(crate) const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// The crates that are meant for every system, beside `stephost-process`. The host and its sandbox are not there yet (docs/windows.md).
const PORTABLE: [&str; 6] = [
    "stephost-client",
    "stephost-expr",
    "stephost-job",
    "stephost-joblog",
    "stephost-policy",
    "stephost-steps",
];

/// Checks types and lints for the other systems. Needs neither their linkers nor their headers.
pub(crate) fn check() -> anyhow::Result<()> {
    for target in [WINDOWS, MACOS] {
        if let Err(error) = ensure_target(target) {
            println!("SKIPPED: the code for {target} is not checked: {error:#}");
            continue;
        }
        let lints = ["--", "-D", "warnings"];
        let process = ["-p", "stephost-process", "--all-targets"];
        let clippy = ["clippy", "--target", target];
        cargo(&[&clippy[..], &process, &lints].concat(), &[])?;
        let packages: Vec<&str> = PORTABLE.iter().flat_map(|name| ["-p", name]).collect();
        cargo(&[&clippy[..], &packages, &["--lib"], &lints].concat(), &[])?;
    }
    Ok(())
}
