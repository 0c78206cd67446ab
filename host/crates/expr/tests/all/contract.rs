//! The rows of contract 4.6 that are valid for the newer dialect, and the corrections of its section 12, each as one
//! row of one table. Rows marked v0.11 only are not met on purpose (design D7).

use serde_json::json;
use stephost_expr::{Map, Template, Value};

use crate::scope_of;

/// What a row expects.
enum Then {
    /// This value, as JSON.
    Is(serde_json::Value),
    /// An error whose message holds these words.
    Fails(&'static str),
}
use Then::{Fails, Is};

/// The context of contract 4.6, with what its other rows take for granted.
fn scope() -> Map {
    scope_of(json!({
        "job": {"job_id": "1982", "A_FILE_VAR": "/tmp/file", "foo": {"outputs": [{"hello": "you"}]}},
        "vars": {"REF": "main", "FLIN_FLAN_FLON": "only here"},
        "env": {"MOVIE": "tron", "WHERE": "inside", "WHERE_EXACTLY": "global"},
        "inputs": {
            "name": "Kevin Flynn",
            "light_cycle": {"color": "yellow", "number": 3},
            "team_members": ["tron", "ram", "flynn"],
            "empty": "",
            "nothing": null,
        },
        "steps": {
            "greet_foo": {"outputs": {"name": "foo"}},
            "build": {"outputs": {"items": ["first", "second"], "none": []}},
            "current": {"outputs": {"major": 1}},
        },
        "obj": {"prop": "the-key", "property-name": "dashed", "default": "reserved"},
        "items": [1, 2, 3],
    }))
}

#[test]
fn every_row_of_the_contract_holds() {
    let table: Vec<(&str, &str, Then)> = vec![
        // The template layer.
        ("A1", "${{job.job_id}}", Is(json!("1982"))),
        ("A2", "${{ job.job_id }}", Is(json!("1982"))),
        (
            "A3",
            "${{ job.job_id }}:${{ env.MOVIE }}",
            Is(json!("1982:tron")),
        ),
        (
            "A4",
            "${{ job.undefined_key }}",
            Fails("evaluating expression failed at \".undefined_key\": attribute not found"),
        ),
        ("A6", "${{ job.job_id", Fails("`${{` is not closed by `}}`")),
        (
            "A7 in the newer dialect",
            "${{ job.job_id }} }}",
            Is(json!("1982 }}")),
        ),
        (
            "A7b in the newer dialect",
            r#"{"a":{"b":1}}"#,
            Is(json!(r#"{"a":{"b":1}}"#)),
        ),
        (
            "A9 with the spacing of D7",
            "PREFIX ${{inputs.light_cycle}} SUFFIX",
            Is(json!(r#"PREFIX {"color": "yellow", "number": 3} SUFFIX"#)),
        ),
        (
            "A10",
            "${{inputs.light_cycle}}",
            Is(json!({"color": "yellow", "number": 3})),
        ),
        (
            "A11",
            "${{inputs.team_members}}",
            Is(json!(["tron", "ram", "flynn"])),
        ),
        (
            "A12 the string in it",
            "${{inputs.name}}",
            Is(json!("Kevin Flynn")),
        ),
        (
            "A13 the string in it",
            "${{inputs.name}}",
            Is(json!("Kevin Flynn")),
        ),
        (
            "A23 the element",
            "${{steps.greet_foo.outputs.name}}",
            Is(json!("foo")),
        ),
        (
            "A14",
            "Greetings, ${{inputs.name}}, how do you do?\n",
            Is(json!("Greetings, Kevin Flynn, how do you do?\n")),
        ),
        ("A15", "", Is(json!(""))),
        ("A16", "${{inputs.light_cycle.color}}", Is(json!("yellow"))),
        ("A17", "${{inputs.light_cycle.number}}", Is(json!(3))),
        ("A20", "${{steps.greet_foo.outputs.name}}", Is(json!("foo"))),
        (
            "A21",
            "${{steps.greet_sponge_bob.outputs.name}}",
            Fails("at \".greet_sponge_bob\": attribute not found"),
        ),
        (
            "A22",
            "from-${{ env.WHERE_EXACTLY }}",
            Is(json!("from-global")),
        ),
        // The language.
        ("M1", "${{ 2 + 3 }}", Is(json!(5))),
        ("M2", r#"${{ "a" + "b" }}"#, Is(json!("ab"))),
        ("M3", "${{ 10 - 4 }}", Is(json!(6))),
        ("M4", "${{ 3 * 4 }}", Is(json!(12))),
        ("M5", "${{ 10 / 3 }}", Is(json!(10.0 / 3.0))),
        ("M6", "${{ 10 % 3 }}", Is(json!(1))),
        ("M7 equal", "${{ 1 == 1 }}", Is(json!(true))),
        ("M7 unequal", "${{ 1 != 2 }}", Is(json!(true))),
        ("M8", r#"${{ 1 == "1" }}"#, Is(json!(false))),
        ("M9 at most", "${{ 2 <= 2 }}", Is(json!(true))),
        ("M9 more", "${{ 3 > 2 }}", Is(json!(true))),
        (
            "M10",
            r#"${{ "hello" + 42 }}"#,
            Fails("`+` does not work on string and number"),
        ),
        ("M11 plus", "${{ +5 }}", Is(json!(5))),
        ("M11 minus", "${{ -5 }}", Is(json!(-5))),
        ("M11 not", "${{ !true }}", Is(json!(false))),
        ("M12", "${{ (1 + 2) * 3 }}", Is(json!(9))),
        (
            "M13 empty",
            r#"${{ inputs.empty || "default" }}"#,
            Is(json!("default")),
        ),
        (
            "M13 null",
            r#"${{ inputs.nothing || "default" }}"#,
            Is(json!("default")),
        ),
        (
            "M13 given",
            r#"${{ inputs.name || "default" }}"#,
            Is(json!("Kevin Flynn")),
        ),
        ("M14 number", "${{ str(42) }}", Is(json!("42"))),
        ("M14 boolean", "${{ str(true) }}", Is(json!("true"))),
        ("M14 null", "${{ str(null) }}", Is(json!("<null>"))),
        ("M15 whole", r#"${{ num("42") }}"#, Is(json!(42))),
        ("M15 fraction", r#"${{ num("3.25") }}"#, Is(json!(3.25))),
        ("M16 text", r#"${{ bool("hello") }}"#, Is(json!(true))),
        ("M16 empty text", r#"${{ bool("") }}"#, Is(json!(false))),
        ("M16 zero", "${{ bool(0) }}", Is(json!(false))),
        ("M16 one", "${{ bool(1) }}", Is(json!(true))),
        ("M17", r"Use \${{ to start", Is(json!("Use ${{ to start"))),
        (
            "M18",
            "${{ 'Literal ${{ not evaluated }}' }}",
            Is(json!("Literal ${{ not evaluated }}")),
        ),
        (
            "M19",
            r"${{ 'It\'s a string' }}",
            Is(json!("It's a string")),
        ),
        (
            "M20",
            r#"${{ {name: "Alice"} }}"#,
            Is(json!({"name": "Alice"})),
        ),
        (
            "M21",
            r#"${{ {(obj.prop): "value"} }}"#,
            Is(json!({"the-key": "value"})),
        ),
        (
            "M22",
            r#"${{ ["a", 1, true, null] }}"#,
            Is(json!(["a", 1, true, null])),
        ),
        (
            "M23",
            "${{ vars }}",
            Is(json!({"REF": "main", "FLIN_FLAN_FLON": "only here"})),
        ),
        ("M24", r#"${{ obj["property-name"] }}"#, Is(json!("dashed"))),
        (
            "M25",
            "${{ steps.build.outputs.items[0] }}",
            Is(json!("first")),
        ),
        (
            "M26 on main",
            r#"${{ (vars.REF == "main" && 5) || 2 }}"#,
            Is(json!(5)),
        ),
        (
            "M26 else",
            r#"${{ (vars.REF == "other" && 5) || 2 }}"#,
            Is(json!(2)),
        ),
        (
            "M27",
            r#"${{ str(steps.current.outputs.major + 1) + ".0.0" }}"#,
            Is(json!("2.0.0")),
        ),
        ("M28 large", "${{ 1.5e3 }}", Is(json!(1500))),
        ("M28 small", "${{ 2E-4 }}", Is(json!(0.0002))),
        (
            "M29 converts",
            "value_is_${{ 42 }}",
            Is(json!("value_is_42")),
        ),
        ("M30", "value_is_${{ str(42) }}", Is(json!("value_is_42"))),
        // What the precursor tested.
        ("P1", r#"${{ "foo\qbar" }}"#, Fails(r"invalid escape `\q`")),
        (
            "P2",
            r#"${{ "The sheep wh- }}"#,
            Fails("the string is not terminated"),
        ),
        (
            "P3",
            "${{ true + true }}",
            Fails("`+` does not work on boolean and boolean"),
        ),
        ("P4 division", "${{ 100 / 0 }}", Fails("division by zero")),
        ("P4 remainder", "${{ 5 % 0 }}", Fails("division by zero")),
        ("P5 null", "${{ null < true }}", Is(json!(true))),
        ("P5 number", r#"${{ 42 < "hello" }}"#, Is(json!(true))),
        ("P5 array", r#"${{ [1,2,3] > "text" }}"#, Is(json!(true))),
        ("P6 truthy", r#"${{ "foo" && "bar" }}"#, Is(json!("bar"))),
        ("P6 falsy", r#"${{ null && "bar" }}"#, Is(json!(null))),
        ("P7", r#"${{ false || "default" }}"#, Is(json!("default"))),
        (
            "P8 attribute",
            r#"${{ obj.missing || "default" }}"#,
            Is(json!("default")),
        ),
        ("P8 index", r#"${{ items[999] || "x" }}"#, Is(json!("x"))),
        ("P9", "${{ 2 + 3 * 4 }}", Is(json!(14))),
        ("P10 array", "${{ [1, ] }}", Is(json!([1]))),
        (
            "P10 object",
            r#"${{ {"a": "b", } }}"#,
            Is(json!({"a": "b"})),
        ),
        (
            "P11",
            r#"${{ "Hello ${{ job.foo.outputs[0].hello }}, ..." }}"#,
            Is(json!("Hello you, ...")),
        ),
        ("P12", "${{ var }}", Fails("`var` is a reserved word")),
        (
            "P13 letters",
            "${{ 1e1e }}",
            Fails("`1e1e` is not a number"),
        ),
        (
            "P13 fraction",
            "${{ 1E-2.5 }}",
            Fails("`1E-2.5` is not a number"),
        ),
        (
            "P14 fewer keys",
            r#"${{ {"a": 1} < {"a": 1, "b": 2} }}"#,
            Is(json!(true)),
        ),
        (
            "P14 values",
            r#"${{ {"a": 2} > {"a": 1} }}"#,
            Is(json!(true)),
        ),
        (
            "R1",
            "${{ env.FLIN_FLAN_FLON }}",
            Fails("evaluating expression failed at \".FLIN_FLAN_FLON\": attribute not found"),
        ),
        (
            "R2",
            "cat ${{ job.A_FILE_VAR }}",
            Is(json!("cat /tmp/file")),
        ),
        // The corrections of section 12 and the candidate cases of section 10.
        (
            "12: the order of keys does not matter",
            r#"${{ {"a":1,"b":2} == {"b":2,"a":1} }}"#,
            Is(json!(true)),
        ),
        (
            "12: a missing name",
            r#"${{ obj.nope || "d" }}"#,
            Is(json!("d")),
        ),
        (
            "12: a missing index",
            r#"${{ items[99] || "d" }}"#,
            Is(json!("d")),
        ),
        (
            "12: a reserved word after a dot",
            "${{ obj.default }}",
            Is(json!("reserved")),
        ),
        (
            "12: escapes by code",
            r#"${{ "\u00e9\ud83d\ude00" }}"#,
            Is(json!("é😀")),
        ),
        ("X01", "a $HOME ${X} }}", Is(json!("a $HOME ${X} }}"))),
        ("X02", "${{ [1, [2]] }}", Is(json!([1, [2]]))),
    ];
    let scope = scope();
    for (row, text, then) in table {
        let result = Template::parse(text).and_then(|template| template.evaluate(&scope));
        match (then, result) {
            (Is(expected), Ok(value)) => assert_eq!(value.to_json(), expected, "row {row}: {text}"),
            (Fails(words), Err(error)) => {
                let message = error.to_string();
                assert!(
                    message.contains(words),
                    "row {row}: {text} fails with: {message}"
                );
            }
            (Is(_), Err(error)) => panic!("row {row}: {text} fails with: {error}"),
            (Fails(_), Ok(value)) => panic!("row {row}: {text} gives {value:?}"),
        }
    }
}

#[test]
fn a_sensitive_part_marks_the_text_it_goes_into() {
    let row = "contract 4.6, row P11";
    let mut scope = scope();
    let outputs = Value::array(vec![Value::object(Map::from([(
        "hello".to_owned(),
        Value::string("hush").sensitive(),
    )]))]);
    let foo = Value::object(Map::from([("outputs".to_owned(), outputs)]));
    scope.insert(
        "job".to_owned(),
        Value::object(Map::from([("foo".to_owned(), foo)])),
    );
    let template =
        Template::parse(r#"${{ "Hello ${{ job.foo.outputs[0].hello }}, ..." }}"#).unwrap();
    let value = template.evaluate(&scope).unwrap();
    assert_eq!(value.as_str(), Some("Hello hush, ..."), "{row}");
    assert!(value.is_sensitive(), "{row}");
    assert_eq!(
        format!("{value} {value:?}"),
        "<sensitive> <sensitive>",
        "{row}"
    );
}
