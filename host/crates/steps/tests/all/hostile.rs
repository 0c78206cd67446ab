//! Texts that want to hurt: each is refused, or read, in bounded time and on a small stack.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stephost_steps::limits::{
    ALIASED_NODES_MAX, DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX, WARNINGS_MAX,
};
use stephost_steps::{Checker, Strictness, parse};

use crate::checks::Host;
use crate::fuzz::Nowhere;

/// Debug builds on a loaded machine included. Release builds answer in a tenth of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A quarter of what a thread usually gets.
const STACK_BYTES: usize = 512 * 1024;

/// Reads `text` on a small stack and returns the message of the error, or `read`.
fn outcome(row: &str, text: Vec<u8>) -> String {
    let text: Arc<[u8]> = text.into();
    // A check goes on where a reader stops; it must not take longer than a person waits either.
    let checked = Arc::clone(&text);
    soon(&format!("{row}, checked"), move || {
        let mut checker = Checker::new(&Nowhere, &Host);
        checker.add(Path::new("f.yml"), &checked);
        let found: usize = checker
            .finish()
            .files
            .iter()
            .map(|file| file.findings.len())
            .sum();
        format!("{found} findings")
    });
    soon(row, move || match parse("steps", &text, Strictness::Wire) {
        Ok(_) => "read".to_owned(),
        Err(error) => {
            let line = error.to_string();
            assert!(line.len() <= 400, "{} bytes: {line}", line.len());
            assert!(!line.contains(char::is_control), "{line:?}");
            error.message().to_owned()
        }
    })
}

/// Does `work` on a small stack, and in time.
fn soon(row: &str, work: impl FnOnce() -> String + Send + 'static) -> String {
    let begun = Instant::now();
    let outcome = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(work)
        .expect("threads can be started")
        .join()
        .expect("reading a text never panics");
    let took = begun.elapsed();
    eprintln!("{row}: {took:?}: {outcome}");
    assert!(took < PATIENCE, "{row} took {took:?}");
    outcome
}

fn run(items: &str) -> Vec<u8> {
    format!("{{}}\n---\nrun:\n{items}").into_bytes()
}

fn with_inputs(value: &str) -> Vec<u8> {
    run(&format!(
        "  - {{name: a, func: ./a, inputs: {{x: {value}}}}}\n"
    ))
}

fn many(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect()
}

fn nested_anchors(levels: usize, width: usize) -> String {
    let mut text = "a0: &a0 x\n".to_owned();
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").expect("a string takes everything");
    }
    text
}

