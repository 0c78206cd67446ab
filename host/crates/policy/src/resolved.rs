//! A policy as it is in force: every rule within the ceiling, every limit a number.
//!
//! [`Policy::render`] writes it as a policy file that means the same, with nothing left to be inherited, so that
//! two policies can be compared by eye and by `diff`. [`Policy::digest`] stands for what it decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::error::PolicyError;
use crate::file;
use crate::grant::Grant;
use crate::limits::{Amount, LimitName, Limits};
use crate::names::{Names, Programs, Reason};
use crate::needs::Needs;
use crate::place::Place;
use crate::reason::{Capability, Decider, Denial, ReasonCode};

/// What the host brings along, and the name by which its errors are told.
const SHIPPED: &str = include_str!("../../../../policies/default.toml");
const SHIPPED_NAME: &str = "policies/default.toml";

/// Which builtin may do what. Immutable; clones share it, so that a job keeps the policy it started with.
#[derive(Debug, Clone)]
pub struct Policy {
    resolved: Arc<Resolved>,
}

#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) name: Box<str>,
    pub(crate) rules: BTreeMap<Box<str>, Arc<Rule>>,
}

/// The rule for one function. Lists lie within the ceiling; what was written beyond it is kept to explain.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) reason: Box<str>,
    pub(crate) limits: Limits,
    pub(crate) programs: Programs,
    pub(crate) environment: Names,
    pub(crate) exports: Names,
    pub(crate) written_environment: Names,
    pub(crate) written_exports: Names,
}

impl Policy {
    /// Longest text that [`Policy::parse`] reads, in bytes.
    pub const TEXT_BYTES_MAX: usize = file::TEXT_BYTES_MAX;

    /// Reads a policy file; `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with all that is wrong. There is no half of a policy.
    pub fn parse(name: &str, text: &str) -> Result<Policy, PolicyError> {
        file::parse(name, text).map(|resolved| Policy {
            resolved: Arc::new(resolved),
        })
    }

    /// The policy that the host brings along: for the shipped builtins what they need, and nothing else.
    pub fn shipped() -> Policy {
        Policy::parse(SHIPPED_NAME, SHIPPED).expect("a test reads the shipped policy")
    }

    /// The name that the policy gives itself.
    pub fn name(&self) -> &str {
        &self.resolved.name
    }

    /// The functions that have a rule, sorted.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.resolved.rules.keys().map(|function| &**function)
    }

    /// Resolves what a run of `function` gets, whose component states `needs`: needs ∩ rule ∩ ceiling.
    ///
    /// # Errors
    ///
    /// The denial, if no rule is for this function. Needs that are not granted are no error here, the guest may
    /// never use them: see [`Grant::unmet`].
    pub fn resolve(&self, function: &str, needs: &Needs) -> Result<Grant, Denial> {
        let rule = self.resolved.rules.get(function);
        let decider = Decider {
            policy: self.resolved.name.clone(),
            function: function.into(),
            place: rule.map(|rule| rule.place),
        };
        match rule {
            Some(rule) => Ok(Grant::new(Arc::clone(rule), decider, needs)),
            None => Err(Denial::new(
                &decider,
                Capability::Function,
                function,
                ReasonCode::NoRule,
            )),
        }
    }

    /// Writes the policy as a file that means the same: rules sorted by function, lists sorted, every limit.
    pub fn render(&self) -> String {
        let Resolved { name, rules } = &*self.resolved;
        let mut text = format!("policy = {}\nname = {}\n", file::VERSION, quoted(name));
        for (function, rule) in rules {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n[[allow]]\nfunction = {}\nreason = {}\n",
                quoted(function),
                quoted(&rule.reason)
            );
            render_list(&mut text, Capability::Process, rule.programs.entries());
            render_list(
                &mut text,
                Capability::Environment,
                rule.environment.entries(),
            );
            render_list(&mut text, Capability::Exports, rule.exports.entries());
            for name in LimitName::ALL {
                let amount = rule.limits.amount(name);
                let _ = match amount {
                    Amount::Count(_) => writeln!(text, "limits.{name} = {amount}"),
                    Amount::Bytes(_) | Amount::Time(_) => {
                        writeln!(text, "limits.{name} = {}", quoted(&amount.to_string()))
                    }
                };
            }
        }
        text
    }

    /// Returns what the policy decides as canonical JSON: keys and lists sorted, sizes in bytes, times in
    /// nanoseconds, no blanks. Names, reasons and places are left out, because they decide nothing.
    pub fn canonical(&self) -> String {
        let rules = self.resolved.rules.iter();
        let rules = rules.map(|(function, rule)| (function.to_string(), canonical_rule(rule)));
        object([
            ("allow", Value::Object(rules.collect())),
            ("policy", file::VERSION.into()),
        ])
        .to_string()
    }

    /// SHA-256 of [`Policy::canonical`] in hexadecimal: equal for policies that decide alike.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.canonical().as_bytes());
        digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn canonical_rule(rule: &Rule) -> Value {
    let list = |entries: Vec<(String, &Reason)>| -> Value {
        entries
            .into_iter()
            .map(|(text, _)| Value::from(text))
            .collect()
    };
    let mut limits: Vec<(String, Value)> = LimitName::ALL
        .into_iter()
        .map(|name| (name.to_string(), canonical_amount(rule.limits.amount(name))))
        .collect();
    limits.sort_by(|(one, _), (other, _)| one.cmp(other));
    object([
        ("env", list(rule.environment.entries())),
        ("exports", list(rule.exports.entries())),
        ("limits", Value::Object(limits.into_iter().collect())),
        ("process", list(rule.programs.entries())),
    ])
}

fn canonical_amount(amount: Amount) -> Value {
    match amount {
        Amount::Bytes(number) | Amount::Count(number) => number.into(),
        // Less than a year was read, which fits.
        Amount::Time(Some(time)) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).into(),
        Amount::Time(None) => Value::Null,
    }
}

/// An object whose keys keep the order given, which is the sorted one: whether `serde_json` sorts depends on what
/// other crates ask of it.
fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Value::Object(entries.collect::<Map<String, Value>>())
}

fn render_list(text: &mut String, key: Capability, entries: Vec<(String, &Reason)>) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "{key} = [");
    for (entry, reason) in entries {
        let _ = match reason {
            None => writeln!(text, "  {},", quoted(&entry)),
            Some(reason) => writeln!(
                text,
                "  {{ name = {}, reason = {} }},",
                quoted(&entry),
                quoted(reason)
            ),
        };
    }
    text.push_str("]\n");
}

/// A TOML string. Names and reasons hold no control characters: `file` refuses them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
