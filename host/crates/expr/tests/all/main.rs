//! What the language promises to those who use it, seen from outside.

mod accesses;
mod contract;
mod language;
mod limits;
mod marks;
mod messages;
mod properties;

use stephost_expr::{ExpressionError, Map, Template, Value};

/// Evaluates `text` in the scope that `scope` stands for.
fn evaluate(text: &str, scope: &Map) -> Result<Value, ExpressionError> {
    Template::parse(text)?.evaluate(scope)
}

/// Returns the scope whose names are the keys of `json`.
fn scope_of(json: serde_json::Value) -> Map {
    let object = Value::from_json(json);
    object
        .as_object()
        .expect("a scope is written as an object")
        .clone()
}
