//! Values at the boundary: ours, JSON's, and the WIT package's. Both directions are checked here and nowhere
//! else.

use crate::bindings::stephost::step::types as wit;
use crate::json;

/// Beyond it doubles skip whole numbers, so that a whole number is none any more. 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// One input or output.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// An IEEE double, finite.
    Number(f64),
    /// Text.
    Text(String),
    /// An object or an array. Another JSON value in here counts as the case above it belongs to.
    Json(serde_json::Value),
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(boolean) => Value::Boolean(boolean),
            // Always a double: the feature that keeps arbitrary numbers is off.
            serde_json::Value::Number(number) => number.as_f64().map_or(Value::Null, Value::Number),
            serde_json::Value::String(text) => Value::Text(text),
            json @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
                Value::Json(json)
            }
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(boolean) => serde_json::Value::Bool(boolean),
            Value::Number(number) => json_number(number),
            Value::Text(text) => serde_json::Value::String(text),
            Value::Json(json) => json,
        }
    }
}

/// A whole number stays one, so that it prints without a fraction. What JSON cannot say is null, as in
/// JavaScript.
fn json_number(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within 2^53, as checked above"
        )]
        return serde_json::Value::from(number as i64);
    }
    serde_json::Value::from(number)
}

/// Why a value cannot cross the boundary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("is a number that is not finite")]
    NotFinite,
    #[error("is nested deeper than {} levels", json::DEPTH_MAX)]
    TooDeep,
    #[error("is not valid JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("is JSON text of something else than an object or an array")]
    Scalar,
}

/// Prepares a value for the guest.
pub(crate) fn lower(value: Value) -> Result<wit::Value, ValueError> {
    match value {
        Value::Null => Ok(wit::Value::Null),
        Value::Boolean(boolean) => Ok(wit::Value::Boolean(boolean)),
        Value::Number(number) if number.is_finite() => Ok(wit::Value::Number(number)),
        Value::Number(_) => Err(ValueError::NotFinite),
        Value::Text(text) => Ok(wit::Value::Text(text)),
        Value::Json(json @ (serde_json::Value::Array(_) | serde_json::Value::Object(_))) => {
            if json::is_shallow(&json) {
                Ok(wit::Value::Json(json.to_string()))
            } else {
                Err(ValueError::TooDeep)
            }
        }
        Value::Json(scalar) => lower(Value::from(scalar)),
    }
}

/// Takes a value from the guest.
pub(crate) fn lift(value: wit::Value) -> Result<Value, ValueError> {
    match value {
        wit::Value::Null => Ok(Value::Null),
        wit::Value::Boolean(boolean) => Ok(Value::Boolean(boolean)),
        wit::Value::Number(number) if number.is_finite() => Ok(Value::Number(number)),
        wit::Value::Number(_) => Err(ValueError::NotFinite),
        wit::Value::Text(text) => Ok(Value::Text(text)),
        wit::Value::Json(text) => match json::parse(&text).map_err(ValueError::Json)? {
            json @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
                Ok(Value::Json(json))
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => Err(ValueError::Scalar),
        },
    }
}

/// Returns how many bytes a guest's value takes: what [`stephost_policy::Limits::outputs_bytes_max`] counts.
pub(crate) fn bytes(value: &wit::Value) -> usize {
    match value {
        wit::Value::Null | wit::Value::Boolean(_) | wit::Value::Number(_) => size_of::<f64>(),
        wit::Value::Text(text) | wit::Value::Json(text) => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_back_is_the_same_json() {
        for json in [
            json!(null),
            json!(true),
            json!(7),
            json!(-0.5),
            json!("x"),
            json!([1, "a"]),
            json!({ "a": [] }),
        ] {
            assert_eq!(serde_json::Value::from(Value::from(json.clone())), json);
        }
    }

    #[test]
    fn a_whole_number_prints_without_a_fraction() {
        let table = [
            (7.0, "7"),
            (-0.0, "0"),
            (0.5, "0.5"),
            (1e300, "1e+300"),
            (f64::NAN, "null"),
        ];
        for (number, text) in table {
            assert_eq!(
                serde_json::Value::from(Value::Number(number)).to_string(),
                text
            );
        }
    }

    #[test]
    fn what_crosses_to_a_guest_and_back_is_unchanged() {
        for value in [
            Value::Null,
            Value::Boolean(true),
            Value::Number(0.5),
            Value::Text("ä".to_owned()),
            Value::Json(json!({ "a": [1, null] })),
        ] {
            assert_eq!(lift(lower(value.clone()).unwrap()).unwrap(), value);
        }
    }

    #[test]
    fn a_scalar_dressed_as_json_reaches_the_guest_as_what_it_is() {
        assert!(
            matches!(lower(Value::Json(json!("x"))), Ok(wit::Value::Text(text)) if text == "x")
        );
    }

    #[test]
    fn what_breaks_the_rules_does_not_cross() {
        let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
        assert!(matches!(lower(Value::Json(deep)), Err(ValueError::TooDeep)));
        assert!(matches!(
            lower(Value::Number(f64::NAN)),
            Err(ValueError::NotFinite)
        ));
        assert!(matches!(
            lift(wit::Value::Number(f64::INFINITY)),
            Err(ValueError::NotFinite)
        ));
        assert!(matches!(
            lift(wit::Value::Json("1".to_owned())),
            Err(ValueError::Scalar)
        ));
        assert!(matches!(
            lift(wit::Value::Json("{".to_owned())),
            Err(ValueError::Json(_))
        ));
    }
}
