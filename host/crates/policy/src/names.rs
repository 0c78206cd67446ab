//! Sets of environment variables and of programs: what a rule lists, what a component asks for, and what is
//! left when both are laid over each other.
//!
//! A variable is written as its name or as the beginning of names, `CI_*`. A pattern covers portable names only
//! (letters, digits, `_`), and in a list of exports never a loader variable. A program is a name that the host
//! looks up, or an absolute path, and never a pattern.

use std::collections::BTreeMap;
use std::fmt;

use crate::loader::{is_loader, is_loader_family};

/// Longest name of a variable, and longest path of a program, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What a list of variables is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read by the guest.
    Environment,
    /// Set by the guest for later steps.
    Exports,
}

/// One entry of a list of variables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pattern {
    /// This name.
    Exact(Box<str>),
    /// Every portable name that begins so; empty is every portable name.
    Prefix(Box<str>),
}

/// Why a text names no variable and no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error(
        "is no variable: letters, digits and `_`, no digit first, and a `*` only as the last character"
    )]
    Variable,
    #[error("is no program: a name such as `bash`, or an absolute path such as `/usr/bin/bash`")]
    Program,
    #[error("is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Pattern, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        match text.strip_suffix('*') {
            Some("") => Ok(Pattern::Prefix("".into())),
            Some(start) if is_portable(start) => Ok(Pattern::Prefix(start.into())),
            None if is_portable(text) => Ok(Pattern::Exact(text.into())),
            Some(_) | None => Err(NameError::Variable),
        }
    }

    /// Whether this is `*`.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, Pattern::Prefix(start) if start.is_empty())
    }

    /// Whether every variable of this pattern is a loader variable.
    pub(crate) fn is_only_loaders(&self) -> bool {
        match self {
            Pattern::Exact(name) => is_loader(name),
            Pattern::Prefix(start) => is_loader_family(start),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(name) => f.write_str(name),
            Pattern::Prefix(start) => write!(f, "{start}*"),
        }
    }
}

/// Why an entry is there, if somebody said so.
pub(crate) type Reason = Option<Box<str>>;

/// A set of environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    purpose: Use,
    exact: BTreeMap<Box<str>, Reason>,
    prefixes: BTreeMap<Box<str>, Reason>,
}

impl Names {
    pub(crate) fn none(purpose: Use) -> Names {
        Names {
            purpose,
            exact: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, pattern: Pattern, reason: Reason) {
        match pattern {
            Pattern::Exact(name) => self.exact.insert(name, reason),
            Pattern::Prefix(start) => self.prefixes.insert(start, reason),
        };
    }

    /// Whether `name` is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.exact.contains_key(name) || self.covering_pattern(name).is_some()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The entry that makes `pattern` needless, if there is one.
    pub(crate) fn covering(&self, pattern: &Pattern) -> Option<Pattern> {
        let covering = match pattern {
            Pattern::Exact(name) if self.exact.contains_key(name) => return Some(pattern.clone()),
            Pattern::Exact(name) => self.covering_pattern(name),
            Pattern::Prefix(start) => {
                let mut starts = self.prefixes.keys().map(|own| &**own);
                starts.find(|own| start.starts_with(own))
            }
        };
        covering.map(|start| Pattern::Prefix(start.into()))
    }

    fn covering_pattern(&self, name: &str) -> Option<&str> {
        // The set is small, and most names fall at their first letter.
        let covering = self
            .prefixes
            .keys()
            .find(|start| name.starts_with(&***start))?;
        let pattern_may = is_portable(name)
            && match self.purpose {
                Use::Environment => true,
                Use::Exports => !is_loader(name),
            };
        // Whoever reads everything also reads what no shell could have set.
        let reads_everything = self.purpose == Use::Environment && covering.is_empty();
        (pattern_may || reads_everything).then_some(&**covering)
    }

    /// What is in both; the reasons are this set's.
    pub(crate) fn intersection(&self, other: &Names) -> Names {
        let mut both = Names::none(self.purpose);
        for (name, reason) in &self.exact {
            if other.contains(name) {
                both.exact.insert(name.clone(), reason.clone());
            }
        }
        for name in other.exact.keys() {
            if let Some(start) = self.covering_pattern(name) {
                let reason = self.prefixes.get(start).cloned().flatten();
                both.exact.entry(name.clone()).or_insert(reason);
            }
        }
        for (own, reason) in &self.prefixes {
            for start in other.prefixes.keys() {
                let narrower = if own.starts_with(&**start) {
                    own
                } else if start.starts_with(&**own) {
                    start
                } else {
                    continue;
                };
                both.prefixes.insert(narrower.clone(), reason.clone());
            }
        }
        both.without_needless()
    }

    /// The same set with no entry that another one covers, so that equal sets look equal.
    fn without_needless(mut self) -> Names {
        let starts: Vec<Box<str>> = self.prefixes.keys().cloned().collect();
        self.prefixes.retain(|start, _| {
            !starts
                .iter()
                .any(|other| start.len() > other.len() && start.starts_with(&**other))
        });
        let patterns = Names {
            exact: BTreeMap::new(),
            ..self.clone()
        };
        self.exact.retain(|name, _| !patterns.contains(name));
        self
    }

    /// Each entry as it is written, with a set of its own.
    pub(crate) fn one_by_one(&self) -> Vec<(String, Names)> {
        let exact = self.exact.keys().cloned().map(Pattern::Exact);
        let prefixes = self.prefixes.keys().cloned().map(Pattern::Prefix);
        let alone = |pattern: Pattern| {
            let mut alone = Names::none(self.purpose);
            alone.insert(pattern.clone(), None);
            (pattern.to_string(), alone)
        };
        exact.chain(prefixes).map(alone).collect()
    }

    /// The entries as they are written, sorted.
    pub(crate) fn entries(&self) -> Vec<(String, &Reason)> {
        let exact = self.exact.iter().map(|(name, why)| (name.to_string(), why));
        let prefixes = self
            .prefixes
            .iter()
            .map(|(start, why)| (format!("{start}*"), why));
        let mut entries: Vec<_> = exact.chain(prefixes).collect();
        entries.sort();
        entries
    }
}

/// A comma between entries, `CI_*, HOME`.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> = self.entries().into_iter().map(|(text, _)| text).collect();
        f.write_str(&entries.join(", "))
    }
}

