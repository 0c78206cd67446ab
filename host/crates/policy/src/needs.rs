//! What a component says it needs: a wish, never a grant.
//!
//! The text is JSON of at most 16 KiB in the custom section `stephost:needs`, written by the SDK and covered by
//! the component's digest. Version 1:
//!
//! ```json
//! {"version":1,"process":["bash","sh"],"env":["CI_*"],"exports":["NAME"],"limits":{"memory":"32 MiB"}}
//! ```
//!
//! Every key but `version` may be left out, and what is left out is not needed. Of a component without the section
//! only the imports are known, so the rule alone decides ([`Needs::of_imports`]). Like a policy the text is refused
//! for a key that nobody knows: a wish that is not understood must not look granted.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::limits::{Amount, ChosenLimits, LimitName, Limits, Written};
use crate::names::{Names, Pattern, Programs, Use, check_program};
use crate::quoted::Quoted;
use crate::reason::Capability;

/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The version that is read.
const VERSION: u32 = 1;

/// What a component asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    pub(crate) process: Asked<Programs>,
    pub(crate) environment: Asked<Names>,
    pub(crate) exports: Asked<Names>,
    limits: ChosenLimits,
}

/// Things that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked<T> {
    /// These.
    Listed(T),
    /// The component does not say which; the rule alone decides.
    Unstated,
}

impl Needs {
    /// The name of the custom section in a component.
    pub const SECTION: &'static str = "stephost:needs";

    /// The needs of a component that asks for nothing.
    pub fn none() -> Needs {
        Needs {
            process: Asked::Listed(Programs::default()),
            environment: Asked::Listed(Names::none(Use::Environment)),
            exports: Asked::Listed(Names::none(Use::Exports)),
            limits: ChosenLimits::default(),
        }
    }

    /// The needs of a component that was made without our SDK and has no section: what its imports make
    /// possible, without saying which programs and variables.
    ///
    /// `imports` are names of interfaces as a component writes them, `stephost:step/process@0.1.0`.
    pub fn of_imports<'i>(imports: impl IntoIterator<Item = &'i str>) -> Needs {
        let mut needs = Needs::none();
        // Exports are returned by every step: there is no import that tells.
        needs.exports = Asked::Unstated;
        for import in imports {
            match import.split('@').next() {
                Some("stephost:step/process") => needs.process = Asked::Unstated,
                Some("stephost:step/context") => needs.environment = Asked::Unstated,
                Some(_) | None => {}
            }
        }
        needs
    }

    /// Reads the text of a component's section.
    ///
    /// # Errors
    ///
    /// [`NeedsError`] says what is wrong with the text; it holds at most a short piece of it.
    pub fn parse(text: &[u8]) -> Result<Needs, NeedsError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NeedsError::TooLong { found: text.len() });
        }
        // The version first: a text of another version may have any keys.
        let head: Head = serde_json::from_slice(text).map_err(NeedsError::json)?;
        if head.version != VERSION {
            return Err(NeedsError::Version {
                found: head.version,
            });
        }
        let stated: Stated = serde_json::from_slice(text).map_err(NeedsError::json)?;
        let mut programs = Programs::default();
        for program in stated.process {
            check_program(&program)
                .map_err(|fault| NeedsError::entry("process", &program, &fault))?;
            programs.insert(&program, None);
        }
        let mut limits = ChosenLimits::default();
        for (word, amount) in &stated.limits {
            let name = LimitName::from_word(word)
                .ok_or_else(|| NeedsError::entry("limits", word, &"is no limit"))?;
            let digits = amount.to_string();
            let written = match amount {
                serde_json::Value::String(text) => Written::Text(text),
                serde_json::Value::Number(_) => Written::Integer(&digits),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => Written::Other,
            };
            limits
                .choose(name, written)
                .map_err(|fault| NeedsError::entry("limits", word, &fault))?;
        }
        Ok(Needs {
            process: Asked::Listed(programs),
            environment: Asked::Listed(variables("env", Use::Environment, &stated.env)?),
            exports: Asked::Listed(variables("exports", Use::Exports, &stated.exports)?),
            limits,
        })
    }

    /// What is asked for, as it is written and sorted; `None` if the component does not say. Functions are not asked
    /// for: there is nothing to list.
    pub fn asked(&self, capability: Capability) -> Option<Vec<String>> {
        let names = |asked: &Asked<Names>| match asked {
            Asked::Listed(names) => {
                Some(names.entries().into_iter().map(|(text, _)| text).collect())
            }
            Asked::Unstated => None,
        };
        match capability {
            Capability::Function => Some(Vec::new()),
            Capability::Process => match &self.process {
                Asked::Listed(programs) => Some(programs.iter().map(str::to_owned).collect()),
                Asked::Unstated => None,
            },
            Capability::Environment => names(&self.environment),
            Capability::Exports => names(&self.exports),
        }
    }

    /// The limits that the component is content with.
    pub fn limits(&self) -> impl Iterator<Item = (LimitName, Amount)> {
        self.limits.iter()
    }

    /// Lowers `limits` to what the component is content with. A wish never raises a limit.
    pub(crate) fn lower(&self, limits: &mut Limits) {
        limits.lower_to(&self.limits);
    }
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    #[expect(
        dead_code,
        reason = "read before, and known here so that it is no unknown key"
    )]
    version: u32,
    #[serde(default)]
    process: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    exports: Vec<String>,
    #[serde(default)]
    limits: BTreeMap<String, serde_json::Value>,
}

