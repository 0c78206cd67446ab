//! `cargo xtask test`: the whole gate, the same here and in CI.
//!
//! A long run (`--long`) also makes the release archive and looks whether it works. That builds everything once more, optimised,
//! so it is for the evening and for the day of a release.

use anyhow::bail;

use crate::cargo::{FEATURES, build_host, cargo, in_ci};
use crate::systems::{self, wine};
use crate::{clients, demo, dist, tidy};

/// What was asked for beside the gate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    /// The release archive too.
    long: bool,
    /// Only the tests on Windows.
    windows: bool,
    /// Missing packages are installed.
    install: bool,
}

impl Wish {
    fn parse(arguments: &[String]) -> anyhow::Result<Wish> {
        let mut wish = Wish::default();
        for argument in arguments {
            match argument.as_str() {
                "--long" => wish.long = true,
                "--windows" => wish.windows = true,
                "--install" => wish.install = true,
                unknown => bail!("`test` takes --long, --windows and --install, not {unknown:?}"),
            }
        }
        Ok(wish)
    }
}

/// Checks what the arguments ask for.
pub(crate) fn test(arguments: &[String]) -> anyhow::Result<()> {
    let wish = Wish::parse(arguments)?;
    let install = wish.install || in_ci();
    if !wish.windows {
        gate(install)?;
    }
    if wish.long {
        dist::dist(&["--check".to_owned()])?;
    }
    if wish.windows || install {
        let ran = wine::test(install)?;
        if wish.windows && !ran {
            return Ok(());
        }
    } else {
        println!(
            "SKIPPED: native steps and the host on Windows; `cargo xtask test --windows` runs them under Wine"
        );
    }
    println!("everything is fine");
    Ok(())
}

/// Checks everything; cheap things first. With `install`, what the clients in other languages need is installed.
fn gate(install: bool) -> anyhow::Result<()> {
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
    systems::check()?;
    let clients = clients::prepare(install);
    let mut programs = vec![("STEPHOST_BIN", host.as_path())];
    programs.extend(clients.iter().map(|(name, path)| (*name, path.as_path())));
    cargo(
        &[
            "test",
            "--workspace",
            "--features",
            FEATURES,
            "--no-fail-fast",
        ],
        &programs,
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood_or_refused() {
        let parse = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Wish::parse(&arguments)
        };
        assert_eq!(parse(&[]).unwrap(), Wish::default());
        let all = Wish {
            long: true,
            windows: true,
            install: true,
        };
        assert_eq!(parse(&["--install", "--windows", "--long"]).unwrap(), all);
        let refused = parse(&["--window"]).unwrap_err().to_string();
        assert!(refused.contains("--window\""), "{refused}");
    }
}
