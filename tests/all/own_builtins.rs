//! An operator's own builtins, beside the program (design D11).

use std::path::Path;

use stephost_tests::{Ended, Host, Installation, Options, block_on, usual_policy};

/// Runs `test` with a host that found what `prepare` has laid beside it.
fn with_own(prepare: impl FnOnce(&Path), test: impl AsyncFnOnce(&Host, &Path)) {
    let rule = "[[allow]]\nfunction = \"release/notes\"\nreason = \"a test\"\n";
    let installed = Installation::with_policy(&format!("{}{rule}", usual_policy()));
    let own = installed.companion().join("builtins/release");
    std::fs::create_dir_all(&own).expect("a directory can be made");
    prepare(&own);
    let options = Options {
        program: Some(installed.program()),
        ..Options::default()
    };
    block_on(async {
        let host = Host::start(options).await;
        test(&host, &own).await;
        host.finish().await;
    });
}

/// A builtin that works: the one that misbehaves, as `release/notes`, which its rule gives nothing.
fn lay(own: &Path) {
    let guest = own.with_file_name("test").join("misbehave.wasm");
    std::fs::copy(guest, own.join("notes.wasm")).expect("a file can be copied");
}

async fn notes(host: &Host, how: &str) -> Ended {
    let step =
        format!("run: [{{name: it, func: 'builtin://release/notes', inputs: {{how: {how}}}}}]");
    host.job(&step).run().await
}

#[test]
fn a_component_beside_the_program_is_a_builtin_by_directory_and_name() {
    with_own(lay, async |host, _| {
        notes(host, "echo").await.succeeds();
        notes(host, "fail")
            .await
            .fails()
            .saying("exec: asked to fail");
        let unknown = "run: [{name: it, func: 'builtin://release/note'}]";
        host.job(unknown).run().await.fails().saying(
            "no builtin function `release/note`; this host has hello, release/notes, script",
        );
    });
}

#[test]
fn a_builtin_that_was_used_stays_what_it_was() {
    with_own(lay, async |host, own| {
        notes(host, "echo").await.succeeds();
        std::fs::write(own.join("notes.wasm"), "something else").expect("a file can be written");
        notes(host, "echo").await.succeeds();
    });
}

#[test]
fn a_file_that_is_no_builtin_fails_its_step_and_nothing_else() {
    type Prepare = fn(&Path);
    let table: [(Prepare, &str); 5] = [
        (
            |path| std::fs::write(path, "#!/bin/sh").unwrap_or_default(),
            "exec: the builtin cannot be used: it is not a component",
        ),
        (
            |path| std::fs::write(path, b"\0asm\x01\0\0\0").unwrap_or_default(),
            "it is a core module",
        ),
        (
            |path| std::fs::write(path, "").unwrap_or_default(),
            "it is not a component",
        ),
        (
            |path| std::fs::create_dir(path).unwrap_or_default(),
            "the component of the builtin `release/notes` cannot be read",
        ),
        (
            |path| {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap_or_default();
            },
            "the component of the builtin `release/notes` cannot be read",
        ),
    ];
    for (prepare, words) in table {
        with_own(
            |own| prepare(&own.join("notes.wasm")),
            async |host, own| {
                let ended = notes(host, "echo").await;
                ended.fails().saying(words);
                let path = own.display().to_string();
                assert!(!ended.status.message.contains(&path), "{ended:?}");
                host.script("echo fine").run().await.succeeds();
            },
        );
    }
}

#[test]
fn a_builtin_that_no_step_could_name_keeps_the_host_from_starting() {
    for name in ["Notes.wasm", "no tes.wasm"] {
        let installed = Installation::with_policy(usual_policy());
        let file = installed.companion().join("builtins/test").join(name);
        std::fs::write(&file, "").expect("a file can be written");
        let output = std::process::Command::new(installed.program())
            .args(["steps", "serve", "--socket"])
            .arg(installed.companion().join("s"))
            .env_clear()
            .output()
            .expect("the program under test starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{error}");
        assert!(
            error.contains(name) && error.contains("cannot be a builtin"),
            "{error}"
        );
    }
}

#[test]
fn builtins_and_policy_travel_with_bootstrap() {
    let rule = "[[allow]]\nfunction = \"test/misbehave\"\nreason = \"a test\"\n";
    let installed = Installation::with_policy(&format!("policy = 1\nname = \"own\"\n{rule}"));
    let copy = installed.program().with_file_name("copy");
    let done = std::process::Command::new(installed.program())
        .args(["steps", "bootstrap"])
        .arg(&copy)
        .status()
        .expect("the program under test starts");
    assert!(done.success());
    let options = Options {
        program: Some(copy),
        ..Options::default()
    };
    block_on(async {
        let host = Host::start(options).await;
        let step = "run: [{name: it, func: 'builtin://test/misbehave', inputs: {how: echo}}]";
        host.job(step).run().await.succeeds();
        host.finish().await;
    });
}