fn variables(key: &'static str, purpose: Use, entries: &[String]) -> Result<Names, NeedsError> {
    let mut names = Names::none(purpose);
    for entry in entries {
        let pattern =
            Pattern::parse(entry).map_err(|fault| NeedsError::entry(key, entry, &fault))?;
        names.insert(pattern, None);
    }
    Ok(names)
}

/// Why a component's needs cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// The text is longer than any honest list.
    #[error("the component's needs take {found} bytes, {TEXT_BYTES_MAX} at most are read")]
    TooLong {
        /// Its size in bytes.
        found: usize,
    },
    /// The component was made for another host.
    #[error("the component states its needs in version {found}, this host reads version {VERSION}")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// The text is not the JSON it should be.
    #[error("the component's needs are not readable: {message}")]
    Json {
        /// What is wrong, and where.
        message: Box<str>,
    },
    /// An entry names nothing that a policy could grant.
    #[error("the component's needs are not readable: {key} {entry} {fault}")]
    Entry {
        /// In which list.
        key: &'static str,
        /// The entry, short and harmless, with quotes.
        entry: Box<str>,
        /// What is wrong with it.
        fault: Box<str>,
    },
}

impl NeedsError {
    fn json(error: serde_json::Error) -> NeedsError {
        // Messages of serde quote keys of the text: cut, and without what a terminal would act on.
        let message = Quoted::new(&error.to_string()).to_string();
        NeedsError::Json {
            message: message.trim_matches('"').into(),
        }
    }

    fn entry(key: &'static str, entry: &str, fault: &dyn fmt::Display) -> NeedsError {
        NeedsError::Entry {
            key,
            entry: Quoted::new(entry).to_string().into(),
            fault: fault.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_asks_for_lists_and_smaller_limits() {
        let text = br#"{"version":1,"process":["bash","/bin/sh"],"env":["CI_*","HOME"],"exports":["PATH"],"limits":{"memory":"32 MiB","handles":4}}"#;
        let needs = Needs::parse(text).unwrap();
        let (Asked::Listed(programs), Asked::Listed(env), Asked::Listed(exports)) =
            (&needs.process, &needs.environment, &needs.exports)
        else {
            panic!("all are stated");
        };
        assert_eq!(programs.to_string(), "/bin/sh, bash");
        assert_eq!(env.to_string(), "CI_*, HOME");
        assert_eq!(exports.to_string(), "PATH");
        let mut limits = Limits::shipped();
        needs.lower(&mut limits);
        assert_eq!((limits.memory_bytes_max, limits.handles_max), (32 << 20, 4));
        assert_eq!(Needs::parse(br#"{"version":1}"#), Ok(Needs::none()));
        let asked = |capability| needs.asked(capability).unwrap().join(" ");
        assert_eq!(asked(Capability::Process), "/bin/sh bash");
        assert_eq!(asked(Capability::Environment), "CI_* HOME");
        assert_eq!(asked(Capability::Exports), "PATH");
        let limits: Vec<String> = needs
            .limits()
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        assert_eq!(limits, ["memory=32 MiB", "handles=4"]);
    }

    #[test]
    fn needs_that_are_not_understood_are_refused_with_what_is_wrong() {
        let table = [
            (
                r#"{"version":2,"net":[]}"#,
                "in version 2, this host reads version 1",
            ),
            (r#"{"process":[]}"#, "missing field `version`"),
            (r#"{"version":1,"net":["x"]}"#, "unknown field `net`"),
            (
                r#"{"version":1,"env":["A"],"env":["B"]}"#,
                "duplicate field `env`",
            ),
            (r#"{"version":1,"env":["1A"]}"#, "env \"1A\" is no variable"),
            (
                r#"{"version":1,"exports":["A B"]}"#,
                "exports \"A B\" is no variable",
            ),
            (
                r#"{"version":1,"process":["a b"]}"#,
                "process \"a b\" is no program",
            ),
            (
                r#"{"version":1,"limits":{"fuel":1}}"#,
                "limits \"fuel\" is no limit",
            ),
            (
                r#"{"version":1,"limits":{"memory":1}}"#,
                "limits \"memory\" must be a size",
            ),
            (
                r#"{"version":1,"limits":{"memory":null}}"#,
                "limits \"memory\" must be a size",
            ),
            (
                r#"{"version":1,"limits":{"handles":1.5}}"#,
                "limits \"handles\" must be a whole number",
            ),
            ("", "EOF"),
            ("[]", "not readable"),
        ];
        for (text, expected) in table {
            let error = Needs::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(
                error.len() < 300 && !error.contains(char::is_control),
                "{text}: {error}"
            );
        }
        let long = vec![b' '; TEXT_BYTES_MAX + 1];
        assert_eq!(
            Needs::parse(&long),
            Err(NeedsError::TooLong { found: long.len() })
        );
    }

    #[test]
    fn imports_tell_which_powers_are_wanted_when_nothing_else_does() {
        let needs = Needs::of_imports(["stephost:step/log@0.1.0", "stephost:step/process@0.1.0"]);
        assert_eq!(needs.process, Asked::Unstated);
        assert_eq!(needs.environment, Needs::none().environment);
        let needs = Needs::of_imports(["stephost:step/context@0.1.0"]);
        assert_eq!(needs.environment, Asked::Unstated);
        assert_eq!(needs.process, Needs::none().process);
        assert_eq!(needs.exports, Asked::Unstated);
    }
}
