//! From the text of a policy to a policy in force, or to all that is wrong with the text.
//!
//! The TOML tree is walked by hand, because every key and value must know its place, a key that nobody knows must
//! be an error with its neighbour, and one problem must not hide the next. What is read here is in
//! [`Resolved`]; there is no key that is only read.

mod lists;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use self::tree::{Node, Reader, Table};
use crate::error::{Fault, PROBLEMS_MAX, PolicyError};
use crate::limits::{ChosenLimits, Limits};
use crate::names::{Names, Programs, Use};
use crate::place::Place;
use crate::quoted::{Quoted, is_deceptive};
use crate::resolved::{Resolved, Rule};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// Longest text, in bytes: a rule takes some hundred.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Most rules. A host has some dozens of functions.
pub(crate) const RULES_MAX: usize = 1_000;

/// Most entries of one list: who needs more has not asked what is needed.
pub(crate) const ENTRIES_MAX: usize = 256;

/// Longest reason or name, in characters: a sentence or two.
pub(crate) const REASON_CHARS_MAX: usize = 300;

/// Longest name of a function, in bytes.
pub(crate) const FUNCTION_BYTES_MAX: usize = 128;

const ROOT_KEYS: [&str; 5] = ["policy", "name", "host", "defaults", "allow"];
const HOST_KEYS: [&str; 4] = ["process", "env", "exports", "max"];
const RULE_KEYS: [&str; 6] = ["function", "reason", "process", "env", "exports", "limits"];

/// Reads a policy.
pub(crate) fn parse(name: &str, text: &str) -> Result<Resolved, PolicyError> {
    let mut reader = Reader::new(text);
    let resolved = reader.policy();
    match PolicyError::of(name, reader.into_problems()) {
        None => Ok(resolved),
        Some(error) => Err(error),
    }
}

/// What no rule can exceed; a list that is not there bounds nothing.
#[derive(Default)]
struct Ceiling {
    programs: Option<Programs>,
    environment: Option<Names>,
    exports: Option<Names>,
    limits: ChosenLimits,
}

impl<'t> Reader<'t> {
    /// Reads everything it can. Counts only if there was no problem.
    fn policy(&mut self) -> Resolved {
        let mut resolved = Resolved {
            name: "".into(),
            rules: BTreeMap::new(),
        };
        if self.text.len() > TEXT_BYTES_MAX {
            let found = self.text.len();
            self.problem(0..0, Fault::TextTooLong { found });
            return resolved;
        }
        self.look_for_deceptive_letters();
        let text = self.text;
        let root = match DeTable::parse(text) {
            Ok(root) => root,
            Err(error) => {
                let message = Quoted::new(error.message()).to_string();
                let message = message.trim_matches('"').replace("\\n", ", ");
                self.problem(error.span().unwrap_or(0..0), Fault::Syntax(message.into()));
                return resolved;
            }
        };
        let root = root.get_ref();
        if !self.is_our_version(root) {
            // Whatever else it says, it says in another language.
            return resolved;
        }
        self.keys(root, &ROOT_KEYS, "a policy");
        let whole = 0..0;
        resolved.name = self.words(root, "name", "a policy", whole);
        let ceiling = match root.get("host") {
            Some(host) => self.ceiling(host),
            None => Ceiling::default(),
        };
        let defaults = match root.get("defaults") {
            Some(defaults) => self.defaults(defaults, &ceiling),
            None => ChosenLimits::default(),
        };
        if let Some(allow) = root.get("allow") {
            resolved.rules = self.rules(allow, &ceiling, &defaults);
        }
        resolved
    }

    fn look_for_deceptive_letters(&mut self) {
        // Control characters are TOML's to refuse. A byte order mark at the very start is no letter.
        let deceptive = |(at, letter): &(usize, char)| {
            is_deceptive(*letter) && !letter.is_control() && (*at, *letter) != (0, '\u{FEFF}')
        };
        let text = self.text;
        for (at, letter) in text.char_indices().filter(deceptive).take(PROBLEMS_MAX) {
            self.problem(at..at + letter.len_utf8(), Fault::Deceptive { letter });
        }
    }

    fn is_our_version(&mut self, root: &Table<'t>) -> bool {
        let Some(version) = root.get("policy") else {
            let (what, key) = ("a policy", "policy");
            self.problem(0..0, Fault::Missing { what, key });
            return false;
        };
        let number = version.get_ref().as_integer();
        let ours = number.is_some_and(|number| number.as_str() == VERSION.to_string());
        if !ours {
            let found = Quoted::new(self.text.get(version.span()).unwrap_or_default());
            self.problem(version.span(), Fault::Version { found });
        }
        ours
    }

