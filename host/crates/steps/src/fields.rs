//! The keys of one object: known ones are handed out, unknown ones are reported with the key that was meant.

use crate::document::{Notes, Strictness};
use crate::error::{Advice, Fault, Problem, Subject};
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted::Quoted;
use crate::warning::Notice;
use crate::yaml::{Content, Key, Node};

/// Keys that are accepted in every object with fixed keys: old texts carry them (design D6).
const EVERYWHERE: [&str; 3] = ["type", "description", "cancel_timeout"];

/// An object with fixed keys.
pub(crate) struct Shape {
    /// The object's name in messages, as `an input`.
    pub(crate) what: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [&'static str],
    /// Keys that people put here although they belong elsewhere.
    pub(crate) elsewhere: &'static [(&'static str, &'static str)],
    /// Whether an unknown key is an error even on the wire.
    pub(crate) top: bool,
}

/// One object of a text, its unknown keys already reported.
pub(crate) struct Fields<'n> {
    pub(crate) place: Place,
    what: &'static str,
    entries: &'n [(Key, Node)],
    /// The first unknown key for each known one that it probably was meant to be.
    strayed: Vec<(&'n Key, &'static str)>,
}

impl<'n> Fields<'n> {
    /// Opens `node` as an object of the given shape.
    ///
    /// Unknown keys are an error or a note, as strictness and shape say.
    pub(crate) fn open(node: &'n Node, shape: &Shape, notes: &mut Notes) -> Result<Self, Problem> {
        let entries = object(node, || Subject::Fixed(shape.what))?;
        let mut strayed = Vec::new();
        for (key, _) in entries {
            if shape.keys.contains(&&*key.text) || EVERYWHERE.contains(&&*key.text) {
                continue;
            }
            let hard = shape.top || notes.strictness == Strictness::Strict;
            // A note that is not kept is worth no search for neighbours.
            let advice = if hard || !notes.is_full() {
                advice(&key.text, shape)
            } else {
                Advice::Nothing
            };
            if hard {
                notes.hold(unknown(key, advice))?;
            } else {
                let key_word = Quoted::new(&key.text);
                notes.take(
                    key.place,
                    Notice::UnknownKey {
                        key: key_word,
                        advice,
                    },
                );
            }
            if let Advice::Nearest(meant) = advice
                && strayed.iter().all(|(_, other)| *other != meant)
            {
                strayed.push((key, meant));
            }
        }
        Ok(Self {
            place: node.place,
            what: shape.what,
            entries,
            strayed,
        })
    }

    /// Returns the value of `key`; a null counts as absent, because that is how generators leave a key out.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.get_or_null(key).filter(|node| !node.is_null())
    }

    /// Returns the value of `key`, null too.
    pub(crate) fn get_or_null(&self, key: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(known, _)| &*known.text == key)
            .map(|(_, node)| node)
    }

    /// Returns the place of `key`, or of the object when the key is absent.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.entries
            .iter()
            .find(|(known, _)| &*known.text == key)
            .map_or(self.place, |(known, _)| known.place)
    }

    /// Returns the fault for an absent key: the unknown key that was probably meant, if there is one.
    pub(crate) fn missing(&self, keys: &[&'static str], missing: &'static str) -> Problem {
        match self.strayed.iter().find(|(_, meant)| keys.contains(meant)) {
            Some((key, meant)) => unknown(key, Advice::Nearest(meant)),
            None => Problem::new(
                self.place,
                Fault::Missing {
                    what: self.what,
                    missing,
                },
            ),
        }
    }
}

/// Returns the entries of `node` if it is an object.
pub(crate) fn object(
    node: &Node,
    what: impl FnOnce() -> Subject,
) -> Result<&[(Key, Node)], Problem> {
    match &node.content {
        Content::Mapping(entries) => Ok(entries),
        Content::Scalar(_) | Content::Sequence(_) => Err(shape(node, what(), "an object")),
    }
}

/// Returns the text of `node` if it is a scalar; numbers and booleans give their source text, as Go's decoder does.
pub(crate) fn text(node: &Node, what: impl FnOnce() -> Subject) -> Result<&str, Problem> {
    match &node.content {
        Content::Scalar(scalar) if !node.is_null() => Ok(&scalar.text),
        Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => {
            Err(shape(node, what(), "a string"))
        }
    }
}

/// Returns the fault of a value of another shape than expected.
pub(crate) fn shape(node: &Node, what: Subject, expected: &'static str) -> Problem {
    Problem::new(
        node.place,
        Fault::Shape {
            what,
            expected,
            found: node.noun(),
        },
    )
}

fn unknown(key: &Key, advice: Advice) -> Problem {
    Problem::new(
        key.place,
        Fault::UnknownKey {
            key: Quoted::new(&key.text),
            advice,
        },
    )
}

fn advice(key: &str, shape: &Shape) -> Advice {
    if let Some((_, place)) = shape.elsewhere.iter().find(|(other, _)| *other == key) {
        return Advice::Belongs(place);
    }
    let candidates = shape.keys.iter().chain(&EVERYWHERE).copied();
    nearest(key, candidates).map_or(Advice::Nothing, Advice::Nearest)
}
