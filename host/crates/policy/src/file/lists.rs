//! The lists of a policy: programs, variables, limits. What an entry must not be is decided here.

use std::ops::Range;

use super::ENTRIES_MAX;
use super::tree::{Node, Reader};
use crate::error::Fault;
use crate::limits::{ChosenLimits, LimitName, Written};
use crate::names::{Names, Pattern, Programs, Reason, Use, check_program};
use crate::quoted::Quoted;

const LIMIT_KEYS: [&str; LimitName::ALL.len()] = {
    let mut words = [""; LimitName::ALL.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = LimitName::ALL[at].as_str();
        at += 1;
    }
    words
};

/// One entry of a list.
struct Entry {
    span: Range<usize>,
    text: String,
    reason: Reason,
}

impl<'t> Reader<'t> {
    pub(super) fn programs(&mut self, list: &Node<'t>, ceiling: Option<&Programs>) -> Programs {
        let key = "process";
        let mut programs = Programs::default();
        for Entry { span, text, reason } in self.entries(list, key) {
            let entry = Quoted::new(&text);
            if let Err(fault) = check_program(&text) {
                self.problem(span, Fault::Entry { entry, fault });
            } else if programs.contains(&text) {
                self.problem(span, Fault::Twice { key, entry });
            } else if ceiling.is_some_and(|ceiling| !ceiling.contains(&text)) {
                self.problem(span, Fault::OutsideCeiling { key, entry });
            } else {
                programs.insert(&text, reason);
            }
        }
        programs
    }

    pub(super) fn names(
        &mut self,
        list: &Node<'t>,
        key: &'static str,
        purpose: Use,
        ceiling: Option<&Names>,
    ) -> Names {
        let mut patterns = Vec::new();
        for Entry { span, text, reason } in self.entries(list, key) {
            match Pattern::parse(&text) {
                Ok(pattern) => patterns.push((span, pattern, reason)),
                Err(fault) => {
                    let entry = Quoted::new(&text);
                    self.problem(span, Fault::Entry { entry, fault });
                }
            }
        }
        // The wide ones first, so that the narrow one is found needless wherever it stands.
        patterns.sort_by_key(|(_, pattern, _)| match pattern {
            Pattern::Prefix(start) => (0, start.len()),
            Pattern::Exact(_) => (1, 0),
        });
        let mut names = Names::none(purpose);
        for (span, pattern, reason) in patterns {
            let entry = Quoted::new(&pattern.to_string());
            if let Some(fault) = unsaid(purpose, &pattern, reason.is_some(), &entry) {
                self.problem(span, fault);
                continue;
            }
            match names.covering(&pattern) {
                Some(same) if same == pattern => {
                    self.problem(span, Fault::Twice { key, entry });
                    continue;
                }
                Some(wider) => {
                    let covering = Quoted::new(&wider.to_string());
                    let fault = Fault::Covered {
                        key,
                        entry,
                        covering,
                    };
                    self.problem(span, fault);
                    continue;
                }
                None => {}
            }
            if let Some(ceiling) = ceiling {
                let mut alone = Names::none(purpose);
                alone.insert(pattern.clone(), None);
                if alone.intersection(ceiling).is_empty() {
                    self.problem(span, Fault::OutsideCeiling { key, entry });
                    continue;
                }
            }
            names.insert(pattern, reason);
        }
        names
    }

    /// Reads a list whose entries are strings, or tables of a name and its reason.
    fn entries(&mut self, list: &Node<'t>, key: &'static str) -> Vec<Entry> {
        let Some(nodes) = self.list(list, key) else {
            return Vec::new();
        };
        if nodes.is_empty() {
            self.problem(list.span(), Fault::Empty { key });
        }
        if nodes.len() > ENTRIES_MAX {
            self.problem(list.span(), Fault::TooManyEntries { key });
            return Vec::new();
        }
        let mut entries = Vec::new();
        for node in nodes {
            let span = node.span();
            let (text, reason) = if let Some(text) = node.get_ref().as_str() {
                (text, None)
            } else if let Some(table) = node.get_ref().as_table() {
                self.keys(table, &["name", "reason"], "an entry of a list");
                let reason = self.words(table, "reason", "an entry of a list", span.clone());
                let Some(name) = table.get("name") else {
                    let (what, key) = ("an entry of a list", "name");
                    self.problem(span, Fault::Missing { what, key });
                    continue;
                };
                let Some(text) = self.string(name, "name") else {
                    continue;
                };
                (text, Some(reason))
            } else {
                let expected = "a list of strings or of { name = \"…\", reason = \"…\" }";
                self.shape(node, key, expected);
                continue;
            };
            entries.push(Entry {
                span,
                text: text.to_owned(),
                reason,
            });
        }
        entries
    }

    pub(super) fn limits(
        &mut self,
        node: &Node<'t>,
        key: &'static str,
        ceiling: &ChosenLimits,
    ) -> ChosenLimits {
        let mut chosen = ChosenLimits::default();
        let Some(table) = self.table(node, key) else {
            return chosen;
        };
        if table.is_empty() {
            self.problem(node.span(), Fault::Empty { key });
        }
        self.keys(table, &LIMIT_KEYS, "a table of limits");
        for (word, value) in table {
            let Some(limit) = LimitName::from_word(word.get_ref()) else {
                continue;
            };
            let number = value.get_ref().as_integer();
            let written = match (value.get_ref().as_str(), number) {
                (Some(text), _) => Written::Text(text),
                (None, Some(number)) if number.radix() == 10 => Written::Integer(number.as_str()),
                (None, _) => Written::Other,
            };
            let amount = match chosen.choose(limit, written) {
                Ok(amount) => amount,
                Err(fault) => {
                    self.problem(value.span(), Fault::Amount { limit, fault });
                    continue;
                }
            };
            if let Some(ceiling) = ceiling
                .get(limit)
                .filter(|ceiling| amount.exceeds(*ceiling))
            {
                let fault = Fault::LimitAboveCeiling {
                    limit,
                    amount: amount.to_string().into(),
                    ceiling: ceiling.to_string().into(),
                };
                self.problem(value.span(), fault);
            }
        }
        chosen
    }
}

/// What must be said aloud, and is not.
fn unsaid(purpose: Use, pattern: &Pattern, has_reason: bool, entry: &Quoted) -> Option<Fault> {
    let entry = entry.clone();
    let is_pattern = matches!(pattern, Pattern::Prefix(_));
    match purpose {
        Use::Environment if pattern.is_everything() && !has_reason => {
            Some(Fault::EverythingWithoutReason { entry })
        }
        Use::Exports if pattern.is_everything() => Some(Fault::ExportEverything),
        Use::Exports if pattern.is_only_loaders() && is_pattern => {
            Some(Fault::LoaderPattern { pattern: entry })
        }
        Use::Exports if pattern.is_only_loaders() && !has_reason => {
            Some(Fault::LoaderWithoutReason { name: entry })
        }
        Use::Environment | Use::Exports => None,
    }
}
