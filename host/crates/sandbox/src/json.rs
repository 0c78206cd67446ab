//! Reading JSON that came from somebody else: no duplicate keys, bounded depth. Pure.
//!
//! serde_json's own reader keeps the last of two equal keys, so that two readers of one text can see two
//! documents.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects. Nobody writes deeper by hand, and every recursive reader after us
/// stays far from its stack's end.
pub const DEPTH_MAX: u32 = 64;

/// Reads one document.
///
/// # Errors
/// Says what is wrong and where: syntax, a key that occurs twice, nesting deeper than [`DEPTH_MAX`].
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Level(DEPTH_MAX).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Returns whether a value is no deeper than [`DEPTH_MAX`].
pub(crate) fn is_shallow(value: &Value) -> bool {
    fn fits(value: &Value, levels_left: u32) -> bool {
        let Some(inner) = levels_left.checked_sub(1) else {
            return !matches!(value, Value::Array(_) | Value::Object(_));
        };
        match value {
            Value::Array(items) => items.iter().all(|item| fits(item, inner)),
            Value::Object(members) => members.values().all(|member| fits(member, inner)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
    fits(value, DEPTH_MAX)
}

/// Reads one value; holds how many levels may still open.
#[derive(Clone, Copy)]
struct Level(u32);

impl Level {
    fn inner<E: Error>(self) -> Result<Level, E> {
        self.0
            .checked_sub(1)
            .map(Level)
            .ok_or_else(|| E::custom(format_args!("nested deeper than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(Value::Bool(boolean))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` occurs twice"
                )));
            }
            let member = members.next_value_seed(inner)?;
            object.insert(key, member);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DEPTH_MAX, Value, is_shallow, parse};

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_serde_json_reads_is_read_alike() {
        let texts = [
            r#"{"a":[1,-2,3.5,true,null,"x\u00e4"],"b":{}}"#,
            "[]",
            "null",
            "18446744073709551615",
            "-9223372036854775808",
            "1e300",
        ];
        for text in texts {
            assert_eq!(
                parse(text).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_document_that_two_readers_could_see_differently_is_refused() {
        let table = [
            (r#"{"a":1,"a":2}"#, "the key `a` occurs twice"),
            (r#"[{"b":{"a":1,"\u0061":2}}]"#, "the key `a` occurs twice"),
            ("[1] [2]", "trailing characters"),
            ("[1,]", "trailing comma"),
            ("", "EOF while parsing"),
            ("NaN", "expected value"),
            ("1e999", "number out of range"),
        ];
        for (text, message) in table {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn nesting_is_bounded_where_it_is_said_to_be() {
        let deepest = DEPTH_MAX as usize;
        assert!(is_shallow(&parse(&nested(deepest)).unwrap()));
        assert!(
            parse(&nested(deepest + 1))
                .expect_err("too deep")
                .to_string()
                .contains("nested deeper than 64 levels")
        );
        assert!(!is_shallow(
            &serde_json::from_str(&nested(deepest + 1)).unwrap()
        ));
        assert!(
            parse(&nested(100_000)).is_err(),
            "and far beyond it nothing overflows"
        );
    }

    fn documents() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            ".{0,6}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_document_is_read_as_serde_json_reads_it(document in documents()) {
            let text = document.to_string();
            prop_assert_eq!(parse(&text).ok(), serde_json::from_str::<serde_json::Value>(&text).ok());
        }

        #[test]
        fn whatever_is_accepted_is_accepted_by_serde_json_too(text in r#"[\[\]{}:,"ab1.e \\u-]{0,40}"#) {
            if let Ok(document) = parse(&text) {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(document));
            }
        }
    }
}
