//! docs/running.md is true: its commands run, and say what it shows.

use std::path::Path;

use serde_json::Value as Json;
use stephost_tests::{blocks, installed_program};
use tokio::process::Command;

use super::Place;

const PAGE: &str = include_str!("../../../docs/running.md");

#[tokio::test]
async fn every_command_of_the_running_page_runs_and_says_what_is_shown() {
    let place = Place::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["version", "tarball", "release"] {
        let text = std::fs::read(examples.join(name).join("func.yml")).expect("an example");
        place.file(&format!("{name}/func.yml"), text);
    }
    let programs = installed_program().parent().expect("it has a directory");
    // What a command prints comes in the order in which it is on a terminal.
    let script = format!("exec 2>&1\n{}", blocks(PAGE, "sh").join("\n"));
    let done = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(place.work.path())
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()),
        )
        .env("TMPDIR", place.temp.path())
        .output()
        .await
        .expect("a shell starts");
    place.is_clean();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{script}\n{said}");

    let [version, _card, differs] = blocks(PAGE, "text")[..] else {
        panic!("the page shows three texts");
    };
    for shown in [version, differs] {
        assert!(said.contains(shown), "{shown}\nis not in\n{said}");
    }
    assert!(said.contains("\nrelease blue\n"), "{said}");
    assert!(said.contains("\nended as success\n"), "{said}");

    let document = said.lines().find(|line| line.starts_with("{\"schema\""));
    let untimed = |text: &str| {
        let mut document: Json = serde_json::from_str(text).expect("a document");
        document["elapsed_ms"].take();
        document
    };
    let shown = blocks(PAGE, "json");
    assert_eq!(untimed(document.expect("one line")), untimed(shown[0]));
}
