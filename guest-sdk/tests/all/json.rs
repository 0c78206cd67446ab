//! Arrays and objects.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stephost_sdk::prelude::*;
use stephost_sdk::testing::{Stage, describe, inputs};
use stephost_sdk::{Value, ValueType};

#[derive(Serialize, Deserialize)]
struct Target {
    host: String,
    port: u16,
}

#[derive(Inputs)]
struct Input {
    targets: Vec<Target>,
    labels: Option<BTreeMap<String, String>>,
    first: Json<Target>,
}

#[derive(Outputs)]
struct Output {
    hosts: Vec<String>,
    ports: HashMap<String, u16>,
    first: Json<Target>,
    labels: Option<BTreeMap<String, String>>,
}

/// Turns arrays into objects
#[step]
fn turn(input: Input, _step: &Step) -> Result<Output, Failure> {
    let pairs = input.targets.iter();
    Ok(Output {
        hosts: pairs.clone().map(|target| target.host.clone()).collect(),
        ports: pairs
            .map(|target| (target.host.clone(), target.port))
            .collect(),
        first: input.first,
        labels: input.labels,
    })
}

#[test]
fn arrays_and_objects_are_what_serde_makes_of_them() {
    let report = Stage::new().run::<turn>(inputs! {
        targets: json!([{ "host": "a", "port": 1 }]),
        first: json!({ "host": "b", "port": 2 }),
    });
    let text = |text: &str| Value::Json(text.to_owned());
    assert_eq!(report.returned("hosts"), &text(r#"["a"]"#));
    assert_eq!(report.returned("ports"), &text(r#"{"a":1}"#));
    assert_eq!(report.returned("first"), &text(r#"{"host":"b","port":2}"#));
    let declared = describe::<turn>().inputs;
    let types: Vec<ValueType> = declared.iter().map(|input| input.ty).collect();
    assert_eq!(
        types,
        [ValueType::Array, ValueType::Object, ValueType::Object]
    );
}

#[test]
fn what_serde_cannot_read_names_the_input_and_the_place() {
    let report = Stage::new().run::<turn>(inputs! {
        targets: json!([{ "host": "a", "port": 70000 }]),
        first: json!({ "host": "b", "port": 2 }),
    });
    let message = "invalid value: integer `70000`, expected u16 at line 1 column 25";
    assert_eq!(report.failed(), &Failure::invalid_input("targets", message));
}

#[derive(Outputs)]
struct Scalar {
    object: Json<u8>,
}

/// Gives a number where it declares an object
#[step]
fn pretend(_: (), _step: &Step) -> Result<Scalar, Failure> {
    Ok(Scalar { object: Json(7) })
}

#[test]
fn an_object_that_is_none_fails_the_step() {
    let report = Stage::new().run::<pretend>(inputs! {});
    let message = "the output `object` is declared as an object, and serde writes something else";
    assert_eq!(report.failed(), &Failure::failed(message));
}
