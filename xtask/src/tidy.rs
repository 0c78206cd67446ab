//! `cargo xtask tidy`: what no compiler checks. Runs as a test too.
//!
//! - direction: a crate depends only on rooms that docs/ARCHITECTURE.md lets it use, and a module of the
//!   host uses only modules below it; both tables are read from that page;
//! - header: every Rust file opens with `//!`;
//! - name: no file is called by a word that says nothing;
//! - panic: no profile makes the host abort where it ought to unwind;
//! - link: what the Markdown pages link to, and the index of the architecture page, exists;
//! - promise: where a row of a page names a Rust file and a test, the test is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::files;

/// Names that say nothing about what lives there.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "misc", "manager", "mod",
];
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// Checks the tree below `root`; prints what is wrong.
pub(crate) fn tidy(root: &Path) -> anyhow::Result<()> {
    let findings = findings(root)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} places are not tidy", findings.len());
    }
    Ok(())
}

fn findings(root: &Path) -> anyhow::Result<Vec<String>> {
    // Without what git and cargo keep in the checkout.
    let files = files::of_interest(root, |path| {
        !path.ends_with("target") && !path.ends_with(".git")
    })?;
    let page = read(root, Path::new(ARCHITECTURE))?;
    let mut findings = Vec::new();
    check_crates(root, &files, &table(&page, "crates"), &mut findings)?;
    check_modules(root, &files, &table(&page, "modules"), &mut findings)?;
    check_profiles(&read(root, Path::new("Cargo.toml"))?, &mut findings);
    for file in &files {
        check_name(file, &mut findings);
        if file.extension().is_some_and(|extension| extension == "rs") {
            check_header(root, file, &mut findings)?;
        }
        if file.extension().is_some_and(|extension| extension == "md") {
            check_links(root, file, &mut findings)?;
            check_promises(root, file, &mut findings)?;
        }
    }
    Ok(findings)
}

fn read(root: &Path, file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("reading {}", file.display()))
}

/// A table of the architecture page: rows "name | what it may use", behind a marker comment.
fn table(page: &str, name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let marker = format!("<!-- tidy: {name} -->");
    let rows = page
        .split_once(&marker)
        .map_or("", |(_, after)| after)
        .trim_start()
        .lines();
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let words = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    rows.filter_map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let name = words(cells.next()?).into_iter().next()?;
        Some((name, words(cells.next_back()?).into_iter().collect()))
    })
    .collect()
}

fn check_crates(
    root: &Path,
    files: &[PathBuf],
    allowed: &BTreeMap<String, BTreeSet<String>>,
    findings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let manifests = files
        .iter()
        .filter(|file| file.ends_with("Cargo.toml") && file.components().count() > 1);
    for manifest in manifests {
        let text = read(root, manifest)?;
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .unwrap_or_default();
        let name = name.trim_matches('"');
        let Some(may_use) = allowed.get(name) else {
            findings.push(format!(
                "{}: {ARCHITECTURE} does not know the crate `{name}`",
                manifest.display()
            ));
            continue;
        };
        // Tests may look at more than the code they test.
        let own = text.split("[dev-dependencies]").next().unwrap_or_default();
        let ours = own
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next());
        for used in ours.filter(|word| word.starts_with("stephost-")) {
            if !may_use.contains(used) {
                findings.push(format!(
                    "{}: `{name}` must not use `{used}`",
                    manifest.display()
                ));
            }
        }
    }
    Ok(())
}

fn check_modules(
    root: &Path,
    files: &[PathBuf],
    allowed: &BTreeMap<String, BTreeSet<String>>,
    findings: &mut Vec<String>,
) -> anyhow::Result<()> {
    for file in files {
        let Ok(inside) = file.strip_prefix("host/src") else {
            continue;
        };
        let module = inside
            .iter()
            .next()
            .and_then(|first| Path::new(first).file_stem())
            .unwrap_or_default();
        let module = module.to_string_lossy();
        let Some(may_use) = allowed.get(module.as_ref()) else {
            findings.push(format!(
                "{}: {ARCHITECTURE} does not know the module `{module}`",
                file.display()
            ));
            continue;
        };
        for used in used_modules(&read(root, file)?) {
            if used != module && !may_use.contains(&used) {
                findings.push(format!(
                    "{}: `{module}` must not use `{used}`",
                    file.display()
                ));
            }
        }
    }
    Ok(())
}

/// First path segments after `crate::`, those in braces included.
fn used_modules(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (_, rest) in text
        .match_indices("crate::")
        .map(|(at, _)| text.split_at(at + "crate::".len()))
    {
        let names = match rest.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
            None => vec![rest],
        };
        for name in names {
            let name = name.trim_start();
            let end = name.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let word = &name[..end.unwrap_or(name.len())];
            if !word.is_empty() {
                used.insert(word.to_owned());
            }
        }
    }
    used
}

/// A panic must end one job, so whatever may hold the host unwinds. A guest's panic is a trap in any case.
fn check_profiles(manifest: &str, findings: &mut Vec<String>) {
    let mut profile = None;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let name = section.strip_prefix("profile.");
            profile = name.map(|name| name.trim_end_matches(']'));
        }
        let Some(profile) = profile.filter(|profile| *profile != "guest") else {
            continue;
        };
        let setting = line.split_once('=');
        if setting.is_some_and(|(key, value)| key.trim() == "panic" && !value.contains("unwind")) {
            findings.push(format!(
                "Cargo.toml: the profile `{profile}` must keep panic = \"unwind\""
            ));
        }
    }
}

