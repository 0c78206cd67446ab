//! Arbitrary bytes never harm a reader: fuzz targets, run here as plain tests with a bounded number of inputs.

use stephost_steps::{Body, DocumentError, Reference, Strictness, parse, read_documents};

/// Holds for every text and strictness; what is strictly good is good on the wire too.
fn read_both_ways(text: &[u8]) {
    let strict = parse("steps", text, Strictness::Strict);
    let wire = parse("steps", text, Strictness::Wire);
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
