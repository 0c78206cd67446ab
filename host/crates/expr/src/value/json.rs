//! Values from JSON and to JSON.
//!
//! Recursion is that of the JSON: what `serde_json` reads is at most 128 levels deep.

use serde_json::Value as Json;

use super::{Data, Value};

/// Two to the power of 63 and of 64: what lies below fits the integers of JSON libraries.
const I64_END: f64 = 9_223_372_036_854_775_808.0;
const U64_END: f64 = 18_446_744_073_709_551_616.0;

impl Value {
    /// Returns the value that `json` stands for, unmarked. Integers beyond 2^53 become the nearest number.
    pub fn from_json(json: Json) -> Value {
        match json {
            Json::Null => Value::null(),
            Json::Bool(value) => Value::bool(value),
            Json::Number(number) => number.as_f64().map_or_else(Value::null, Value::number),
            Json::String(text) => Value::string(text),
            Json::Array(items) => Value::array(items.into_iter().map(Value::from_json).collect()),
            Json::Object(entries) => Value::object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, Value::from_json(value)))
                    .collect(),
            ),
        }
    }

    /// Returns the value as JSON, without marks. A number without fraction is an integer there; a function, which
    /// has no form in JSON, is null.
    pub fn to_json(&self) -> Json {
        match self.data() {
            Data::Null | Data::Function(_) => Json::Null,
            Data::Bool(value) => Json::Bool(*value),
            Data::Number(number) => number_to_json(*number),
            Data::String(text) => Json::String(text.to_string()),
            Data::Array(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Data::Object(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.to_json()))
                    .collect(),
            ),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each cast stands behind the check that the number is whole and in range"
)]
fn number_to_json(number: f64) -> Json {
    if number.fract() == 0.0 && (-I64_END..I64_END).contains(&number) {
        Json::from(number as i64)
    } else if number.fract() == 0.0 && (0.0..U64_END).contains(&number) {
        Json::from(number as u64)
    } else {
        Json::from(number)
    }
}
