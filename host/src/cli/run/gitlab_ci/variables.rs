//! The variables of a job: what is declared, what comes first, and `$A` in their values.
//!
//! Bounded: no value grows beyond [`VALUE_BYTES_MAX`] and all together not beyond [`BYTES_MAX`], no variable is followed through more than [`CHAIN_MAX`]
//! others, a circle is an error.

use std::collections::BTreeMap;

use stephost_steps::{Content, Key, Node, Place};

use super::{Read, fault, object, shown, value};

/// Largest value after expansion. Larger ones fit into no environment.
const VALUE_BYTES_MAX: usize = 128 << 10;

/// Most bytes of all values together.
const BYTES_MAX: usize = 8 << 20;

/// Most variables between one and what its value comes from.
const CHAIN_MAX: usize = 50;

/// Variables before expansion; a later one replaces an earlier one of its name.
#[derive(Debug, Default)]
pub(super) struct Raw(BTreeMap<String, Declared>);

#[derive(Debug)]
struct Declared {
    text: String,
    expands: bool,
    /// Where it is declared; `None` for those that no file declares.
    place: Option<Place>,
}

impl Declared {
    fn place(&self) -> Place {
        self.place.unwrap_or(Place::START)
    }
}

impl Raw {
    /// A variable whose value is taken as it is.
    pub(super) fn literal(&mut self, name: &str, text: &str) {
        let declared = Declared {
            text: text.to_owned(),
            expands: false,
            place: None,
        };
        self.0.insert(name.to_owned(), declared);
    }

    /// A variable of the file: a text, or an object with one.
    pub(super) fn declared(&mut self, key: &Key, node: &Node) -> Read<()> {
        let (text, expands) = match object(node) {
            Some(entries) => {
                let expands = value(entries, "expand").is_none_or(|expand| {
                    !matches!(&expand.content, Content::Scalar(scalar) if &*scalar.text == "false")
                });
                match value(entries, "value") {
                    Some(node) => (scalar(key, node)?, expands),
                    // A variable that is only described.
                    None => (String::new(), false),
                }
            }
            None => (scalar(key, node)?, true),
        };
        let declared = Declared {
            text,
            expands,
            place: Some(key.place),
        };
        self.0.insert(key.text.to_string(), declared);
        Ok(())
    }

    /// Every variable with `$A`, `${A}` and `$$` in its value replaced.
    pub(super) fn expanded(&self) -> Read<BTreeMap<String, String>> {
        let mut done = BTreeMap::new();
        let mut bytes = 0;
        for (name, declared) in &self.0 {
            self.expand(name, &mut Vec::new(), &mut done)?;
            bytes += done.get(name).map_or(0, String::len);
            if bytes > BYTES_MAX {
                return fault(
                    declared.place(),
                    format!("the variables have more than {BYTES_MAX} bytes, expanded"),
                );
            }
        }
        Ok(done)
    }

    fn expand<'a>(
        &'a self,
        name: &'a str,
        chain: &mut Vec<&'a str>,
        done: &mut BTreeMap<String, String>,
    ) -> Read<()> {
        // What no file declares is empty, as in CI.
        let Some(declared) = self.0.get(name).filter(|_| !done.contains_key(name)) else {
            return Ok(());
        };
        let place = declared.place();
        if !declared.expands {
            done.insert(name.to_owned(), declared.text.clone());
            return Ok(());
        }
        if chain.contains(&name) {
            return fault(
                place,
                format!("the variable {} contains itself", shown(name)),
            );
        }
        if chain.len() == CHAIN_MAX {
            return fault(
                place,
                format!(
                    "the variable {} is reached over more than {CHAIN_MAX} others",
                    shown(name)
                ),
            );
        }
        chain.push(name);
        let mut text = String::new();
        for piece in pieces(&declared.text) {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(other) => {
                    self.expand(other, chain, done)?;
                    text.push_str(done.get(other).map_or("", String::as_str));
                }
            }
            if text.len() > VALUE_BYTES_MAX {
                return fault(
                    place,
                    format!(
                        "the variable {} has more than {VALUE_BYTES_MAX} bytes, expanded",
                        shown(name)
                    ),
                );
            }
        }
        chain.pop();
        done.insert(name.to_owned(), text);
        Ok(())
    }
}

fn scalar(key: &Key, node: &Node) -> Read<String> {
    match &node.content {
        Content::Scalar(_) if node.is_null() => Ok(String::new()),
        Content::Scalar(scalar) => Ok(scalar.text.to_string()),
        Content::Sequence(_) | Content::Mapping(_) => fault(
            node.place,
            format!(
                "the variable {} must be a text, not {}",
                shown(&key.text),
                node.noun()
            ),
        ),
    }
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// Splits a value at its variables. A `$` that names nothing is a `$`.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = rest.find('$') else {
            return Some(Piece::Text(std::mem::take(&mut rest)));
        };
        if at > 0 {
            let (before, from) = rest.split_at(at);
            rest = from;
            return Some(Piece::Text(before));
        }
        let after = &rest[1..];
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            return Some(Piece::Text("$"));
        }
        if let Some((name, behind)) = after
            .strip_prefix('{')
            .and_then(|open| open.split_once('}'))
            && name_bytes(name) == name.len()
            && !name.is_empty()
        {
            rest = behind;
            return Some(Piece::Variable(name));
        }
        let (name, behind) = after.split_at(name_bytes(after));
        rest = behind;
        Some(if name.is_empty() {
            Piece::Text("$")
        } else {
            Piece::Variable(name)
        })
    })
}

/// Length of the name that `text` begins with.
fn name_bytes(text: &str) -> usize {
    let digits_may_come = |at: usize, byte: u8| at > 0 && byte.is_ascii_digit();
    text.bytes()
        .enumerate()
        .take_while(|&(at, byte)| {
            byte.is_ascii_alphabetic() || byte == b'_' || digits_may_come(at, byte)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_split_at_its_variables() {
        let table = [
            ("", ""),
            ("plain", "plain"),
            ("$A", "<A>"),
            ("${A}", "<A>"),
            ("a${A1_}b$C-$d.", "a<A1_>b<C>-<d>."),
            ("$$A $$$A", "$A $<A>"),
            ("$", "$"),
            ("$1 ${1} ${} ${A", "$1 ${1} ${} ${A"),
            ("${A-b}", "${A-b}"),
            ("ü$ü", "ü$ü"),
        ];
        for (text, expected) in table {
            let shown: String = pieces(text)
                .map(|piece| match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Variable(name) => format!("<{name}>"),
                })
                .collect();
            assert_eq!(shown, expected, "{text:?}");
        }
    }
}
