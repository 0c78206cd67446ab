//! What contract 4 leaves open and this crate decides, and what its prose says beyond the rows of 4.6.

use serde_json::json;
use stephost_expr::{Data, Kind, Map, Template, Value};

use crate::{evaluate, scope_of};

fn check(table: &[(&str, serde_json::Value)]) {
    let scope = scope_of(json!({
        "a": {"b": {"c": [10, 20, {"d": "deep"}]}, "x-y": 1, "if": 2, "null": 3},
        "text": "äbc",
        "n": 5,
        "nothing": null,
        "list": [1, 2],
        "größe": "large",
    }));
    for (text, expected) in table {
        match evaluate(text, &scope) {
            Ok(value) => assert_eq!(value.to_json(), *expected, "{text}"),
            Err(error) => panic!("{text} fails with: {error}"),
        }
    }
}

#[test]
fn text_around_expressions_stays_as_it_is() {
    check(&[
        (
            "$ $$ ${ $n ${n} {{ n }} }}",
            json!("$ $$ ${ $n ${n} {{ n }} }}"),
        ),
        (r"\n \\ \${n}", json!(r"\n \\ \${n}")),
        (r"\${{ n }} ${{ n }}", json!("${{ n }} 5")),
        // One backslash belongs to the escape, the other one is text.
        (r"\\${{ n }}", json!(r"\${{ n }}")),
        (" ${{ n }}", json!(" 5")),
        ("${{ n }}\n", json!("5\n")),
        ("${{ n }}${{ n }}", json!("55")),
        ("$${{ n }}", json!("$5")),
        ("${{n}}}}", json!("5}}")),
        ("ü${{ größe }}ü", json!("ülargeü")),
    ]);
}

#[test]
fn the_result_of_an_expression_is_not_expanded_again() {
    check(&[("${{ '${{ n }}' }}!", json!("${{ n }}!"))]);
}

