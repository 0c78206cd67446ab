//! Why a text is refused: one line that says where, what, and which key was probably meant.

use std::fmt;
use std::sync::Arc;

use stephost_expr::ExpressionError;

use crate::code::Code;
use crate::limits::{
    ALIASED_BYTES_MAX, ALIASED_NODES_MAX, DEPTH_MAX, NODES_MAX, SOURCE_NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use crate::place::Place;
use crate::quoted::{self, Quoted};
use crate::reference::ReferenceError;

/// A step text that cannot be used.
///
/// `Display` is one line, `steps:LINE:COLUMN: message`, shorter than 400 bytes, without control characters and
/// with at most a short piece of the text: it travels in a gRPC status.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct DocumentError {
    source_name: Arc<str>,
    place: Place,
    message: Box<str>,
    code: &'static str,
}

impl DocumentError {
    pub(crate) fn new(source_name: Arc<str>, problem: &Problem) -> Self {
        let message = quoted::message(&problem.fault.to_string()).into();
        Self {
            source_name,
            place: problem.place,
            message,
            code: problem.fault.code(),
        }
    }

    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Returns where the text is wrong.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns what is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the name of the text, as the caller of [`parse`](crate::parse) gave it.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        located(f, &self.source_name, self.place, &self.message)
    }
}

/// Writes one located line, the form that errors and warnings share.
pub(crate) fn located(
    f: &mut fmt::Formatter<'_>,
    source_name: &str,
    place: Place,
    message: &str,
) -> fmt::Result {
    write!(
        f,
        "{}:{place}: {message}",
        quoted::one_line(source_name, SOURCE_NAME_BYTES_MAX)
    )
}

/// A fault and its place, before the name of the text is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) fault: Fault,
}

impl Problem {
    pub(crate) fn new(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }
}

/// What to do about a key that is not expected where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing comes to mind.
    Nothing,
    /// A key of this place has nearly the same name.
    Nearest(&'static str),
    /// The key exists elsewhere.
    Belongs(&'static str),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Nearest(key) => write!(f, " (did you mean `{key}`?)"),
            Self::Belongs(place) => write!(f, " here, it belongs {place}"),
        }
    }
}

/// What to do about some faults: the end of their messages, and the help beside an excerpt.
const ADVICES: [&str; 5] = [TWO_DOCUMENTS, NAME_LETTERS, NO_SHELL, OWN_FUNCTION, OWN_DIR];
const TWO_DOCUMENTS: &str =
    "two are needed: the spec (`{}` when it declares nothing), a line `---`, and the definition";
const NAME_LETTERS: &str = "use letters, digits and `_`, and no digit first";
const NO_SHELL: &str = "no shell reads it, write each argument as an element";
const OWN_FUNCTION: &str = "move it into a function of its own and call that with `func`";
const OWN_DIR: &str = "its directory belongs in `dir`";

