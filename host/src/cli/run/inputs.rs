//! `NAME=VALUE` on the command line to the inputs of a function, by the types its spec declares.
//!
//! A text is taken as it is, everything else is read as JSON. Called by `cli::run`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use stephost_expr::Value;
use stephost_steps::{Name, Spec, ValueType};

/// Reads `given` for a function of this spec.
///
/// # Errors
///
/// When something is not `NAME=VALUE`, is not taken, does not fit, or is missing.
pub(super) fn typed(spec: &Spec, given: &[String]) -> anyhow::Result<BTreeMap<Name, Value>> {
    let mut inputs = BTreeMap::new();
    for input in given {
        let (name, text) = assignment(input, "input")?;
        let Ok(name) = Name::parse(name) else {
            bail!("{name:?} cannot name an input; {}", takes(spec));
        };
        let Some(declared) = spec.inputs.get(&name) else {
            bail!("the function takes no input `{name}`; {}", takes(spec));
        };
        let value = value(&name, declared.ty, text)?;
        ensure!(
            inputs.insert(name, value).is_none(),
            "the input `{}` is given twice",
            input.split_once('=').map_or("", |(name, _)| name)
        );
    }
    for (name, parameter) in &spec.inputs {
        if parameter.default.is_none() && !inputs.contains_key(name) {
            let purpose = parameter.description.as_deref().unwrap_or_default();
            let purpose = match purpose.trim() {
                "" => String::new(),
                // Escaped: the text of a file must not act on a terminal.
                purpose => format!(": {}", purpose.escape_debug()),
            };
            bail!(
                "the input `{name}` is missing, give it with -i {name}={}{purpose}",
                example(parameter.ty)
            );
        }
    }
    Ok(inputs)
}

/// Splits `NAME=VALUE`.
///
/// # Errors
///
/// When it is none.
pub(super) fn assignment<'a>(text: &'a str, what: &str) -> anyhow::Result<(&'a str, &'a str)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        Some(_) | None => bail!("the {what} {text:?} is not NAME=VALUE"),
    }
}

fn takes(spec: &Spec) -> String {
    let declared: Vec<String> = spec
        .inputs
        .iter()
        .map(|(name, parameter)| format!("{name} ({})", parameter.ty))
        .collect();
    if declared.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("it takes {}", declared.join(", "))
    }
}

fn value(name: &Name, ty: ValueType, text: &str) -> anyhow::Result<Value> {
    if ty == ValueType::String {
        return Ok(Value::string(text));
    }
    let json: serde_json::Value = serde_json::from_str(text).with_context(|| {
        format!(
            "the input `{name}` takes a {ty}, as JSON: -i {name}={}",
            example(ty)
        )
    })?;
    let value = Value::from_json(json);
    ensure!(
        ty.accepts(&value),
        "the input `{name}` takes a {ty}, as -i {name}={}, and {text:?} is something else",
        example(ty)
    );
    Ok(value)
}

fn example(ty: ValueType) -> &'static str {
    match ty {
        ValueType::String => "TEXT",
        ValueType::Number => "3",
        ValueType::Boolean => "true",
        ValueType::Array => "'[\"a\", \"b\"]'",
        ValueType::Struct => "'{\"key\": \"a\"}'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let text = "spec:\n  inputs:\n    \
            who: {type: string, description: \"Who is\\e greeted\"}\n    \
            times: {type: number, default: 1}\n    \
            loud: {type: boolean, default: false}\n    \
            tags: {type: array, default: []}\n    \
            more: {type: struct, default: {}}\n\
            ---\nexec: {command: [\"true\"]}\n";
        let parsed = stephost_steps::parse(
            "func.yml",
            text.as_bytes(),
            stephost_steps::Strictness::Strict,
        );
        parsed.expect("a function").function.spec
    }

    fn read(given: &[&str]) -> Result<BTreeMap<Name, Value>, String> {
        let given: Vec<String> = given.iter().map(|input| (*input).to_owned()).collect();
        typed(&spec(), &given).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn inputs_have_the_types_of_the_spec() {
        let inputs = read(&[
            "who=7=${{ 8 }}",
            "times=3",
            "loud=true",
            "tags=[\"a\"]",
            "more={\"a\":1}",
        ]);
        let json: BTreeMap<String, serde_json::Value> = inputs
            .expect("they fit")
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_json()))
            .collect();
        let expected = serde_json::json!({
            "who": "7=${{ 8 }}", "times": 3, "loud": true, "tags": ["a"], "more": {"a": 1}
        });
        assert_eq!(serde_json::json!(json), expected);
    }

    #[test]
    fn an_input_that_does_not_fit_says_why_and_what_would() {
        let all =
            "it takes loud (boolean), more (struct), tags (array), times (number), who (string)";
        let table: [(&[&str], &str); 9] = [
            (
                &[],
                "the input `who` is missing, give it with -i who=TEXT: Who is\\u{1b} greeted",
            ),
            (&["who"], "the input \"who\" is not NAME=VALUE"),
            (&["=a"], "the input \"=a\" is not NAME=VALUE"),
            (
                &["how=x"],
                &format!("the function takes no input `how`; {all}"),
            ),
            (&["a b=x"], &format!("\"a b\" cannot name an input; {all}")),
            (&["who=a", "who=b"], "the input `who` is given twice"),
            (
                &["who=a", "times=x"],
                "the input `times` takes a number, as JSON: -i times=3: ",
            ),
            (
                &["who=a", "times=[]"],
                "the input `times` takes a number, as -i times=3, and \"[]\" is something else",
            ),
            (
                &["who=a", "loud=\"true\""],
                "the input `loud` takes a boolean, as -i loud=true, and \"\\\"true\\\"\" is something else",
            ),
        ];
        for (given, message) in table {
            let error = read(given).expect_err(message);
            assert!(error.starts_with(message), "{given:?}: {error}");
        }
    }
}