/// A set of programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs(BTreeMap<Box<str>, Reason>);

impl Programs {
    /// Whether a guest that says `program` names one of them, letter by letter: `/bin/sh` is not `sh`.
    pub fn contains(&self, program: &str) -> bool {
        self.0.contains_key(program)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The programs, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|program| &**program)
    }

    pub(crate) fn insert(&mut self, program: &str, reason: Reason) {
        self.0.insert(program.into(), reason);
    }

    pub(crate) fn intersection(&self, other: &Programs) -> Programs {
        let both = self.0.iter().filter(|(program, _)| other.contains(program));
        Programs(
            both.map(|(program, why)| (program.clone(), why.clone()))
                .collect(),
        )
    }

    pub(crate) fn entries(&self) -> Vec<(String, &Reason)> {
        let entries = self.0.iter();
        entries
            .map(|(program, why)| (program.to_string(), why))
            .collect()
    }
}

/// A comma between programs, `bash, sh`.
impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs: Vec<&str> = self.iter().collect();
        f.write_str(&programs.join(", "))
    }
}

/// Refuses what names no single program: a relative path, one with a step backwards, a pattern, a command line.
pub(crate) fn check_program(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let fits = |letter: char| letter.is_ascii_graphic() && !"*?[]{}\"'`\\$&|;<>()".contains(letter);
    let is_step = |part: &str| !matches!(part, "" | "." | "..");
    let names = text.strip_prefix('/').unwrap_or(text);
    let is_path = text.starts_with('/');
    let well_formed = text.chars().all(fits)
        && names.split('/').all(is_step)
        && (is_path || !text.contains('/'))
        && !text.starts_with('-');
    if well_formed {
        Ok(())
    } else {
        Err(NameError::Program)
    }
}

