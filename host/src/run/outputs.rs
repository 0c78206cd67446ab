//! The files through which a native step hands out outputs and exports (contract 5.4, 5.5).
//!
//! Pure: bytes to values. One JSON object a line with `name` and `value`; blank lines and other keys do not
//! matter; the last line of a name wins. Error texts never hold what the file holds, unless the job asked
//! for it with CI_STEPS_DEBUG: it may be a secret.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use stephost_expr::{Data, Value};
use stephost_steps::Name;

/// Most characters of a line that an error text quotes.
const QUOTED_CHARS_MAX: usize = 120;

/// Why a file does not say what it should.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}{}", quoted(.text))]
pub(super) struct LineError {
    line: usize,
    fault: LineFault,
    text: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LineFault {
    #[error("is not a JSON object with `name` and `value`")]
    NotJson,
    #[error("`name` is missing, null, empty or not a string")]
    Name,
    #[error("`value` is missing or null")]
    Value,
    #[error("{0}")]
    NotAName(stephost_steps::NameError),
    #[error("cannot convert a value of type {0} to an environment variable")]
    Type(stephost_expr::Kind),
    #[error("{0}")]
    Variable(String),
}

fn quoted(text: &Option<String>) -> String {
    match text {
        Some(text) => format!(
            ": {}",
            text.chars().take(QUOTED_CHARS_MAX).collect::<String>()
        ),
        None => String::new(),
    }
}

/// Reads an output file.
///
/// # Errors
///
/// The first line that is wrong; with its text if `quote`.
pub(super) fn outputs(content: &[u8], quote: bool) -> Result<BTreeMap<Name, Value>, LineError> {
    lines(content, quote, |name, value| {
        let name = Name::parse(name).map_err(LineFault::NotAName)?;
        Ok((name, Value::from_json(value)))
    })
}

/// Reads an export file.
///
/// # Errors
///
/// The first line that is wrong; with its text if `quote`.
pub(super) fn exports(content: &[u8], quote: bool) -> Result<BTreeMap<String, Value>, LineError> {
    lines(content, quote, |name, value| {
        if let Some(fault) = super::environment::name_fault(name) {
            return Err(LineFault::Variable(fault));
        }
        let value = Value::from_json(value);
        match value.data() {
            Data::String(text) if text.contains('\0') => Err(LineFault::Variable(format!(
                "the value for {name} contains a NUL byte, which no environment variable can"
            ))),
            Data::String(_) => Ok((name.to_owned(), value)),
            Data::Number(number) => Ok((name.to_owned(), Value::string(format!("{number}")))),
            Data::Bool(_) => Ok((name.to_owned(), Value::string(value.to_text()))),
            Data::Null | Data::Array(_) | Data::Object(_) | Data::Function(_) => {
                Err(LineFault::Type(value.kind()))
            }
        }
    })
}

/// Reads the one step result that a delegating exec step leaves, and returns its outputs.
///
/// # Errors
///
/// A sentence that says what is expected.
pub(super) fn delegated(content: &[u8]) -> Result<BTreeMap<Name, Value>, String> {
    let expected = "must hold one step result as JSON, because the function delegates its outputs";
    let result: Json = serde_json::from_slice(content).map_err(|_| expected.to_owned())?;
    let outputs = match result.get("outputs") {
        Some(Json::Object(outputs)) => outputs.clone(),
        None | Some(Json::Null) if result.is_object() => serde_json::Map::new(),
        _ => return Err(expected.to_owned()),
    };
    let mut values = BTreeMap::new();
    for (name, value) in outputs {
        let name = Name::parse(&name).map_err(|error| error.to_string())?;
        values.insert(name, Value::from_json(value));
    }
    Ok(values)
}

fn lines<K: Ord, V>(
    content: &[u8],
    quote: bool,
    convert: impl Fn(&str, Json) -> Result<(K, V), LineFault>,
) -> Result<BTreeMap<K, V>, LineError> {
    let mut values = BTreeMap::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line_parts(line)
            .and_then(|(name, value)| convert(&name, value))
            .map_err(|fault| LineError {
                line: index + 1,
                fault,
                text: quote.then(|| String::from_utf8_lossy(line).into_owned()),
            })?;
        values.insert(key, value);
    }
    Ok(values)
}

