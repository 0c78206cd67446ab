//! `cargo xtask VERB`: the project's own commands.
//!
//! Owns how the project is built, tested, shown and measured: [`demo`] runs the main job, [`mod@test`] is the
//! whole gate, [`tidy`] checks what no compiler does, [`mod@bench`] prints figures, [`mod@campaign`] tries
//! thousands of faults, [`mod@mutate`] breaks what the tests must notice, [`mod@clients`] builds those in other
//! languages, [`mod@dist`] makes and checks
//! the release archive. Needs git, a C compiler and
//! rustup; adds the targets it needs by itself. Installs system packages only when it is told to (`test --install`), and in CI.

#![forbid(unsafe_code)]

mod bench;
mod campaign;
mod cargo;
mod clients;
mod demo;
mod dist;
mod files;
mod mutate;
mod programs;
mod systems;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask VERB

  demo    build the host, start it, and run jobs that show what it does
  test [--long] [--windows] [--install]
          everything that CI checks: formatting, tidiness, lints, tests, docs; with --long, the release archive too;
          with --windows, only what there is on Windows, under Wine; with --install, installs what is missing for that (Debian)
  clients [--install]
          what tests need to see the host as clients in Go and Python do, below target/clients; `test` does it too
  tidy    what no compiler checks: directions, headers, names, links
  bench NAME [--json]
          what jobs cost in the host, steps in its sandbox, and containment, against floors of the same run;
          process takes --runs N: how often everything is tried that could survive
  bench --write [NAME…]
          the same of all of them, or of these, into docs/SPECIFICATION.md
  campaign panics|kills|hostile [--seed N] [--size N]
          thousands of random faults, and whom they harmed: a table; fails when a promise was not kept
  mutate [NAME...]
          what breaks containment is noticed: which test turns red by which change; takes minutes
  dist [--check]
          the release archive, in target/dist; with --check, whether it works

All but tidy add the rustup targets that they need.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next();
    let rest: Vec<String> = arguments.collect();
    if let (Some(surplus), true) = (
        rest.first(),
        !matches!(
            verb.as_deref(),
            Some("bench" | "campaign" | "clients" | "dist" | "mutate" | "test")
        ),
    ) {
        eprintln!("error: {surplus:?} is one argument too many\n\n{HELP}");
        return ExitCode::from(2);
    }
    let done = match verb.as_deref() {
        Some("demo") => demo::demo(),
        Some("test") => test::test(&rest),
        Some("bench") => bench::bench(&rest),
        Some("campaign") => campaign::campaign(&rest),
        Some("clients") => clients::clients(&rest),
        Some("mutate") => mutate::mutate(&rest),
        Some("dist") => dist::dist(&rest),
        Some("tidy") => tidy::tidy(&cargo::root()),
        Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(unknown) => {
            eprintln!("error: there is no verb {unknown:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
        None => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
