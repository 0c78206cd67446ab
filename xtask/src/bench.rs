//! `cargo xtask bench WHAT`: figures of a release build, for people or as JSON.
//!
//! What is measured, and against which floor, is said by the program that measures: an example of the crate it
//! belongs to. Standard output has the figures and nothing else.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cargo::{ensure_guest_target, root};

/// What can be measured: its name, the package, the example.
const BENCHES: &[(&str, &str, &str)] = &[("sandbox", "stephost-sandbox", "bench")];

/// Measures what the arguments name.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let mut names = arguments.iter().filter(|argument| *argument != "--json");
    let known = || {
        let names: Vec<&str> = BENCHES.iter().map(|(bench, ..)| *bench).collect();
        names.join(", ")
    };
    let (Some(name), None) = (names.next(), names.next()) else {
        bail!("one bench at a time: {}", known());
    };
    let Some((_, package, example)) = BENCHES.iter().find(|(bench, ..)| bench == name) else {
        bail!("there is no bench {name:?}, only: {}", known());
    };
    ensure_guest_target()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "run",
            "--release",
            "--package",
            package,
            "--example",
            example,
            "--",
        ])
        .args(as_json.then_some("--json"))
        .current_dir(root())
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("the bench {name:?} failed");
    }
    Ok(())
}