fn check_header(root: &Path, file: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    if !read(root, file)?.trim_start().starts_with("//!") {
        findings.push(format!(
            "{}: does not open with `//!` and what it owns",
            file.display()
        ));
    }
    Ok(())
}

fn check_name(file: &Path, findings: &mut Vec<String>) {
    let empty = file.iter().any(|part| {
        let stem = Path::new(part)
            .file_stem()
            .unwrap_or(part)
            .to_string_lossy();
        EMPTY_NAMES.contains(&stem.as_ref())
    });
    if empty {
        findings.push(format!(
            "{}: the name says nothing about what lives there",
            file.display()
        ));
    }
}

/// Links of a Markdown page, and words in back quotes that look like paths of the checkout.
fn check_links(root: &Path, file: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let text = read(root, file)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
        let target = link.split('#').next().unwrap_or_default();
        if !root.join(dir).join(target).exists() {
            findings.push(format!("{}: the link {link} leads nowhere", file.display()));
        }
    }
    if file == Path::new(ARCHITECTURE) {
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = word.contains('/') && !word.contains([' ', '<', '*', ':', '$']);
            if is_path && !root.join(word).exists() {
                findings.push(format!("{}: `{word}` does not exist", file.display()));
            }
        }
    }
    Ok(())
}

/// A promise is held by nobody when its test has another name by now.
fn check_promises(root: &Path, file: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let quoted = |cell: &str| {
        let inner = cell.trim().strip_prefix('`')?.strip_suffix('`')?;
        Some(inner.to_owned())
    };
    for row in read(root, file)?
        .lines()
        .filter(|line| line.starts_with('|'))
    {
        let cells: Vec<_> = row.split('|').map(quoted).collect();
        for pair in cells.windows(2) {
            let [Some(source), Some(test)] = pair else {
                continue;
            };
            if !source.ends_with(".rs") {
                continue;
            }
            let text = std::fs::read_to_string(root.join(source)).unwrap_or_default();
            let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
            if !text
                .split(|letter| !is_name(letter))
                .any(|word| word == test)
            {
                findings.push(format!(
                    "{}: there is no `{test}` in {source}",
                    file.display()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let findings = findings(&crate::cargo::root()).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[test]
    fn a_table_is_read_from_its_marker_to_its_end() {
        let page = "<!-- tidy: crates -->\n| a | b | c |\n|---|---|---|\n| `x` | text | `y`, `z` |\n| `y` | | – |\n\n| `no` | | |";
        let table = table(page, "crates");
        assert_eq!(table.len(), 2);
        assert_eq!(table["x"], BTreeSet::from(["y".to_owned(), "z".to_owned()]));
        assert!(table["y"].is_empty());
    }

    #[test]
    fn uses_of_modules_are_found_in_every_form() {
        let text = "use crate::run::X;\nuse crate::{config, observe};\nlet x = crate::clock::wall();\nuse crate::Thing;";
        let used: Vec<String> = used_modules(text).into_iter().collect();
        assert_eq!(used, ["clock", "config", "observe", "run"]);
    }

    #[test]
    fn only_the_profile_of_guests_may_abort() {
        let manifest = "[profile.guest]\npanic = \"abort\"\n[profile.dist]\npanic=\"abort\"\n[profile.dev]\npanic = \"unwind\"\n[lib]\npanic = 1\n";
        let mut findings = Vec::new();
        check_profiles(manifest, &mut findings);
        assert_eq!(
            findings,
            ["Cargo.toml: the profile `dist` must keep panic = \"unwind\""]
        );
    }

    #[test]
    fn a_wrong_tree_is_told_place_by_place() {
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let page = "<!-- tidy: crates -->\n| a | b |\n|-|-|\n| `one` | – |\n\n<!-- tidy: modules -->\n| a | b |\n|-|-|\n| `run` | – |\n\n[x](gone.md) `host/gone.rs`\n\n| p | in | test |\n|-|-|-|\n| x | `host/src/run.rs` | `renamed` |\n";
        write("docs/ARCHITECTURE.md", page);
        write("Cargo.toml", "[profile.release]\npanic = \"abort\"\n");
        write(
            "one/Cargo.toml",
            "name = \"one\"\n[dependencies]\nstephost-two.workspace = true\n",
        );
        write("host/src/run.rs", "use crate::server::X;\n");
        write("one/src/utils.rs", "//! Everything.\n");
        let findings = findings(tree.path()).unwrap().join("\n");
        for expected in [
            "one/Cargo.toml: `one` must not use `stephost-two`",
            "host/src/run.rs: `run` must not use `server`",
            "host/src/run.rs: does not open with",
            "one/src/utils.rs: the name says nothing",
            "the link gone.md leads nowhere",
            "the profile `release` must keep panic",
            "`host/gone.rs` does not exist",
            "there is no `renamed` in host/src/run.rs",
        ] {
            assert!(
                findings.contains(expected),
                "{expected} is not in:\n{findings}"
            );
        }
    }
}
