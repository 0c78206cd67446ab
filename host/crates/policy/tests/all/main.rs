//! The policy crate from outside: what a file may say, what it grants, what is in force.

mod decisions;
mod hostile;
mod refusals;
mod resolved;

use stephost_policy::{Needs, Policy};

/// A policy of one rule for `f`, whose further lines are `lines`.
fn rule(lines: &str) -> String {
    format!("policy = 1\nname = \"t\"\n[[allow]]\nfunction = \"f\"\nreason = \"r\"\n{lines}\n")
}

fn policy(text: &str) -> Policy {
    Policy::parse("p.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn needs(text: &str) -> Needs {
    Needs::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Asks for whatever the rule has.
fn anything() -> Needs {
    Needs::of_imports(["stephost:step/process@0.1.0", "stephost:step/context@0.1.0"])
}
