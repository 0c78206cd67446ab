//! Bytes to a function: the limits of the text, its two documents, and what both say together.
//!
//! Called by: everybody who has a step text. Calls: `yaml`, then `spec` and `definition`.

use std::sync::Arc;

use crate::definition::{self, Definition};
use crate::error::{DocumentError, Fault, Problem};
use crate::limits::{TEXT_BYTES_MAX, WARNINGS_MAX};
use crate::place::Place;
use crate::spec::{self, Spec};
use crate::warning::{Notice, Warning};
use crate::yaml::{self, Node, Tags};

/// How unknown keys are treated (design D6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// For texts that others wrote and jobs depend on: unknown is an error at a document's top, deeper down a warning.
    Wire,
    /// For authors, who want to hear about every typo: unknown is an error everywhere.
    Strict,
}

/// A function and what was odd about its text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The function.
    pub function: Function,
    /// Oddities in the order of the text, at most [`WARNINGS_MAX`] and one that says so.
    pub warnings: Vec<Warning>,
}

/// A function: what it takes and gives, and what it does.
#[derive(Debug, Clone)]
pub struct Function {
    /// What it takes and gives.
    pub spec: Spec,
    /// What it does.
    pub definition: Definition,
}

/// Reads a function from the two YAML documents in `text`; `source_name` begins every error and warning.
///
/// # Errors
/// [`DocumentError`] for every text that is not a function, after work that is bounded by [`crate::limits`].
pub fn parse(
    source_name: &str,
    text: &[u8],
    strictness: Strictness,
) -> Result<Parsed, DocumentError> {
    let source_name: Arc<str> = source_name.into();
    let mut notes = Notes::new(strictness, 0);
    let read = readable(text).and_then(|text| documents(text, &mut notes));
    match read.and_then(|documents| documents.function(&mut notes)) {
        Ok(function) => Ok(Parsed {
            function,
            warnings: notes.into_warnings(&source_name),
        }),
        Err(problem) => Err(DocumentError::new(source_name, &problem)),
    }
}

/// Reads the YAML documents in `text`, at most `documents_max`, as trees: for other files than functions that hold
/// steps. Tags of their own, as `!reference`, are kept. `source_name` begins every error.
///
/// # Errors
/// [`DocumentError`] for every text that is no YAML, after work that is bounded by [`crate::limits`].
pub fn read_documents(
    source_name: &str,
    text: &[u8],
    documents_max: usize,
) -> Result<Vec<Node>, DocumentError> {
    let mut notes = Notes::new(Strictness::Strict, 0);
    readable(text)
        .and_then(|text| yaml::read(text, documents_max, Tags::Keep, &mut notes))
        .map(|stream| stream.documents)
        .map_err(|problem| DocumentError::new(source_name.into(), &problem))
}

/// What readers of parts share: how strict to be, what they noticed, and whether they go on after a problem.
pub(crate) struct Notes {
    pub(crate) strictness: Strictness,
    taken: Vec<(Place, Notice)>,
    more: bool,
    held: Vec<Problem>,
    held_max: usize,
}

impl Notes {
    /// Readers that share these go on after `held_max` problems; with 0 they stop at the first.
    pub(crate) fn new(strictness: Strictness, held_max: usize) -> Self {
        Self {
            strictness,
            taken: Vec::new(),
            more: false,
            held: Vec::new(),
            held_max,
        }
    }

    /// Keeps a problem, so that its reader can go on.
    ///
    /// # Errors
    /// The problem itself, when no more are kept: the reader stops.
    pub(crate) fn hold(&mut self, problem: Problem) -> Result<(), Problem> {
        if self.held.len() < self.held_max {
            self.held.push(problem);
            Ok(())
        } else {
            Err(problem)
        }
    }

