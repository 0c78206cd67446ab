//! docs/json.md is true: documents have the keys that its tables list, and no others.
//!
//! Each table is held against documents of real runs. Together they show every key of it, so that no row is about
//! something that is never printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stephost_tests::{Installation, usual_policy};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/json.md");

/// What a row says of a key.
struct Key {
    kinds: BTreeSet<String>,
    is_optional: bool,
}

type Table = BTreeMap<String, Key>;

/// The tables of the page, by schema.
fn tables() -> BTreeMap<String, Table> {
    let sections = PAGE.split("\n## `").skip(1);
    let table = |section: &str| -> Table {
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let key = cells.next().expect("a key").trim_matches('`').to_owned();
            let (kinds, is_optional) = match cells.next().expect("a kind") {
                kind if kind.ends_with(", maybe") => (kind.trim_end_matches(", maybe"), true),
                kind => (kind, false),
            };
            let kinds = kinds.split(" or ").map(str::to_owned).collect();
            (key, Key { kinds, is_optional })
        })
        .collect()
    };
    sections
        .map(|section| {
            let (schema, rest) = section.split_once('`').expect("a heading");
            (schema.to_owned(), table(rest))
        })
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Holds a value against its row and those below; notes which rows were seen.
fn hold(table: &Table, path: &str, value: &Value, seen: &mut BTreeSet<String>) {
    if !path.is_empty() {
        let key = table
            .get(path)
            .unwrap_or_else(|| panic!("`{path}` is not in the table: {value}"));
        seen.insert(path.to_owned());
        if key.kinds.contains("anything") {
            return;
        }
        assert!(key.kinds.contains(kind(value)), "`{path}` is {value}");
    }
    match value {
        Value::Array(entries) => {
            for entry in entries {
                hold(table, &format!("{path}[]"), entry, seen);
            }
        }
        Value::Object(entries) => {
            let below = |key: &str| match path {
                "" => key.to_owned(),
                path => format!("{path}.{key}"),
            };
            let any = below("*");
            for (name, entry) in entries {
                let path = below(name);
                let path = if table.contains_key(&path) || !table.contains_key(&any) {
                    path
                } else {
                    any.clone()
                };
                hold(table, &path, entry, seen);
            }
            for (expected, key) in table {
                let name = match path {
                    "" => Some(expected.as_str()),
                    path => expected
                        .strip_prefix(path)
                        .and_then(|rest| rest.strip_prefix('.')),
                };
                let name = name.filter(|name| !name.contains(['.', '[', '*']));
                if let Some(name) = name {
                    assert!(
                        key.is_optional || entries.contains_key(name),
                        "`{expected}` is missing in {value}"
                    );
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a command prints: one line, one document, opened by its schema.
fn document(program: &Path, place: &Path, arguments: &[&str]) -> Value {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(place)
        .output()
        .expect("the program under test starts");
    let out = String::from_utf8(done.stdout).expect("text");
    let told = format!(
        "{arguments:?}: {out}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(out.lines().count(), 1, "{told}");
    let document: Value = serde_json::from_str(&out).expect("JSON");
    let schema = document["schema"].as_str().expect("it has a schema");
    assert!(
        out.starts_with(&format!("{{\"schema\":\"{schema}\",")),
        "{told}"
    );
    document
}

const DECLARES: &str = "spec:\n  inputs: {x: {type: string, default: a}}\n  outputs:\n    plain: {type: string}\n    hidden: {type: string, sensitive: true}\n---\n\
    exec: {command: [sh, -c, 'printf \"{\\\"name\\\":\\\"plain\\\",\\\"value\\\":\\\"1\\\"}\\n{\\\"name\\\":\\\"hidden\\\",\\\"value\\\":\\\"2\\\"}\\n\" > \"$0\"', '${{ output_file }}']}\n";

/// A guest that does not say what it needs.
fn launch() -> &'static [u8] {
    let mut guests = stephost_builtins::test_guests().iter();
    let launch = guests.find(|guest| guest.name == "test/launch");
    launch.expect("it is built with the tests").wasm
}

/// The same guest, saying what it needs: in a section of its own, behind the others.
fn asking_component() -> Vec<u8> {
    let name = "stephost:needs";
    let text = r#"{"version":1,"process":["sh"],"env":["CI"],"exports":["A"],"limits":{"memory":"1 MiB"}}"#;
    let small = |length: usize| u8::try_from(length).ok().filter(|byte| *byte < 0x80);
    let length = |text: &str| small(text.len()).expect("one byte is enough");
    let mut component = launch().to_vec();
    component.extend([0, length(name) + length(text) + 1, length(name)]);
    component.extend(name.bytes().chain(text.bytes()));
    component
}

#[test]
fn documents_have_the_keys_of_the_page_and_no_others() {
    let installed = Installation::with_policy(usual_policy());
    let program = installed.program();
    let component = installed.companion().join("builtins/test/misbehave.wasm");
    let component = component.to_str().expect("a temporary path is text");
    let place = TempDir::new().expect("a directory can be made");
    for (file, text) in [
        ("gives/func.yml", DECLARES),
        (
            "fails/func.yml",
            "{}\n---\nrun: [{name: it, script: 'echo oh; exit 3'}]\n",
        ),
        (
            "wrong.yml",
            "spec: {}\n---\nrun:\n- {name: a, func: ./gives, inputs: {y: 010}}\n- {name: a, envs: {}, func: builtin://hello}\n",
        ),
        (
            "twice.yml",
            "spec: {}\n---\nexec: {command: [a], command: [b]}\n",
        ),
        ("ci.yml", "it: {image: alpine, script: [echo it]}\n"),
    ] {
        let file = place.path().join(file);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("it can be made");
        std::fs::write(file, text).expect("a file can be written");
    }
    std::fs::copy(
        place.path().join("ci.yml"),
        place.path().join(".gitlab-ci.yml"),
    )
    .expect("it is there");
    let asking = place.path().join("asking.wasm");
    std::fs::write(&asking, asking_component()).expect("a file can be written");
    std::fs::write(place.path().join("silent.wasm"), launch()).expect("a file can be written");
    let commands: [&[&str]; 13] = [
        &["version", "--json"],
        &["check", "--json", "wrong.yml", "twice.yml", "gone.yml"],
        &["run", "--json", "./gives"],
        &["run", "--json", "./fails"],
        &["run", "--json", ".gitlab-ci.yml#it"],
        &["doctor", "--json"],
        &["inspect", "--json", component],
        &["inspect", "--json", "asking.wasm"],
        &["inspect", "--json", "silent.wasm"],
        &[
            "inspect",
            "--json",
            component,
            "--function",
            "test/misbehave",
        ],
        &["inspect", "--json", component, "--function", "no/rule"],
        &["policy", "show", "--json"],
        &["policy", "show", "--json", "--policy", "policy.toml"],
    ];
    std::fs::write(
        place.path().join("policy.toml"),
        "policy = 1\nname = 'own'\n",
    )
    .expect("a file can be written");
    let tables = tables();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arguments in commands {
        let document = document(&program, place.path(), arguments);
        let schema = document["schema"]
            .as_str()
            .expect("it has a schema")
            .to_owned();
        let table = tables
            .get(&schema)
            .unwrap_or_else(|| panic!("{schema} is on the page"));
        hold(table, "", &document, seen.entry(schema).or_default());
    }
    for (schema, table) in &tables {
        let seen = &seen[schema];
        let never: Vec<&String> = table.keys().filter(|key| !seen.contains(*key)).collect();
        assert!(never.is_empty(), "{schema}: nothing shows {never:?}");
    }
}

#[test]
fn every_command_that_prints_json_is_on_the_page() {
    let place = TempDir::new().expect("a directory can be made");
    let dir = place.path().to_str().expect("a temporary path is text");
    let done = Command::new(stephost_tests::program())
        .args(["man", dir])
        .status()
        .expect("the program under test starts");
    assert!(done.success());
    let mut commands = BTreeSet::new();
    for page in std::fs::read_dir(place.path()).expect("pages were written") {
        let page = page.expect("it can be read").path();
        let text = std::fs::read_to_string(&page).expect("a page");
        if text.contains("\\-\\-json") {
            let name = page
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a name");
            commands.insert(name.replace('-', " "));
        }
    }
    assert!(commands.contains("stephost check"), "{commands:?}");
    for command in commands {
        assert!(PAGE.contains(&format!("\n`{command} --json")), "{command}");
    }
}
