//! What a check tells: one finding, and the findings of one file up to a limit.
//!
//! Promises: a message is one short line, whatever the text holds; the same finding is kept once.
//! Called by: `check` and its parts.

use crate::code::Code;
use crate::error::{Fault, Problem};
use crate::limits::FINDINGS_MAX;
use crate::place::Place;
use crate::quoted;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A run would fail on it, or it was surely not meant.
    Error,
    /// A run goes on, but perhaps not as it was meant.
    Warning,
}

/// One thing that is wrong or odd with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Under which code it is explained.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What it is, on one line.
    pub message: String,
    /// What to do, where that is not obvious.
    pub help: Option<String>,
    /// A replacement that is probably right.
    pub fix: Option<Fix>,
    /// Another place of the same file that has to do with it, with what is there.
    pub related: Option<(Place, &'static str)>,
}

/// A replacement for a piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What is replaced.
    pub place: Place,
    /// By what.
    pub text: String,
}

/// The findings of one file, up to a limit of each severity.
#[derive(Default)]
pub(super) struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Whether some were left out.
    pub(super) more: bool,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        let kept = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        // An alias brings the same mistake to every place where it stands.
        if kept.contains(&finding) {
            return;
        }
        if kept.len() < FINDINGS_MAX {
            kept.push(finding);
        } else {
            self.more = true;
        }
    }

    /// Whether no further error is kept. Then there are more.
    pub(super) fn refuses_errors(&mut self) -> bool {
        let is_full = self.errors.len() >= FINDINGS_MAX;
        self.more |= is_full;
        is_full
    }

    pub(super) fn has_error_within(&self, place: Place) -> bool {
        let whole = place.bytes();
        let within = |finding: &Finding| {
            let start = finding.place.bytes().start;
            whole.start <= start && start <= whole.end
        };
        self.errors.iter().any(within)
    }

    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut findings = self.errors;
        findings.extend(self.warnings);
        findings.sort_by_key(|finding| (finding.place, finding.severity));
        findings
    }
}

impl Finding {
    pub(super) fn error(code: Code, place: Place, message: &str) -> Self {
        Self::new(code.as_str(), Severity::Error, place, message)
    }

    pub(super) fn warning(code: Code, place: Place, message: &str) -> Self {
        Self::new(code.as_str(), Severity::Warning, place, message)
    }

    pub(super) fn new(code: &'static str, severity: Severity, place: Place, message: &str) -> Self {
        Self {
            code,
            severity,
            place,
            message: quoted::message(message),
            help: None,
            fix: None,
            related: None,
        }
    }

    pub(super) fn of(problem: &Problem) -> Self {
        let told = problem.fault.told();
        let mut finding = Self::new(
            problem.fault.code(),
            Severity::Error,
            problem.place,
            &told.message,
        );
        finding.help = told.help;
        finding.fix = told.word.map(|text| Fix {
            place: problem.place,
            text,
        });
        if let Fault::DuplicateKey {
            first: Some(first), ..
        } = &problem.fault
        {
            finding.related = Some((*first, "the first one is here"));
        }
        finding
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn fix(mut self, place: Place, text: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            place,
            text: text.into(),
        });
        self
    }

    /// Offers another word for the one at `place`.
    pub(super) fn meant(self, place: Place, nearest: Option<&str>) -> Self {
        match nearest {
            Some(word) => self
                .help(format!("did you mean `{word}`?"))
                .fix(place, word),
            None => self,
        }
    }
}