    /// Returns what was read, or `None` when its problem was kept and the reader can go on without it.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub(crate) fn recover<T>(&mut self, read: Result<T, Problem>) -> Result<Option<T>, Problem> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(problem) => self.hold(problem).map(|()| None),
        }
    }

    /// Returns the problems that were kept, and the notices with whether some were left out.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<(Place, Notice)>, bool) {
        (self.held, self.taken, self.more)
    }

    /// Returns whether no further note will be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.taken.len() >= WARNINGS_MAX
    }

    /// Takes a note, up to the limit.
    pub(crate) fn take(&mut self, place: Place, notice: Notice) {
        if self.is_full() {
            self.more = true;
        } else {
            self.taken.push((place, notice));
        }
    }

    fn into_warnings(mut self, source_name: &Arc<str>) -> Vec<Warning> {
        self.taken.sort_by_key(|(place, _)| *place);
        if self.more {
            let last = self.taken.last().map_or(Place::START, |(place, _)| *place);
            self.taken.push((
                last,
                Notice::More {
                    shown: WARNINGS_MAX,
                },
            ));
        }
        self.taken
            .iter()
            .map(|(place, notice)| Warning::new(Arc::clone(source_name), *place, notice))
            .collect()
    }
}

/// The two documents of a text.
pub(crate) struct Documents {
    pub(crate) spec: Node,
    pub(crate) definition: Node,
}

impl Documents {
    fn function(&self, notes: &mut Notes) -> Result<Function, Problem> {
        let spec = spec::read::read(&self.spec, notes)?;
        let definition = definition::read::read(&self.definition, Some(&spec), notes)?;
        Ok(Function { spec, definition })
    }
}

/// Splits a text into its documents.
pub(crate) fn documents(text: &str, notes: &mut Notes) -> Result<Documents, Problem> {
    let stream = yaml::read(text, 2, Tags::Refuse, notes)?;
    if let Some(place) = stream.surplus {
        return Err(Problem::new(
            place,
            Fault::DocumentCount {
                found: "a third YAML document begins",
            },
        ));
    }
    let mut documents = stream.documents.into_iter();
    match (documents.next(), documents.next()) {
        (Some(spec), Some(definition)) => Ok(Documents { spec, definition }),
        (Some(_), None) => Err(Problem::new(
            stream.end,
            Fault::DocumentCount {
                found: "the text ends after one YAML document",
            },
        )),
        (None, _) => Err(Problem::new(
            Place::START,
            Fault::DocumentCount {
                found: "the text holds no YAML document",
            },
        )),
    }
}

/// Refuses what no YAML reader needs to see: too much text, other encodings, control characters.
pub(crate) fn readable(text: &[u8]) -> Result<&str, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::new(
            Place::START,
            Fault::TextTooLong { found: text.len() },
        ));
    }
    let readable = std::str::from_utf8(text)
        .map_err(|error| Problem::new(Place::of_byte(text, error.valid_up_to()), Fault::NotUtf8))?;
    match text
        .iter()
        .enumerate()
        .find_map(|(at, byte)| forbidden(text, at, *byte).map(|character| (at, character)))
    {
        Some((at, character)) => Err(Problem::new(
            Place::of_byte(text, at),
            Fault::ControlCharacter { character },
        )),
        None => Ok(readable),
    }
}

/// Returns the character that begins at `at` if YAML does not allow it in a text: C0 but tab and line breaks, DEL,
/// C1 but NEL, and the two non-characters of the first plane.
fn forbidden(text: &[u8], at: usize, byte: u8) -> Option<char> {
    match byte {
        b'\t' | b'\n' | b'\r' | 0x20..=0x7E => None,
        0..=0x7F => Some(char::from(byte)),
        0xC2 => text
            .get(at + 1)
            .filter(|next| **next < 0xA0 && **next != 0x85)
            .map(|next| char::from(*next)),
        0xEF if text.get(at + 1) == Some(&0xBF) => match text.get(at + 2) {
            Some(0xBE) => Some('\u{FFFE}'),
            Some(0xBF) => Some('\u{FFFF}'),
            _ => None,
        },
        _ => None,
    }
}
