//! The texts that people read when an expression fails.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde_json::json;
use stephost_expr::{Code, Map, Template, Value};

use crate::{evaluate, scope_of};

fn scope() -> Map {
    let mut scope = scope_of(json!({
        "a": {"b": {"list": [1, 2]}, "x-y": {}, "key": "b"},
        "n": 1,
        "t": "text",
        "nothing": null,
    }));
    scope.insert("secret".to_owned(), Value::string("hush").sensitive());
    scope.insert(
        "secrets".to_owned(),
        Value::from_json(json!({"hush": {}, "n": 7})).sensitive(),
    );
    scope
}

/// Evaluates each line and writes it with its position and message below.
fn check(texts: &[&str], expected: &Expect) {
    let scope = scope();
    let mut story = String::new();
    for text in texts {
        let error = evaluate(text, &scope).expect_err(text);
        writeln!(story, "{text}\n{:>2} {error}", error.position())
            .expect("writing to a string does not fail");
    }
    expected.assert_eq(&story);
}

#[test]
fn what_breaks_the_grammar_is_named_with_its_place() {
    check(
        &[
            "${{",
            "${{ }}",
            "${{ 1",
            "${{ 1 }",
            "${{ 1 } }",
            "${{ (1 }}",
            "${{ (1] }}",
            "${{ [1 2] }}",
            "${{ [,] }}",
            "${{ {a 1} }}",
            "${{ {1: 2} }}",
            "${{ {a: 1; b: 2} }}",
            "${{ {(1): 2} }}",
            "${{ a b }}",
            "${{ a.1 }}",
            "${{ a.b.0 }}",
            "${{ a. b. }}",
            "${{ a['x }}",
            "${{ 1 + }}",
            "${{ = 1 }}",
            "${{ 1 & 2 }}",
            "${{ a ? b : c }}",
            "${{ # comment }}",
            "${{ a\u{a0}b }}",
            "${{ 1. }}",
            "${{ 0x10 }}",
            "${{ 1e999 }}",
            "${{ let }}",
            r#"text ${{ "${{ 1 ]" }}"#,
            r#"${{ "${{ 1 " }}"#,
            "${{ \"open }}",
            "${{ 'open\\",
        ],
        &expect![[r#"
            ${{
             0 invalid expression at 0: `${{` is not closed by `}}`
            ${{ }}
             4 invalid expression at 4: expected a value, found `}}`
            ${{ 1
             0 invalid expression at 0: `${{` is not closed by `}}`
            ${{ 1 }
             6 invalid expression at 6: expected an operator or `}}`, found `}`
            ${{ 1 } }
             6 invalid expression at 6: expected an operator or `}}`, found `}`
            ${{ (1 }}
             7 invalid expression at 7: expected an operator or `)`, found `}}`
            ${{ (1] }}
             6 invalid expression at 6: expected an operator or `)`, found `]`
            ${{ [1 2] }}
             7 invalid expression at 7: expected an operator, `,` or `]`, found `2`
            ${{ [,] }}
             5 invalid expression at 5: expected a value, found `,`
            ${{ {a 1} }}
             7 invalid expression at 7: expected `:` after a key, found `1`
            ${{ {1: 2} }}
             5 invalid expression at 5: expected a key or `}`, found `1`
            ${{ {a: 1; b: 2} }}
             9 invalid expression at 9: unexpected character `;`
            ${{ {(1): 2} }}
             5 evaluating expression failed at 5: a key must be a string, found number: use `str()`
            ${{ a b }}
             6 invalid expression at 6: expected an operator or `}}`, found `b`
            ${{ a.1 }}
             5 invalid expression at 5: expected an operator or `}}`, found `.1`
            ${{ a.b.0 }}
             7 invalid expression at 7: expected an operator or `}}`, found `.0`
            ${{ a. b. }}
            10 invalid expression at 10: expected a name after `.`, found `}}`
            ${{ a['x }}
             6 invalid expression at 6: the string is not terminated
            ${{ 1 + }}
             8 invalid expression at 8: expected a value, found `}}`
            ${{ = 1 }}
             4 invalid expression at 4: unexpected character `=`
            ${{ 1 & 2 }}
             6 invalid expression at 6: unexpected character `&`
            ${{ a ? b : c }}
             6 invalid expression at 6: unexpected character `?`
            ${{ # comment }}
             4 invalid expression at 4: unexpected character `#`
            ${{ a b }}
             5 invalid expression at 5: unexpected character `\u{a0}`
            ${{ 1. }}
             4 invalid expression at 4: `1.` is not a number
            ${{ 0x10 }}
             4 invalid expression at 4: `0x10` is not a number
            ${{ 1e999 }}
             4 invalid expression at 4: number out of range
            ${{ let }}
             4 invalid expression at 4: `let` is a reserved word, it can be used after a dot or as a key only
            text ${{ "${{ 1 ]" }}
            16 invalid expression at 16: expected an operator or `}}`, found `]`
            ${{ "${{ 1 " }}
            11 invalid expression at 11: expected an operator or `}}`, found `"`
            ${{ "open }}
             4 invalid expression at 4: the string is not terminated
            ${{ 'open\
             4 invalid expression at 4: the string is not terminated
        "#]],
    );
}

#[test]
fn escapes_that_are_none_are_named() {
    check(
        &[
            r#"${{ "\q" }}"#,
            r#"${{ "\'" }}"#,
            r#"${{ "\$x" }}"#,
            r#"${{ "\é" }}"#,
            r#"${{ "\u12" }}"#,
            r#"${{ "\u+123" }}"#,
            r#"${{ "\u12é4" }}"#,
            r#"${{ "\ud83d" }}"#,
            r#"${{ "\ud83d\u0041" }}"#,
            r#"${{ "\ude00" }}"#,
            r#"${{ "\"#,
            r"${{ '\n' }}",
            r"${{ '\€' }}",
        ],
        &expect![[r#"
            ${{ "\q" }}
             5 invalid expression at 5: invalid escape `\q` in a string, a backslash is written `\\`
            ${{ "\'" }}
             5 invalid expression at 5: invalid escape `\'` in a string, a backslash is written `\\`
            ${{ "\$x" }}
             5 invalid expression at 5: invalid escape `\$` in a string, a backslash is written `\\`
            ${{ "\é" }}
             5 invalid expression at 5: invalid escape `\é` in a string, a backslash is written `\\`
            ${{ "\u12" }}
             5 invalid expression at 5: invalid escape `\u12` in a string, a backslash is written `\\`
            ${{ "\u+123" }}
             5 invalid expression at 5: invalid escape `\u` in a string, a backslash is written `\\`
            ${{ "\u12é4" }}
             5 invalid expression at 5: invalid escape `\u12` in a string, a backslash is written `\\`
            ${{ "\ud83d" }}
             5 invalid expression at 5: invalid escape `\ud83d` in a string, a backslash is written `\\`
            ${{ "\ud83d\u0041" }}
             5 invalid expression at 5: invalid escape `\ud83d` in a string, a backslash is written `\\`
            ${{ "\ude00" }}
             5 invalid expression at 5: invalid escape `\ude00` in a string, a backslash is written `\\`
            ${{ "\
             4 invalid expression at 4: the string is not terminated
            ${{ '\n' }}
             5 invalid expression at 5: invalid escape `\n` in a string, a backslash is written `\\`
            ${{ '\€' }}
             5 invalid expression at 5: invalid escape `\€` in a string, a backslash is written `\\`
        "#]],
    );
}

#[test]
fn what_is_missing_is_named_with_the_way_to_it() {
    check(
        &[
            "${{ nowhere }}",
            "${{ nowhere.a }}",
            "${{ a.q }}",
            "${{ a.q.r }}",
            "${{ a.b.q }}",
            "${{ a['b'].q }}",
            "${{ a['x-y'].q }}",
            "${{ a['p q'] }}",
            "${{ a['b']['q'] }}",
            "${{ a[a.key].q }}",
            "${{ a[a.key + '\"\n'] }}",
            "${{ a.b.list[2] }}",
            "${{ a.b.list[n + 1] }}",
            "${{ a.b.list[-1] }}",
            "${{ t[9] }}",
            "${{ {k: 1}.q }}",
            "${{ [a][0].q }}",
            "${{ (a.b).q }}",
            "${{ (a.b || 1).q }}",
            "${{ a.q && 1 }}",
        ],
        &expect![[r#"
            ${{ nowhere }}
             4 evaluating expression failed at "nowhere": name not found
            ${{ nowhere.a }}
             4 evaluating expression failed at "nowhere": name not found
            ${{ a.q }}
             6 evaluating expression failed at ".q": attribute not found
            ${{ a.q.r }}
             6 evaluating expression failed at ".q": attribute not found
            ${{ a.b.q }}
             8 evaluating expression failed at ".b.q": attribute not found
            ${{ a['b'].q }}
            11 evaluating expression failed at ".b.q": attribute not found
            ${{ a['x-y'].q }}
            13 evaluating expression failed at "['x-y'].q": attribute not found
            ${{ a['p q'] }}
             5 evaluating expression failed at "['p q']": attribute not found
            ${{ a['b']['q'] }}
            10 evaluating expression failed at ".b.q": attribute not found
            ${{ a[a.key].q }}
            13 evaluating expression failed at "[…].q": attribute not found
            ${{ a[a.key + '"
            '] }}
             5 evaluating expression failed at "['b"\n']": attribute not found
            ${{ a.b.list[2] }}
            12 evaluating expression failed at ".b.list[2]": index out of range
            ${{ a.b.list[n + 1] }}
            12 evaluating expression failed at ".b.list[2]": index out of range
            ${{ a.b.list[-1] }}
            12 evaluating expression failed at ".b.list[-1]": index out of range
            ${{ t[9] }}
             5 evaluating expression failed at "[9]": index out of range
            ${{ {k: 1}.q }}
            11 evaluating expression failed at ".q": attribute not found
            ${{ [a][0].q }}
            11 evaluating expression failed at "[0].q": attribute not found
            ${{ (a.b).q }}
            10 evaluating expression failed at ".b.q": attribute not found
            ${{ (a.b || 1).q }}
            15 evaluating expression failed at ".q": attribute not found
            ${{ a.q && 1 }}
             6 evaluating expression failed at ".q": attribute not found
        "#]],
    );
}

#[test]
fn operations_that_do_not_fit_their_values_name_the_kinds() {
    check(
        &[
            "${{ 1 + '1' }}",
            "${{ [] + [] }}",
            "${{ 'a' - 'b' }}",
            "${{ null * 1 }}",
            "${{ -'1' }}",
            "${{ +true }}",
            "${{ 1 / (2 - 2) }}",
            "${{ 1e308 * 10 }}",
            "${{ -1e308 - 1e308 }}",
            "${{ n.a }}",
            "${{ nothing.a }}",
            "${{ a[0] }}",
            "${{ a.b.list['0'] }}",
            "${{ n[0] }}",
            "${{ a.b.list[0.5] }}",
            "${{ {(n): 1} }}",
            "${{ t() }}",
            "${{ str() }}",
            "${{ str(1, 2) }}",
            "${{ num('one') }}",
            "${{ num('1e999') }}",
            "${{ num(true) }}",
        ],
        &expect![[r#"
            ${{ 1 + '1' }}
             6 evaluating expression failed at 6: `+` does not work on number and string
            ${{ [] + [] }}
             7 evaluating expression failed at 7: `+` does not work on array and array
            ${{ 'a' - 'b' }}
             8 evaluating expression failed at 8: `-` does not work on string and string
            ${{ null * 1 }}
             9 evaluating expression failed at 9: `*` does not work on null and number
            ${{ -'1' }}
             4 evaluating expression failed at 4: `-` does not work on string
            ${{ +true }}
             4 evaluating expression failed at 4: `+` does not work on boolean
            ${{ 1 / (2 - 2) }}
             6 evaluating expression failed at 6: division by zero
            ${{ 1e308 * 10 }}
            10 evaluating expression failed at 10: number out of range
            ${{ -1e308 - 1e308 }}
            11 evaluating expression failed at 11: number out of range
            ${{ n.a }}
             6 evaluating expression failed at 6: number has no attributes, only an object does
            ${{ nothing.a }}
            12 evaluating expression failed at 12: null has no attributes, only an object does
            ${{ a[0] }}
             5 evaluating expression failed at 5: object cannot be indexed by number: arrays and strings take numbers, objects take strings
            ${{ a.b.list['0'] }}
            12 evaluating expression failed at 12: array cannot be indexed by string: arrays and strings take numbers, objects take strings
            ${{ n[0] }}
             5 evaluating expression failed at 5: number cannot be indexed by number: arrays and strings take numbers, objects take strings
            ${{ a.b.list[0.5] }}
            12 evaluating expression failed at 12: an index must be a whole number
            ${{ {(n): 1} }}
             5 evaluating expression failed at 5: a key must be a string, found number: use `str()`
            ${{ t() }}
             5 evaluating expression failed at 5: string cannot be called, there are `str()`, `num()` and `bool()`
            ${{ str() }}
             7 evaluating expression failed at 7: `str()` takes one argument, found 0
            ${{ str(1, 2) }}
             7 evaluating expression failed at 7: `str()` takes one argument, found 2
            ${{ num('one') }}
             7 evaluating expression failed at 7: `num()` needs the text of a number such as "3.14"
            ${{ num('1e999') }}
             7 evaluating expression failed at 7: number out of range
            ${{ num(true) }}
             7 evaluating expression failed at 7: `num()` takes a string or a number, found boolean
        "#]],
    );
}

#[test]
fn what_is_sensitive_is_never_in_a_message() {
    let texts = [
        "${{ secret + 1 }}",
        "${{ num(secret) }}",
        "${{ a[secret] }}",
        "${{ a[secret + '!'].b }}",
        "${{ secrets[secret].q }}",
        "${{ a.b.list[secrets.n] }}",
        "${{ secret.a }}",
        "${{ secret[9] }}",
        "${{ secret() }}",
        "${{ {(secrets): 1} }}",
        "${{ -secret }}",
    ];
    for text in texts {
        let error = evaluate(text, &scope()).expect_err(text);
        assert!(
            !format!("{error} {error:?}").contains("hush"),
            "{text}: {error}"
        );
    }
    check(
        &texts,
        &expect![[r#"
        ${{ secret + 1 }}
        11 evaluating expression failed at 11: `+` does not work on string and number
        ${{ num(secret) }}
         7 evaluating expression failed at 7: `num()` needs the text of a number such as "3.14"
        ${{ a[secret] }}
         5 evaluating expression failed at "[<sensitive>]": attribute not found
        ${{ a[secret + '!'].b }}
         5 evaluating expression failed at "[<sensitive>]": attribute not found
        ${{ secrets[secret].q }}
        20 evaluating expression failed at "[…].q": attribute not found
        ${{ a.b.list[secrets.n] }}
        12 evaluating expression failed at ".b.list[<sensitive>]": index out of range
        ${{ secret.a }}
        11 evaluating expression failed at 11: string has no attributes, only an object does
        ${{ secret[9] }}
        10 evaluating expression failed at "[9]": index out of range
        ${{ secret() }}
        10 evaluating expression failed at 10: string cannot be called, there are `str()`, `num()` and `bool()`
        ${{ {(secrets): 1} }}
         5 evaluating expression failed at 5: a key must be a string, found object: use `str()`
        ${{ -secret }}
         4 evaluating expression failed at 4: `-` does not work on string
    "#]],
    );
}

#[test]
fn long_and_odd_pieces_are_shortened_and_stay_on_one_line() {
    let long = "x".repeat(10_000);
    for text in [
        format!("${{{{ {long} }}}}"),
        format!("${{{{ a.{long} }}}}"),
        format!("${{{{ a['{}'] }}}}", "\n\u{202e}".repeat(5_000)),
        format!("${{{{ a.b.q || a['b'].{long} }}}}"),
        format!("${{{{ 1{long} }}}}"),
        format!("${{{{ 1 {long} }}}}"),
        format!("${{{{ 1 '{}' }}}}", "é\n".repeat(5_000)),
    ] {
        let message = evaluate(&text, &scope()).expect_err(&text).to_string();
        assert!(message.len() < 400, "{} bytes: {message}", message.len());
        assert!(!message.contains(['\n', '\u{202e}']), "{message:?}");
    }
}

#[test]
fn a_long_way_loses_its_beginning_and_not_its_end() {
    let mut value = json!({});
    for _ in 0..90 {
        value = json!({"step": value});
    }
    let text = format!("${{{{ root{}.missing }}}}", ".step".repeat(90));
    let message = evaluate(&text, &scope_of(json!({"root": value})))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("evaluating expression failed at \"…"),
        "{message}"
    );
    assert!(
        message.ends_with(".step.step.missing\": attribute not found"),
        "{message}"
    );
    assert!(message.len() < 300, "{message}");
}

#[test]
fn positions_are_bytes_of_the_whole_template() {
    let text = "é ${{ 1 }} ${{ q }}";
    let error = evaluate(text, &Map::new()).unwrap_err();
    assert_eq!(&text[error.position()..], "q }}");
    let error = Template::parse("é ${{ 1 }} ${{ ) }}").unwrap_err();
    assert_eq!(&text[..error.position()], "é ${{ 1 }} ${{ ");
}

#[test]
fn codes_are_written_as_they_are_called_and_ascend() {
    let written: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(written.is_sorted_by(|a, b| a < b), "{written:?}");
    for (code, text) in Code::ALL.iter().zip(written) {
        assert_eq!(format!("{code:?}"), text);
        assert!(
            text.starts_with("S1"),
            "the first hundred are of another crate: {text}"
        );
    }
}
