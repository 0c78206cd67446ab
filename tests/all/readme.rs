//! README.md is true: what it shows is what its commands print.

use std::path::Path;
use std::process::Command;

use stephost_tests::{blocks, program};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");

/// Commands after `$ `, each with what follows until the next one.
fn sessions(block: &str) -> Vec<(&str, String)> {
    let mut sessions: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), sessions.last_mut()) {
            (Some(command), _) => sessions.push((command, String::new())),
            (None, Some((_, shown))) => {
                shown.push_str(line);
                shown.push('\n');
            }
            (None, None) => panic!("a block begins with a command: {line}"),
        }
    }
    sessions
}

#[test]
fn what_the_readme_shows_is_what_its_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let place = TempDir::new().expect("a directory can be made");
    std::fs::create_dir(place.path().join("examples")).expect("a directory can be made");
    for name in ["version", "tarball", "release"] {
        let to = place.path().join("examples").join(name);
        std::fs::create_dir(&to).expect("a directory can be made");
        let from = root.join("examples").join(name).join("func.yml");
        std::fs::copy(from, to.join("func.yml")).expect("an example");
    }
    let sessions: Vec<_> = blocks(README, "console")
        .into_iter()
        .flat_map(sessions)
        .collect();
    assert!(sessions.len() > 2, "it shows something");
    let mut before = String::new();
    for (command, shown) in sessions {
        if command.starts_with("cd ") {
            before = format!("{command} && ");
            continue;
        }
        let program = program();
        let programs = program.parent().expect("it has a directory");
        let done = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {before}{command}")])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .output()
            .expect("a shell starts");
        assert_eq!(String::from_utf8_lossy(&done.stdout), shown, "{command}");
    }
}
