//! How much: the value of a limit with its unit, read from text and written as text.
//!
//! Both ways agree: what [`Amount`] prints is read back as the same amount. A unit is always written, so that
//! nobody has to know whether `wall = 5` is seconds or minutes.

use std::fmt;
use std::time::Duration;

use super::{GIB, LimitName, MIB};

/// Largest count that may be written. Beyond it a limit limits nothing.
const COUNT_MAX: u64 = 1_000_000_000;

/// Largest size that may be written: no machine of ours has more.
const BYTES_MAX: u64 = 1 << 50;

/// Longest time that may be written: a year, which no job takes.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const SIZES: [(&str, u64); 5] = [
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", 1 << 10),
    ("bytes", 1),
    ("B", 1),
];

/// Units of time in nanoseconds. The first of a size is the one that is printed.
const TIMES: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The value of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A size.
    Bytes(u64),
    /// A time; `None` is no limit.
    Time(Option<Duration>),
    /// A number of things.
    Count(u64),
}

/// A value as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written<'t> {
    /// Between quotes.
    Text(&'t str),
    /// Digits, without separators.
    Integer(&'t str),
    /// Something else.
    Other,
}

/// Why a text is no amount of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmountError {
    #[error("must be a size with its unit, such as \"64 MiB\" (bytes, KiB, MiB, GiB)")]
    Size,
    #[error(
        "must be a time with its unit, such as \"90s\" or \"1h30m\" (h, min, s, ms), or \"none\""
    )]
    Time,
    #[error("must be a whole number, without quotes")]
    Count,
    #[error("is more than any host has")]
    TooMuch,
    #[error("of nothing would refuse every run; to forbid a function, remove its rule")]
    Nothing,
}

impl Amount {
    /// Reads a size with its unit, `64 MiB`, as it stands in a policy.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn bytes(text: &str) -> Result<u64, String> {
        size(Written::Text(text)).map_err(|error| error.to_string())
    }

    /// Reads the amount of the limit `name`.
    pub(crate) fn parse(name: LimitName, written: Written<'_>) -> Result<Amount, AmountError> {
        let amount = match name {
            LimitName::Memory | LimitName::Log | LimitName::Outputs | LimitName::HostCall => {
                Amount::Bytes(size(written)?)
            }
            LimitName::Wall | LimitName::Cpu => Amount::Time(time(written)?),
            LimitName::Memories
            | LimitName::Tables
            | LimitName::TableElements
            | LimitName::Instances
            | LimitName::Handles => Amount::Count(count(written)?),
        };
        // A guest can do without a log, outputs, tables and handles, and not without the rest.
        let may_be_nothing = match name {
            LimitName::Log
            | LimitName::Outputs
            | LimitName::Tables
            | LimitName::TableElements
            | LimitName::Handles => true,
            LimitName::Memory
            | LimitName::Wall
            | LimitName::Cpu
            | LimitName::HostCall
            | LimitName::Memories
            | LimitName::Instances => false,
        };
        if amount.is_nothing() && !may_be_nothing {
            return Err(AmountError::Nothing);
        }
        Ok(amount)
    }

    /// Whether this is more than `other`; amounts of different units are never.
    pub(crate) fn exceeds(self, other: Amount) -> bool {
        match (self, other) {
            (Amount::Bytes(own), Amount::Bytes(other))
            | (Amount::Count(own), Amount::Count(other)) => own > other,
            (Amount::Time(_), Amount::Time(None)) => false,
            (Amount::Time(None), Amount::Time(Some(_))) => true,
            (Amount::Time(Some(own)), Amount::Time(Some(other))) => own > other,
            (Amount::Bytes(_) | Amount::Time(_) | Amount::Count(_), _) => false,
        }
    }

    fn is_nothing(self) -> bool {
        match self {
            Amount::Bytes(number) | Amount::Count(number) => number == 0,
            Amount::Time(time) => time == Some(Duration::ZERO),
        }
    }
}

