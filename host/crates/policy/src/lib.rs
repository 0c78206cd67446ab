//! What a builtin may use, as values that a person can read.
//!
//! Owns the answer to "how much" ([`Limits`]) and the words for it ([`LimitName`]). The policy file, the
//! grants that are resolved from it, and the decisions with their explanations belong into this crate too:
//! everything that says yes or no to a builtin is decided here and carried out by `sandbox`.
//!
//! Promises: pure and total, no clock, no file, no wasmtime type; a limit that exists here is enforced and
//! tested, one that nobody enforces does not get a name.
//! Never does: measure or enforce. Called by `sandbox` (enforces) and `host` (chooses and explains).

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

mod limits;

pub use limits::{LimitName, Limits};