fn line_parts(line: &[u8]) -> Result<(String, Json), LineFault> {
    let Ok(Json::Object(mut object)) = serde_json::from_slice(line) else {
        return Err(LineFault::NotJson);
    };
    let name = match object.remove("name") {
        Some(Json::String(name)) if !name.is_empty() => name,
        _ => return Err(LineFault::Name),
    };
    match object.remove("value") {
        None | Some(Json::Null) => Err(LineFault::Value),
        Some(value) => Ok((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_about_broken_output_lines_holds() {
        let not_json = "is not a JSON object with `name` and `value`";
        let name = "`name` is missing, null, empty or not a string";
        let value = "`value` is missing or null";
        let table = [
            ("not JSON", "name=value", not_json),
            ("an array", "[1]", not_json),
            ("name missing", r#"{"value":1}"#, name),
            ("name null", r#"{"name":null,"value":1}"#, name),
            ("name empty", r#"{"name":"","value":1}"#, name),
            ("value missing", r#"{"name":"a"}"#, value),
            ("value null", r#"{"name":"a","value":null}"#, value),
        ];
        for (row, line, fault) in table {
            let content = format!("\n{line}\n");
            let error = outputs(content.as_bytes(), false).expect_err(row);
            assert_eq!(
                error.to_string(),
                format!("line 2: {fault}"),
                "{row}: see contract 5.4"
            );
            let error = outputs(content.as_bytes(), true).expect_err(row);
            assert_eq!(
                error.to_string(),
                format!("line 2: {fault}: {line}"),
                "{row}, quoted"
            );
        }
    }

    #[test]
    fn blank_lines_and_other_keys_do_not_matter_and_the_last_line_of_a_name_wins() {
        let content = b"\r\n{\"name\":\"a\",\"value\":1,\"extra\":2}\n\n  {\"name\":\"a\",\"value\":\"${{ 1 }}\"}";
        let values = outputs(content, false).unwrap();
        assert_eq!(values.len(), 1);
        assert_eq!(
            values.values().next().unwrap().to_text(),
            "${{ 1 }}",
            "values are literal"
        );
    }

    #[test]
    fn exports_are_strings_numbers_without_exponent_and_booleans() {
        let table = [
            (r#""text""#, Ok("text")),
            ("1e21", Ok("1000000000000000000000")),
            ("1.5", Ok("1.5")),
            ("true", Ok("true")),
            (
                "{}",
                Err("line 1: cannot convert a value of type object to an environment variable"),
            ),
            (
                "[]",
                Err("line 1: cannot convert a value of type array to an environment variable"),
            ),
            (
                r#""a\u0000b""#,
                Err(
                    "line 1: the value for A contains a NUL byte, which no environment variable can",
                ),
            ),
        ];
        for (value, expected) in table {
            let content = format!(r#"{{"name":"A","value":{value}}}"#);
            let found = exports(content.as_bytes(), false)
                .map(|exports| exports["A"].to_text())
                .map_err(|error| error.to_string());
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                expected,
                "{value}: see contract 5.5"
            );
        }
    }

    #[test]
    fn a_delegating_step_leaves_one_step_result() {
        let values = delegated(br#"{"status":"success","outputs":{"a":"b"}}"#).unwrap();
        assert_eq!(values.values().next().unwrap().to_text(), "b");
        assert!(delegated(b"{\"name\":\"a\",\"value\":1}\n{}").is_err());
        assert!(delegated(br#"{"outputs":3}"#).is_err());
    }
}
