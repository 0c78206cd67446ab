//! Why a policy file is refused: every problem with its place, and what to do about it.

use std::fmt;
use std::ops::Range;

use crate::code::Code;
use crate::file::{
    ENTRIES_MAX, FUNCTION_BYTES_MAX, REASON_CHARS_MAX, RULES_MAX, TEXT_BYTES_MAX, VERSION,
};
use crate::limits::{AmountError, LimitName};
use crate::names::NameError;
use crate::place::Place;
use crate::quoted::Quoted;

/// Most problems that are kept of one file: who wrote it mends a few at a time.
pub(crate) const PROBLEMS_MAX: usize = 20;

/// A policy file that cannot be used. There is at least one [`Problem`].
///
/// `Display` is one line, `policy.toml:LINE:COLUMN: message`, about the first of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyError {
    name: Box<str>,
    first: Box<Problem>,
    others: Vec<Problem>,
}

impl PolicyError {
    /// None if nothing is wrong.
    pub(crate) fn of(name: &str, mut problems: Vec<Problem>) -> Option<PolicyError> {
        problems.sort_by_key(|problem| problem.span.start);
        let mut problems = problems.into_iter();
        Some(PolicyError {
            name: name.into(),
            first: Box::new(problems.next()?),
            others: problems.collect(),
        })
    }

