//! Exit codes, and how an error that ends the program is told.

use std::io::Write as _;

/// Everything went well.
pub(crate) const FINE: u8 = 0;
/// The step that was run failed.
pub(crate) const STEP_FAILED: u8 = 1;
/// The answer to what was asked is no.
pub(crate) const NO: u8 = 1;
/// The arguments are wrong.
pub(crate) const USAGE: u8 = 2;
/// The policy does not grant what a step needs.
pub(crate) const DENIED: u8 = 4;
/// A file that was named is not what it should be.
pub(crate) const BAD_INPUT: u8 = 65;
/// Somebody we need is not there.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The host broke.
pub(crate) const INTERNAL: u8 = 70;
/// Something cannot be made.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// An interrupt ended what was run.
pub(crate) const INTERRUPTED: u8 = 130;
/// The configuration or a policy is invalid.
pub(crate) const CONFIG: u8 = 78;

/// Why the program ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            code,
            error: error.into(),
        }
    }

    /// The arguments are wrong.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(USAGE, error)
    }

    /// A file that was named is not what it should be.
    pub(crate) fn bad_input(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(BAD_INPUT, error)
    }

    /// Somebody we need is not there.
    pub(crate) fn unavailable(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(UNAVAILABLE, error)
    }

    /// The host broke.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(INTERNAL, error)
    }

    /// The configuration or a policy is invalid.
    pub(crate) fn config(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(CONFIG, error)
    }

    /// What went wrong, for somebody who goes on.
    pub(crate) fn into_error(self) -> anyhow::Error {
        self.error
    }

    /// Something cannot be made.
    pub(crate) fn cannot_create(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(CANNOT_CREATE, error)
    }
}

/// Tells why on stderr, the chain of causes in one line; returns the code.
pub(crate) fn report(failure: &Failure) -> u8 {
    // That nobody can read it does not change the code.
    let _ = writeln!(std::io::stderr(), "error: {:#}", failure.error);
    failure.code
}
