//! `cargo xtask bench WHAT`: figures of a release build, for people, as JSON, or as the page of the project.
//!
//! What is measured, and against which floor, is said by the program that measures, in the crate `bench`. Standard
//! output has the figures and nothing else.

mod specification;

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::cargo::{ensure_guest_target, root, target_dir};

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Wish<'a> {
    /// One bench, with options that are its own business.
    Print(&'a str, &'a [String]),
    /// Measure these, and write the page.
    Write(Vec<&'a str>),
}

impl<'a> Wish<'a> {
    fn read(arguments: &'a [String], known: &'a [String]) -> anyhow::Result<Wish<'a>> {
        let bench = |name: &'a String| -> anyhow::Result<&'a str> {
            if !known.contains(name) {
                bail!("there is no bench {name:?}, only: {}", known.join(", "));
            }
            Ok(name)
        };
        match arguments {
            [] => bail!("which bench? {}", known.join(", ")),
            [write] if write == "--write" => known.iter().map(bench).collect::<Result<_, _>>(),
            [write, names @ ..] if write == "--write" => names.iter().map(bench).collect(),
            [name, options @ ..] => return Ok(Wish::Print(bench(name)?, options)),
        }
        .map(Wish::Write)
    }
}

/// Measures what the arguments name.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let known = benches()?;
    let wish = Wish::read(arguments, &known)?;
    ensure_guest_target()?;
    for [package, program] in [["stephost", "stephost"], ["stephost-tests", "zoo"]] {
        let build = ["build", "--release", "--package", package, "--bin", program];
        let status = command().args(build).status().context("starting cargo")?;
        ensure!(status.success(), "building {program} failed");
    }
    match wish {
        Wish::Print(name, options) => {
            let status = measuring(name).args(options).status();
            let status = status.context("starting cargo")?;
            ensure!(status.success(), "the bench {name:?} failed");
        }
        Wish::Write(names) => {
            for name in names {
                let measured = measuring(name)
                    .arg("--json")
                    .stdout(Stdio::piped())
                    .spawn()
                    .and_then(std::process::Child::wait_with_output)
                    .context("starting cargo")?;
                ensure!(measured.status.success(), "the bench {name:?} failed");
                specification::write(name, &measured.stdout)?;
            }
        }
    }
    Ok(())
}

/// What can be measured: the programs of the crate `bench`.
fn benches() -> anyhow::Result<Vec<String>> {
    let dir = root().join("bench/src/bin");
    let entries = dir
        .read_dir()
        .with_context(|| format!("reading {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.path();
        names.extend(
            name.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Runs a bench; the figures are what it prints.
fn measuring(name: &str) -> Command {
    let mut command = command();
    command
        .args(["run", "--release", "--package", "stephost-bench", "--bin"])
        .args([name, "--"])
        .env("STEPHOST_BIN", target_dir().join("release/stephost"))
        .env("ZOO_BIN", target_dir().join("release/zoo"));
    command
}

fn command() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_say_what_is_measured_and_where_it_goes() {
        let known = ["host", "sandbox"].map(str::to_owned);
        let json = ["--json".to_owned()];
        let table: [(&[&str], Result<Wish<'_>, &str>); 7] = [
            (&["host"], Ok(Wish::Print("host", &[]))),
            (&["sandbox", "--json"], Ok(Wish::Print("sandbox", &json))),
            (&["--write"], Ok(Wish::Write(vec!["host", "sandbox"]))),
            (&["--write", "host"], Ok(Wish::Write(vec!["host"]))),
            (&[], Err("which bench? host, sandbox")),
            (
                &["hots"],
                Err("there is no bench \"hots\", only: host, sandbox"),
            ),
            (
                &["--write", "hots"],
                Err("there is no bench \"hots\", only: host, sandbox"),
            ),
        ];
        for (arguments, expected) in table {
            let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            let wish = Wish::read(&arguments, &known).map_err(|error| error.to_string());
            assert_eq!(wish, expected.map_err(str::to_owned), "{arguments:?}");
        }
    }

    #[test]
    fn the_benches_are_those_of_the_crate() {
        let found = benches().unwrap();
        for name in ["host", "sandbox"] {
            assert!(found.iter().any(|found| found == name), "{found:?}");
        }
    }
}
