//! Arrays and objects, through serde. Only with the feature `json`.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{InputValue, OutputValue};
use crate::{Call, Failure, Value, ValueType};

/// An object that serde can read into a `T`, or write from one: `Json<Settings>` for a struct that derives
/// `serde::Deserialize` or `serde::Serialize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> InputValue for Json<T> {
    const TYPE: ValueType = ValueType::Object;

    fn read(call: &Call, name: &str) -> Result<Json<T>, Failure> {
        read(call, name).map(Json)
    }
}

impl<T: Serialize> OutputValue for Json<T> {
    const TYPE: ValueType = ValueType::Object;

    fn write(self) -> Result<Value, String> {
        write(&self.0, '{', "an object")
    }
}

impl<T: DeserializeOwned> InputValue for Vec<T> {
    const TYPE: ValueType = ValueType::Array;

    fn read(call: &Call, name: &str) -> Result<Vec<T>, Failure> {
        read(call, name)
    }
}

impl<T: Serialize> OutputValue for Vec<T> {
    const TYPE: ValueType = ValueType::Array;

    fn write(self) -> Result<Value, String> {
        write(&self, '[', "an array")
    }
}

impl<T: DeserializeOwned> InputValue for BTreeMap<String, T> {
    const TYPE: ValueType = ValueType::Object;

    fn read(call: &Call, name: &str) -> Result<BTreeMap<String, T>, Failure> {
        read(call, name)
    }
}

impl<T: Serialize> OutputValue for BTreeMap<String, T> {
    const TYPE: ValueType = ValueType::Object;

    fn write(self) -> Result<Value, String> {
        write(&self, '{', "an object")
    }
}

impl<T: DeserializeOwned, S: BuildHasher + Default> InputValue for HashMap<String, T, S> {
    const TYPE: ValueType = ValueType::Object;

    fn read(call: &Call, name: &str) -> Result<HashMap<String, T, S>, Failure> {
        read(call, name)
    }
}

impl<T: Serialize, S: BuildHasher> OutputValue for HashMap<String, T, S> {
    const TYPE: ValueType = ValueType::Object;

    fn write(self) -> Result<Value, String> {
        write(&self, '{', "an object")
    }
}

fn read<T: DeserializeOwned>(call: &Call, name: &str) -> Result<T, Failure> {
    serde_json::from_str(call.json(name)?)
        .map_err(|error| Failure::invalid_input(name, error.to_string()))
}

/// Whether a type is written as what it was declared is only seen in what serde makes of it.
fn write(value: &impl Serialize, opening: char, kind: &str) -> Result<Value, String> {
    let text = serde_json::to_string(value).map_err(|error| format!("is no JSON: {error}"))?;
    if text.starts_with(opening) {
        Ok(Value::Json(text))
    } else {
        Err(format!(
            "is declared as {kind}, and serde writes something else"
        ))
    }
}
