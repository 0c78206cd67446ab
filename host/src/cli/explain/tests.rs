//! The pages tell the truth: every code has one, and its examples do what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::check;
use super::*;

/// Their right forms need a fetch, which cannot be done yet, and so would yield R012.
const RIGHT_ELSEWHERE: [&str; 3] = ["R003", "R004", "R005"];

/// Files by name.
type Files = BTreeMap<String, String>;

/// The wrong and the right example of a page, each with all of its files.
fn examples(page: &Page) -> (Files, Files) {
    let (mut wrong, mut right) = (Files::new(), Files::new());
    for block in page.text.split("\n```").skip(1).step_by(2) {
        let (info, text) = block.split_once('\n').expect("a block has lines");
        let mut words = info.split(' ');
        let (language, verdict, path) = (words.next(), words.next(), words.next());
        let usual = match language {
            Some("toml") => "policy.toml",
            _ => "func.yml",
        };
        let files = match verdict {
            Some("wrong") => &mut wrong,
            Some("right") => &mut right,
            other => panic!("{}: a block is wrong or right, not {other:?}", page.code),
        };
        // Pictures stand for what nobody could see in a page.
        let text = format!("{text}\n")
            .replace('\u{2407}', "\u{7}")
            .replace('\u{21E0}', "\u{202E}");
        let before = files.insert(path.unwrap_or(usual).to_owned(), text);
        assert!(before.is_none(), "{}: a file is there twice", page.code);
    }
    (wrong, right)
}

/// The codes that a check of the first of these files finds.
fn codes(files: &Files) -> BTreeSet<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let named = ["func.yml", "policy.toml"];
    let named: Vec<PathBuf> = named
        .iter()
        .map(|name| dir.path().join(name))
        .filter(|path| path.exists())
        .collect();
    assert_eq!(named.len(), 1, "an example has one file that is named");
    check::codes(&named)
}

#[test]
fn every_code_has_one_page_and_no_page_is_without_its_code() {
    let mut known: Vec<&str> = Vec::new();
    known.extend(stephost_steps::Code::ALL.iter().map(|code| code.as_str()));
    known.extend(stephost_expr::Code::ALL.iter().map(|code| code.as_str()));
    known.extend(stephost_policy::Code::ALL.iter().map(|code| code.as_str()));
    known.sort_unstable();
    let twice = known.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "two crates have the same code");
    let mut explained: Vec<&str> = pages().map(|page| page.code).collect();
    explained.sort_unstable();
    assert_eq!(explained, known);
    let headings: usize = PAGES
        .iter()
        .map(|pages| pages.matches(SECTION).count())
        .sum();
    assert_eq!(headings, known.len(), "each section is a page");
}

#[test]
fn every_wrong_example_yields_its_code_and_every_right_one_nothing() {
    let mut lies = Vec::new();
    for page in pages() {
        let (wrong, right) = examples(&page);
        let found = codes(&wrong);
        if !found.contains(page.code) {
            lies.push(format!(
                "the wrong example of {} yields {found:?}",
                page.code
            ));
        }
        if RIGHT_ELSEWHERE.contains(&page.code) {
            assert!(right.is_empty(), "{} needs no exception", page.code);
            continue;
        }
        let found = codes(&right);
        if !found.is_empty() {
            lies.push(format!(
                "the right example of {} yields {found:?}",
                page.code
            ));
        }
    }
    assert!(lies.is_empty(), "{lies:#?}");
}

#[test]
fn titles_fit_a_line_of_the_list() {
    for page in pages() {
        assert!(page.title.len() <= 70, "{}: {}", page.code, page.title);
    }
}

#[test]
fn a_page_is_shown_without_its_fences() {
    let page = pages().find(|page| page.code == "S005").unwrap();
    expect_test::expect![[r#"
        S005: something is empty

        A `command` has at least a program; a `script` and an `action` are not empty.

        Wrong:

            {}
            ---
            exec:
              command: []

        Right:

            {}
            ---
            exec:
              command: ["true"]
    "#]]
    .assert_eq(&shown(&page));
}
