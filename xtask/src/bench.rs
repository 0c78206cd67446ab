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
    Print {
        name: &'a str,
        as_json: bool,
    },
    /// Measure these, and write the page.
    Write(Vec<&'a str>),
}

impl<'a> Wish<'a> {
    fn read(arguments: &'a [String], known: &'a [String]) -> anyhow::Result<Wish<'a>> {
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let (as_json, write) = (has("--json"), has("--write"));
        let names: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .filter(|argument| !["--json", "--write"].contains(argument))
            .collect();
        let all = || known.join(", ");
        if let Some(name) = names
            .iter()
            .find(|name| !known.iter().any(|one| one == *name))
        {
            bail!("there is no bench {name:?}, only: {}", all());
        }
        match names[..] {
            _ if write && as_json => bail!("the page is no JSON: it is --json or --write"),
            [] if write => Ok(Wish::Write(known.iter().map(String::as_str).collect())),
            _ if write => Ok(Wish::Write(names)),
            [name] => Ok(Wish::Print { name, as_json }),
            _ => bail!("one bench at a time: {}", all()),
        }
    }
}

/// Measures what the arguments name.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let known = benches()?;
    let wish = Wish::read(arguments, &known)?;
    ensure_guest_target()?;
    let build = ["build", "--release", "--package", "stephost", "--bins"];
    let status = command().args(build).status().context("starting cargo")?;
    ensure!(status.success(), "building the host failed");
    match wish {
        Wish::Print { name, as_json } => {
            let json = as_json.then_some("--json");
            let status = measuring(name).args(json).status();
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
        .env("STEPHOST_BIN", target_dir().join("release/stephost"));
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
        let print = |name, as_json| Ok(Wish::Print { name, as_json });
        let table: [(&[&str], Result<Wish<'_>, &str>); 8] = [
            (&["host"], print("host", false)),
            (&["--json", "sandbox"], print("sandbox", true)),
            (&["--write"], Ok(Wish::Write(vec!["host", "sandbox"]))),
            (&["--write", "host"], Ok(Wish::Write(vec!["host"]))),
            (&[], Err("one bench at a time: host, sandbox")),
            (
                &["host", "sandbox"],
                Err("one bench at a time: host, sandbox"),
            ),
            (
                &["hots"],
                Err("there is no bench \"hots\", only: host, sandbox"),
            ),
            (
                &["--write", "--json"],
                Err("the page is no JSON: it is --json or --write"),
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