    /// The name of the file, as the caller of [`Policy::parse`](crate::Policy::parse) gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The problems in the order of their places, at most twenty.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&*self.first).chain(&self.others)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Quoted::new(&self.name).to_string();
        write!(
            f,
            "{}:{}: {}",
            name.trim_matches('"'),
            self.first.place,
            self.first.message()
        )?;
        if let Some(help) = self.first.help() {
            write!(f, " ({help})")?;
        }
        match self.others.len() {
            0 => Ok(()),
            1 => write!(f, "; and one more problem"),
            more => write!(f, "; and {more} more problems"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// One thing that is wrong with a policy file.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub(crate) place: Place,
    pub(crate) span: Range<usize>,
    pub(crate) fault: Fault,
    /// Another place that has to do with it, with what is there.
    pub(crate) related: Option<(Range<usize>, &'static str)>,
}

impl Problem {
    /// Where.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Which bytes of the text; within it, and at the boundaries of characters.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// Under which code it is explained.
    pub fn code(&self) -> Code {
        self.fault.code()
    }

    /// A replacement for the bytes of [`span`](Self::span) that is probably right.
    pub fn replacement(&self) -> Option<&'static str> {
        if let Fault::UnknownKey { nearest, .. } = &self.fault {
            *nearest
        } else {
            None
        }
    }

    /// What to do, where that is not obvious.
    pub fn help(&self) -> Option<String> {
        self.fault.help()
    }

    /// Another place that has to do with it, and what is there.
    pub fn related(&self) -> Option<(Range<usize>, &'static str)> {
        self.related.clone()
    }
}

/// Everything that can be wrong with a policy file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a policy of {found} bytes is too long, the limit is {TEXT_BYTES_MAX}")]
    TextTooLong { found: usize },
    #[error("the invisible character {} makes the policy read otherwise than it looks", letter.escape_unicode())]
    Deceptive { letter: char },
    #[error("not valid TOML: {0}")]
    Syntax(Box<str>),
    #[error("version {found} of the policy format is unknown, this host reads version {VERSION}")]
    Version { found: Quoted },
    #[error("{what} needs the key `{key}`")]
    Missing {
        what: &'static str,
        key: &'static str,
    },
    #[error("key {key} is unknown in {what}")]
    UnknownKey {
        key: Quoted,
        what: &'static str,
        nearest: Option<&'static str>,
    },
    #[error("`{key}` must be {expected}, not {found}")]
    Shape {
        key: &'static str,
        expected: &'static str,
        found: &'static str,
    },
    #[error("`{key}` is empty")]
    Empty { key: &'static str },
    #[error("`{key}` says nothing")]
    Blank { key: &'static str },
    #[error("more than {RULES_MAX} rules")]
    TooManyRules,
    #[error("more than {ENTRIES_MAX} entries in `{key}`")]
    TooManyEntries { key: &'static str },
    #[error("{name} cannot name a function")]
    FunctionName { name: Quoted },
    #[error("a second rule for {function}")]
    SecondRule { function: Quoted },
    #[error("`{key}` is longer than {REASON_CHARS_MAX} characters")]
    LongText { key: &'static str },
    #[error("{entry} {fault}")]
    Entry { entry: Quoted, fault: NameError },
    #[error("{entry} stands in `{key}` twice")]
    Twice { key: &'static str, entry: Quoted },
    #[error("{entry} adds nothing to {covering} in `{key}`")]
    Covered {
        key: &'static str,
        entry: Quoted,
        covering: Quoted,
    },
    #[error("{pattern} matches loader variables only, which no pattern grants")]
    LoaderPattern { pattern: Quoted },
    #[error(
        "the export of {name} decides what later steps load or run, so it needs a reason of its own"
    )]
    LoaderWithoutReason { name: Quoted },
    #[error("{entry} opens everything, so it needs a reason of its own")]
    EverythingWithoutReason { entry: Quoted },
    #[error("`*` is no export: a rule says which variables it lets through")]
    ExportEverything,
    #[error("{entry} lies outside the ceiling, `{key}` of [host]")]
    OutsideCeiling { key: &'static str, entry: Quoted },
    #[error("`{limit}` {fault}")]
    Amount {
        limit: LimitName,
        fault: AmountError,
    },
    #[error("`{limit}` of {amount} is above the ceiling of {ceiling}")]
    LimitAboveCeiling {
        limit: LimitName,
        amount: Box<str>,
        ceiling: Box<str>,
    },
}

impl Fault {
    fn code(&self) -> Code {
        match self {
            Fault::TextTooLong { .. }
            | Fault::TooManyRules
            | Fault::TooManyEntries { .. }
            | Fault::LongText { .. } => Code::P001,
            Fault::Deceptive { .. } => Code::P002,
            Fault::Syntax(_) => Code::P003,
            Fault::Version { .. } => Code::P004,
            Fault::Missing { .. } => Code::P005,
            Fault::UnknownKey { .. } => Code::P006,
            Fault::Shape { .. } => Code::P007,
            Fault::Empty { .. } | Fault::Blank { .. } => Code::P008,
            Fault::FunctionName { .. } => Code::P009,
            Fault::SecondRule { .. } => Code::P010,
            Fault::Entry { .. } => Code::P011,
            Fault::Twice { .. } | Fault::Covered { .. } => Code::P012,
            Fault::LoaderPattern { .. } => Code::P013,
            Fault::LoaderWithoutReason { .. } => Code::P014,
            Fault::EverythingWithoutReason { .. } => Code::P015,
            Fault::ExportEverything => Code::P016,
            Fault::OutsideCeiling { .. } | Fault::LimitAboveCeiling { .. } => Code::P017,
            Fault::Amount { .. } => Code::P018,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Fault::Version { .. } => Some(format!("write policy = {VERSION}")),
            Fault::Missing { key: "policy", .. } => Some(format!(
                "begin the file with policy = {VERSION}, the version of the format"
            )),
            Fault::Missing { key: "reason", .. } => {
                Some("say why this is granted, for the one who reads it in a year".to_owned())
            }
            Fault::UnknownKey { nearest, .. } => {
                nearest.map(|nearest| format!("did you mean `{nearest}`?"))
            }
            Fault::Empty { .. } => Some("leave it out".to_owned()),
            Fault::FunctionName { .. } => Some(format!(
                "a function is letters, digits, `-`, `_`, `.` and `/` between words, at most {FUNCTION_BYTES_MAX} bytes; patterns are not possible"
            )),
            Fault::SecondRule { .. } => Some(
                "one function has one rule: join them, so that nothing depends on order".to_owned(),
            ),
            Fault::LoaderPattern { .. } => {
                Some("name each variable, as { name = \"…\", reason = \"…\" }".to_owned())
            }
            Fault::LoaderWithoutReason { name }
            | Fault::EverythingWithoutReason { entry: name } => {
                Some(format!("write {{ name = {name}, reason = \"…\" }}"))
            }
            Fault::OutsideCeiling { key, .. } => {
                Some(format!("widen `{key}` in [host], or take the entry out"))
            }
            Fault::LimitAboveCeiling { .. } => {
                Some("raise it in [host] max, or lower it here".to_owned())
            }
            Fault::Deceptive { .. } => Some("remove it".to_owned()),
            Fault::TextTooLong { .. }
            | Fault::Syntax(_)
            | Fault::Missing { .. }
            | Fault::Shape { .. }
            | Fault::Blank { .. }
            | Fault::TooManyRules
            | Fault::TooManyEntries { .. }
            | Fault::LongText { .. }
            | Fault::Entry { .. }
            | Fault::Twice { .. }
            | Fault::Covered { .. }
            | Fault::ExportEverything
            | Fault::Amount { .. } => None,
        }
    }
}
