//! What is in the program: the packages that are linked into it, and into the builtins inside of it, as cargo knows them.
//!
//! Proc macros and build scripts run at build time only and are not among them. The bill and the licences are made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cargo::{GUEST_TARGET, root};

/// A package: its name and its version.
pub(super) type Package = (String, String);

/// The program.
pub(super) const PROGRAM: &str = "stephost";
/// How the packages begin that are built for Wasm and embedded.
const EMBEDDED: &str = "stephost-builtin-";

/// What is linked.
pub(super) struct Linked {
    /// What cargo says of every package of the workspace and of those that it uses.
    pub(super) metadata: Value,
    pub(super) packages: BTreeSet<Package>,
    /// Those of our packages that are builtins.
    pub(super) embedded: Vec<String>,
}

impl Linked {
    /// Asks cargo what is linked into a program for this target, with these features.
    pub(super) fn ask(target: &str, features: &str) -> anyhow::Result<Linked> {
        let arguments = [
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--features",
            features,
        ];
        let metadata: Value =
            serde_json::from_slice(&cargo(&arguments)?).context("reading cargo's metadata")?;
        let listed = metadata["packages"]
            .as_array()
            .context("cargo lists packages")?;
        let embedded: Vec<String> = listed
            .iter()
            .filter_map(|package| package["name"].as_str())
            .filter(|name| name.starts_with(EMBEDDED))
            .map(str::to_owned)
            .collect();
        ensure!(
            !embedded.is_empty(),
            "there are no builtins called {EMBEDDED}…"
        );

        let mut packages = linked(&[
            "--package",
            PROGRAM,
            "--features",
            features,
            "--target",
            target,
        ])?;
        for guest in &embedded {
            packages.extend(linked(&["--package", guest, "--target", GUEST_TARGET])?);
        }
        Ok(Linked {
            metadata,
            packages,
            embedded,
        })
    }
}

/// Packages of cargo's metadata, by name and version.
pub(super) fn by_package(metadata: &Value) -> BTreeMap<Package, &Value> {
    let key = |package: &Value| -> Option<Package> {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        Some((text("name")?, text("version")?))
    };
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some((key(package)?, package)))
        .collect()
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .context("starting cargo")?;
    ensure!(
        output.status.success(),
        "`cargo {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The packages that are linked into what the arguments select.
fn linked(selection: &[&str]) -> anyhow::Result<BTreeSet<Package>> {
    let mut arguments = vec!["tree", "--locked", "--edges", "normal,no-proc-macro"];
    arguments.extend(["--prefix", "none", "--format", "{p}"]);
    arguments.extend(selection);
    let printed = String::from_utf8(cargo(&arguments)?)?;
    printed
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| package(line).with_context(|| format!("cargo tree says {line:?}")))
        .collect()
}

/// Reads `name v1.2.3 (where it is from)`.
fn package(line: &str) -> Option<Package> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_words_are_read() {
        let table = [
            (
                "serde v1.0.2",
                Some(("serde".to_owned(), "1.0.2".to_owned())),
            ),
            (
                "it v0.1.0 (/some/where) (*)",
                Some(("it".to_owned(), "0.1.0".to_owned())),
            ),
            ("it", None),
            ("it 1.0", None),
        ];
        for (line, expected) in table {
            assert_eq!(package(line), expected, "{line}");
        }
    }
}