    fn ceiling(&mut self, host: &Node<'t>) -> Ceiling {
        let Some(table) = self.table(host, "host") else {
            return Ceiling::default();
        };
        self.keys(table, &HOST_KEYS, "[host]");
        let programs = table.get("process").map(|list| self.programs(list, None));
        let mut names = |key, purpose| {
            let list = table.get(key)?;
            Some(self.names(list, key, purpose, None))
        };
        let environment = names("env", Use::Environment);
        let exports = names("exports", Use::Exports);
        let limits = match table.get("max") {
            Some(limits) => self.limits(limits, "max", &ChosenLimits::default()),
            None => ChosenLimits::default(),
        };
        Ceiling {
            programs,
            environment,
            exports,
            limits,
        }
    }

    fn defaults(&mut self, defaults: &Node<'t>, ceiling: &Ceiling) -> ChosenLimits {
        let Some(table) = self.table(defaults, "defaults") else {
            return ChosenLimits::default();
        };
        self.keys(table, &["limits"], "[defaults]");
        match table.get("limits") {
            Some(limits) => self.limits(limits, "limits", &ceiling.limits),
            None => ChosenLimits::default(),
        }
    }

    fn rules(
        &mut self,
        allow: &Node<'t>,
        ceiling: &Ceiling,
        defaults: &ChosenLimits,
    ) -> BTreeMap<Box<str>, Arc<Rule>> {
        let mut rules = BTreeMap::new();
        let mut spans: BTreeMap<Box<str>, Range<usize>> = BTreeMap::new();
        let Some(list) = self.list(allow, "allow") else {
            return rules;
        };
        if list.len() > RULES_MAX {
            self.problem(allow.span(), Fault::TooManyRules);
            return rules;
        }
        for node in list {
            if self.is_full() {
                break;
            }
            let Some(table) = self.table(node, "allow") else {
                continue;
            };
            let (function, span) = self.function(table, node.span());
            let rule = self.rule(table, node.span(), span.clone(), ceiling, defaults);
            if let Some(first) = spans.get(&function) {
                let function = Quoted::new(&function);
                let related = Some((first.clone(), "the first one is here"));
                self.related_problem(span, Fault::SecondRule { function }, related);
                continue;
            }
            if !function.is_empty() {
                spans.insert(function.clone(), span);
                rules.insert(function, Arc::new(rule));
            }
        }
        rules
    }

    /// The function of a rule and its place; empty when there is none, which is a problem then.
    fn function(&mut self, table: &Table<'t>, rule: Range<usize>) -> (Box<str>, Range<usize>) {
        let Some(node) = table.get("function") else {
            let (what, key) = ("a rule", "function");
            self.problem(rule.clone(), Fault::Missing { what, key });
            return ("".into(), rule);
        };
        let Some(name) = self.string(node, "function") else {
            return ("".into(), node.span());
        };
        if !is_function_name(name) {
            let name = Quoted::new(name);
            self.problem(node.span(), Fault::FunctionName { name });
            return ("".into(), node.span());
        }
        (name.into(), node.span())
    }

    fn rule(
        &mut self,
        table: &Table<'t>,
        rule: Range<usize>,
        function: Range<usize>,
        ceiling: &Ceiling,
        defaults: &ChosenLimits,
    ) -> Rule {
        self.keys(table, &RULE_KEYS, "a rule");
        let reason = self.words(table, "reason", "a rule", rule);
        let programs = match table.get("process") {
            Some(list) => self.programs(list, ceiling.programs.as_ref()),
            None => Programs::default(),
        };
        let mut names = |key, purpose, ceiling: Option<&Names>| {
            let written = match table.get(key) {
                Some(list) => self.names(list, key, purpose, ceiling),
                None => Names::none(purpose),
            };
            let allowed = match ceiling {
                Some(ceiling) => written.intersection(ceiling),
                None => written.clone(),
            };
            (written, allowed)
        };
        let (written_environment, environment) =
            names("env", Use::Environment, ceiling.environment.as_ref());
        let (written_exports, exports) = names("exports", Use::Exports, ceiling.exports.as_ref());
        let mut limits = Limits::shipped();
        limits.replace(defaults);
        if let Some(node) = table.get("limits") {
            limits.replace(&self.limits(node, "limits", &ceiling.limits));
        }
        // What was written is within the ceiling, or a problem; what was not written is brought there.
        limits.lower_to(&ceiling.limits);
        Rule {
            place: Place::of_byte(self.text, function.start),
            reason,
            limits,
            programs,
            environment,
            exports,
            written_environment,
            written_exports,
        }
    }
}

fn is_function_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_word = |word: &str| !matches!(word, "" | "." | "..") && word.bytes().all(fits);
    name.len() <= FUNCTION_BYTES_MAX && name.split('/').all(is_word)
}
