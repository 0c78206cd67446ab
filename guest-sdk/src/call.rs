//! Typed access to the inputs of one run.

use crate::{Argument, Failure, InvalidInput, Parameter, Secret, Signature, Value, host};

/// The largest whole number that an IEEE double can tell from its neighbours.
pub(crate) const WHOLE_MAX: u64 = 1 << 53;

/// One run: the given inputs over the declared defaults.
#[derive(Debug)]
pub struct Call {
    signature: Signature,
    arguments: Vec<Argument>,
}

impl Call {
    /// Joins what was given to what is declared.
    #[must_use]
    pub fn new(signature: Signature, arguments: Vec<Argument>) -> Call {
        Call {
            signature,
            arguments,
        }
    }

    /// Returns the value of an input: the given one, else its default. A sensitive input has none here: see
    /// [`Call::secret`].
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        let given = self.arguments.iter().find(|argument| argument.name == name);
        given
            .map(|argument| &argument.value)
            .or_else(|| self.declared(name)?.default.as_ref())
    }

    /// Returns whether an input has a value, by the caller or by default. Null is none.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        if self.is_sensitive(name) {
            host::sealed(name).is_some()
        } else {
            self.value(name).is_some_and(|value| *value != Value::Null)
        }
    }

    /// Returns a required sensitive input, sealed.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing.
    pub fn secret(&self, name: &str) -> Result<Secret, Failure> {
        match host::sealed(name) {
            Some(sealed) => Ok(Secret::new(name, sealed)),
            None => Err(Failure::invalid_input(name, "is missing")),
        }
    }

    /// Returns a required text.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing or is no text.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        match self.required(name)? {
            Value::Text(text) => Ok(text),
            found @ (Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Json(_)) => {
                Err(unfit(name, "text", found))
            }
        }
    }

    /// Returns a text that may be missing or null.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is something else than text.
    pub fn optional_text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.value(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    /// Returns a required number.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing or is no number.
    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        match self.required(name)? {
            Value::Number(number) => Ok(*number),
            found @ (Value::Null | Value::Boolean(_) | Value::Text(_) | Value::Json(_)) => {
                Err(unfit(name, "a number", found))
            }
        }
    }

    /// Returns a required whole number.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing, has a fraction, or lies beyond 2^53, where doubles skip
    /// numbers.
    pub fn integer(&self, name: &str) -> Result<i64, Failure> {
        let number = self.number(name)?;
        if number.fract() != 0.0 || number.abs() > WHOLE_MAX as f64 {
            return Err(Failure::invalid_input(
                name,
                format!("expected a whole number within 2^53, found {number}"),
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within 2^53, as checked above"
        )]
        Ok(number as i64)
    }

    /// Returns a required boolean.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing or is no boolean.
    pub fn boolean(&self, name: &str) -> Result<bool, Failure> {
        match self.required(name)? {
            Value::Boolean(boolean) => Ok(*boolean),
            found @ (Value::Null | Value::Number(_) | Value::Text(_) | Value::Json(_)) => {
                Err(unfit(name, "a boolean", found))
            }
        }
    }

    /// Returns the JSON text of a required object or array.
    ///
    /// # Errors
    /// [`Failure::InvalidInput`] when it is missing or is neither.
    pub fn json(&self, name: &str) -> Result<&str, Failure> {
        match self.required(name)? {
            Value::Json(json) => Ok(json),
            found @ (Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Text(_)) => {
                Err(unfit(name, "an object or an array", found))
            }
        }
    }

    fn required(&self, name: &str) -> Result<&Value, Failure> {
        if self.is_sensitive(name) {
            let message = "is sensitive and arrives sealed: the step reads it with `Call::secret`";
            return Err(Failure::invalid_input(name, message));
        }
        self.value(name)
            .ok_or_else(|| Failure::invalid_input(name, "is missing and has no default"))
    }

    fn declared(&self, name: &str) -> Option<&Parameter> {
        self.signature
            .inputs
            .iter()
            .find(|input| input.name == name)
    }

    fn is_sensitive(&self, name: &str) -> bool {
        self.declared(name).is_some_and(|input| input.sensitive)
    }
}

pub(crate) fn unfit(name: &str, expected: &str, found: &Value) -> Failure {
    Failure::InvalidInput(InvalidInput {
        name: name.to_owned(),
        message: format!("expected {expected}, found {}", found.kind()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parameter;

    fn call(arguments: &[(&str, Value)]) -> Call {
        let signature = Signature::new("")
            .input(Parameter::text("who", "").or("world"))
            .input(Parameter::number("times", ""))
            .input(Parameter::boolean("loud", ""));
        let arguments = arguments.iter().map(|(name, value)| Argument {
            name: (*name).to_owned(),
            value: value.clone(),
        });
        Call::new(signature, arguments.collect())
    }

    #[test]
    fn a_given_value_wins_over_the_default() {
        assert_eq!(call(&[]).text("who"), Ok("world"));
        assert_eq!(call(&[("who", "Ada".into())]).text("who"), Ok("Ada"));
    }

    #[test]
    fn a_missing_input_without_a_default_is_named() {
        assert_eq!(
            call(&[]).number("times"),
            Err(Failure::invalid_input(
                "times",
                "is missing and has no default"
            ))
        );
    }

    #[test]
    fn a_value_of_another_kind_says_what_was_found() {
        let wrong = call(&[
            ("who", 3.0.into()),
            ("loud", "yes".into()),
            ("times", Value::Json("[]".to_owned())),
        ]);
        let table = [
            (
                "text",
                wrong.text("who").err(),
                "who",
                "expected text, found a number",
            ),
            (
                "boolean",
                wrong.boolean("loud").err(),
                "loud",
                "expected a boolean, found text",
            ),
            (
                "number",
                wrong.number("times").err(),
                "times",
                "expected a number, found an object or an array",
            ),
            (
                "json",
                wrong.json("who").err(),
                "who",
                "expected an object or an array, found a number",
            ),
        ];
        for (row, found, name, message) in table {
            assert_eq!(found, Some(Failure::invalid_input(name, message)), "{row}");
        }
    }

    #[test]
    fn a_whole_number_is_exact_or_refused() {
        let table = [
            (3.0, true),
            (-0.0, true),
            (2.5, false),
            (9_007_199_254_740_992.0, true),
            (1e16, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
        ];
        for (number, fits) in table {
            assert_eq!(
                call(&[("times", number.into())]).integer("times").is_ok(),
                fits,
                "{number}"
            );
        }
    }

    #[test]
    fn an_optional_text_may_be_null_or_missing() {
        assert_eq!(call(&[("who", Value::Null)]).optional_text("who"), Ok(None));
        assert_eq!(call(&[]).optional_text("nobody"), Ok(None));
        assert_eq!(call(&[]).optional_text("who"), Ok(Some("world")));
    }
}
