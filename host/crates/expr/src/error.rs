//! What can be wrong with an expression.
//!
//! Owns [`ExpressionError`]: where (a position in the text of the template) and what (a [`Fault`]). Messages are
//! one line of a few hundred bytes. They repeat pieces of the template, which is no secret, and kinds of values;
//! never the content of a value that is marked. Called by: everything here that can fail.

use std::fmt;

use crate::code::Code;
use crate::limits::{
    NESTING_MAX, OPERATIONS_MAX, RESULT_BYTES_MAX, SHOWN_BYTES_MAX, TEMPLATE_BYTES_MAX,
    VALUE_DEPTH_MAX, WORK_MAX,
};
use crate::value::Kind;

/// An expression that cannot be read or evaluated: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct ExpressionError {
    position: usize,
    fault: Fault,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The text of the template is longer than [`TEMPLATE_BYTES_MAX`].
    #[error("the text has {found} bytes, at most {TEMPLATE_BYTES_MAX} are allowed")]
    TemplateTooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// More than [`NESTING_MAX`] parentheses, brackets, braces and nested expressions are open.
    #[error("nested more than {NESTING_MAX} levels deep")]
    NestedTooDeep,
    /// The template compiles to more than [`OPERATIONS_MAX`] operations.
    #[error("the text has more than {OPERATIONS_MAX} values, names and operators")]
    TooManyOperations,
    /// The text ends inside an expression.
    #[error("`${{{{` is not closed by `}}}}`")]
    Unclosed,
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What the grammar wants.
        expected: &'static str,
        /// What stands there, shortened.
        found: Shown,
    },
    /// A character that no part of the language begins with.
    #[error("unexpected character {found}")]
    Character {
        /// The character.
        found: Shown,
    },
    /// Something that begins like a number and is none.
    #[error("{text} is not a number")]
    NotANumber {
        /// What stands there, shortened.
        text: Shown,
    },
    /// A number in the text that is beyond the range of doubles.
    #[error("number out of range")]
    LiteralOutOfRange,
    /// A word that cannot be a name.
    #[error("{word} is a reserved word, it can be used after a dot or as a key only")]
    Reserved {
        /// The word.
        word: Shown,
    },
    /// A backslash before something that it does not go with.
    #[error("invalid escape {escape} in a string, a backslash is written `\\\\`")]
    Escape {
        /// The escape.
        escape: Shown,
    },
    /// The text ends inside a string.
    #[error("the string is not terminated")]
    UnterminatedString,

    /// The scope has no such name.
    #[error("name not found")]
    UnknownName {
        /// The name.
        name: Shown,
    },
    /// An object has no such attribute, or no such key.
    #[error("attribute not found")]
    MissingAttribute {
        /// The way to it, without the name at its root: `.outputs.version`.
        path: Shown,
    },
    /// An array or text has no such index.
    #[error("index out of range")]
    MissingIndex {
        /// The way to it, without the name at its root: `.outputs.items[3]`.
        path: Shown,
    },
    /// An operator between two values that it does not go with.
    #[error("`{operator}` does not work on {left} and {right}")]
    Operands {
        /// The operator.
        operator: &'static str,
        /// The kind of the left value.
        left: Kind,
        /// The kind of the right value.
        right: Kind,
    },
    /// An operator before a value that it does not go with.
    #[error("`{operator}` does not work on {operand}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The kind of the value.
        operand: Kind,
    },
    /// A division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A result beyond the range of doubles.
    #[error("number out of range")]
    NumberOutOfRange,
    /// An attribute of something that is no object.
    #[error("{found} has no attributes, only an object does")]
    NoAttributes {
        /// Its kind.
        found: Kind,
    },
    /// An index into something that has none, or of the wrong kind.
    #[error(
        "{found} cannot be indexed by {index}: arrays and strings take numbers, objects take strings"
    )]
    NotIndexable {
        /// The kind of what is indexed.
        found: Kind,
        /// The kind of the index.
        index: Kind,
    },
    /// An index with a fraction.
    #[error("an index must be a whole number")]
    IndexFraction,
    /// A computed key that is no string.
    #[error("a key must be a string, found {found}: use `str()`")]
    KeyKind {
        /// Its kind.
        found: Kind,
    },
    /// A call of something that is no function.
    #[error("{found} cannot be called, there are `str()`, `num()` and `bool()`")]
    NotCallable {
        /// Its kind.
        found: Kind,
    },
    /// A call with too many or too few arguments.
    #[error("`{function}()` takes one argument, found {found}")]
    Arguments {
        /// The function.
        function: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A text that spells no number.
    #[error("`num()` needs the text of a number such as \"3.14\"")]
    NotNumeric,
    /// A value that cannot become a number.
    #[error("`num()` takes a string or a number, found {found}")]
    NotConvertible {
        /// Its kind.
        found: Kind,
    },
    /// A text, array or object would be larger than [`RESULT_BYTES_MAX`].
    #[error("the result has more than {RESULT_BYTES_MAX} bytes")]
    ResultTooLarge,
    /// Arrays and objects lie more than [`VALUE_DEPTH_MAX`] deep inside each other.
    #[error("a value is nested more than {VALUE_DEPTH_MAX} levels deep")]
    ValueTooDeep,
    /// The evaluation did more than [`WORK_MAX`] steps of work.
    #[error("the evaluation takes more than {WORK_MAX} steps")]
    TooMuchWork,
}

