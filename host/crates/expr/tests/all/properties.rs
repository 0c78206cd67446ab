//! What holds for every text: no panic, no leak, no mark lost.

use bolero::check;
use serde_json::json;
use stephost_expr::{Map, Template, Value};

use crate::{evaluate, scope_of};

/// Pieces of the language that are put together at random, so that many of the texts mean something. Some are there
/// more than once to be frequent.
const WORDS: [&str; 84] = [
    "secret",
    "secret",
    "secret",
    "s_list",
    "s_list",
    "s_box",
    "s_box",
    "s_num",
    "part",
    "part",
    "part.shut",
    "part.open",
    "open",
    "list",
    "box",
    "n",
    "0",
    "1",
    "2",
    "'a'",
    "'k'",
    "''",
    "\"\"",
    "\"${{",
    "}}\"",
    "\"x${{",
    "}}y\"",
    "true",
    "false",
    "null",
    "str",
    "num",
    "bool",
    "str(",
    "bool(",
    "num(",
    "(",
    "(",
    ")",
    ")",
    ")",
    "[",
    "[",
    "]",
    "]",
    "]",
    "{a:",
    "{k:",
    "{(",
    "):",
    "}",
    "}",
    "}",
    ",",
    ",",
    ",",
    ".a",
    ".k",
    ".k",
    ".q",
    ".q",
    "[0]",
    "[1]",
    "[9]",
    "['k']",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "&&",
    "&&",
    "||",
    "||",
    "||",
    "||",
    "[secret]",
    "[s_num]",
];

/// Names whose values differ between the worlds only where they are sensitive.
fn world(word: &str, number: f64, list: &[Value], boxed: &serde_json::Value) -> Map {
    let mut scope = scope_of(json!({
        "open": "o",
        "n": 1,
        "list": [1, [2], {"k": 3}],
        "box": {"a": 1, "k": {"a": [1], "k": "v"}},
    }));
    scope.insert("secret".to_owned(), Value::string(word).sensitive());
    scope.insert("s_num".to_owned(), Value::number(number).sensitive());
    scope.insert("s_list".to_owned(), Value::array(list.to_vec()).sensitive());
    scope.insert(
        "s_box".to_owned(),
        Value::from_json(boxed.clone()).sensitive(),
    );
    let part = Map::from([
        ("open".to_owned(), Value::string("o")),
        (
            "k".to_owned(),
            Value::array(vec![Value::number(number).sensitive(), Value::null()]),
        ),
        ("shut".to_owned(), Value::string(word).sensitive()),
    ]);
    scope.insert("part".to_owned(), Value::object(part));
    scope
}

fn worlds() -> [Map; 4] {
    let null = Value::null();
    [
        world("", 0.0, &[], &json!({})),
        world(
            "k",
            1.0,
            std::slice::from_ref(&null),
            &json!({"k": {"a": 1}, "a": [0]}),
        ),
        world(
            "a",
            9.0,
            &[Value::string("a"), null.clone()],
            &json!({"a": ""}),
        ),
        world(
            "1",
            -1.0,
            &[Value::bool(true), null],
            &json!({"k": [[1]], "q": 0}),
        ),
    ]
}

fn text_of(words: &[u8]) -> String {
    let words: Vec<&str> = words
        .iter()
        .map(|word| WORDS[usize::from(*word) % WORDS.len()])
        .collect();
    format!("${{{{ {} }}}}", words.join(" "))
}

#[test]
fn no_text_makes_it_panic() {
    let scope = &worlds()[1];
    check!()
        .with_type::<String>()
        .with_iterations(3000)
        .for_each(|text| {
            for text in [
                text.clone(),
                format!("${{{{{text}}}}}"),
                format!("${{{{\"{text}\"}}}}"),
            ] {
                let _ = evaluate(&text, scope);
            }
        });
}

