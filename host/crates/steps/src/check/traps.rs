//! Values that steps do not see as they were written.
//!
//! YAML decides by the look of an unquoted scalar what it is: `010` is eight, `1.10` is one and a tenth, `yes` is a
//! text and a date is one too. Authors of other dialects expect something else. What is told is always the value
//! that steps will see. Where the type that is wanted is known, only what still surprises is told.
//! Called by: `look`, for inputs, outputs and defaults. In `env` scalars keep their source text (design D6).

use stephost_expr::Value;

use super::Finding;
use crate::code::Code;
use crate::quoted::Quoted;
use crate::spec::ValueType;
use crate::yaml::{Content, Meaning, Node};

/// Words that YAML 1.1 took for booleans.
const OLD_BOOLEANS: [(&str, bool); 6] = [
    ("yes", true),
    ("y", true),
    ("on", true),
    ("no", false),
    ("n", false),
    ("off", false),
];

/// Returns what is surprising about a scalar that becomes a value of type `ty`, if that is known.
pub(super) fn trap(node: &Node, ty: Option<ValueType>) -> Option<Finding> {
    let Content::Scalar(scalar) = &node.content else {
        return None;
    };
    if !scalar.is_plain() {
        return None;
    }
    let text = &*scalar.text;
    let shown = Quoted::new(text);
    match scalar.meaning() {
        Meaning::Number(number) => {
            let value = Value::number(number).to_text();
            let other_spelling = decimal(text) == Some(number);
            if *value == *text || (other_spelling && ty == Some(ValueType::Number)) {
                return None;
            }
            let message = format!("{shown} is a number here: steps see `{value}`");
            let finding = Finding::warning(Code::Y101, node.place, &message);
            let is_meant = ty == Some(ValueType::Number) || is_notation(text);
            Some(if is_meant {
                finding
                    .help(format!("write `{value}`, or \"{text}\" if a text is meant"))
                    .fix(node.place, value)
            } else {
                finding
                    .help(format!(
                        "write \"{text}\", or `{value}` if a number is meant"
                    ))
                    .fix(node.place, format!("\"{text}\""))
            })
        }
        Meaning::Text if ty == Some(ValueType::String) => None,
        Meaning::Text if old_boolean(text).is_some() => {
            let truth = old_boolean(text).unwrap_or_default();
            let message =
                format!("{shown} is a text here: steps see the string \"{text}\", no boolean");
            let finding = Finding::warning(Code::Y102, node.place, &message).help(format!(
                "write `{truth}`, or \"{text}\" if the text is meant"
            ));
            Some(finding.fix(node.place, truth.to_string()))
        }
        Meaning::Text if is_date(text) => {
            let message =
                format!("{shown} is a text here: steps see the string \"{text}\", no date");
            let finding = Finding::warning(Code::Y103, node.place, &message);
            Some(
                finding
                    .help("write it in quotes, so that nobody takes it for something else")
                    .fix(node.place, format!("\"{text}\"")),
            )
        }
        Meaning::Text | Meaning::Null | Meaning::Boolean(_) | Meaning::NotFinite => None,
    }
}

/// Returns the boolean that the text is in older YAML.
pub(super) fn old_boolean(text: &str) -> Option<bool> {
    // As that YAML does: in lower case, in capitals, or with one capital.
    let (first, rest) = text.split_at_checked(1)?;
    let same_case = rest.bytes().all(|byte| byte.is_ascii_lowercase())
        || text.bytes().all(|byte| byte.is_ascii_uppercase());
    let word = format!("{first}{rest}").to_ascii_lowercase();
    let found = OLD_BOOLEANS.iter().find(|(known, _)| *known == word);
    found.filter(|_| same_case).map(|(_, truth)| *truth)
}

/// Whether only people who mean a number write so: a base, or digits in groups.
fn is_notation(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']).as_bytes();
    let has_base = matches!(
        unsigned,
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]
    );
    has_base || text.contains('_')
}

/// The number that people read: decimal digits, a sign, a fraction, an exponent, and no leading zero.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut bytes = unsigned.bytes();
    if bytes.next() == Some(b'0') && bytes.next().is_some_and(|next| next.is_ascii_digit()) {
        return None;
    }
    let number = text.parse::<f64>().ok()?;
    // Beyond that, whole numbers lose digits.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (number.abs() <= EXACT_MAX || text.contains(['e', 'E'])).then_some(number)
}

/// `YYYY-MM-DD`, with or without a time behind it, and nothing else.
fn is_date(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else {
        return false;
    };
    let digits = |byte: u8| byte.is_ascii_digit();
    let is_day = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => digits(byte),
    });
    let is_time = |byte: u8| digits(byte) || b"Tt :.+-Zz".contains(&byte);
    is_day && (rest.is_empty() || rest.starts_with(['T', 't', ' ']) && rest.bytes().all(is_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_old_booleans_are_known_by_their_look() {
        for date in [
            "2026-01-01",
            "2026-01-01T10:00:00Z",
            "2026-01-01 10:00:00 +02:00",
        ] {
            assert!(is_date(date), "{date}");
        }
        for text in [
            "2026-01",
            "2026-01-01x",
            "2026-1-1-1-1",
            "x",
            "2026-01-01 a",
        ] {
            assert!(!is_date(text), "{text}");
        }
        let table = [
            ("yes", Some(true)),
            ("YES", Some(true)),
            ("Off", Some(false)),
            ("n", Some(false)),
            ("yEs", None),
            ("yesterday", None),
            ("true", None),
            ("", None),
            ("ü", None),
        ];
        for (text, expected) in table {
            assert_eq!(old_boolean(text), expected, "{text}");
        }
    }
}
