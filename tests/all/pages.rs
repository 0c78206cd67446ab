//! Every shell block of every page is run: here, by the test that the table names, or by the gate itself. A new block
//! fails here until somebody runs it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stephost_tests::{block_on, blocks, program};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Who runs the blocks of a page.
enum By {
    /// The test below, where these files are; the first name is that of the file, the second where it is copied from.
    Here(&'static [(&'static str, &'static str)]),
    /// A test that takes all of them; this is where it stands.
    Test(&'static str),
    /// The gate: commands of the project itself, which cannot run inside of each other.
    Gate,
}

const PAGES: [(&str, By); 11] = [
    ("README.md", By::Gate),
    ("CONTRIBUTING.md", By::Gate),
    ("docs/authoring.md", By::Test("tests/all/author.rs")),
    (
        "docs/checking.md",
        By::Here(&[
            ("func.yml", "examples/version/func.yml"),
            ("steps.yml", "examples/version/func.yml"),
            ("policies/default.toml", "policies/default.toml"),
        ]),
    ),
    ("docs/clients.md", By::Test("tests/all/clients/page.rs")),
    ("docs/distribution.md", By::Here(&[])),
    ("docs/operating.md", By::Test("tests/all/hosting/daemon.rs")),
    (
        "docs/policy.md",
        By::Here(&[("policy.toml", "policies/default.toml")]),
    ),
    ("docs/running.md", By::Test("tests/all/local/page.rs")),
    ("docs/windows.md", By::Gate),
    (
        "host/src/cli/new/README.md",
        By::Test("tests/all/author.rs"),
    ),
];

/// What the gate runs, by the command, and the file and the words in it that run it.
const GATE: [(&str, &str, &str); 7] = [
    ("cargo xtask demo", "xtask/src/test.rs", "demo::demo()"),
    ("cargo xtask test", ".ci/run", "exec cargo xtask test"),
    (
        "cargo xtask clients",
        "xtask/src/test.rs",
        "clients::prepare(",
    ),
    ("cargo xtask dist", "xtask/src/test.rs", "dist::dist("),
    (
        "cargo xtask dist --check",
        "xtask/src/test.rs",
        "dist::dist(&[\"--check\"",
    ),
    // In CI, and where somebody asks for it.
    (
        "cargo xtask test --windows",
        "xtask/src/test.rs",
        "wine::test(",
    ),
    (
        "cargo xtask test --windows --install",
        "xtask/src/test.rs",
        "wine::test(install)",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Pages below a directory of the checkout, relative to it.
fn pages(below: &Path, found: &mut BTreeSet<String>) {
    let dir = root().join(below);
    for entry in dir.read_dir().expect("it can be read") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name();
        let path = below.join(&name);
        let kind = entry.file_type().expect("it has a type");
        let is_kept_out = name == "target" || name.as_encoded_bytes().starts_with(b".");
        if kind.is_dir() && !is_kept_out {
            pages(&path, found);
        } else if kind.is_file() && path.extension() == Some(OsStr::new("md")) {
            found.insert(path.to_str().expect("our names are text").to_owned());
        }
    }
}

/// The lines of a block without what is said about them.
fn commands(block: &str) -> Vec<&str> {
    let lines = block.lines().map(|line| {
        let command = line.split_once(" #").map_or(line, |(command, _)| command);
        command.trim()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

fn is_of_the_gate(block: &str) -> bool {
    let lines = commands(block);
    lines.iter().all(|line| line.starts_with("cargo xtask "))
}

#[test]
fn every_page_with_commands_has_somebody_who_runs_them() {
    let mut found = BTreeSet::new();
    pages(Path::new(""), &mut found);
    let with_commands: BTreeSet<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|page| !blocks(&read(page), "sh").is_empty())
        .collect();
    let known: BTreeSet<&str> = PAGES.iter().map(|(page, _)| *page).collect();
    assert_eq!(with_commands, known);

    let other = ["bash", "shell", "zsh"];
    for page in &found {
        let text = read(page);
        let aside = other.iter().find(|word| !blocks(&text, word).is_empty());
        assert_eq!(aside, None, "{page}: a shell block is called `sh`");
    }
    for (page, by) in &PAGES {
        let text = read(page);
        match by {
            By::Here(_) => {}
            By::Gate => assert!(
                blocks(&text, "sh").into_iter().all(is_of_the_gate),
                "{page}"
            ),
            By::Test(file) => {
                let name = Path::new(page).file_name().and_then(OsStr::to_str);
                let test = read(file);
                assert!(test.contains(name.expect("a name")), "{file} runs {page}");
                assert!(test.contains(", \"sh\")"), "{file} runs {page}");
            }
        }
    }
}

#[test]
fn the_commands_of_the_project_are_run_by_its_gate() {
    let mut checked = 0;
    for (page, _) in &PAGES {
        let text = read(page);
        let of_the_gate = blocks(&text, "sh")
            .into_iter()
            .filter(|block| is_of_the_gate(block));
        for command in of_the_gate.flat_map(commands) {
            let row = GATE.iter().find(|(known, ..)| *known == command);
            let (_, file, words) = row.unwrap_or_else(|| panic!("{page}: who runs `{command}`?"));
            assert!(read(file).contains(words), "{file} runs `{command}`");
            checked += 1;
        }
    }
    assert!(checked > GATE.len(), "they are on several pages");
}

#[test]
fn the_commands_of_the_pages_run() {
    block_on(async {
        for (page, by) in &PAGES {
            let By::Here(files) = by else { continue };
            let place = TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made");
            for (to, from) in *files {
                let to = place.path().join(to);
                let dir = to.parent().expect("a file has a directory");
                std::fs::create_dir_all(dir).expect("a directory can be made");
                std::fs::copy(root().join(from), to).expect("it is there");
            }
            // Somebody listens at the usual socket, for whoever asks.
            let mut host = tokio::process::Command::new(program())
                .args(["steps", "serve"])
                .env_clear()
                .env("TMPDIR", place.path())
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("the program under test starts");
            let stderr = host.stderr.take().expect("stderr is piped");
            let marker = BufReader::new(stderr).lines().next_line().await;
            marker.expect("stderr can be read").expect("a host listens");
            let program = program();
            let programs = program.parent().expect("it has a directory");
            for block in blocks(&read(page), "sh") {
                if is_of_the_gate(block) {
                    continue;
                }
                let done = Command::new("sh")
                    .args(["-eu", "-c", block])
                    .current_dir(place.path())
                    .env_clear()
                    .env("TMPDIR", place.path())
                    .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
                    .output()
                    .expect("a shell starts");
                let said = String::from_utf8_lossy(&done.stderr);
                assert!(done.status.success(), "{page}: {block}{said}");
                assert!(!done.stdout.is_empty(), "{page}: {block}");
            }
        }
    });
}
