//! The functions of the language: `str`, `num` and `bool` (contract 4.5).
//!
//! A function is a value that can be called with one argument. The mark of the argument stays on the result; that
//! is the duty of `eval`, which marks the result of every operation in one place. Called by: `eval`.

use crate::lex;

/// A function that expressions can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `bool(v)`: whether a condition takes the value for true.
    Bool,
    /// `num(v)`: the number that a text spells.
    Num,
    /// `str(v)`: the text of a value.
    Str,
}

impl Function {
    /// Returns the function that `name` stands for, if any.
    pub(crate) fn named(name: &str) -> Option<Function> {
        match name {
            "bool" => Some(Function::Bool),
            "num" => Some(Function::Num),
            "str" => Some(Function::Str),
            _ => None,
        }
    }

    /// Returns the name under which expressions know the function.
    pub fn name(self) -> &'static str {
        match self {
            Function::Bool => "bool",
            Function::Num => "num",
            Function::Str => "str",
        }
    }
}

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFault {
    /// It spells none.
    Malformed,
    /// It spells one that is too large for a double.
    OutOfRange,
}

/// Returns the number that `text` spells: white space of any kind around it, one sign, then what the grammar takes
/// for a number (`42`, `3.14`, `.5`, `2E-4`). Words such as `inf`, hexadecimal digits and separators are none.
pub(crate) fn parse_number(text: &str) -> Result<f64, NumberFault> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || lex::number_bytes(unsigned) != unsigned.len() {
        return Err(NumberFault::Malformed);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(NumberFault::OutOfRange),
        Err(_) => Err(NumberFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_text_has_the_grammar_of_numbers_with_a_sign_and_space_around() {
        let table = [
            ("42", Ok(42.0)),
            ("2.75", Ok(2.75)),
            (" \t-7\r\n", Ok(-7.0)),
            ("+.5", Ok(0.5)),
            ("007", Ok(7.0)),
            ("2E-4", Ok(0.0002)),
            ("1e400", Err(NumberFault::OutOfRange)),
            ("1e-400", Ok(0.0)),
            ("", Err(NumberFault::Malformed)),
            (" ", Err(NumberFault::Malformed)),
            ("-", Err(NumberFault::Malformed)),
            ("--1", Err(NumberFault::Malformed)),
            ("- 1", Err(NumberFault::Malformed)),
            ("1.", Err(NumberFault::Malformed)),
            (".", Err(NumberFault::Malformed)),
            ("1e", Err(NumberFault::Malformed)),
            ("1 2", Err(NumberFault::Malformed)),
            ("inf", Err(NumberFault::Malformed)),
            ("NaN", Err(NumberFault::Malformed)),
            ("0x10", Err(NumberFault::Malformed)),
            ("1_000", Err(NumberFault::Malformed)),
            ("٣", Err(NumberFault::Malformed)),
        ];
        for (text, number) in table {
            assert_eq!(parse_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn each_function_is_known_by_its_own_name() {
        for function in [Function::Bool, Function::Num, Function::Str] {
            assert_eq!(Function::named(function.name()), Some(function));
        }
        assert_eq!(Function::named("Str"), None);
    }
}