#[test]
fn a_hostile_text_is_refused_soon_and_clearly() {
    let spec_of =
        |entries: String| format!("spec:\n  inputs:\n{entries}---\nrun: []\n").into_bytes();
    let deep = 100_000;
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "the text holds no YAML document"),
        ("ten megabytes", vec![b'a'; 10 * 1024 * 1024], "is too long"),
        (
            "just too long",
            vec![b'a'; TEXT_BYTES_MAX + 1],
            "is too long",
        ),
        ("as long as can be", vec![b'a'; TEXT_BYTES_MAX], ""),
        ("all NUL", vec![0; 1000], "control character \\u{0}"),
        (
            "a NUL inside",
            run("  - {name: a, script: 'a\0b'}\n"),
            "control character \\u{0}",
        ),
        (
            "an escape sequence",
            run("  - {name: a, script: '\x1b[31m'}\n"),
            "control character \\u{1b}",
        ),
        ("not UTF-8", b"{}\n---\nrun: \xff\xfe".to_vec(), "not UTF-8"),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), "not UTF-8"),
        (
            "brackets",
            "[".repeat(deep).into_bytes(),
            "nested more than",
        ),
        ("braces", "{".repeat(deep).into_bytes(), "nested more than"),
        (
            "closed brackets",
            with_inputs(&format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
            "nested more than",
        ),
        (
            "objects in a line",
            with_inputs(&"{a: ".repeat(deep)),
            "nested more than",
        ),
        ("dashes", run(&"- ".repeat(deep)), "nested more than"),
        ("question marks", run(&"? ".repeat(deep)), ""),
        ("colons", run(&": ".repeat(deep)), ""),
        (
            "indented keys",
            run(&many(2_000, |n| format!("{}a:\n", " ".repeat(n)))),
            "",
        ),
        ("quotes", run(&"\"".repeat(deep)), "not valid YAML"),
        ("anchors", run(&"&a ".repeat(deep)), "not valid YAML"),
        ("tags", run(&"!a ".repeat(deep)), "not valid YAML"),
        (
            "directives",
            "%YAML 1.2\n".repeat(deep).into_bytes(),
            "not valid YAML",
        ),
        (
            "documents",
            "{}\n---\n".repeat(deep).into_bytes(),
            "a third YAML document begins",
        ),
        (
            "comments",
            "#\n".repeat(TEXT_BYTES_MAX / 2).into_bytes(),
            "no YAML document",
        ),
        (
            "line breaks",
            "\n".repeat(TEXT_BYTES_MAX / 8).into_bytes(),
            "no YAML document",
        ),
        ("tabs", "\t".repeat(TEXT_BYTES_MAX / 8).into_bytes(), ""),
        (
            "a million inputs",
            spec_of(many(1_000_000, |n| format!("    a{n}: {{type: string}}\n"))),
            "is too long",
        ),
        (
            "a million short inputs",
            spec_of(many(300_000, |n| format!("   a{n}:\n"))),
            "keys and values",
        ),
        (
            "a million items",
            with_inputs(&format!("[{}]", "1,".repeat(1_000_000))),
            "keys and values",
        ),
        (
            "unknown keys",
            run(&format!(
                "  - name: a\n    func: ./a\n{}",
                many(40_000, |n| format!("    fun{n}: 1\n"))
            )),
            "read",
        ),
        (
            "equal step names",
            run(&"  - {name: a, func: ./a}\n".repeat(15_000)),
            "read",
        ),
        (
            "a billion laughs",
            nested_anchors(9, 10).into_bytes(),
            "aliases expand",
        ),
        (
            "long laughs",
            format!(
                "a: &a {}\nb: [{}]",
                "x".repeat(1_000_000),
                "*a,".repeat(100)
            )
            .into_bytes(),
            "aliases expand",
        ),
        (
            "many aliases",
            format!("a: &a [1]\nb: [{}]", "*a,".repeat(ALIASED_NODES_MAX)).into_bytes(),
            "aliases expand",
        ),
        (
            "deep aliases",
            nested_anchors(DEPTH_MAX + 1, 1).into_bytes(),
            "nested more than",
        ),
        (
            "an alias to itself",
            b"a: &a [*a]".to_vec(),
            "an alias stands inside the value it names",
        ),
        (
            "merge to itself",
            b"a: &a {<<: *a}".to_vec(),
            "an alias stands inside the value it names",
        ),
        ("an unknown alias", b"a: *b".to_vec(), "unknown anchor"),
        (
            "an anchor of the spec used below",
            b"spec: &a\n---\nrun: *a".to_vec(),
            "unknown anchor",
        ),
        (
            "a long key",
            run(&format!("  - {{{}: 1}}", "k".repeat(100_000))),
            "",
        ),
        (
            "a long name",
            run(&format!(
                "  - name: {}\n    func: ./a\n",
                "-".repeat(1_000_000)
            )),
            "step name",
        ),
        (
            "open expressions",
            with_inputs(&format!("'{}'", "${{".repeat(100_000))),
            "",
        ),
        (
            "a long reference",
            run(&format!(
                "  - name: a\n    func: ./{}\n",
                "a/".repeat(100_000)
            )),
            "reference of 200002 bytes is too long",
        ),
        (
            "line breaks in a reference",
            run("  - name: a\n    func: \"./a\\nb\\0\"\n"),
            "holds a control character",
        ),
    ];
    for (row, text, expected) in table {
        let outcome = outcome(row, text);
        assert!(outcome.contains(expected), "{row}: {outcome}");
    }
}

#[test]
fn a_text_at_the_limits_is_read() {
    // Four nodes for the frame of the text, one for each element.
    let items = NODES_MAX - 20;
    let table = [
        ("nodes", with_inputs(&format!("[{}]", "1,".repeat(items)))),
        (
            "depth",
            with_inputs(&format!(
                "{}{}",
                "[".repeat(DEPTH_MAX - 5),
                "]".repeat(DEPTH_MAX - 5)
            )),
        ),
        (
            "script",
            run(&format!(
                "  - name: a\n    script: |\n{}",
                "      echo hello, world\n".repeat(150_000)
            )),
        ),
        (
            "steps",
            run(&many(2_000, |n| {
                format!("  - name: s{n}\n    script: echo {n}\n    env: {{A: '{n}', B: x}}\n")
            })),
        ),
    ];
    for (row, text) in table {
        assert_eq!(outcome(row, text), "read", "{row}");
    }
}

#[test]
fn a_text_of_typos_gives_a_few_warnings_and_says_that_there_are_more() {
    let text = run(&format!(
        "  - name: a\n    func: ./a\n{}",
        many(200, |n| format!("    fun{n}: 1\n"))
    ));
    let warnings = parse("steps", &text, Strictness::Wire)
        .expect("typos do not stop a job")
        .warnings;
    assert_eq!(warnings.len(), WARNINGS_MAX + 1);
    assert_eq!(
        warnings[WARNINGS_MAX].message(),
        "more than 50 warnings, the others are left out"
    );
}
