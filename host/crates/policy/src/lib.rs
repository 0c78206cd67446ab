//! What a builtin may use, as values that a person can read.
//!
//! ```text
//!  policy text ──▶ file ──▶ resolved ──┐
//!                  spans    effective  ├──▶ grant ──▶ decide ──▶ yes, or a denial
//!  component ────▶ needs ──────────────┘    needs ∩ rule ∩ ceiling   (reason)
//! ```
//!
//! Owns the answers to "whether" ([`Policy`], [`Grant`], [`Denial`]) and "how much" ([`Limits`]), and the words
//! for them: everything that says yes or no to a builtin is decided here and carried out elsewhere.
//!
//! Promises: pure and total, no clock, no file, no wasmtime type. What a policy file may say is enforced and
//! tested; what is not enforced has no key, and a key that nobody knows is an error. Without a rule nothing is
//! granted.
//! Never does: measure or enforce, read a file, look a program up. Called by `sandbox` (enforces) and `host`
//! (loads, chooses and explains).

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

mod code;
mod decide;
mod error;
mod file;
mod grant;
mod limits;
mod loader;
mod names;
mod nearest;
mod needs;
mod place;
mod quoted;
mod reason;
mod resolved;

pub use code::Code;
pub use error::{PolicyError, Problem};
pub use grant::Grant;
pub use limits::{Amount, LimitName, Limits};
pub use names::{Names, Programs};
pub use needs::{Needs, NeedsError};
pub use place::Place;
pub use reason::{Capability, Denial, ReasonCode};
pub use resolved::Policy;