/// Whether `name` is a name that every shell knows as a variable.
fn is_portable(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(purpose: Use, entries: &[&str]) -> Names {
        let mut names = Names::none(purpose);
        for entry in entries {
            names.insert(Pattern::parse(entry).unwrap(), None);
        }
        names
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        for text in ["CI", "_x1", "CI_*", "*"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "", "1A", "A B", "A-B", "*_TOKEN", "C*I", "CI_**", "ä", "A=B", "A\0",
        ] {
            assert_eq!(Pattern::parse(text), Err(NameError::Variable), "{text:?}");
        }
        let long = "A".repeat(NAME_BYTES_MAX);
        assert!(Pattern::parse(&long).is_ok());
        assert_eq!(Pattern::parse(&format!("{long}A")), Err(NameError::TooLong));
    }

    #[test]
    fn a_pattern_covers_portable_names_only() {
        let table = [
            ("CI_JOB_ID", true),
            ("CI_", true),
            ("CI", false),
            ("ci_job_id", false),
            ("CI_A B", false),
            ("CI_\n", false),
            ("CI_ä", false),
            ("HOME", true),
            ("HOMES", false),
            ("", false),
        ];
        let set = names(Use::Environment, &["CI_*", "HOME"]);
        for (name, expected) in table {
            assert_eq!(set.contains(name), expected, "{name:?}");
        }
    }

    #[test]
    fn who_reads_everything_reads_names_of_every_kind() {
        let odd = ["1A", "CI A", "BASH_FUNC_f%%", "ä", "PATH", "CI_A"];
        let everything = names(Use::Environment, &["*"]);
        for name in odd {
            assert!(everything.contains(name), "{name:?}");
        }
        let some = everything.intersection(&names(Use::Environment, &["CI_*"]));
        assert_eq!(some.to_string(), "CI_*");
        assert!(!some.contains("CI A"));
    }

    #[test]
    fn a_loader_variable_is_read_by_a_pattern_but_exported_only_by_name() {
        for everything in ["*", "P*", "PATH*"] {
            assert!(
                names(Use::Environment, &[everything]).contains("PATH"),
                "{everything}"
            );
            assert!(
                !names(Use::Exports, &[everything]).contains("PATH"),
                "{everything}"
            );
        }
        assert!(names(Use::Exports, &["PATH"]).contains("PATH"));
        assert!(names(Use::Exports, &["P*"]).contains("PLAIN"));
    }

    #[test]
    fn an_intersection_is_what_both_contain() {
        let table: [(&[&str], &[&str], &str); 9] = [
            (&["CI_*"], &["CI_JOB_*"], "CI_JOB_*"),
            (&["CI_JOB_*"], &["CI_*"], "CI_JOB_*"),
            (&["CI_*"], &["CI_JOB_ID", "HOME"], "CI_JOB_ID"),
            (&["CI_JOB_ID", "HOME"], &["CI_*"], "CI_JOB_ID"),
            (&["A", "B"], &["B", "C"], "B"),
            (&["*"], &["CI_*", "CI_A"], "CI_*"),
            (&["A*"], &["B*"], ""),
            (&["PATH", "A"], &["*"], "A"),
            (&["PATH"], &["PATH"], "PATH"),
        ];
        for (one, other, both) in table {
            let (one, other) = (names(Use::Exports, one), names(Use::Exports, other));
            assert_eq!(
                one.intersection(&other).to_string(),
                both,
                "{one} and {other}"
            );
            assert_eq!(
                other.intersection(&one).to_string(),
                both,
                "{other} and {one}"
            );
        }
    }

    /// The law behind the table, for many sets and names.
    #[test]
    fn a_name_is_in_an_intersection_if_it_is_in_both() {
        let pool = [
            "*", "A*", "AB*", "ABC", "AB", "PATH", "P*", "PA*", "LD_X", "B",
        ];
        let probes = [
            "A", "AB", "ABC", "ABCD", "PATH", "PAT", "P", "LD_X", "B", "C", "path",
        ];
        for purpose in [Use::Environment, Use::Exports] {
            for left in 0..1 << pool.len() {
                // Every set against a fixed sample of sets: all pairs would be a million.
                for right in [0b1, 0b10_0110, 0b11_1000, 0b1101_0010, 0b11_0010_0000] {
                    let pick = |bits: i32| {
                        let chosen = pool
                            .iter()
                            .enumerate()
                            .filter(|(at, _)| bits >> at & 1 == 1);
                        let chosen: Vec<&str> = chosen.map(|(_, text)| *text).collect();
                        names(purpose, &chosen)
                    };
                    let (one, other) = (pick(left), pick(right));
                    let both = one.intersection(&other);
                    for name in probes {
                        let expected = one.contains(name) && other.contains(name);
                        assert_eq!(both.contains(name), expected, "{name} in {one} and {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_program_is_one_name_or_one_absolute_path() {
        for text in ["bash", "g++", "python3.12", "/bin/sh", "/opt/a-b/c_d"] {
            assert_eq!(check_program(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "/",
            ".",
            "..",
            "./x",
            "bin/sh",
            "/bin/../sh",
            "/bin//sh",
            "/bin/",
            "*",
            "ba*",
            "git status",
            "-c",
            "a;b",
            "a\0",
            "ä",
            "$SHELL",
        ] {
            assert_eq!(check_program(text), Err(NameError::Program), "{text:?}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(check_program(&long), Err(NameError::TooLong));
    }
}