/// Everything that can be wrong with a text.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    // The text.
    #[error("text of {found} bytes is too long, the limit is {TEXT_BYTES_MAX}")]
    TextTooLong { found: usize },
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("control character {} is not allowed in YAML", character.escape_unicode())]
    ControlCharacter { character: char },
    #[error("not valid YAML: {0}")]
    Syntax(granit_parser::ErrorKind),
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    #[error("more than {NODES_MAX} keys and values")]
    TooManyNodes,
    #[error("aliases expand to more than {ALIASED_NODES_MAX} values or {ALIASED_BYTES_MAX} bytes")]
    AliasBomb,
    #[error("an alias stands inside the value it names")]
    AliasLoop,
    #[error("key {key} is given twice")]
    DuplicateKey { key: Quoted, first: Option<Place> },
    #[error("a key must be a plain word or a string, not {found}")]
    KeyShape { found: &'static str },
    #[error("`<<` takes an object or an array of objects")]
    MergeShape,
    #[error("YAML tag {tag} is not supported here")]
    Tag { tag: Quoted },

    // The two documents.
    #[error("{found}, {TWO_DOCUMENTS}")]
    DocumentCount { found: &'static str },
    #[error("the {document} is empty, {instead}")]
    EmptyDocument {
        document: &'static str,
        instead: &'static str,
    },

    // Shapes.
    #[error("{what} must be {expected}, not {found}")]
    Shape {
        what: Subject,
        expected: &'static str,
        found: &'static str,
    },
    #[error("key {key} is unknown{advice}")]
    UnknownKey { key: Quoted, advice: Advice },
    #[error("{what} needs {missing}")]
    Missing {
        what: &'static str,
        missing: &'static str,
    },
    #[error("{what} must not be empty")]
    Empty { what: &'static str },
    #[error("`{first}` and `{second}` exclude each other")]
    Conflict {
        first: &'static str,
        second: &'static str,
    },
    #[error("{subject} name {text} is not allowed: {NAME_LETTERS}")]
    Name { subject: &'static str, text: Quoted },
    #[error("{number} is no number that JSON can hold")]
    NotFinite { number: Quoted },

    // The spec.
    #[error("type {found} is unknown, use string, number, boolean, struct or array{advice}")]
    UnknownType { found: Quoted, advice: Advice },
    #[error("default of {name} must be of type {expected}, not {found}")]
    DefaultType {
        name: Quoted,
        expected: &'static str,
        found: &'static str,
    },
    #[error("`outputs` must be an object of outputs or the word `delegate`, not {found}")]
    OutputsWord { found: Quoted },

    // The definition.
    #[error("`command` must be an array of strings, not {found}: {NO_SHELL}")]
    CommandShape { found: &'static str },
    #[error("`delegate` needs `outputs: delegate` in the spec")]
    DelegateNotDeclared,
    #[error(
        "the spec says `outputs: delegate`, but `delegate` names no step whose outputs are meant"
    )]
    DelegateMissing,
    #[error("`delegate` names {name}, which is no step of this list{}", suggestion(nearest.as_ref()))]
    DelegateUnknown {
        name: Quoted,
        nearest: Option<Quoted>,
    },
    #[error("`{key}` belongs to `run`, an exec function writes its outputs to the output file")]
    NotForExec { key: &'static str },
    #[error("`{key}` cannot stand in an item of `run`: {OWN_FUNCTION}")]
    NotInItem { key: &'static str },
    #[error("`cancel_timeout` must be a duration such as `30s` or `1m30s`, not {text}")]
    CancelTimeout { text: Quoted },
    #[error("`file` must be the name of a file, not the path {name}: {OWN_DIR}")]
    FileName { name: Quoted },
    #[error(transparent)]
    Expression(ExpressionError),
    #[error(transparent)]
    Reference(ReferenceError),
}

/// A fault in the parts that an excerpt shows: what is wrong, what to do, and the word that would be right.
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) word: Option<String>,
}

impl Fault {
    /// Returns the code under which the fault is explained.
    pub(crate) fn code(&self) -> &'static str {
        let code = match self {
            Self::NotUtf8 | Self::ControlCharacter { .. } => Code::Y001,
            Self::Syntax(_) => Code::Y002,
            Self::DuplicateKey { .. } => Code::Y003,
            Self::TextTooLong { .. } | Self::TooDeep | Self::TooManyNodes | Self::AliasBomb => {
                Code::Y004
            }
            Self::AliasLoop => Code::Y005,
            Self::KeyShape { .. } => Code::Y006,
            Self::MergeShape => Code::Y007,
            Self::Tag { .. } => Code::Y008,
            Self::NotFinite { .. } => Code::Y009,
            Self::DocumentCount { .. } | Self::EmptyDocument { .. } => Code::S001,
            Self::Shape { .. } | Self::CommandShape { .. } | Self::OutputsWord { .. } => Code::S002,
            Self::UnknownKey { .. } => Code::S003,
            Self::Missing { .. } => Code::S004,
            Self::Empty { .. } => Code::S005,
            Self::Conflict { .. } => Code::S006,
            Self::Name { .. } => Code::S007,
            Self::UnknownType { .. } => Code::S008,
            Self::DefaultType { .. } => Code::S009,
            Self::DelegateNotDeclared | Self::DelegateMissing | Self::DelegateUnknown { .. } => {
                Code::S010
            }
            Self::NotForExec { .. } => Code::S011,
            Self::NotInItem { .. } => Code::S012,
            Self::CancelTimeout { .. } => Code::S013,
            Self::FileName { .. } => Code::R005,
            Self::Expression(error) => return error.fault().code().as_str(),
            Self::Reference(error) => return error.code(),
        };
        code.as_str()
    }

    /// Takes the advice out of the message.
    pub(crate) fn told(&self) -> Told {
        let plain = |fault: &Self| {
            let message = fault.to_string();
            let advised = ADVICES.iter().find_map(|advice| {
                let what = message.strip_suffix(advice)?;
                Some((what.trim_end_matches([' ', ',', ':']), *advice))
            });
            let (what, help) = advised.unzip();
            Told {
                message: what.unwrap_or(&message).to_owned(),
                help: help.map(str::to_owned),
                word: None,
            }
        };
        let advised = |fault: &Self, advice: &Advice| match advice {
            Advice::Nothing => plain(fault),
            Advice::Nearest(key) => Told {
                help: Some(format!("did you mean `{key}`?")),
                word: Some((*key).to_owned()),
                ..plain(fault)
            },
            Advice::Belongs(place) => Told {
                help: Some(format!("it belongs {place}")),
                ..plain(fault)
            },
        };
        match self {
            Self::UnknownKey { key, advice } => {
                let (key, nothing) = (key.clone(), Advice::Nothing);
                let bare = Self::UnknownKey {
                    key,
                    advice: nothing,
                };
                advised(&bare, advice)
            }
            Self::UnknownType { found, advice } => {
                let (found, nothing) = (found.clone(), Advice::Nothing);
                let bare = Self::UnknownType {
                    found,
                    advice: nothing,
                };
                advised(&bare, advice)
            }
            Self::DelegateUnknown { name, nearest } => Told {
                help: nearest.as_ref().map(|near| format!("did you mean {near}?")),
                ..plain(&Self::DelegateUnknown {
                    name: name.clone(),
                    nearest: None,
                })
            },
            Self::Expression(error) => Told {
                message: error.fault().to_string(),
                ..plain(self)
            },
            other => plain(other),
        }
    }
}

/// What a message talks about: a fixed key, or a name that the text made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A phrase of ours, shown as it is.
    Fixed(&'static str),
    /// A word of the text.
    Named(&'static str, Quoted),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(phrase) => f.write_str(phrase),
            Self::Named(noun, name) => write!(f, "{noun} {name}"),
        }
    }
}

/// The tail of a message that offers another word.
pub(crate) fn suggestion(nearest: Option<&Quoted>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)"))
}
