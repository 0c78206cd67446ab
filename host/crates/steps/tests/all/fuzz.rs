//! Arbitrary bytes never harm a reader: fuzz targets, run here as plain tests with a bounded number of inputs.

use std::path::Path;

use stephost_steps::{
    Body, Checker, DocumentError, FileFault, Files, Finding, Reference, Severity, Strictness,
    parse, read_documents,
};

use crate::checks::Host;

/// No file but the one that is looked at.
pub(crate) struct Nowhere;

impl Files for Nowhere {
    fn read(&self, _path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
        Ok(None)
    }
}

/// Holds for every text: a check finds something where strict reading fails, with the same code, and what it finds
/// is in the text.
fn checked(text: &[u8], strict: Option<&DocumentError>) {
    let mut checker = Checker::new(&Nowhere, &Host);
    checker.add(Path::new("f.yml"), text);
    for file in checker.finish().files {
        if let Some(error) = strict {
            let same = |finding: &Finding| {
                finding.severity == Severity::Error && finding.code == error.code()
            };
            assert!(
                file.findings.iter().any(same),
                "{error}: {:#?}",
                file.findings
            );
        }
        for finding in &file.findings {
            assert!(!finding.message.contains(char::is_control), "{finding:?}");
            let fix = finding.fix.as_ref().map(|fix| fix.place);
            let related = finding.related.map(|(place, _)| place);
            for place in [Some(finding.place), fix, related].into_iter().flatten() {
                // What is no UTF-8 is replaced, and becomes longer by that.
                if std::str::from_utf8(text).is_ok() {
                    assert!(file.text.get(place.bytes()).is_some(), "{finding:?}");
                }
            }
        }
    }
}

/// Holds for every text and strictness; what is strictly good is good on the wire too.
fn read_both_ways(text: &[u8]) {
    let strict = parse("steps", text, Strictness::Strict);
    let wire = parse("steps", text, Strictness::Wire);
    checked(text, strict.as_ref().err());
    assert!(
        strict.is_err() || wire.is_ok(),
        "stricter must not be more lenient"
    );
    for error in [strict.as_ref().err(), wire.as_ref().err()]
        .into_iter()
        .flatten()
    {
        is_one_short_line(error, text);
    }
    if let Err(error) = read_documents("steps", text, 3) {
        is_one_short_line(&error, text);
        assert!(wire.is_err(), "tags are all that is taken in addition");
    }
    if let Ok(parsed) = wire
        && let Body::Exec(exec) = parsed.function.definition.body
    {
        assert!(!exec.command.is_empty());
    }
}

fn is_one_short_line(error: &DocumentError, text: &[u8]) {
    let line = error.to_string();
    assert!(
        line.len() < 400 && !line.contains(char::is_control),
        "{line:?}"
    );
    // The end of the text may be the place, one line behind the last break.
    let lines = text
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count()
        + 2;
    assert!(
        (1..=lines).contains(&(error.place().line as usize)),
        "{line}"
    );
    assert!(error.place().column >= 1, "{line}");
}

#[test]
fn any_bytes_are_read_or_refused() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(read_both_ways);
}

/// Pieces that random bytes would hardly put together.
const PIECES: [&str; 40] = [
    "{}\n---\n",
    "---\n",
    "spec:\n",
    "  inputs:\n",
    "    a: {type: string, default: x}\n",
    "  outputs: delegate\n",
    "run:\n",
    "  - name: a\n",
    "    func: ./a\n",
    "    step: a@b\n",
    "    script: echo\n",
    "    action: x\n",
    "    inputs:\n",
    "      x: ",
    "    env: {A: 1}\n",
    "exec:\n",
    "  command: [a, \"${{ x }}\"]\n",
    "  work_dir: .\n",
    "env:\n",
    "delegate: a\n",
    "outputs:\n",
    "  x: ${{ steps.a.outputs.x }}\n",
    "&a ",
    "*a ",
    "<<: *a\n",
    "? ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "|\n",
    "'",
    "\"",
    "# c\n",
    "!!str ",
    "~",
    "\n",
];

#[test]
fn any_arrangement_of_yaml_is_read_or_refused() {
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<Vec<u8>>()
        .for_each(|choices: &Vec<u8>| {
            let text: String = choices
                .iter()
                .map(|choice| PIECES[usize::from(*choice) % PIECES.len()])
                .collect();
            read_both_ways(text.as_bytes());
            read_both_ways(
                format!(
                    "{{}}\n---\nrun:\n  - name: a\n    func: ./a\n    inputs:\n      x: {text}"
                )
                .as_bytes(),
            );
        });
}

#[test]
fn any_reference_is_read_or_refused_and_reads_the_same_when_shown() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(|bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return;
            };
            for text in [
                text.to_owned(),
                format!("./{text}"),
                format!("host/{text}@v1"),
                format!("a/b:1 {text}"),
            ] {
                match Reference::parse_short(&text) {
                    Ok(Reference::Dynamic(_)) => {}
                    Ok(reference) => {
                        let shown = reference.to_string();
                        let again = Reference::parse_short(&shown);
                        assert_eq!(again.map(|again| again.to_string()), Ok(shown), "{text:?}");
                    }
                    Err(error) => assert!(error.to_string().len() < 600, "{text:?}"),
                }
            }
        });
}