#[test]
fn braces_of_objects_and_strings_do_not_end_an_expression() {
    check(&[
        (r#"${{ {"a": {"b": 1}} }}"#, json!({"a": {"b": 1}})),
        (r#"${{{"a":{"b":1}}}}"#, json!({"a": {"b": 1}})),
        (r#"${{ "}}" }}"#, json!("}}")),
        ("${{ '}}' + \"{{\" }}", json!("}}{{")),
        ("${{ {} }}", json!({})),
        ("${{{}}}", json!({})),
    ]);
}

#[test]
fn double_quoted_strings_hold_templates_and_are_always_strings() {
    check(&[
        (r#"${{ "${{ n }}" }}"#, json!("5")),
        (r#"${{ "a ${{ "b ${{ n + 1 }}" }} c" }}"#, json!("a b 6 c")),
        (
            r#"${{ "\${{ n }} $n ${n} \\" }}"#,
            json!("${{ n }} $n ${n} \\"),
        ),
        (r#"${{ a["${{ "x" }}-y"] }}"#, json!(1)),
        (r#"${{ {"k${{ n }}": "${{ n }}"} }}"#, json!({"k5": "5"})),
    ]);
}

#[test]
fn strings_have_the_escapes_of_their_quotes() {
    check(&[
        (
            r#"${{ "\"\\\/\n\r\t\a\b\f\v" }}"#,
            json!("\"\\/\n\r\t\u{7}\u{8}\u{c}\u{b}"),
        ),
        (r#"${{ "\u0041\u00E9\u20ac\uD83D\uDE00" }}"#, json!("Aé€😀")),
        (
            "${{ \"two\nlines\" + 'two\nlines' }}",
            json!("two\nlinestwo\nlines"),
        ),
        (r"${{ '\\\'' }}", json!("\\'")),
        (r#"${{ 'a "b" ${{ n }} $' }}"#, json!("a \"b\" ${{ n }} $")),
    ]);
}

#[test]
fn numbers_are_doubles_without_a_sign() {
    check(&[
        ("${{ .5 }}", json!(0.5)),
        ("${{ 007 }}", json!(7)),
        ("${{ 1E+2 }}", json!(100)),
        ("${{ - - 5 }}", json!(5)),
        ("${{ -n }}", json!(-5)),
        ("${{ 0.1 + 0.2 }}", json!(0.1 + 0.2)),
        ("${{ str(-0) + str(0 * -1) }}", json!("00")),
        ("${{ -7 % 3 }}", json!(-1)),
        ("${{ 5.5 % 2 }}", json!(1.5)),
        ("${{ 1e-400 }}", json!(0)),
    ]);
}

#[test]
fn operators_bind_as_the_grammar_says() {
    check(&[
        ("${{ 10 - 4 - 3 }}", json!(3)),
        ("${{ 100 / 10 / 5 }}", json!(2)),
        ("${{ 2 * 3 % 4 }}", json!(2)),
        ("${{ 1 + 2 == 3 }}", json!(true)),
        ("${{ 1 < 2 == true }}", json!(true)),
        ("${{ 0 && 1 || 2 }}", json!(2)),
        ("${{ 3 || 0 && 1 }}", json!(3)),
        ("${{ 1 == 1 && 2 == 2 }}", json!(true)),
        ("${{ !n == false }}", json!(true)),
        ("${{ !!n }}", json!(true)),
        ("${{ -a.b.c[0] * 2 + 1 }}", json!(-19)),
        ("${{ 1 - -1 }}", json!(2)),
        ("${{\t1\r\n+ 1 }}", json!(2)),
    ]);
}

#[test]
fn the_second_operand_is_evaluated_only_when_it_is_needed() {
    check(&[
        ("${{ false && 1 / 0 }}", json!(false)),
        ("${{ true || nowhere }}", json!(true)),
        ("${{ n && nothing && 1 / 0 }}", json!(null)),
        ("${{ nothing || 0 || list || 1 / 0 }}", json!([1, 2])),
        (
            "${{ [false && 1 / 0, true || 1 / 0] }}",
            json!([false, true]),
        ),
    ]);
}

#[test]
fn only_what_is_missing_on_the_left_of_or_is_forgiven() {
    check(&[
        ("${{ a.q || 1 }}", json!(1)),
        ("${{ a.q.r.s || 1 }}", json!(1)),
        ("${{ a['q'] || 1 }}", json!(1)),
        ("${{ list[2] || 1 }}", json!(1)),
        ("${{ list[-1] || 1 }}", json!(1)),
        ("${{ text[3] || 1 }}", json!(1)),
        ("${{ a.p || a.q || a.r || 1 }}", json!(1)),
        ("${{ a.p || a.b.c[0] || 1 / 0 }}", json!(10)),
        ("${{ str(a.q + 1) || 1 }}", json!(1)),
        ("${{ [1, {k: a.q}, 2] || 1 }}", json!(1)),
        ("${{ a.q && 5 || 1 }}", json!(1)),
        (
            "${{ [a.q || 1, a.q || [2, a.r || 3]] }}",
            json!([1, [2, 3]]),
        ),
        ("${{ n + (a.q || 1) * 2 }}", json!(7)),
        (
            r#"x${{ a.q || "y" }}${{ "<${{ a.q || "z" }}>" }}"#,
            json!("xy<z>"),
        ),
    ]);
    let scope = scope_of(json!({"a": {}, "n": 1, "nothing": null, "list": [1]}));
    for text in [
        "${{ nowhere || 1 }}",
        "${{ n.q || 1 }}",
        "${{ nothing.q || 1 }}",
        "${{ 1 / 0 || 1 }}",
        "${{ list[0.5] || 1 }}",
        "${{ list['a'] || 1 }}",
        "${{ a.q && 1 }}",
        "${{ false || a.q }}",
        "${{ (1 || 2) && a.q }}",
    ] {
        assert!(evaluate(text, &scope).is_err(), "{text}");
    }
}

#[test]
fn parts_are_taken_by_name_or_by_index() {
    check(&[
        ("${{ a.b.c[2].d }}", json!("deep")),
        ("${{ a['b'][\"c\"][1] }}", json!(20)),
        ("${{ a.if + a.null }}", json!(5)),
        ("${{ text[0] + text[2] }}", json!("äc")),
        ("${{ list[n - 4] }}", json!(2)),
        ("${{ list[1e0] }}", json!(2)),
        ("${{ {k: 'v'}.k + [1, 'w'][1] + 'xyz'[1] }}", json!("vwy")),
        ("${{ größe }}", json!("large")),
    ]);
}

#[test]
fn keys_are_words_strings_or_computed() {
    check(&[
        (
            "${{ {n: 1, 'b c': 2, \"d\": 3, (text): 4, if: 5, true: 6} }}",
            json!({"n": 1, "b c": 2, "d": 3, "äbc": 4, "if": 5, "true": 6}),
        ),
        ("${{ {a: 1, a: 2, 'a': 3} }}", json!({"a": 3})),
        ("${{ {('a' + str(n)): n} }}", json!({"a5": 5})),
    ]);
}

#[test]
fn values_compare_within_their_kind_and_kinds_by_rank() {
    let ascending = [
        "null",
        "false",
        "true",
        "-1.5",
        "0",
        "2",
        "10",
        "''",
        "'10'",
        "'2'",
        "'a'",
        "'aa'",
        "'b'",
        "'ä'",
        "[]",
        "[1]",
        "[1, 2]",
        "[1, 2, 3]",
        "[2]",
        "['a']",
        "{}",
        "{b: 9}",
        "{c: 1}",
        "{c: 2}",
        "{a: 1, b: 1}",
        "{a: 1, b: 2}",
        "{a: 1, c: 0}",
        "bool",
        "num",
        "str",
    ];
    for (left_rank, left) in ascending.iter().enumerate() {
        for (right_rank, right) in ascending.iter().enumerate() {
            let text = format!(
                "${{{{ [{left} < {right}, {left} <= {right}, {left} == {right}, \
                 {left} != {right}, {left} >= {right}, {left} > {right}] }}}}"
            );
            let expected = json!([
                left_rank < right_rank,
                left_rank <= right_rank,
                left_rank == right_rank,
                left_rank != right_rank,
                left_rank >= right_rank,
                left_rank > right_rank,
            ]);
            assert_eq!(
                evaluate(&text, &Map::new()).unwrap().to_json(),
                expected,
                "{text}"
            );
        }
    }
}

#[test]
fn empty_and_zero_are_falsy_and_the_rest_is_truthy() {
    check(&[(
        "${{ [!false, !null, !0, !'', ![], !{}, !true, !-1, !'0', ![0], !{a: null}, !str] }}",
        json!([
            true, true, true, true, true, true, false, false, false, false, false, false
        ]),
    )]);
}

#[test]
fn functions_convert_and_are_values_themselves() {
    check(&[
        (
            "${{ str('a') + str(1.50) + str(false) }}",
            json!("a1.5false"),
        ),
        (
            "${{ str([1, 'a \"b\"', null, {z: [], y: str}]) }}",
            json!(r#"[1, "a \"b\"", null, {"y": null, "z": []}]"#),
        ),
        ("${{ num(' -1.5e1 ') + num(2) }}", json!(-13)),
        ("${{ (n > 4 && str || num)(n) }}", json!("5")),
        ("${{ [bool][0]([]) }}", json!(false)),
        ("is ${{ str }}", json!("is <function str>")),
        ("${{ str(1,) }}", json!("1")),
    ]);
}

#[test]
fn a_name_of_the_scope_hides_a_function() {
    let scope = scope_of(json!({"str": "mine"}));
    assert_eq!(
        evaluate("${{ str }}", &scope).unwrap().as_str(),
        Some("mine")
    );
    let function = evaluate("${{ num }}", &scope).unwrap();
    assert_eq!(function.kind(), Kind::Function);
    assert!(matches!(function.data(), Data::Function(_)));
}

#[test]
fn everything_in_mixed_text_has_its_text() {
    check(&[(
        "${{ n }} ${{ 0.5 }} ${{ true }} ${{ nothing }} ${{ list }} ${{ {k: [nothing]} }} ${{ text }}",
        json!(r#"5 0.5 true <null> [1, 2] {"k": [null]} äbc"#),
    )]);
}

#[test]
fn json_is_an_expression() {
    let document = json!({
        "a": [1, -2.5, 1e30, true, false, null, "\u{e9}\n\"\\/\u{1F600}\u{1}", [], {}],
        "": {"nested": {"deeper": [[[0]]]}},
        "type": "reserved words are keys",
    });
    for json in [
        document.to_string(),
        serde_json::to_string_pretty(&document).unwrap(),
    ] {
        let value = evaluate(&format!("${{{{ {json} }}}}"), &Map::new()).unwrap();
        assert_eq!(value, Value::from_json(document.clone()), "{json}");
    }
}

#[test]
fn evaluate_text_gives_the_text_of_the_value() {
    let scope = scope_of(json!({"n": 5, "list": ["a"], "nothing": null, "t": "x"}));
    for (text, expected) in [
        ("${{ n }}", "5"),
        ("${{ list }}", r#"["a"]"#),
        ("${{ nothing }}", "<null>"),
        ("${{ t }}", "x"),
        ("n${{ n }}", "n5"),
        ("plain", "plain"),
    ] {
        let value = Template::parse(text)
            .unwrap()
            .evaluate_text(&scope)
            .unwrap();
        assert_eq!(value.as_str(), Some(expected), "{text}");
        assert!(!value.is_sensitive(), "{text}");
    }
}

#[test]
fn a_template_knows_its_source_and_whether_it_has_expressions() {
    for (text, expressions) in [
        ("", false),
        ("plain }}", false),
        (r"\${{ x }}", false),
        ("${{ 1 }}", true),
        ("a ${{ 1 }}", true),
    ] {
        let template = Template::parse(text).unwrap();
        assert_eq!(template.source(), text);
        assert_eq!(template.has_expressions(), expressions, "{text}");
    }
}

#[test]
fn a_literal_is_never_read() {
    let template = Template::literal(r"${{ broken \${{");
    assert!(!template.has_expressions());
    assert_eq!(template.source(), r"${{ broken \${{");
    let value = template.evaluate(&Map::new()).unwrap();
    assert_eq!(value.as_str(), Some(r"${{ broken \${{"));
}

#[test]
fn a_scope_is_asked_for_each_name_once() {
    struct Counting(std::cell::Cell<usize>);
    impl stephost_expr::Scope for Counting {
        fn name(&self, name: &str) -> Option<Value> {
            self.0.set(self.0.get() + 1);
            Some(Value::string(name))
        }
    }
    let scope = Counting(std::cell::Cell::new(0));
    let template = Template::parse("${{ a + b + a }} ${{ a }}").unwrap();
    assert_eq!(template.evaluate(&scope).unwrap().as_str(), Some("aba a"));
    assert_eq!(scope.0.get(), 2);
}

/// Words that the language keeps for itself cannot be names, wherever a name would be looked up.
#[test]
fn every_reserved_word_is_refused_as_a_name_and_taken_after_a_dot() {
    let reserved = "array as break case const continue default else fallthrough float for func function goto if \
                    import in int let loop map namespace number object package range return string struct switch \
                    type var void while";
    let words: Vec<&str> = reserved.split_whitespace().collect();
    assert_eq!(words.len(), 34);
    for word in words {
        let error = Template::parse(&format!("${{{{ {word} }}}}")).unwrap_err();
        assert!(error.to_string().contains("is a reserved word"), "{error}");
        let value = evaluate(&format!("${{{{ {{{word}: 1}}.{word} }}}}"), &Map::new());
        assert_eq!(value.unwrap(), Value::number(1.0), "{word}");
    }
}
