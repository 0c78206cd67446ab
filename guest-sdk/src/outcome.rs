//! Building what a run returns.

use crate::{FailedStep, Failure, InvalidInput, Outcome, Value, log::Full};

impl Outcome {
    /// A success that leaves nothing.
    #[must_use]
    pub fn empty() -> Outcome {
        Outcome {
            outputs: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, name: &str, value: impl Into<Value>) -> Outcome {
        self.outputs.push((name.to_owned(), value.into()));
        self
    }

    /// Adds an environment variable for the steps after this one.
    #[must_use]
    pub fn export(mut self, name: &str, value: impl Into<String>) -> Outcome {
        self.exports.push((name.to_owned(), value.into()));
        self
    }
}

impl Failure {
    /// The step ran and failed. `message` is a sentence without a full stop.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::Failed(FailedStep {
            message: message.into(),
            exit_code: None,
        })
    }

    /// The step ran and failed with a number, which becomes `exit status N`.
    #[must_use]
    pub fn exit(exit_code: i32, message: impl Into<String>) -> Failure {
        Failure::Failed(FailedStep {
            message: message.into(),
            exit_code: Some(exit_code),
        })
    }

    /// The input `name` cannot be used.
    #[must_use]
    pub fn invalid_input(name: &str, message: impl Into<String>) -> Failure {
        Failure::InvalidInput(InvalidInput {
            name: name.to_owned(),
            message: message.into(),
        })
    }
}

/// So that `?` ends a step whose log budget is spent: going on without a log helps nobody.
impl From<Full> for Failure {
    fn from(_: Full) -> Failure {
        Failure::failed("the log budget is spent")
    }
}
