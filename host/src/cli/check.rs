//! `check FILE…`: everything that is wrong with functions and policies, without running anything.
//!
//! What is wrong is shown in the lines of its file, on stderr; which files are fine is said on stdout, and with
//! `--json` everything is there, as one document. Promises: reads regular files and no more of them than the
//! readers take; follows local references of functions, and nothing else; ends with 0 when nothing is wrong, 1 when
//! something is, 65 when a file cannot be read at all.

mod builtins;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use annotate_snippets::Renderer;
use serde_json::{Value, json};
use stephost_policy::Policy;
use stephost_steps::Checker;
use stephost_steps::limits::TEXT_BYTES_MAX;

use super::excerpt::{self, Finding, Severity};
use super::exit::{self, Failure};
use super::print;
use crate::config;
use crate::run::LocalFiles;

/// What stands for stdin among the files.
const STDIN: &str = "-";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stephost check func.yml policies/*.toml\n  stephost check --json - < steps.yml\n\nExit codes: 0 nothing is wrong, 1 something is, 65 a file cannot be read."
)]
pub(super) struct CheckArguments {
    /// Functions (YAML) and policies (TOML); `-` reads stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Let warnings count like errors
    #[arg(long)]
    deny_warnings: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Policy,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::Policy => "policy",
        }
    }
}

/// A file that was looked at.
struct Sheet {
    path: String,
    kind: Kind,
    text: Rc<str>,
    findings: Vec<Finding>,
    /// Whether there is more than is told.
    more: bool,
    /// Where it stands among the files that were named; behind them when it was not.
    position: usize,
}

impl Sheet {
    /// Whether it was named, and not found by a reference.
    fn is_named(&self) -> bool {
        self.position < usize::MAX
    }

    fn count(&self, severity: Severity) -> usize {
        let counted = self.findings.iter();
        counted
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// A file that cannot be read.
struct Unread {
    position: usize,
    path: String,
    fault: String,
}

/// Everything there is to tell.
struct Report {
    sheets: Vec<Sheet>,
    unread: Vec<Unread>,
    /// Whether references led to more files than are looked at.
    left_out: bool,
}

impl Report {
    fn count(&self, severity: Severity) -> usize {
        self.sheets.iter().map(|sheet| sheet.count(severity)).sum()
    }

    fn code(&self, deny_warnings: bool) -> u8 {
        let warnings = if deny_warnings {
            self.count(Severity::Warning)
        } else {
            0
        };
        if !self.unread.is_empty() {
            exit::BAD_INPUT
        } else if self.count(Severity::Error) + warnings > 0 {
            exit::NO
        } else {
            exit::FINE
        }
    }
}

/// Checks the files.
pub(super) fn check(arguments: &CheckArguments) -> Result<u8, Failure> {
    let report = look(&arguments.files)?;
    if arguments.json {
        print(&as_json(&report))?;
    } else {
        tell(&report)?;
    }
    Ok(report.code(arguments.deny_warnings))
}

fn look(files: &[PathBuf]) -> Result<Report, Failure> {
    let builtins = builtins::Host::new().map_err(Failure::config)?;
    let mut checker = Checker::new(&LocalFiles, &builtins);
    let mut report = Report {
        sheets: Vec::new(),
        unread: Vec::new(),
        left_out: false,
    };
    let mut functions = Vec::new();
    for (position, path) in files.iter().enumerate() {
        let read = read(path).and_then(|text| {
            match kind(path, &text) {
                Kind::Policy => report.sheets.push(policy(position, path, text)?),
                Kind::Function if checker.add(path, &text) => functions.push(position),
                // It was named before.
                Kind::Function => {}
            }
            Ok(())
        });
        if let Err(fault) = read {
            report.unread.push(Unread {
                position,
                path: path.to_string_lossy().into_owned(),
                fault,
            });
        }
    }
    let outcome = checker.finish();
    report.left_out = outcome.left_out;
    let positions = functions.into_iter().chain(std::iter::repeat(usize::MAX));
    let sheets = positions.zip(outcome.files);
    report.sheets.extend(sheets.map(|(position, file)| Sheet {
        path: file.path.to_string_lossy().into_owned(),
        kind: Kind::Function,
        text: file.text,
        findings: file.findings.into_iter().map(Finding::from).collect(),
        more: file.more,
        position,
    }));
    report.sheets.sort_by_key(|sheet| sheet.position);
    Ok(report)
}

/// Reads a regular file or stdin, one byte beyond the longest function at most: its reader says that it is too long.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    if path == Path::new(STDIN) {
        let mut text = Vec::new();
        let bytes_max = u64::try_from(TEXT_BYTES_MAX + 1).unwrap_or(u64::MAX);
        return match io::stdin().take(bytes_max).read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!("cannot be read: {}", error.kind())),
        };
    }
    if path.is_dir() {
        return Err("is a directory, name the file in it: `func.yml` or another".to_owned());
    }
    config::read_regular(path, TEXT_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {error}"),
    })
}

/// Tells what a file is by its name, or else by what it begins with: a function is never `key = value`.
fn kind(path: &Path, text: &[u8]) -> Kind {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => return Kind::Policy,
        Some("yml" | "yaml") => return Kind::Function,
        Some(_) | None => {}
    }
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut telling = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let first = telling.next().unwrap_or_default();
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let after_key = first
        .iter()
        .position(|byte| !is_key(byte))
        .unwrap_or(first.len());
    let assigns = after_key > 0 && first[after_key..].trim_ascii_start().starts_with(b"=");
    if assigns || first.starts_with(b"[[") {
        Kind::Policy
    } else {
        Kind::Function
    }
}

fn policy(position: usize, path: &Path, text: Vec<u8>) -> Result<Sheet, String> {
    let path = path.to_string_lossy().into_owned();
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8: byte {at} begins no character")
    })?;
    let findings: Vec<Finding> = match Policy::parse(&path, &text) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().map(Finding::from).collect(),
    };
    Ok(Sheet {
        path,
        kind: Kind::Policy,
        text: text.into(),
        findings,
        more: false,
        position,
    })
}

/// Tells people.
fn tell(report: &Report) -> Result<(), Failure> {
    let renderer = Renderer::styled();
    let mut told = String::new();
    for Unread { path, fault, .. } in &report.unread {
        told.push_str(&format!("error: {} {fault}\n\n", excerpt::line(path)));
    }
    for sheet in &report.sheets {
        for finding in &sheet.findings {
            told.push_str(&excerpt::excerpt(
                &renderer,
                &sheet.path,
                &sheet.text,
                finding,
            ));
        }
        if sheet.more {
            let path = excerpt::line(&sheet.path);
            told.push_str(&format!(
                "note: {path}: more than that is wrong, the rest is left out\n\n"
            ));
        }
    }
    if report.left_out {
        told.push_str("note: references lead to more files than are looked at\n\n");
    }
    let (errors, warnings) = (
        report.count(Severity::Error),
        report.count(Severity::Warning),
    );
    let first = report.sheets.iter().flat_map(|sheet| &sheet.findings);
    let mut by_severity: Vec<&Finding> = first.collect();
    by_severity.sort_by_key(|finding| finding.severity == Severity::Warning);
    if let Some(finding) = by_severity.first() {
        told.push_str(&format!(
            "{}; `stephost explain {}` says more\n",
            counted(errors, warnings),
            finding.code
        ));
    }
    if !told.is_empty() {
        // An empty line between two things, and none behind the last.
        told.truncate(told.trim_end().len());
        told.push('\n');
    }
    // Colours are taken out where nobody sees them; that nobody reads changes nothing.
    let _ = anstream::stderr().write_all(told.as_bytes());
    let mut fine = String::new();
    let followed = report.sheets.iter().filter(|sheet| !sheet.is_named());
    let callees_are_fine = followed
        .map(|sheet| sheet.count(Severity::Error))
        .sum::<usize>()
        == 0;
    for sheet in report.sheets.iter().filter(|sheet| sheet.is_named()) {
        let is_fine = sheet.kind == Kind::Policy || callees_are_fine;
        if sheet.count(Severity::Error) == 0 && is_fine {
            let path = excerpt::line(&sheet.path);
            fine.push_str(&match sheet.count(Severity::Warning) {
                0 => format!("{path}: fine\n"),
                warnings => format!("{path}: fine, {}\n", counted(0, warnings)),
            });
        }
    }
    print(&fine)
}

fn counted(errors: usize, warnings: usize) -> String {
    let number = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        more => Some(format!("{more} {word}s")),
    };
    let told = [number(errors, "error"), number(warnings, "warning")];
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Tells programs. Keys are only ever added.
fn as_json(report: &Report) -> String {
    let unread = report.unread.iter().map(|unread| {
        let told = json!({
            "file": unread.path,
            "kind": null,
            "named": true,
            "errors": 0,
            "warnings": 0,
            "more": false,
            "unread": unread.fault,
        });
        (unread.position, told)
    });
    let read = report.sheets.iter().map(|sheet| {
        let told = json!({
            "file": sheet.path,
            "kind": sheet.kind.as_str(),
            "named": sheet.is_named(),
            "errors": sheet.count(Severity::Error),
            "warnings": sheet.count(Severity::Warning),
            "more": sheet.more,
            "unread": null,
        });
        (sheet.position, told)
    });
    let mut files: Vec<(usize, Value)> = unread.chain(read).collect();
    files.sort_by_key(|(position, _)| *position);
    let files = files.into_iter().map(|(_, told)| told);
    let findings = report.sheets.iter().flat_map(|sheet| {
        let findings = sheet.findings.iter();
        findings.map(|finding| finding_as_json(&sheet.path, finding))
    });
    let rest = json!({
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "files": files.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
        "left_out": report.left_out,
    });
    let rest = rest.to_string();
    format!(
        "{{\"schema\":\"stephost.check/1\",{}\n",
        rest.trim_start_matches('{')
    )
}

fn finding_as_json(path: &str, finding: &Finding) -> Value {
    let Finding {
        severity,
        code,
        message,
        span,
        place: (line, column),
        related,
        help,
        fix,
    } = finding;
    json!({
        "file": path,
        "severity": severity.as_str(),
        "code": code,
        "message": message,
        "line": line,
        "column": column,
        "bytes": [span.start, span.end],
        "help": help,
        "fix": fix.as_ref().map(|(span, text)| json!({ "bytes": [span.start, span.end], "text": text })),
        "related": related.as_ref().map(|(span, what)| json!({ "bytes": [span.start, span.end], "message": what })),
    })
}

/// The codes that are found in files that can be read.
#[cfg(test)]
pub(super) fn codes(files: &[PathBuf]) -> std::collections::BTreeSet<&'static str> {
    let report = look(files).expect("the builtins are known");
    assert!(report.unread.is_empty() && !report.left_out);
    let findings = report.sheets.iter().flat_map(|sheet| &sheet.findings);
    findings.map(|finding| finding.code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_its_beginning() {
        let table: [(&str, &str, Kind); 12] = [
            ("a.toml", "{}\n---\nrun: []", Kind::Policy),
            ("a.yml", "policy = 1", Kind::Function),
            ("a.yaml", "", Kind::Function),
            ("a", "", Kind::Function),
            ("a", "# comment\n\npolicy = 1\n", Kind::Policy),
            ("a", "\n [[allow]]\n", Kind::Policy),
            ("a", "name=\"x\"", Kind::Policy),
            ("a", "spec:\n  inputs: {}\n", Kind::Function),
            ("a", "{}\n---\nrun: []\n", Kind::Function),
            ("a", "---\n", Kind::Function),
            ("a", "= 1", Kind::Function),
            ("-", "exec: {command: [a=b]}", Kind::Function),
        ];
        for (path, text, expected) in table {
            assert_eq!(
                kind(Path::new(path), text.as_bytes()),
                expected,
                "{path}: {text:?}"
            );
        }
    }
}
