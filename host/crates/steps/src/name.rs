//! The names of inputs, outputs and steps.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::quoted::Quoted;

/// A name of an input, an output or a step: a letter or `_`, then letters, digits and `_` (contract 3.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not a name: use letters, digits and `_`, and no digit first")]
pub struct NameError {
    text: Quoted,
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NameError`] when `text` does not match `^[a-zA-Z_][a-zA-Z0-9_]*$`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let starts = bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
        if starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            Ok(Self(text.into()))
        } else {
            Err(NameError {
                text: Quoted::new(text),
            })
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_the_contract() {
        for good in ["a", "_", "A9_", "snake_case", "CamelCase"] {
            assert_eq!(
                Name::parse(good).map(|name| name.to_string()),
                Ok(good.to_owned()),
                "{good}"
            );
        }
        for bad in ["", "9a", "a-b", "not ok", "a.b", "ü", "a\n", " a", "a\0"] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
