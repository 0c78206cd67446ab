//! What the programs of this crate have in common: figures, their goals, and how they are printed.
//!
//! `cargo xtask bench WHAT [--json]` builds and runs one of them, in release. Owns nothing that the host uses. Each
//! figure that can be a ratio is one, to a floor that is measured in the same run: a busy machine slows both.

#![forbid(unsafe_code)]

pub mod figure;

use std::process::ExitCode;

use figure::Figure;

/// Measures and prints: a table, or JSON with `--json`. What the figures belong to is `name`.
pub fn print(name: &str, measure: impl FnOnce() -> Vec<Figure>) -> ExitCode {
    print_runs(name, None, |_| measure())
}

/// The same for a bench that does something `runs` times, unless `--runs N` says otherwise.
pub fn print_runs(
    name: &str,
    runs: Option<usize>,
    measure: impl FnOnce(usize) -> Vec<Figure>,
) -> ExitCode {
    let (mut as_json, mut given) = (false, runs);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), runs) {
            ("--json", _) => as_json = true,
            ("--runs", Some(_)) => match arguments.next().map(|number| number.parse()) {
                Some(Ok(number)) => given = Some(number),
                Some(Err(_)) | None => {
                    eprintln!("error: --runs needs a number");
                    return ExitCode::from(2);
                }
            },
            (other, Some(_)) => {
                eprintln!("error: unknown argument {other:?}; there are --json and --runs N");
                return ExitCode::from(2);
            }
            (other, None) => {
                eprintln!("error: unknown argument {other:?}; there is only --json");
                return ExitCode::from(2);
            }
        }
    }
    let figures = measure(given.unwrap_or_default());
    if as_json {
        println!("{}", figure::json(name, &figures));
    } else {
        print!("{}", figure::table(&figures));
    }
    ExitCode::SUCCESS
}
