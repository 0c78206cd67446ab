//! Given inputs and outputs against a spec (contract 3.7, 5.4, K24, K25).

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use stephost_expr::Value;
use stephost_steps::{Name, Outputs, Spec, Strictness, parse};

const SPEC: &str = "\
spec:
  inputs:
    text: {type: string}
    count: {type: number, default: 1}
    flag: {type: boolean, default: false}
    list: {type: array, default: [1]}
    tree: {type: struct, default: {a: 1}}
    token: {type: string, default: secret, sensitive: true}
  outputs:
    path: {type: string}
    size: {type: number, default: 0}
    key: {type: string, default: '', sensitive: true}
---
run: []
";

fn spec(text: &str) -> Spec {
    parse("steps", text.as_bytes(), Strictness::Strict)
        .expect("a good text")
        .function
        .spec
}

fn given(entries: &[(&str, Value)]) -> BTreeMap<Name, Value> {
    entries
        .iter()
        .map(|(name, value)| (Name::parse(name).expect("a name"), value.clone()))
        .collect()
}

/// One line a row: the values with a `*` behind what is marked, or the message.
fn shown(outcome: Result<BTreeMap<Name, Value>, impl std::fmt::Display>) -> String {
    match outcome {
        Ok(values) => {
            let values: Vec<_> = values
                .iter()
                .map(|(name, value)| {
                    format!(
                        "{name}={}{}",
                        value.to_text(),
                        if value.is_sensitive() { "*" } else { "" }
                    )
                })
                .collect();
            values.join(" ") + "\n"
        }
        Err(error) => format!("{error}\n"),
    }
}

fn check_inputs(rows: &[&[(&str, Value)]], expected: Expect) {
    let spec = spec(SPEC);
    expected.assert_eq(
        &rows
            .iter()
            .map(|row| shown(spec.check_inputs(given(row))))
            .collect::<String>(),
    );
}

fn check_outputs(rows: &[&[(&str, Value)]], expected: Expect) {
    let spec = spec(SPEC);
    expected.assert_eq(
        &rows
            .iter()
            .map(|row| shown(spec.check_outputs(given(row))))
            .collect::<String>(),
    );
}

fn text(text: &str) -> Value {
    Value::string(text)
}

#[test]
fn y06_inputs_are_completed_or_refused() {
    check_inputs(
        &[
            &[("text", text("a"))],
            &[
                ("text", text("")),
                ("count", Value::number(2.0)),
                ("flag", Value::bool(true)),
                ("list", Value::array(vec![])),
                ("tree", Value::object(BTreeMap::new())),
                ("token", text("x")),
            ],
            &[],
            &[("txet", text("a"))],
            &[("other", text("a")), ("text", text("a"))],
            &[("text", Value::number(1.0))],
            &[("text", Value::null())],
            &[("text", text("a")), ("count", text("1"))],
            &[("text", text("a")), ("flag", text("true"))],
            &[
                ("text", text("a")),
                ("list", Value::object(BTreeMap::new())),
            ],
            &[("text", text("a")), ("tree", Value::array(vec![]))],
        ],
        expect![[r#"
            count=1 flag=false list=[1] text=a token=secret* tree={"a": 1}
            count=2 flag=true list=[] text= token=x* tree={}
            input `text` is required but not defined
            step does not accept an input named `txet` (did you mean `text`?)
            step does not accept an input named `other`
            input `text` must be of type string, not number
            input `text` must be of type string, not null
            input `count` must be of type number, not string
            input `flag` must be of type boolean, not string
            input `list` must be of type array, not struct
            input `tree` must be of type struct, not array
        "#]],
    );
}

#[test]
fn a_secret_goes_only_where_secrets_are_declared() {
    check_inputs(
        &[
            &[("text", text("a").sensitive())],
            &[("text", text("a")), ("token", text("a").sensitive())],
            &[
                ("text", text("a")),
                ("list", Value::array(vec![text("a").sensitive()])),
            ],
        ],
        expect![[r#"
            non-sensitive input `text` cannot derive its value from sensitive values, declare it `sensitive: true`
            count=1 flag=false list=[1] text=a token=a* tree={"a": 1}
            non-sensitive input `list` cannot derive its value from sensitive values, declare it `sensitive: true`
        "#]],
    );
}

#[test]
fn x07_outputs_are_completed_or_refused() {
    check_outputs(
        &[
            &[("path", text("/a"))],
            &[
                ("path", text("/a").sensitive()),
                ("size", Value::number(3.0)),
                ("key", text("k")),
            ],
            &[],
            &[("path", text("/a")), ("sizes", Value::number(3.0))],
            &[("path", text("/a")), ("unrelated", Value::number(3.0))],
            &[("path", Value::bool(true))],
            &[("path", text("/a")), ("size", text("3"))],
        ],
        expect![[r#"
            key=* path=/a size=0
            key=k* path=/a* size=3
            missing output `path`, it has no default and was not written
            unexpected output `sizes`, the spec does not declare it (did you mean `size`?)
            unexpected output `unrelated`, the spec does not declare it
            output `path` must be of type string, not boolean
            output `size` must be of type number, not string
        "#]],
    );
}

#[test]
fn delegated_outputs_come_back_as_they_are() {
    let spec = spec("spec: {outputs: delegate}\n---\nexec: {command: [a]}\n");
    assert!(matches!(spec.outputs, Outputs::Delegate));
    assert_eq!(
        shown(spec.check_outputs(given(&[("anything", text("a"))]))),
        "anything=a\n"
    );
}

#[test]
fn a_function_without_a_spec_takes_and_gives_nothing() {
    let spec = Spec::default();
    assert_eq!(shown(spec.check_inputs(BTreeMap::new())), "\n");
    assert_eq!(
        shown(spec.check_inputs(given(&[("a", text("b"))]))),
        "step does not accept an input named `a`\n"
    );
    assert_eq!(
        shown(spec.check_outputs(given(&[("a", text("b"))]))),
        "unexpected output `a`, the spec does not declare it\n"
    );
}
