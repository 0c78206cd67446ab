//! What a builtin says of itself: its answer to `describe`, checked.

use std::collections::HashSet;

use crate::Value;
use crate::bindings::stephost::step::types as wit;
use crate::ending::plain;
use crate::value::{self, ValueError};

/// Most inputs, and most outputs, of one builtin. Ten times what the largest known step has.
const PARAMETERS_MAX: usize = 256;

/// Longest name of a parameter, in bytes. Expressions name them.
const NAME_BYTES_MAX: usize = 128;

/// What a builtin takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// One sentence.
    pub summary: String,
    /// What it takes; names are unique.
    pub inputs: Vec<Parameter>,
    /// What it gives; names are unique.
    pub outputs: Vec<Parameter>,
}

/// One input or output.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub ty: ValueType,
    /// Used when nothing is given; of type `ty`, or null. An input without it is required.
    pub default: Option<Value>,
    /// Whether its value is a secret.
    pub sensitive: bool,
    /// One sentence.
    pub doc: String,
}

/// What kind of value a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
}

impl ValueType {
    /// Returns whether `value` is of this type. Null is of none.
    #[must_use]
    pub fn admits(self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Boolean(_) => self == ValueType::Boolean,
            Value::Number(_) => self == ValueType::Number,
            Value::Text(_) => self == ValueType::Text,
            Value::Json(serde_json::Value::Object(_)) => self == ValueType::Object,
            Value::Json(serde_json::Value::Array(_)) => self == ValueType::Array,
            Value::Json(scalar) => self.admits(&Value::from(scalar.clone())),
        }
    }
}

/// Why an answer to `describe` is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("declares more than {PARAMETERS_MAX} parameters")]
    TooMany,
    #[error(
        "declares a parameter whose name is empty, longer than {NAME_BYTES_MAX} bytes, or has control characters"
    )]
    Name,
    #[error("declares `{0}` twice")]
    Twice(String),
    #[error("declares a default for `{name}` that {fault}")]
    Default { name: String, fault: ValueError },
    #[error("declares a default for `{0}` that is of another type than the parameter")]
    DefaultType(String),
}

/// Checks an answer to `describe`.
pub(crate) fn lift(signature: wit::Signature) -> Result<Signature, SignatureError> {
    Ok(Signature {
        summary: plain(&signature.summary),
        inputs: lift_parameters(signature.inputs)?,
        outputs: lift_parameters(signature.outputs)?,
    })
}

fn lift_parameters(parameters: Vec<wit::Parameter>) -> Result<Vec<Parameter>, SignatureError> {
    if parameters.len() > PARAMETERS_MAX {
        return Err(SignatureError::TooMany);
    }
    let mut seen = HashSet::new();
    parameters
        .into_iter()
        .map(|parameter| {
            let wit::Parameter {
                name,
                ty,
                default,
                sensitive,
                doc,
            } = parameter;
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
                return Err(SignatureError::Name);
            }
            if !seen.insert(name.clone()) {
                return Err(SignatureError::Twice(name));
            }
            let ty = lift_type(ty);
            let default = match default.map(value::lift).transpose() {
                Ok(Some(default)) if default != Value::Null && !ty.admits(&default) => {
                    return Err(SignatureError::DefaultType(name));
                }
                Ok(default) => default,
                Err(fault) => return Err(SignatureError::Default { name, fault }),
            };
            Ok(Parameter {
                name,
                ty,
                default,
                sensitive,
                doc: plain(&doc),
            })
        })
        .collect()
}

fn lift_type(ty: wit::ValueType) -> ValueType {
    match ty {
        wit::ValueType::Text => ValueType::Text,
        wit::ValueType::Number => ValueType::Number,
        wit::ValueType::Boolean => ValueType::Boolean,
        wit::ValueType::Object => ValueType::Object,
        wit::ValueType::Array => ValueType::Array,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, default: Option<wit::Value>) -> wit::Parameter {
        wit::Parameter {
            name: name.to_owned(),
            ty: wit::ValueType::Text,
            default,
            sensitive: false,
            doc: String::new(),
        }
    }

    #[test]
    fn an_answer_that_breaks_the_rules_says_which() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let table = [
            (
                vec![parameter("a", None), parameter("a", None)],
                "declares `a` twice",
            ),
            (
                vec![parameter("", None)],
                "declares a parameter whose name is empty",
            ),
            (
                vec![parameter("a\nb", None)],
                "declares a parameter whose name is empty",
            ),
            (
                vec![parameter(&long, None)],
                "declares a parameter whose name is empty",
            ),
            (
                vec![parameter("a", Some(wit::Value::Number(1.0)))],
                "declares a default for `a` that is of another type",
            ),
            (
                vec![parameter("a", Some(wit::Value::Number(f64::NAN)))],
                "declares a default for `a` that is a number that is not finite",
            ),
            (
                (0..=PARAMETERS_MAX)
                    .map(|at| parameter(&at.to_string(), None))
                    .collect(),
                "declares more than 256 parameters",
            ),
        ];
        for (inputs, message) in table {
            let error = lift(wit::Signature {
                summary: String::new(),
                inputs,
                outputs: Vec::new(),
            })
            .expect_err(message)
            .to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_default_of_null_makes_a_parameter_of_any_type_optional() {
        let signature = wit::Signature {
            summary: String::new(),
            inputs: vec![parameter("a", Some(wit::Value::Null))],
            outputs: Vec::new(),
        };
        let lifted = lift(signature).unwrap();
        assert_eq!(lifted.inputs[0].default, Some(Value::Null));
    }

    #[test]
    fn a_type_admits_its_own_values_only() {
        let values = [
            Value::Text(String::new()),
            Value::Number(0.0),
            Value::Boolean(false),
            Value::Json(serde_json::json!({})),
            Value::Json(serde_json::json!([])),
        ];
        let types = [
            ValueType::Text,
            ValueType::Number,
            ValueType::Boolean,
            ValueType::Object,
            ValueType::Array,
        ];
        for (row, ty) in types.into_iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                assert_eq!(ty.admits(value), row == column, "{ty:?} {value:?}");
            }
            assert!(!ty.admits(&Value::Null), "{ty:?}");
        }
        assert!(ValueType::Text.admits(&Value::Json(serde_json::json!("a scalar in disguise"))));
    }
}
