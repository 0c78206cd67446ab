//! `cargo xtask test`: the whole gate, the same here and in CI.

use crate::cargo::{FEATURES, build_host, cargo};
use crate::tidy;

/// Checks everything; cheap things first.
pub(crate) fn test() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    tidy::tidy(&crate::cargo::root())?;
    let host = build_host()?;
    cargo(
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            FEATURES,
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    cargo(
        &[
            "test",
            "--workspace",
            "--features",
            FEATURES,
            "--no-fail-fast",
        ],
        &[("STEPHOST_BIN", host.as_path())],
    )?;
    cargo(
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--features",
            FEATURES,
        ],
        &[("RUSTDOCFLAGS", "-D warnings".as_ref())],
    )?;
    println!("everything is fine");
    Ok(())
}
