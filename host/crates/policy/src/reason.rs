//! Why something is refused, as one value that no part can be missing from.
//!
//! A [`Denial`] is only made by a decision of this crate, and always knows which rule decided, about what, and
//! for which reason. The same value becomes the text of a step's ending, the line of the audit trail and the
//! advice for the one who writes policies. docs/policy.md explains every code.

use std::fmt;

use crate::place::Place;
use crate::quoted::Quoted;

/// Longest target that a denial keeps, in bytes: enough for every path, and a guest cannot fill an audit trail.
const TARGET_BYTES_MAX: usize = 4 * 1024;

/// What kind of thing was asked for. Its text is the key of a rule that would grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Running the function at all: `function`.
    Function,
    /// Starting a program: `process`.
    Process,
    /// Reading an environment variable: `env`.
    Environment,
    /// Setting an environment variable for later steps: `exports`.
    Exports,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Capability; 4] = [
        Capability::Function,
        Capability::Process,
        Capability::Environment,
        Capability::Exports,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Capability::Function => "function",
            Capability::Process => "process",
            Capability::Environment => "env",
            Capability::Exports => "exports",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why. Its text is stable: guests, audit trails and metrics rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// No rule is for this function.
    NoRule,
    /// The rule allows it, but the component did not say that it needs it.
    NotDeclared,
    /// The rule allows it, but the ceiling of the policy does not.
    AboveCeiling,
    /// The rule does not list this program.
    ProgramNotListed,
    /// The rule does not list this variable for reading.
    EnvNotListed,
    /// The rule does not list this variable for exporting.
    ExportNotListed,
    /// A pattern of the rule matches, but a loader variable must be listed, and needed, by its name.
    LoaderVariable,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [ReasonCode; 7] = [
        ReasonCode::NoRule,
        ReasonCode::NotDeclared,
        ReasonCode::AboveCeiling,
        ReasonCode::ProgramNotListed,
        ReasonCode::EnvNotListed,
        ReasonCode::ExportNotListed,
        ReasonCode::LoaderVariable,
    ];

    /// Returns the code as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasonCode::NoRule => "no-rule",
            ReasonCode::NotDeclared => "not-declared",
            ReasonCode::AboveCeiling => "above-ceiling",
            ReasonCode::ProgramNotListed => "program-not-listed",
            ReasonCode::EnvNotListed => "env-not-listed",
            ReasonCode::ExportNotListed => "export-not-listed",
            ReasonCode::LoaderVariable => "loader-variable",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which rule decided: the one for `function`, or none if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decider {
    pub(crate) policy: Box<str>,
    pub(crate) function: Box<str>,
    /// Where the rule stands; `None` when the policy has no rule for the function.
    pub(crate) place: Option<Place>,
}

/// A refusal: what was asked for, by whom, and why it is not granted.
///
/// The text is one line without control characters, names no path of the host, and repeats at most 80
/// characters of what was asked for: it may go to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    decider: Decider,
    capability: Capability,
    target: Box<str>,
    code: ReasonCode,
}

impl Denial {
    pub(crate) fn new(
        decider: &Decider,
        capability: Capability,
        target: &str,
        code: ReasonCode,
    ) -> Denial {
        Denial {
            decider: decider.clone(),
            capability,
            target: target[..target.floor_char_boundary(TARGET_BYTES_MAX)].into(),
            code,
        }
    }

    /// What kind of thing was asked for.
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// What exactly, as the guest wrote it: any text at all, cut after 4 KiB.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Why it is refused.
    pub fn code(&self) -> ReasonCode {
        self.code
    }

    /// The function that asked.
    pub fn function(&self) -> &str {
        &self.decider.function
    }

    /// Where the rule that decided stands in its file; `None` when there is no rule for the function.
    pub fn rule(&self) -> Option<Place> {
        self.decider.place
    }

    /// The name of the policy.
    pub fn policy(&self) -> &str {
        &self.decider.policy
    }

    /// What would make it granted, for the one who writes policies or builtins.
    pub fn help(&self) -> String {
        let Denial {
            decider,
            capability,
            target,
            code,
        } = self;
        let function = Quoted::new(&decider.function);
        let target = Quoted::new(target);
        match code {
            ReasonCode::NoRule => {
                format!("add an [[allow]] with function = {function} and a reason")
            }
            ReasonCode::NotDeclared => format!(
                "the builtin must declare that it needs {target}: #[step(needs({capability} = [{target}]))]"
            ),
            ReasonCode::AboveCeiling => {
                format!("{capability} of [host] leaves {target} out; widen it there first")
            }
            ReasonCode::ProgramNotListed
            | ReasonCode::EnvNotListed
            | ReasonCode::ExportNotListed => {
                format!("add {target} to {capability} in the rule for {function}")
            }
            ReasonCode::LoaderVariable => format!(
                "add {{ name = {target}, reason = \"…\" }} to {capability} in the rule for {function}, and let the builtin declare it by this name"
            ),
        }
    }
}

/// `process of "curl" is denied (program-not-listed, rule for "script" at line 12 of policy "shipped")`.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial {
            decider,
            capability,
            target,
            code,
        } = self;
        let (function, policy) = (Quoted::new(&decider.function), Quoted::new(&decider.policy));
        let target = Quoted::new(target);
        match decider.place {
            Some(Place { line, .. }) => write!(
                f,
                "{capability} of {target} is denied ({code}, rule for {function} at line {line} of policy {policy})"
            ),
            None => write!(
                f,
                "{capability} {target} is denied ({code} in policy {policy})"
            ),
        }
    }
}

impl std::error::Error for Denial {}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(target: &str) -> Denial {
        let decider = Decider {
            policy: "shipped".into(),
            function: "script".into(),
            place: Some(Place {
                line: 12,
                column: 1,
            }),
        };
        Denial::new(
            &decider,
            Capability::Process,
            target,
            ReasonCode::ProgramNotListed,
        )
    }

    #[test]
    fn a_denial_names_what_was_asked_the_reason_and_the_rule() {
        assert_eq!(
            denial("curl").to_string(),
            "process of \"curl\" is denied (program-not-listed, rule for \"script\" at line 12 of policy \"shipped\")"
        );
        assert_eq!(
            denial("curl").help(),
            "add \"curl\" to process in the rule for \"script\""
        );
    }

    #[test]
    fn a_hostile_target_makes_one_short_harmless_line() {
        let hostile = format!("x\n[policy] allowed\x1b[2J\u{202E}{}", "y".repeat(10_000));
        for text in [denial(&hostile).to_string(), denial(&hostile).help()] {
            assert!(
                text.len() < 400 && !text.contains(crate::quoted::is_deceptive),
                "{text:?}"
            );
        }
        assert_eq!(
            denial(&hostile).target(),
            &hostile[..TARGET_BYTES_MAX],
            "the audit trail has it as it was, within reason"
        );
    }

    #[test]
    fn no_two_codes_and_no_two_capabilities_share_a_word() {
        let codes: std::collections::HashSet<_> = ReasonCode::ALL.map(ReasonCode::as_str).into();
        assert_eq!(codes.len(), ReasonCode::ALL.len());
        let words: std::collections::HashSet<_> = Capability::ALL.map(Capability::as_str).into();
        assert_eq!(words.len(), Capability::ALL.len());
    }

    /// The page that people are sent to knows every word that they may meet.
    #[test]
    fn the_policy_page_explains_every_code() {
        let page = include_str!("../../../../docs/policy.md");
        for code in ReasonCode::ALL {
            assert!(page.contains(&format!("| `{code}` |")), "{code}");
        }
    }
}
