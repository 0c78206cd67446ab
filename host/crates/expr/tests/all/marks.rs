//! The mark of sensitive values survives everything that is done with them.

use serde_json::json;
use stephost_expr::{Map, Template, Value};

use crate::{evaluate, scope_of};

fn scope() -> Map {
    let mut scope =
        scope_of(json!({"n": 1, "t": "text", "o": {"k": 1, "0": 2}, "list": [1, 2], "no": null}));
    let secret = |json| Value::from_json(json).sensitive();
    scope.insert("word".to_owned(), secret(json!("hush")));
    scope.insert("key".to_owned(), secret(json!("k")));
    scope.insert("one".to_owned(), secret(json!(1)));
    scope.insert("empty".to_owned(), secret(json!("")));
    scope.insert("off".to_owned(), secret(json!(false)));
    scope.insert("box".to_owned(), secret(json!({"k": {"in": [1, "hush"]}})));
    let part = Map::from([
        ("open".to_owned(), Value::string("seen")),
        ("shut".to_owned(), Value::string("hush").sensitive()),
    ]);
    scope.insert("part".to_owned(), Value::object(part));
    scope
}

#[test]
fn results_of_sensitive_operands_are_sensitive() {
    let scope = scope();
    for text in [
        "${{ word }}",
        "x${{ word }}",
        "${{ n }}${{ word }}${{ n }}",
        "${{ \"${{ word }}\" }}",
        "${{ 'a' + word }}",
        "${{ word + 'a' }}",
        "${{ one + 1 }}",
        "${{ 1 - one }}",
        "${{ 2 * one / 3 % 4 }}",
        "${{ -one }}",
        "${{ +one }}",
        "${{ !word }}",
        "${{ word == 1 }}",
        "${{ 1 != word }}",
        "${{ word < word }}",
        "${{ [word] == [1] }}",
        "${{ part == 1 }}",
        "${{ [1, [2, word]] }}",
        "${{ {a: word} }}",
        "${{ {(word): 1} }}",
        "${{ {\"a${{ word }}\": 1} }}",
        "${{ str(word) }}",
        "${{ num(one) }}",
        "${{ num(str(one)) }}",
        "${{ bool(word) }}",
        "${{ str(part) }}",
        "${{ bool(part) }}",
        "${{ (off || str)(1) }}",
        "${{ box.k }}",
        "${{ box.k.in[0] }}",
        "${{ box['k']['in'] }}",
        "${{ part }}",
        "${{ part.shut }}",
        "${{ part['shut'] }}",
        "${{ o[key] }}",
        "${{ list[one] }}",
        "${{ t[one] }}",
        "${{ word[0] }}",
        "${{ [word, 1][0] }}",
        "${{ {a: word}.a }}",
    ] {
        assert!(evaluate(text, &scope).unwrap().is_sensitive(), "{text}");
    }
}

#[test]
fn and_and_or_carry_the_mark_of_what_decided() {
    let scope = scope();
    for (text, sensitive) in [
        ("${{ word && n }}", true),
        ("${{ off && n }}", true),
        ("${{ n && word }}", true),
        ("${{ no && word }}", false),
        ("${{ word || n }}", true),
        ("${{ off || n }}", true),
        ("${{ empty || 'default' }}", true),
        ("${{ n || word }}", false),
        ("${{ no || word }}", true),
        ("${{ one == 1 && 'a' || 'b' }}", true),
        ("${{ one == 2 && 'a' || 'b' }}", true),
        ("${{ no || off || 'b' }}", true),
        ("${{ n || off || 'b' }}", false),
        ("${{ part && n }}", true),
    ] {
        assert_eq!(
            evaluate(text, &scope).unwrap().is_sensitive(),
            sensitive,
            "{text}"
        );
    }
}

#[test]
fn a_default_for_what_is_missing_is_sensitive_when_the_reason_is() {
    let scope = scope();
    for (text, sensitive) in [
        ("${{ box.q || n }}", true),
        ("${{ o[word] || n }}", true),
        ("${{ list[one + 7] || n }}", true),
        ("${{ (word && o.q) || n }}", true),
        ("${{ (off && o.q) || n }}", true),
        // The default is not taken, but that it is not says something about the secret.
        ("${{ [off && o.q, 7][1] || n }}", true),
        ("${{ [word && o.q, 7][1] || n }}", true),
        ("${{ [word || o.q, 7][1] || n }}", true),
        ("${{ [o[key], 7][1] || n }}", true),
        ("${{ [box.k, 7][1] || n }}", true),
        // Nothing sensitive decides anything here.
        ("${{ o.q || n }}", false),
        ("${{ part.q || n }}", false),
        ("${{ part.open || n }}", false),
        ("${{ [word, 7][1] || n }}", false),
        // What was decided before does not count.
        ("${{ [word && 1, o.q || n][1] }}", false),
    ] {
        assert_eq!(
            evaluate(text, &scope).unwrap().is_sensitive(),
            sensitive,
            "{text}"
        );
    }
}

#[test]
fn what_is_not_sensitive_stays_open() {
    let scope = scope();
    for text in [
        "${{ n + 1 }}",
        "${{ part.open }}",
        "${{ [word, n][1] }}",
        "${{ {a: word, b: n}.b }}",
        "plain",
        "${{ t }} ${{ o }}",
    ] {
        assert!(!evaluate(text, &scope).unwrap().is_sensitive(), "{text}");
    }
}

#[test]
fn evaluate_text_keeps_the_mark() {
    for (text, sensitive) in [
        ("${{ one }}", true),
        ("${{ part }}", true),
        ("x ${{ box }}", true),
        ("${{ n }}", false),
    ] {
        let value = Template::parse(text)
            .unwrap()
            .evaluate_text(&scope())
            .unwrap();
        assert_eq!(value.is_sensitive(), sensitive, "{text}");
        assert!(value.as_str().is_some(), "{text}");
    }
}

#[test]
fn an_object_with_a_sensitive_key_is_sensitive_as_a_whole() {
    let value = evaluate("${{ {(word): 1, a: [2]} }}", &scope()).unwrap();
    assert_eq!(format!("{value:?}"), "<sensitive>");
    let object = value.as_object().unwrap();
    assert!(object.values().all(Value::is_sensitive));
    assert!(object["a"].as_array().unwrap()[0].is_sensitive());
}
