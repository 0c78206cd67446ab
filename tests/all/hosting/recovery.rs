//! Arguments that an entrypoint dropped (contract 7.2; design D11).

use base64::Engine as _;
use stephost_tests::{block_on, run_program};

use super::{MARKER, RECOVERED, directory, names, packed, read, start, text};

#[test]
fn h05_arguments_that_an_entrypoint_dropped_are_recovered() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let arguments = [
            "steps",
            "serve",
            "--socket",
            text(&socket),
            "sh",
            "-c",
            "env; cat",
        ];
        let mut host = start(&dir, &[], &[(RECOVERED, &packed(&arguments))]);
        assert_eq!(
            host.marker().await,
            format!("{MARKER}{}\n", socket.display())
        );
        host.feed("fed").await;
        let out = read(&mut host.stdout).await;
        assert!(out.ends_with("fed"), "{out}");
        assert!(!out.contains(RECOVERED), "the variable is gone: {out}");
        assert_eq!(host.ended().await.code(), Some(0));
    });
}

#[test]
fn h05_recovered_arguments_bootstrap_too_and_given_ones_count_first() {
    block_on(async {
        let dir = directory();
        let file = dir.path().join("copy");
        let packed = packed(&["steps", "bootstrap", text(&file)]);
        let given = run_program(&["version"], &[(RECOVERED, &packed)]).await;
        assert!(given.status.success() && !file.exists(), "{given:?}");
        let recovered = run_program(&[], &[(RECOVERED, &packed)]).await;
        assert!(recovered.status.success() && file.exists(), "{recovered:?}");
    });
}

#[test]
fn d11_only_what_a_runner_would_say_is_recovered() {
    block_on(async {
        let dir = directory();
        let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
        let (socket, log) = (text(&socket), text(&log));
        let equals = format!("--log-file={log}");
        let table = [
            ("another command", packed(&["version"])),
            ("help", packed(&["steps", "serve", "--help"])),
            ("steps alone", packed(&["steps"])),
            (
                "another file",
                packed(&["steps", "serve", "--socket", socket, "--log-file", log]),
            ),
            (
                "another file first",
                packed(&["steps", "serve", &equals, "--socket", socket]),
            ),
            (
                "another file as the socket's value",
                packed(&["steps", "serve", "--socket", &equals]),
            ),
            (
                "a drain timeout",
                packed(&[
                    "steps",
                    "serve",
                    "--socket",
                    socket,
                    "--drain-timeout",
                    "1h",
                ]),
            ),
            (
                "an object",
                base64::engine::general_purpose::STANDARD.encode("{}"),
            ),
            (
                "numbers",
                base64::engine::general_purpose::STANDARD.encode("[1]"),
            ),
            ("no base64", "!".to_owned()),
            ("nothing", String::new()),
        ];
        for (row, packed) in table {
            let done =
                run_program(&[], &[(RECOVERED, &packed), ("TMPDIR", text(dir.path()))]).await;
            assert_ne!(done.status.code(), Some(0), "{row}: {done:?}");
            assert!(!done.err.contains(MARKER), "{row}: {done:?}");
            assert_eq!(names(dir.path()), [""; 0], "{row}");
        }
    });
}
