//! Reading a TOML tree, where every key and value knows its place, and noting what is wrong with it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::REASON_CHARS_MAX;
use crate::error::{Fault, PROBLEMS_MAX, Problem};
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted::{Quoted, is_deceptive};

pub(super) type Table<'t> = DeTable<'t>;
pub(super) type Node<'t> = Spanned<DeValue<'t>>;

/// Reads on after a problem, so that one does not hide the next; what it returned then counts for nothing.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Reader<'t> {
        Reader {
            text,
            problems: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether no further problem is kept.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Reads a text for people that must be there: not blank, not long, nothing in it that hides.
    pub(super) fn words(
        &mut self,
        table: &Table<'t>,
        key: &'static str,
        what: &'static str,
        owner: Range<usize>,
    ) -> Box<str> {
        let Some(node) = table.get(key) else {
            self.problem(owner, Fault::Missing { what, key });
            return "".into();
        };
        let Some(text) = self.string(node, key) else {
            return "".into();
        };
        if text.trim().is_empty() {
            self.problem(node.span(), Fault::Blank { key });
        } else if text.chars().nth(REASON_CHARS_MAX).is_some() {
            self.problem(node.span(), Fault::LongText { key });
        } else if let Some(letter) = text.chars().find(|letter| is_deceptive(*letter)) {
            self.problem(node.span(), Fault::Deceptive { letter });
        }
        text.into()
    }

    /// Names every key of `table` that is not one of `known`.
    pub(super) fn keys(&mut self, table: &Table<'t>, known: &[&'static str], what: &'static str) {
        for key in table.keys() {
            let word: &str = key.get_ref();
            if known.contains(&word) {
                continue;
            }
            if self.is_full() {
                return;
            }
            let fault = Fault::UnknownKey {
                key: Quoted::new(word),
                what,
                nearest: nearest(word, known),
            };
            self.problem(key.span(), fault);
        }
    }

    pub(super) fn table<'n>(
        &mut self,
        node: &'n Node<'t>,
        key: &'static str,
    ) -> Option<&'n Table<'t>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.shape(node, key, "a table");
        }
        table
    }

    pub(super) fn list<'n>(
        &mut self,
        node: &'n Node<'t>,
        key: &'static str,
    ) -> Option<&'n [Node<'t>]> {
        let list = node.get_ref().as_array();
        if list.is_none() {
            let expected = if key == "allow" {
                "a list of rules, each under [[allow]]"
            } else {
                "a list"
            };
            self.shape(node, key, expected);
        }
        list.map(|list| &**list)
    }

    pub(super) fn string<'n>(&mut self, node: &'n Node<'t>, key: &'static str) -> Option<&'n str> {
        let text = node.get_ref().as_str();
        if text.is_none() {
            self.shape(node, key, "a string");
        }
        text
    }

    pub(super) fn shape(&mut self, node: &Node<'t>, key: &'static str, expected: &'static str) {
        let found = kind(node.get_ref());
        let fault = Fault::Shape {
            key,
            expected,
            found,
        };
        self.problem(node.span(), fault);
    }

    pub(super) fn problem(&mut self, span: Range<usize>, fault: Fault) {
        self.related_problem(span, fault, None);
    }

    pub(super) fn related_problem(
        &mut self,
        span: Range<usize>,
        fault: Fault,
        related: Option<(Range<usize>, &'static str)>,
    ) {
        if self.is_full() {
            return;
        }
        let within = |at: usize| self.text.floor_char_boundary(at);
        let start = within(span.start);
        let span = start..within(span.end).max(start);
        self.problems.push(Problem {
            place: Place::of_byte(self.text, start),
            span,
            fault,
            related,
        });
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
