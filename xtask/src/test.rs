//! `cargo xtask test [--long]`: the whole gate, the same here and in CI.
//!
//! A long run also makes the release archive and looks whether it works. That builds everything once more, optimised,
//! so it is for the evening and for the day of a release.

use anyhow::bail;

use crate::cargo::{FEATURES, build_host, cargo};
use crate::{demo, dist, tidy};

/// Checks everything; cheap things first.
pub(crate) fn test(arguments: &[String]) -> anyhow::Result<()> {
    let is_long = match arguments {
        [] => false,
        [only] if only == "--long" => true,
        _ => bail!("it is `cargo xtask test` or `cargo xtask test --long`"),
    };
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
    demo::demo()?;
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
    if is_long {
        dist::dist(&["--check".to_owned()])?;
    }
    println!("everything is fine");
    Ok(())
}
