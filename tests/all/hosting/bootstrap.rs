//! `steps bootstrap`: a copy that runs anywhere (contract 7.2; design D11).

use rustix::process::Signal;
use stephost_tests::{Client, State, block_on, program, run_program};
use tokio::process::Command;

use super::{directory, mode, names, run_job, spawn, text};

/// What a helper image has in the helper's place.
#[test]
fn a_helper_image_sends_steps_to_us_and_the_rest_to_the_real_helper() {
    let dir = directory();
    let place = |name: &str| dir.path().join(name);
    let executable = |name: &str, content: &[u8]| {
        std::fs::write(place(name), content).expect("a file can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place(name), mode).expect("it is ours");
    };
    executable(
        "gitlab-runner-helper",
        include_bytes!("../../../packaging/helper-image/gitlab-runner-helper"),
    );
    executable(
        "gitlab-runner-helper.real",
        b"#!/bin/sh\necho \"real $*\"\n",
    );
    std::os::unix::fs::symlink(program(), place("stephost")).expect("a link can be made");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(place("gitlab-runner-helper"))
            .args(arguments)
            .output()
            .expect("a shell starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(
        run(&["artifacts-downloader", "a b"]),
        "real artifacts-downloader a b\n"
    );
    assert_eq!(run(&[]), "real \n");
    assert_eq!(run(&["steps", "bootstrap", text(&place("copy"))]), "");
    assert!(place("copy").is_file(), "that was us");
}

#[test]
fn bootstrap_copies_the_program_and_its_directory() {
    block_on(async {
        let dir = directory();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let done = run_program(&["steps", "bootstrap", text(&first)], &[]).await;
        assert!(
            done.status.success() && done.out.is_empty() && done.err.is_empty(),
            "{done:?}"
        );
        assert_eq!(mode(&first), 0o755);
        assert!(
            !dir.path().join("first.d").exists(),
            "there was none to copy"
        );
        std::fs::create_dir_all(dir.path().join("first.d/builtins")).expect("ours");
        std::fs::write(dir.path().join("first.d/policy.toml"), "version = 1\n").expect("ours");
        std::fs::write(dir.path().join("first.d/builtins/a.wasm"), b"\0asm").expect("ours");
        for round in ["first", "again"] {
            let done = spawn(Command::new(&first).args(["steps", "bootstrap", text(&second)]))
                .ended()
                .await;
            assert_eq!(done.code(), Some(0), "{round}");
        }
        assert!(
            std::fs::read(&second).expect("a copy") == std::fs::read(program()).expect("readable")
        );
        let policy = std::fs::read_to_string(dir.path().join("second.d/policy.toml"));
        assert_eq!(policy.ok().as_deref(), Some("version = 1\n"));
        assert_eq!(
            std::fs::read(dir.path().join("second.d/builtins/a.wasm"))
                .ok()
                .as_deref(),
            Some(&b"\0asm"[..])
        );
        assert_eq!(
            names(dir.path()),
            ["first", "first.d", "second", "second.d"],
            "nothing else is left"
        );
    });
}

#[test]
fn bootstrap_replaces_a_copy_that_runs_and_ignores_the_umask() {
    block_on(async {
        let dir = directory();
        let (copy, socket) = (dir.path().join("copy"), dir.path().join("s"));
        let bootstrap = format!(
            "umask 077; exec {} steps bootstrap {}",
            program().display(),
            copy.display()
        );
        let done = async || {
            Command::new("sh")
                .args(["-c", &bootstrap])
                .status()
                .await
                .expect("it starts")
                .code()
        };
        assert_eq!(done().await, Some(0));
        let mut host =
            spawn(Command::new(&copy).args(["steps", "serve", "--socket", text(&socket)]));
        host.marker().await;
        assert_eq!(done().await, Some(0), "while it runs");
        assert_eq!(mode(&copy), 0o755);
        let client = Client::connect(&socket)
            .await
            .expect("the running one is unharmed");
        let steps = "{}\n---\nrun:\n- {name: it, script: 'true'}\n";
        assert_eq!(run_job(&client, steps).await, State::Success);
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
    });
}

#[test]
fn bootstrap_to_where_nothing_can_be_written_fails_and_leaves_nothing() {
    block_on(async {
        let dir = directory();
        let table = [
            ("a directory", dir.path().to_owned()),
            ("no parent", dir.path().join("missing/copy")),
        ];
        for (row, file) in table {
            let done = run_program(&["steps", "bootstrap", text(&file)], &[]).await;
            assert_eq!(
                (done.status.code(), done.out.as_str()),
                (Some(73), ""),
                "{row}: {done:?}"
            );
            assert_eq!(names(dir.path()), [""; 0], "{row}");
        }
    });
}
