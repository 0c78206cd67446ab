//! Sensitive inputs: sealed until the step says that it wants to know.

use std::fmt;

use crate::call::unfit;
use crate::{Denial, Failure, Value, host};

/// A sensitive input. Shows its name and never its value: there is no `Display`, and `Debug` has nothing to
/// show. Breaking the seal is one visible call.
pub struct Secret {
    name: String,
    sealed: host::Sealed,
}

impl Secret {
    pub(crate) fn new(name: &str, sealed: host::Sealed) -> Secret {
        Secret {
            name: name.to_owned(),
            sealed,
        }
    }

    /// Returns the name of the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Breaks the seal and returns the text. The host takes note of every call, and a policy can refuse it.
    ///
    /// # Errors
    /// [`Failure::Denied`] when the policy refuses; [`Failure::InvalidInput`] when the value is no text.
    pub fn reveal(&self) -> Result<String, Failure> {
        match self.reveal_value()? {
            Value::Text(text) => Ok(text),
            found => Err(unfit(&self.name, "text", &found)),
        }
    }

    /// Breaks the seal of an input that may be something else than text.
    ///
    /// # Errors
    /// [`Failure::Denied`] when the policy refuses.
    pub fn reveal_value(&self) -> Result<Value, Failure> {
        self.sealed.reveal().map_err(Failure::from)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.name)
    }
}

/// So that `?` ends a step that was refused something it cannot do without.
impl From<Denial> for Failure {
    fn from(denial: Denial) -> Failure {
        Failure::Denied(denial)
    }
}