/// The one property that says what a mark is for: what can be seen of a result is the same whatever the sensitive
/// values are. Failing is not hidden, so only worlds in which the evaluation succeeds are compared.
fn assert_nothing_leaks(text: &str) {
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let visible: Vec<String> = worlds()
        .iter()
        .filter_map(|world| template.evaluate(world).ok())
        .map(|value| format!("{value:?}"))
        .collect();
    for pair in visible.windows(2) {
        assert_eq!(
            pair[0], pair[1],
            "a sensitive value shows through in {text}"
        );
    }
}

#[test]
fn what_can_be_seen_does_not_depend_on_what_is_sensitive() {
    check!()
        .with_type::<Vec<u8>>()
        .with_iterations(10_000)
        .for_each(|words| assert_nothing_leaks(&text_of(words)));
}

/// Random words are seldom an expression, so here the shape is given and the parts are random.
#[test]
fn no_operator_and_no_default_lets_a_sensitive_value_through() {
    const PARTS: [&str; 18] = [
        "secret",
        "s_num",
        "s_list",
        "s_box",
        "part",
        "part.shut",
        "n",
        "list",
        "box",
        "0",
        "'k'",
        "[secret, 7]",
        "s_box.k",
        "s_list[0]",
        "box[secret]",
        "list[s_num]",
        "box.q",
        "part.k",
    ];
    const JOINTS: [&str; 9] = ["&&", "||", "==", "<", "+", "&& [n,", "|| [n,", ", ", "||"];
    check!()
        .with_type::<([u8; 4], [u8; 3], u8)>()
        .with_iterations(6_000)
        .for_each(|(parts, joints, shape)| {
            let [a, b, c, d] = parts.map(|part| PARTS[usize::from(part) % PARTS.len()]);
            let [x, y, z] = joints.map(|joint| JOINTS[usize::from(joint) % JOINTS.len()]);
            let text = match shape % 7 {
                0 => format!("[{a} {x} {b}"),
                1 => format!("[({a} {x} {b}) {y} {c}"),
                2 => format!("[[{a} {x} {b}, 7][1] || {c} {z} {d}"),
                3 => format!("[str([{a} {x} {b}]) {y} {c} {z} {d}"),
                5 => format!("[{{(str({a})): 1, a: {b}}}[str({c})] {x} {c}, {{(str({a})): {b}}}"),
                4 => format!("[{{a: {a} {x} {b}}} {y} {c} {z} {d}"),
                _ => format!("[{a} {x} {b} {y} {c} {z} {d}"),
            };
            let missing = text.matches('[').count() - text.matches(']').count();
            assert_nothing_leaks(&format!("${{{{ {}{} }}}}", text, "]".repeat(missing)));
        });
}

#[test]
fn the_text_of_an_unmarked_number_reads_back_as_the_same_number() {
    check!()
        .with_type::<f64>()
        .with_iterations(5000)
        .for_each(|number| {
            let value = Value::number(*number);
            if let Some(number) = value.as_number() {
                assert_eq!(value.to_text().parse(), Ok(number));
                let again = evaluate(&format!("${{{{ num('{value}') }}}}"), &Map::new()).unwrap();
                assert_eq!(again, value);
                assert_eq!(Value::from_json(value.to_json()), value);
            } else {
                assert!(!number.is_finite());
            }
        });
}

#[test]
fn every_text_survives_as_a_string_of_json_and_as_escaped_template() {
    check!()
        .with_type::<String>()
        .with_iterations(3000)
        .for_each(|text| {
            let json = Value::array(vec![Value::string(text.as_str())]).to_text();
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read, json!([text]));
            // What is JSON is an expression too, once the templates in its strings are escaped.
            let escaped = json.replace("${{", "\\${{");
            let again = evaluate(&format!("${{{{ {escaped} }}}}"), &Map::new()).unwrap();
            assert_eq!(again.as_array().unwrap()[0].as_str(), Some(text.as_str()));
            let template = Template::parse(&text.replace("${{", "\\${{")).unwrap();
            assert_eq!(
                template.evaluate(&Map::new()).unwrap().as_str(),
                Some(text.as_str())
            );
        });
}
