//! What values promise: marks that stay, texts that read back, nothing shown that is sensitive.

use serde_json::json;

use super::*;

fn json(json: serde_json::Value) -> Value {
    Value::from_json(json)
}

#[test]
fn numbers_have_their_shortest_text() {
    let table = [
        (0.0, "0"),
        (-0.0, "0"),
        (42.0, "42"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (10.0 / 3.0, "3.3333333333333335"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.25e300, "-1.25e+300"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (f64::MAX, "1.7976931348623157e+308"),
        (9_007_199_254_740_993.0, "9007199254740992"),
    ];
    for (number, text) in table {
        assert_eq!(Value::number(number).to_text(), text);
    }
}

#[test]
fn what_is_no_number_becomes_null() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Value::number(number).kind(), Kind::Null);
    }
}

#[test]
fn text_is_json_inside_containers_only() {
    let table = [
        (json(json!("a \"b\"\n")), "a \"b\"\n"),
        (json(json!(null)), "<null>"),
        (json(json!(true)), "true"),
        (json(json!([])), "[]"),
        (json(json!({})), "{}"),
        (
            json(json!({"b": [1, null, "a \"b\"\n\u{1}\\"], "a\t": {"x": false}})),
            r#"{"a\t": {"x": false}, "b": [1, null, "a \"b\"\n\u0001\\"]}"#,
        ),
        (Value::function(Function::Num), "<function num>"),
        (Value::array(vec![Value::function(Function::Num)]), "[null]"),
    ];
    for (value, text) in table {
        assert_eq!(value.to_text(), text);
    }
}

#[test]
fn whole_numbers_are_integers_in_json() {
    let table = [
        (3.0, "3"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (-9_223_372_036_854_775_808.0, "-9223372036854775808"),
        (9_223_372_036_854_775_808.0, "9223372036854775808"),
        (18_446_744_073_709_551_616.0, "1.8446744073709552e+19"),
    ];
    for (number, text) in table {
        assert_eq!(Value::number(number).to_json().to_string(), text);
    }
}

#[test]
fn a_mark_reaches_everything_inside() {
    let value = json(json!({"a": [1, {"b": "hush"}], "c": {}})).sensitive();
    fn assert_marked(value: &Value) {
        assert!(value.is_marked(), "{value:?}");
        value
            .as_array()
            .into_iter()
            .flatten()
            .for_each(assert_marked);
        value
            .as_object()
            .into_iter()
            .flat_map(Map::values)
            .for_each(assert_marked);
    }
    assert_marked(&value);
    assert_eq!(
        value,
        json(json!({"a": [1, {"b": "hush"}], "c": {}})),
        "marks do not count"
    );
}

#[test]
fn a_part_marks_what_holds_it_as_sensitive_but_not_its_siblings() {
    let value = Value::array(vec![Value::number(1.0), Value::string("hush").sensitive()]);
    assert!(value.is_sensitive());
    assert!(!value.is_marked());
    assert!(!value.as_array().unwrap()[0].is_sensitive());
}

#[test]
fn neither_debug_nor_display_shows_what_is_sensitive() {
    let secret = Value::string("hush").sensitive();
    let held = Value::object(Map::from([
        (
            "a".to_owned(),
            Value::array(vec![secret.clone(), Value::string("seen")]),
        ),
        ("b".to_owned(), json(json!({"hush": 1})).sensitive()),
    ]));
    assert_eq!(format!("{secret} {secret:?}"), "<sensitive> <sensitive>");
    let shown = r#"{"a": [<sensitive>, "seen"], "b": <sensitive>}"#;
    assert_eq!(format!("{held}"), shown);
    assert_eq!(format!("{held:?}"), shown);
    assert_eq!(format!("{:?}", secret.data()), "String");
    assert_eq!(format!("{:?}", held.data()), "Object");
}

#[test]
fn a_masker_is_told_every_form_of_what_is_sensitive() {
    let secret = |value| json(value).sensitive();
    let texts = |value: &Value| {
        let mut found = Vec::new();
        value.sensitive_texts(&mut found);
        found
    };
    let table: [(&str, Value, &[&str]); 8] = [
        ("open", json(json!(["a"])), &[]),
        ("a text", secret(json!("hush")), &["hush"]),
        (
            "a text that JSON writes otherwise",
            secret(json!("a\n\"b")),
            &["a\n\"b", r#"a\n\"b"#],
        ),
        ("a number", secret(json!(1.5)), &["1.5"]),
        ("nothing", secret(json!("")), &[]),
        (
            "a part",
            Value::array(vec![json(json!("open")), secret(json!("hush"))]),
            &["hush"],
        ),
        (
            "a container",
            secret(json!({"k": ["hush", {"l": 7}], "m": ""})),
            &[r#"{"k": ["hush", {"l": 7}], "m": ""}"#, "hush", "7"],
        ),
        (
            "a container in an open one",
            Value::array(vec![secret(json!(["hush"]))]),
            &[r#"["hush"]"#, "hush"],
        ),
    ];
    for (row, value, expected) in table {
        assert_eq!(texts(&value), expected, "{row}");
    }
}

#[test]
fn depth_and_size_are_known() {
    let table = [
        (json!(1), 0, 48),
        (json!("abc"), 0, 51),
        (json!([]), 1, 48),
        (json!([1, [2]]), 2, 192),
        (json!({"key": "abc"}), 1, 102),
    ];
    for (value, depth, size) in table {
        let value = json(value);
        assert_eq!((value.depth(), value.size()), (depth, size), "{value:?}");
        assert_eq!(value.clone().sensitive().size(), size, "{value:?}");
    }
}

#[test]
fn parts_are_had_by_kind() {
    assert_eq!(json(json!("a")).as_str(), Some("a"));
    assert_eq!(json(json!(true)).as_bool(), Some(true));
    assert_eq!(json(json!(2)).as_number(), Some(2.0));
    assert_eq!(json(json!([2])).as_array().map(<[Value]>::len), Some(1));
    assert_eq!(json(json!({"a": 1})).as_object().map(Map::len), Some(1));
    let null = Value::null();
    assert!(null.as_str().is_none() && null.as_bool().is_none() && null.as_number().is_none());
    assert!(null.as_array().is_none() && null.as_object().is_none());
}

#[test]
fn kinds_have_their_words_and_their_rank() {
    let kinds = [
        Kind::Null,
        Kind::Boolean,
        Kind::Number,
        Kind::String,
        Kind::Array,
        Kind::Object,
        Kind::Function,
    ];
    assert!(kinds.is_sorted());
    let words: Vec<String> = kinds.iter().map(Kind::to_string).collect();
    assert_eq!(
        words.join(" "),
        "null boolean number string array object function"
    );
}
