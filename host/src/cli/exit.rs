//! Exit codes, and how an error that ends the program is told.

/// Everything went well.
pub(crate) const FINE: u8 = 0;
/// The arguments are wrong.
pub(crate) const USAGE: u8 = 2;
/// Somebody we need is not there.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The host broke.
pub(crate) const INTERNAL: u8 = 70;
/// Something cannot be made.
pub(crate) const CANNOT_CREATE: u8 = 73;
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

    /// Something cannot be made.
    pub(crate) fn cannot_create(error: impl Into<anyhow::Error>) -> Failure {
        Failure::new(CANNOT_CREATE, error)
    }
}

/// Tells why on stderr, the chain of causes in one line; returns the code.
pub(crate) fn report(failure: &Failure) -> u8 {
    eprintln!("error: {:#}", failure.error);
    failure.code
}