/// A piece of a template or a path, fit for a message: on one line, and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl ExpressionError {
    pub(crate) fn new(position: usize, fault: Fault) -> ExpressionError {
        ExpressionError { position, fault }
    }

    /// Returns where the fault is: a byte offset in the text of the template.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns what is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

/// Runners look for the text of a missing attribute (contract 12, row 4.4): it has the path in place of a position,
/// and so have its siblings. The others say where they are.
impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExpressionError { position, fault } = self;
        match fault {
            Fault::MissingAttribute { path }
            | Fault::MissingIndex { path }
            | Fault::UnknownName { name: path } => {
                write!(f, "evaluating expression failed at \"{path}\": {fault}")
            }
            fault if fault.is_of_the_text() => {
                write!(f, "invalid expression at {position}: {fault}")
            }
            fault => write!(f, "evaluating expression failed at {position}: {fault}"),
        }
    }
}

impl Fault {
    pub(crate) fn unexpected(expected: &'static str, found: &str) -> Fault {
        Fault::Unexpected {
            expected,
            found: Shown::quoted(found),
        }
    }

    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> Code {
        match self {
            Fault::Unclosed => Code::S101,
            Fault::Unexpected { .. } | Fault::Character { .. } => Code::S102,
            Fault::NotANumber { .. } | Fault::LiteralOutOfRange => Code::S103,
            Fault::Reserved { .. } => Code::S104,
            Fault::Escape { .. } | Fault::UnterminatedString => Code::S105,
            Fault::TemplateTooLong { .. }
            | Fault::NestedTooDeep
            | Fault::TooManyOperations
            | Fault::ResultTooLarge
            | Fault::ValueTooDeep
            | Fault::TooMuchWork => Code::S106,
            Fault::UnknownName { .. } => Code::S107,
            Fault::MissingAttribute { .. } | Fault::MissingIndex { .. } => Code::S108,
            Fault::Operands { .. } | Fault::Operand { .. } => Code::S109,
            Fault::DivisionByZero | Fault::NumberOutOfRange => Code::S110,
            Fault::NoAttributes { .. }
            | Fault::NotIndexable { .. }
            | Fault::IndexFraction
            | Fault::KeyKind { .. } => Code::S111,
            Fault::NotCallable { .. } | Fault::Arguments { .. } => Code::S112,
            Fault::NotNumeric | Fault::NotConvertible { .. } => Code::S113,
        }
    }

    /// Tells whether the text is wrong in every scope.
    fn is_of_the_text(&self) -> bool {
        match self {
            Fault::TemplateTooLong { .. }
            | Fault::NestedTooDeep
            | Fault::TooManyOperations
            | Fault::Unclosed
            | Fault::Unexpected { .. }
            | Fault::Character { .. }
            | Fault::NotANumber { .. }
            | Fault::LiteralOutOfRange
            | Fault::Reserved { .. }
            | Fault::Escape { .. }
            | Fault::UnterminatedString => true,
            Fault::UnknownName { .. }
            | Fault::MissingAttribute { .. }
            | Fault::MissingIndex { .. }
            | Fault::Operands { .. }
            | Fault::Operand { .. }
            | Fault::DivisionByZero
            | Fault::NumberOutOfRange
            | Fault::NoAttributes { .. }
            | Fault::NotIndexable { .. }
            | Fault::IndexFraction
            | Fault::KeyKind { .. }
            | Fault::NotCallable { .. }
            | Fault::Arguments { .. }
            | Fault::NotNumeric
            | Fault::NotConvertible { .. }
            | Fault::ResultTooLarge
            | Fault::ValueTooDeep
            | Fault::TooMuchWork => false,
        }
    }
}

impl Shown {
    /// Returns `text` as it is, but on one line and at most [`SHOWN_BYTES_MAX`] bytes long.
    pub(crate) fn plain(text: &str) -> Shown {
        let mut shown = String::new();
        for character in text.chars() {
            let escaped: String = match character {
                '"' | '\'' | '\\' => character.into(),
                // Line ends, controls, and what is invisible or changes the direction of text.
                other => other.escape_debug().collect(),
            };
            if shown.len() + escaped.len() > SHOWN_BYTES_MAX {
                shown.push('…');
                break;
            }
            shown.push_str(&escaped);
        }
        Shown(shown)
    }

    /// Returns `text` between backquotes.
    pub(crate) fn quoted(text: &str) -> Shown {
        Shown(format!("`{}`", Shown::plain(text).0))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
