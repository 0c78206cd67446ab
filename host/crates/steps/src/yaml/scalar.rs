//! What an untagged plain scalar means: exactly what Go's `yaml.v3` makes of it.
//!
//! Texts were written for that library, so its mixture of YAML 1.1 and 1.2 is the contract: `yes` is a string,
//! `010` is eight, `1_000` a thousand. Two differences: a date stays a string, and `0b-1` does too.

/// The meaning of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning {
    /// `~`, `null` or nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer or a float, finite.
    Number(f64),
    /// `.inf` or `.nan`, which JSON does not have.
    NotFinite,
    /// Everything else.
    Text,
}

/// Reads a plain scalar.
pub(crate) fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Boolean(true),
        "false" | "False" | "FALSE" => Meaning::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => Meaning::NotFinite,
        _ if matches!(
            text.strip_prefix(['+', '-']).unwrap_or(text),
            ".inf" | ".Inf" | ".INF"
        ) =>
        {
            Meaning::NotFinite
        }
        _ => number(text).map_or(Meaning::Text, Meaning::Number),
    }
}

/// Longest number in bytes; a longer row of digits is a string, whose value a float could not hold anyway.
const NUMBER_BYTES_MAX: usize = 512;

fn number(text: &str) -> Option<f64> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    match text.as_bytes().first()? {
        b'.' => decimal(text),
        b'0'..=b'9' | b'+' | b'-' => {
            // Underscores may stand anywhere behind the first character, as in Go.
            let plain: String = text.chars().filter(|character| *character != '_').collect();
            integer(&plain).or_else(|| decimal(&plain))
        }
        _ => None,
    }
}

/// Go's `ParseInt` and `ParseUint` with base 0: a prefix decides the base, and a leading zero means octal.
fn integer(plain: &str) -> Option<f64> {
    let (sign, digits) = match plain.as_bytes().first()? {
        b'-' => (Some('-'), &plain[1..]),
        b'+' => (Some('+'), &plain[1..]),
        _ => (None, plain),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    let fits = match sign {
        Some('-') => magnitude <= i64::MIN.unsigned_abs(),
        Some(_) => i64::try_from(magnitude).is_ok(),
        None => true,
    };
    // A number is a double on the wire (protobuf `Value`), so the loss beyond 2^53 is everybody's.
    let magnitude = fits.then_some(magnitude as f64)?;
    Some(if sign == Some('-') && magnitude != 0.0 {
        -magnitude
    } else {
        magnitude
    })
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, finite.
fn decimal(plain: &str) -> Option<f64> {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    // Out of range is no number to Go either: it stays the string it was.
    (mantissa_fits && exponent_fits)
        .then(|| plain.parse().ok())
        .flatten()
        .filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_go_makes_of_them() {
        use Meaning::{Boolean, NotFinite, Null, Number, Text};
        let table = [
            // libraries.md, "YAML scalars"
            ("yes", Text),
            ("on", Text),
            ("y", Text),
            ("no", Text),
            ("off", Text),
            ("010", Number(8.0)),
            ("1_000", Number(1000.0)),
            ("0b11", Number(3.0)),
            ("2026-01-01", Text),
            ("0o10", Number(8.0)),
            ("0x1F", Number(31.0)),
            ("1e3", Number(1000.0)),
            ("~", Null),
            (".5", Number(0.5)),
            ("+1", Number(1.0)),
            ("12:30:45", Text),
            ("<<", Text),
            // resolve.go
            ("", Null),
            ("null", Null),
            ("Null", Null),
            ("NULL", Null),
            ("nULL", Text),
            ("true", Boolean(true)),
            ("True", Boolean(true)),
            ("TRUE", Boolean(true)),
            ("tRUE", Text),
            ("false", Boolean(false)),
            ("False", Boolean(false)),
            ("FALSE", Boolean(false)),
            (".nan", NotFinite),
            (".inf", NotFinite),
            ("-.inf", NotFinite),
            ("+.INF", NotFinite),
            ("+.nan", Text),
            ("inf", Text),
            ("nan", Text),
            ("Infinity", Text),
            ("0", Number(0.0)),
            ("-0", Number(0.0)),
            ("00", Number(0.0)),
            ("08", Number(8.0)),
            ("-017", Number(-15.0)),
            ("-0x10", Number(-16.0)),
            ("+0b1", Number(1.0)),
            ("0X1f", Number(31.0)),
            ("0x", Text),
            ("0b2", Text),
            ("0o8", Text),
            ("0xg", Text),
            ("0b-1", Text),
            ("1.", Number(1.0)),
            ("-1.5", Number(-1.5)),
            ("-.5", Number(-0.5)),
            (".5e-1", Number(0.05)),
            ("1.5E+2", Number(150.0)),
            ("1e", Text),
            ("e1", Text),
            (".", Text),
            ("+", Text),
            ("-", Text),
            ("1.2.3", Text),
            ("1 2", Text),
            ("._5", Text),
            (".5_0", Text),
            ("_1", Text),
            ("1_", Number(1.0)),
            ("0_7", Number(7.0)),
            ("1e999", Text),
            ("18446744073709551615", Number(18_446_744_073_709_551_615.0)),
            ("99999999999999999999", Number(1e20)),
            ("0xFFFFFFFFFFFFFFFF", Number(18_446_744_073_709_551_615.0)),
            ("0x1FFFFFFFFFFFFFFFF", Text),
            ("-9223372036854775808", Number(-9_223_372_036_854_775_808.0)),
            ("٣", Text),
            ("1ü", Text),
        ];
        for (text, expected) in table {
            assert_eq!(meaning(text), expected, "{text:?}");
        }
    }
}
