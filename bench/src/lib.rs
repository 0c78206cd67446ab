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
    let as_json = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--json") => true,
        Some(other) => {
            eprintln!("error: unknown argument {other:?}; there is only --json");
            return ExitCode::from(2);
        }
    };
    let figures = measure();
    if as_json {
        println!("{}", figure::json(name, &figures));
    } else {
        print!("{}", figure::table(&figures));
    }
    ExitCode::SUCCESS
}
