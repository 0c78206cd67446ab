//! What a template looks up, without evaluating it.
//!
//! Owns [`Access`]: a name with the attributes behind it, read off the compiled operations. Promises: every name of
//! the template is told, in the order of the operations. An index counts as an attribute when it is a string in the
//! text; at any other index the path ends.
//! Called by: `template`, for checks before anything runs.

use std::ops::Range;
use std::sync::Arc;

use crate::program::{Operation, Placed, Program};
use crate::value::Data;

/// A name that a template looks up, and the attributes that it takes from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The name, then the attributes.
    pub path: Vec<Segment>,
    /// Whether `||` makes up for an attribute that is missing. For a name that is missing nothing does.
    pub may_miss: bool,
    /// Whether the template is this access and nothing else, so that its value is the template's.
    pub is_everything: bool,
}

/// One name of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The name.
    pub name: Arc<str>,
    /// Where it stands: bytes in the text of the template, for an index with its quotes perhaps only the first one.
    pub bytes: Range<usize>,
}

/// Returns every access of `program`.
pub(crate) fn accesses(program: &Program) -> Vec<Access> {
    let mut accesses = Vec::new();
    let mut at = 0;
    while let Some(placed) = program.get(at) {
        let Operation::Name(name) = &placed.operation else {
            at += 1;
            continue;
        };
        let first = at;
        let mut path = vec![segment(name, placed)];
        at += 1;
        while let Some((name, placed, next)) = attribute(program, at) {
            path.push(segment(name, placed));
            at = next;
        }
        accesses.push(Access {
            path,
            may_miss: program.catching(at - 1).is_some(),
            is_everything: first == 0 && at == program.next(),
        });
    }
    accesses
}

fn segment(name: &Arc<str>, placed: &Placed) -> Segment {
    Segment {
        name: Arc::clone(name),
        bytes: placed.position..placed.position + name.len(),
    }
}

/// Returns the attribute that the operation at `at` takes from what the operation before it made, and the operation
/// after that.
fn attribute(program: &Program, at: usize) -> Option<(&Arc<str>, &Placed, usize)> {
    let placed = program.get(at)?;
    match &placed.operation {
        Operation::Attribute(name) => Some((name, placed, at + 1)),
        Operation::Push(value) => match (value.data(), &program.get(at + 1)?.operation) {
            (Data::String(key), Operation::Index { container }) if *container + 1 == at => {
                Some((key, placed, at + 2))
            }
            _ => None,
        },
        _ => None,
    }
}
