//! The way of an author: `new`, then the three commands of the new project's README; and what a sensitive input does.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use stephost_tests::{program, step_test};
use tempfile::TempDir;

const NAME: &str = "greet-somebody";
const COMPONENT: &str = "wasm32-unknown-unknown/release/greet_somebody.wasm";

/// Meant for the build around this test.
const NOT_FOR_THE_PROJECT: [&str; 4] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
];

fn stephost(place: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut host = Command::new(program());
    host.current_dir(place).args(arguments);
    host.output().expect("the program under test starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs one of the README's commands, offline.
fn cargo(project: &Path, target_dir: &Path, arguments: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(project)
        .args(arguments)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target_dir);
    for name in NOT_FOR_THE_PROJECT {
        cargo.env_remove(name);
    }
    let done = cargo.output().expect("cargo starts");
    assert!(
        done.status.success(),
        "cargo {arguments:?}\n{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
}

#[test]
fn a_new_project_tests_builds_and_runs_by_its_three_commands() {
    let place = TempDir::new().expect("a directory can be made");
    let made = stephost(place.path(), ["new", NAME]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let project = place.path().join(NAME);

    // The versions of this workspace are on this machine already. What others need is built once and kept.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).expect("the workspace has a lock file");
    let built = program();
    let target_dir = built
        .ancestors()
        .nth(2)
        .expect("the program lies in target/PROFILE")
        .join("new-project");

    cargo(&project, &target_dir, &["test"]);
    cargo(
        &project,
        &target_dir,
        &["build", "--release", "--target", "wasm32-unknown-unknown"],
    );
    let component = target_dir.join(COMPONENT);
    let run = |input: &str| {
        let arguments = [
            OsStr::new("run"),
            component.as_os_str(),
            "-i".as_ref(),
            input.as_ref(),
        ];
        let ran = stephost(&project, arguments);
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    let left = "output greeting = \"Hello, Ada!\"\nexport GREETED=Ada\n";
    assert_eq!(
        run("name=Ada"),
        (Some(0), "Hello, Ada!\n".to_owned(), left.to_owned())
    );
    let failed = "error: the step failed: nobody to greet: exit status 3\n";
    assert_eq!(run("name="), (Some(3), String::new(), failed.to_owned()));
    let unknown = "error: the step takes no input `nmae`; it takes: name\n";
    assert_eq!(
        run("nmae=Ada"),
        (Some(2), String::new(), unknown.to_owned())
    );
}

#[test]
fn new_refuses_what_exists_and_what_cannot_be_a_name() {
    let place = TempDir::new().expect("a directory can be made");
    std::fs::write(place.path().join(NAME), "precious").expect("a file can be written");
    for (name, code) in [(NAME, 73), ("../elsewhere", 2), ("fn", 2)] {
        let refused = stephost(place.path(), ["new", name]);
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{name}: {}",
            text(&refused.stderr)
        );
    }
    let kept = std::fs::read_to_string(place.path().join(NAME)).expect("it is still there");
    assert_eq!(kept, "precious");
    assert_eq!(place.path().read_dir().expect("it can be read").count(), 1);
}

#[test]
fn run_refuses_a_file_that_is_no_component() {
    let place = TempDir::new().expect("a directory can be made");
    std::fs::write(place.path().join("x.wasm"), "no wasm").expect("a file can be written");
    for file in ["x.wasm", "gone.wasm"] {
        let refused = stephost(place.path(), ["run", file]);
        assert_eq!(
            refused.status.code(),
            Some(65),
            "{file}: {}",
            text(&refused.stderr)
        );
    }
}

step_test!(
    a_sensitive_input_reaches_the_builtin_that_opens_it_and_no_log,
    |host| {
        let steps = "run:\n  \
            - {name: m, func: 'builtin://test/misbehave', inputs: {how: reveal, token: s3cret-text}}\n  \
            - {name: opened, script: 'case \"${{ steps.m.outputs.text }}\" in s3cret-*\" \"s3cret-*) echo it is whole;; esac'}\n  \
            - {name: echo, script: 'echo \"${{ steps.m.outputs.text }}\"'}\n";
        let ended = host.job(steps).run().await;
        ended
            .succeeds()
            .printing("Secret(token)")
            .printing("it is whole")
            .not_printing("s3cret-text");
    }
);
