//! The systems that this machine is not: everything that can be built for Windows and macOS without a machine of theirs is type-checked here, and
//! what can be run under Wine is run by [`wine`].
//!
//! Promises: what cannot be done is said aloud and is no failure; an error in the code is one.

pub(crate) mod wine;

use std::path::Path;

use crate::cargo::{cargo, ensure_target};

/// Windows, as Wine runs it.
pub(crate) const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// What is shipped, and what others link; what that is made of is checked along.
const SHIPPED: [&str; 4] = ["-p", "stephost", "-p", "stephost-client"];
/// The other systems, and what has tests for each.
const SYSTEMS: [(&str, &[&str]); 2] = [
    (
        WINDOWS,
        &["-p", "stephost-process", "-p", "stephost-tests-windows"],
    ),
    (MACOS, &["-p", "stephost-process"]),
];

/// Checks types and lints for the other systems. Needs neither their linkers nor their headers.
pub(crate) fn check() -> anyhow::Result<()> {
    for (target, tested) in SYSTEMS {
        if let Err(error) = ensure_target(target) {
            println!("SKIPPED: the code for {target} is not checked: {error:#}");
            continue;
        }
        // Wasmtime has a few lines of C, which are not ours to check: where nobody compiles for this system, nobody has to. Where somebody does, it
        // is not changed back and forth.
        let suffix = target.replace('-', "_");
        let tools = [format!("CC_{suffix}"), format!("AR_{suffix}")];
        let has_compiler = target == WINDOWS && wine::has_compiler();
        let env: Vec<(&str, &Path)> = tools
            .iter()
            .filter(|_| !has_compiler)
            .map(|tool| (tool.as_str(), Path::new("true")))
            .collect();
        let clippy = ["clippy", "--target", target];
        let lints = ["--", "-D", "warnings"];
        cargo(&[&clippy[..], &SHIPPED, &lints].concat(), &env)?;
        cargo(
            &[&clippy[..], tested, &["--all-targets"], &lints].concat(),
            &env,
        )?;
    }
    Ok(())
}