/// As a person writes it: the largest unit that loses no digit.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Amount::Count(count) => write!(f, "{count}"),
            Amount::Bytes(bytes) => {
                let fits = |size: u64| size > 1 && bytes > 0 && bytes.is_multiple_of(size);
                match SIZES.into_iter().find(|(_, size)| fits(*size)) {
                    Some((unit, size)) => write!(f, "{} {unit}", bytes / size),
                    None => write!(f, "{bytes} bytes"),
                }
            }
            Amount::Time(None) => f.write_str("none"),
            Amount::Time(Some(time)) => {
                let nanos = time.as_nanos();
                let fits = |size: u128| nanos > 0 && nanos.is_multiple_of(size);
                match TIMES.into_iter().find(|(_, size)| fits(*size)) {
                    Some((unit, size)) => write!(f, "{} {unit}", nanos / size),
                    None => write!(f, "{nanos} ns"),
                }
            }
        }
    }
}

fn count(written: Written<'_>) -> Result<u64, AmountError> {
    let Written::Integer(digits) = written else {
        return Err(AmountError::Count);
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::Count);
    }
    // All digits: what does not fit is too much.
    let number: u64 = digits.parse().map_err(|_| AmountError::TooMuch)?;
    if number > COUNT_MAX {
        return Err(AmountError::TooMuch);
    }
    Ok(number)
}

fn size(written: Written<'_>) -> Result<u64, AmountError> {
    let Written::Text(text) = written else {
        return Err(AmountError::Size);
    };
    let (number, unit, rest) = quantity(text).ok_or(AmountError::Size)?;
    let size = SIZES.into_iter().find(|(word, _)| *word == unit);
    let (Some((_, size)), "") = (size, rest) else {
        return Err(AmountError::Size);
    };
    let bytes = number.and_then(|number| number.checked_mul(size));
    bytes
        .filter(|bytes| *bytes <= BYTES_MAX)
        .ok_or(AmountError::TooMuch)
}

/// One or more quantities, each of a smaller unit than the one before: `1h30m`, `1 h 30 min`.
fn time(written: Written<'_>) -> Result<Option<Duration>, AmountError> {
    let Written::Text(mut text) = written else {
        return Err(AmountError::Time);
    };
    if text == "none" {
        return Ok(None);
    }
    let mut nanos: u128 = 0;
    let mut smaller_than = u128::MAX;
    loop {
        let (number, unit, rest) = quantity(text).ok_or(AmountError::Time)?;
        let known = TIMES.into_iter().find(|(word, _)| *word == unit);
        let (_, size) = known
            .filter(|(_, size)| *size < smaller_than)
            .ok_or(AmountError::Time)?;
        let number = u128::from(number.ok_or(AmountError::TooMuch)?);
        // Seven units at most, each below 2^64 times 2^42: the sum stays far below 2^128.
        nanos += number * size;
        smaller_than = size;
        if rest.is_empty() {
            break;
        }
        text = rest;
    }
    let nanos = u64::try_from(nanos).map_err(|_| AmountError::TooMuch)?;
    let time = Duration::from_nanos(nanos);
    if time > TIME_MAX {
        return Err(AmountError::TooMuch);
    }
    Ok(Some(time))
}

