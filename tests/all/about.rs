//! What the program says about itself: version, completions, manual pages.

use std::process::Stdio;

use serde_json::Value;
use stephost_tests::{block_on, run_program};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

#[test]
fn the_version_is_a_line_and_a_document() {
    block_on(async {
        let json = run_program(&["version", "--json"], &[]).await;
        assert_eq!((json.status.code(), json.err.as_str()), (Some(0), ""));
        assert!(
            json.out.starts_with("{\"schema\":\"stephost.version/1\","),
            "{}",
            json.out
        );
        let version: Value = serde_json::from_str(&json.out).expect("JSON");
        let word = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(word("version"), env!("CARGO_PKG_VERSION"));
        assert!(word("rustc").starts_with("rustc 1."), "{version}");
        assert!(word("wasmtime").starts_with("48."), "{version}");
        let hello = version["builtins"].as_array().expect("a list").iter();
        assert_eq!(
            hello.filter(|builtin| builtin["name"] == "hello").count(),
            1
        );
        let line = run_program(&["version"], &[]).await;
        assert_eq!(
            line.out,
            format!("stephost {} ({})\n", word("version"), word("target"))
        );
    });
}

#[test]
fn completions_are_scripts_of_their_shell() {
    block_on(async {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let done = run_program(&["completions", shell], &[]).await;
            assert_eq!(
                (done.status.code(), done.err.as_str()),
                (Some(0), ""),
                "{shell}"
            );
            assert!(done.out.contains("bootstrap"), "{shell}: {}", done.out);
        }
        let script = run_program(&["completions", "bash"], &[]).await.out;
        let mut bash = Command::new("bash")
            .arg("-n")
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is bash");
        let mut stdin = bash.stdin.take().expect("stdin is piped");
        stdin
            .write_all(script.as_bytes())
            .await
            .expect("bash reads");
        drop(stdin);
        assert!(
            bash.wait()
                .await
                .expect("a child can be waited for")
                .success()
        );
        assert_eq!(
            run_program(&["completions", "tcsh"], &[])
                .await
                .status
                .code(),
            Some(2)
        );
    });
}

#[test]
fn every_command_has_a_manual_page() {
    block_on(async {
        let page = run_program(&["man"], &[]).await;
        assert_eq!(page.status.code(), Some(0));
        assert!(
            page.out.contains(".TH stephost 1") && page.out.contains(".SH SUBCOMMANDS"),
            "{}",
            page.out
        );
        let dir = TempDir::new().expect("a directory can be made");
        let path = dir.path().to_str().expect("a temporary path is text");
        assert_eq!(
            run_program(&["man", path], &[]).await.status.code(),
            Some(0)
        );
        for command in [
            "",
            "-doctor",
            "-health",
            "-policy-check",
            "-steps",
            "-steps-serve",
        ] {
            let file = dir.path().join(format!("stephost{command}.1"));
            let page = std::fs::read_to_string(&file).expect(command);
            assert!(
                page.contains(&format!(".TH stephost{command} 1")) && page.contains(".SH NAME"),
                "{page}"
            );
        }
        let gone = dir.path().join("gone");
        let failed = run_program(&["man", gone.to_str().expect("text")], &[]).await;
        assert_eq!(failed.status.code(), Some(73), "{failed:?}");
    });
}
