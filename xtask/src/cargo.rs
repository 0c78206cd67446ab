//! Calling cargo and rustup: always with the same packages and features, so that nothing is built twice.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Target of the Wasm guests.
pub(crate) const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// Builds the guests that tests and the demo lay beside the host, and the host with points at which tests can make it
/// fail; nothing reaches these in any other way. Benches and releases are built without.
pub(crate) const FEATURES: &str = "stephost-builtins/test-guests,stephost/fault";

/// Root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Whether this is a machine of CI: begun from nothing, and there to be installed on.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Runs cargo in the checkout.
pub(crate) fn cargo(arguments: &[&str], env: &[(&str, &Path)]) -> anyhow::Result<()> {
    println!("$ cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if in_ci() {
        // Nobody builds there again after a change; what is kept for that would fill the disk for nothing.
        command.env("CARGO_INCREMENTAL", "0");
    }
    let status = command
        .args(arguments)
        .envs(env.iter().copied())
        .current_dir(root())
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed", arguments.join(" "));
    }
    Ok(())
}

/// Adds the target of the guests if this toolchain lacks it.
pub(crate) fn ensure_guest_target() -> anyhow::Result<()> {
    ensure_target(GUEST_TARGET)
}

/// Adds a target if this toolchain lacks it.
pub(crate) fn ensure_target(target: &str) -> anyhow::Result<()> {
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(root())
        .output()
        .context("asking rustc for its targets")?;
    let dir = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    if rustc.status.success() && Path::new(&dir).is_dir() {
        return Ok(());
    }
    println!("$ rustup target add {target}");
    let status = Command::new("rustup")
        .args(["target", "add", target])
        .current_dir(root())
        .status()
        .with_context(|| {
            format!("starting rustup; without it, install the target {target} yourself")
        })?;
    if !status.success() {
        bail!("`rustup target add {target}` failed");
    }
    Ok(())
}

/// Builds the host; returns where it is.
pub(crate) fn build_host() -> anyhow::Result<PathBuf> {
    ensure_guest_target()?;
    cargo(
        &["build", "--workspace", "--bins", "--features", FEATURES],
        &[],
    )?;
    let program = target_dir().join("debug").join("stephost");
    if !program.is_file() {
        bail!("cargo built no {}", program.display());
    }
    Ok(program)
}

/// A guest of the tests that [`build_host`] has built beside the host.
pub(crate) fn guest(package: &str) -> PathBuf {
    let guests = target_dir().join("guests").join(GUEST_TARGET);
    guests.join("guest").join(package).with_extension("wasm")
}

/// Where cargo puts what it builds. This program lies in `TARGET/debug`.
pub(crate) fn target_dir() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors()
        .nth(2)
        .map_or_else(|| root().join("target"), Path::to_owned)
}
