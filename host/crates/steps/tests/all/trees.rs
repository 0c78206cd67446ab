//! Inputs and outputs of steps: values with expressions inside.

use std::collections::BTreeMap;

use stephost_expr::{Scope, Value};
use stephost_steps::{Body, Strictness, Tree, parse};

fn tree(yaml: &str) -> Tree {
    let text = format!("{{}}\n---\nrun: []\noutputs:\n  x: {yaml}\n");
    let function = parse("steps", text.as_bytes(), Strictness::Strict)
        .unwrap_or_else(|error| panic!("{error}"))
        .function;
    let Body::Run(composite) = function.definition.body else {
        panic!("a list of steps")
    };
    composite.outputs.into_values().next().expect("one output")
}

fn scope() -> impl Scope {
    BTreeMap::from([
        ("n".to_owned(), Value::number(5.0)),
        (
            "list".to_owned(),
            Value::array(vec![Value::string("a"), Value::null()]),
        ),
        ("token".to_owned(), Value::string("hush").sensitive()),
        ("big".to_owned(), Value::string("x".repeat(1024 * 1024))),
    ])
}

#[test]
fn x02_a_whole_value_keeps_its_type_and_everything_nests() {
    let table = [
        ("${{ list }}", r#"["a", null]"#),
        ("${{ n }}", "5"),
        ("n ${{ n }}", "n 5"),
        ("~", "<null>"),
        ("010", "8"),
        ("'010'", "010"),
        (
            "[1, true, ~, x, '${{ n }}', 'n ${{ n }}']",
            r#"[1, true, null, "x", 5, "n 5"]"#,
        ),
        (
            "{a: {b: ['${{ list }}']}, '${{ n }}': 1}",
            r#"{"${{ n }}": 1, "a": {"b": [["a", null]]}}"#,
        ),
        ("[]", "[]"),
        ("{}", "{}"),
    ];
    for (yaml, expected) in table {
        assert_eq!(
            tree(yaml).evaluate(&scope()).expect(yaml).to_text(),
            expected,
            "{yaml}"
        );
    }
}

#[test]
fn a_mark_inside_is_seen_from_outside() {
    let value = tree("{a: [x, 'Bearer ${{ token }}'], b: y}")
        .evaluate(&scope())
        .expect("a value");
    assert!(value.is_sensitive());
    assert!(!value.as_object().expect("an object")["b"].is_sensitive());
}

#[test]
fn the_first_failing_expression_is_reported() {
    let error = tree("[x, '${{ nope }}', '${{ other }}']")
        .evaluate(&scope())
        .expect_err("no such name");
    assert!(error.to_string().contains("nope"), "{error}");
}

#[test]
fn a_tree_of_large_results_is_refused_before_it_is_built() {
    let parts = vec!["'${{ big }}'"; 40].join(", ");
    for yaml in [
        format!("[{parts}]"),
        format!("[[{parts}]]"),
        format!("{{a: {{b: [{parts}]}}, c: [{parts}]}}"),
    ] {
        let error = tree(&yaml).evaluate(&scope()).expect_err("forty MiB");
        assert!(error.to_string().contains("bytes"), "{error}");
    }
}

#[test]
fn a_tree_that_expressions_make_too_deep_is_refused() {
    let mut deep = Value::null();
    for _ in 0..60 {
        deep = Value::array(vec![deep]);
    }
    let scope = BTreeMap::from([("deep".to_owned(), deep)]);
    let yaml = format!("{}'${{{{ deep }}}}'{}", "[".repeat(50), "]".repeat(50));
    let error = tree(&yaml)
        .evaluate(&scope)
        .expect_err("deeper than any value");
    assert!(error.to_string().contains("nested"), "{error}");
}