/// Splits `64 MiB…` into the number (none when it is beyond all numbers), its unit, and what follows.
fn quantity(text: &str) -> Option<(Option<u64>, &str, &str)> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let digits_end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, rest) = text.split_at(digits_end);
    if digits.is_empty() {
        return None;
    }
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let unit_end = rest
        .find(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    Some((digits.parse().ok(), unit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: LimitName, text: &str) -> Result<Amount, AmountError> {
        Amount::parse(name, Written::Text(text))
    }

    #[test]
    fn a_value_is_shown_without_losing_a_digit() {
        let table = [
            (0, "0 bytes"),
            (1, "1 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1025, "1025 bytes"),
            (1536, "1536 bytes"),
            (3 * MIB, "3 MiB"),
            (2048 * MIB, "2 GiB"),
            (u64::MAX, "18446744073709551615 bytes"),
        ];
        for (bytes, text) in table {
            assert_eq!(Amount::Bytes(bytes).to_string(), text, "{bytes} bytes");
        }
        let table = [
            (Duration::ZERO, "0 ns"),
            (Duration::from_millis(1500), "1500 ms"),
            (Duration::from_secs(90), "90 s"),
            (Duration::from_secs(900), "15 min"),
            (Duration::from_secs(7200), "2 h"),
            (Duration::from_nanos(1_000_001), "1000001 ns"),
            (Duration::from_nanos(1_500), "1500 ns"),
            (Duration::from_micros(7), "7 us"),
        ];
        for (duration, text) in table {
            let amount = Amount::Time(Some(duration));
            assert_eq!(amount.to_string(), text, "{duration:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        for bytes in [1, 1023, 1024, 5 * MIB, GIB, BYTES_MAX] {
            let amount = Amount::Bytes(bytes);
            assert_eq!(read(LimitName::Memory, &amount.to_string()), Ok(amount));
        }
        for nanos in [
            1,
            1_000,
            1_500,
            1_000_000_000,
            90_000_000_000,
            7_200_000_000_000,
        ] {
            let amount = Amount::Time(Some(Duration::from_nanos(nanos)));
            assert_eq!(read(LimitName::Wall, &amount.to_string()), Ok(amount));
        }
        assert_eq!(read(LimitName::Cpu, "none"), Ok(Amount::Time(None)));
    }

    #[test]
    fn sizes_and_times_need_a_known_unit_and_stay_within_reason() {
        let time = |seconds| Ok(Amount::Time(Some(Duration::from_secs(seconds))));
        let table = [
            (LimitName::Memory, "64MiB", Ok(Amount::Bytes(64 * MIB))),
            (LimitName::Log, "0 bytes", Ok(Amount::Bytes(0))),
            (LimitName::Memory, "0 bytes", Err(AmountError::Nothing)),
            (LimitName::Memory, "64", Err(AmountError::Size)),
            (LimitName::Memory, "64MB", Err(AmountError::Size)),
            (LimitName::Memory, "64mib", Err(AmountError::Size)),
            (LimitName::Memory, "1GiB 2MiB", Err(AmountError::Size)),
            (LimitName::Memory, "-1 MiB", Err(AmountError::Size)),
            (LimitName::Memory, "1.5 MiB", Err(AmountError::Size)),
            (LimitName::Memory, "", Err(AmountError::Size)),
            (LimitName::Memory, "none", Err(AmountError::Size)),
            (
                LimitName::Memory,
                "17179869184 GiB",
                Err(AmountError::TooMuch),
            ),
            (
                LimitName::Memory,
                "99999999999999999999 GiB",
                Err(AmountError::TooMuch),
            ),
            (LimitName::Wall, "90s", time(90)),
            (LimitName::Wall, "1h30m", time(5400)),
            (LimitName::Wall, "1 h 30 min 5 s", time(5405)),
            (LimitName::Wall, "30m1h", Err(AmountError::Time)),
            (LimitName::Wall, "1m1min", Err(AmountError::Time)),
            (LimitName::Wall, "5", Err(AmountError::Time)),
            (LimitName::Wall, "1h ", Err(AmountError::Time)),
            (LimitName::Wall, "1d", Err(AmountError::Time)),
            (LimitName::Wall, "0s", Err(AmountError::Nothing)),
            (LimitName::Wall, "8785h", Err(AmountError::TooMuch)),
            (
                LimitName::Wall,
                "99999999999999999999s",
                Err(AmountError::TooMuch),
            ),
            (LimitName::Tables, "8", Err(AmountError::Count)),
        ];
        for (name, text, expected) in table {
            assert_eq!(read(name, text), expected, "{name} = {text:?}");
        }
        let table = [
            ("8", Ok(Amount::Count(8))),
            ("0", Ok(Amount::Count(0))),
            ("-8", Err(AmountError::Count)),
            ("1000000001", Err(AmountError::TooMuch)),
            ("99999999999999999999", Err(AmountError::TooMuch)),
        ];
        for (digits, expected) in table {
            let read = Amount::parse(LimitName::Handles, Written::Integer(digits));
            assert_eq!(read, expected, "handles = {digits}");
        }
        for written in [Written::Integer("64"), Written::Other] {
            assert_eq!(
                Amount::parse(LimitName::Log, written),
                Err(AmountError::Size)
            );
            assert_eq!(
                Amount::parse(LimitName::Cpu, written),
                Err(AmountError::Time)
            );
        }
    }
}
