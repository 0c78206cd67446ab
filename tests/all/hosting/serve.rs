//! `steps serve`: the marker, the command, exit codes, the operator's log (contract 7.2, 7.3; design D13).

use rustix::process::Signal;
use stephost_tests::{Client, Options, State, block_on, program, run_program, step_test};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::{
    MARKER, RECOVERED, directory, read, read_all, refused, request, run_job, serve_to_the_end,
    spawn, start, text,
};

#[test]
fn h01_serve_says_where_it_listens_in_exactly_the_words_a_runner_waits_for() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        assert_eq!(
            host.marker().await,
            format!("{MARKER}{}\n", socket.display())
        );
        let client = Client::connect(&socket)
            .await
            .expect("it listens when it says so");
        assert_eq!(client.list().await.expect("and answers"), []);
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
        assert!(!socket.exists(), "it removes its socket");
    });
}

#[test]
fn h01_serve_writes_nothing_but_the_marker_whatever_its_jobs_do() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        host.marker().await;
        let client = Client::connect(&socket).await.expect("it listens");
        for step in [
            "script: echo x >&2; exit 3",
            "func: 'builtin://test/misbehave'\n  inputs: {how: panic}",
        ] {
            let steps = format!(
                "{{}}\n---\nrun:\n- name: it\n  {}\n",
                step.replace("script: ", "script: |-\n    ")
            );
            let status = run_job(&client, &steps).await;
            assert_eq!(status, State::Failure, "{step}");
        }
        client.status("nobody").await.expect_err("nobody");
        host.signal(Signal::TERM);
        let (out, err) = (read(&mut host.stdout).await, read(&mut host.stderr).await);
        assert_eq!((out.as_str(), err.as_str()), ("", ""), "beside the marker");
        assert_eq!(host.ended().await.code(), Some(0));
    });
}

#[test]
fn h02_serve_with_a_command_ends_with_0_when_stdin_ends_without_a_byte() {
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
            "touch started",
        ];
        let mut host = start(&dir, &arguments, &[]);
        host.marker().await;
        drop(host.stdin.take());
        assert_eq!(host.ended().await.code(), Some(0));
        assert!(!dir.path().join("started").exists() && !socket.exists());
    });
}

#[test]
fn h02_the_command_waits_for_the_first_byte_and_loses_none() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(
            &dir,
            &[
                "steps",
                "serve",
                "--socket",
                text(&socket),
                "sh",
                "-c",
                "touch started; cat",
            ],
            &[],
        );
        host.marker().await;
        let client = Client::connect(&socket)
            .await
            .expect("it serves before there is a command");
        assert_eq!(client.list().await.expect("and answers"), []);
        assert!(!dir.path().join("started").exists());
        let mut stdin = host.stdin.take().expect("stdin is piped");
        stdin.write_all(b"first").await.expect("it reads");
        stdin.write_all(b" and last").await.expect("it reads");
        drop(stdin);
        assert_eq!(read(&mut host.stdout).await, "first and last");
        assert_eq!(host.ended().await.code(), Some(0));
        assert!(dir.path().join("started").exists());
    });
}

#[test]
fn h03_the_exit_code_of_the_command_is_that_of_serve() {
    block_on(async {
        for (script, code) in [
            ("exit 5", 5),
            ("exit 0", 0),
            ("exit 255", 255),
            ("kill -9 $$", 128 + 9),
        ] {
            let dir = directory();
            let socket = dir.path().join("s");
            let mut host = start(
                &dir,
                &["steps", "serve", "--socket", text(&socket), "sh"],
                &[],
            );
            host.marker().await;
            host.feed(&format!("echo hello; echo there >&2; {script}\n"))
                .await;
            let (out, err) = (read(&mut host.stdout).await, read(&mut host.stderr).await);
            assert_eq!(
                (out.as_str(), err.as_str()),
                ("hello\n", "there\n"),
                "{script}"
            );
            assert_eq!(host.ended().await.code(), Some(code), "{script}");
            assert!(!socket.exists(), "{script}: the server has stopped");
        }
    });
}

#[test]
fn h03_the_host_serves_while_its_command_runs_and_tells_it_where() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(
            &dir,
            &["steps", "serve", "--socket", text(&socket), "sh"],
            &[],
        );
        host.marker().await;
        let mut stdin = host.stdin.take().expect("stdin is piped");
        stdin
            .write_all(b"echo \"$STEP_RUNNER_SOCKET\"\n")
            .await
            .expect("it reads");
        let mut line = String::new();
        host.stdout.read_line(&mut line).await.expect("it writes");
        assert_eq!(line, format!("{}\n", socket.display()));
        let client = Client::connect(&socket).await.expect("it listens");
        let steps = "{}\n---\nrun:\n- {name: it, script: 'true'}\n";
        assert_eq!(run_job(&client, steps).await, State::Success);
        drop(client);
        stdin.write_all(b"exit 6\n").await.expect("it reads");
        assert_eq!(host.ended().await.code(), Some(6));
    });
}

#[test]
fn h03_a_command_that_is_not_there_is_a_failure() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(
            &dir,
            &[
                "steps",
                "serve",
                "--socket",
                text(&socket),
                "no-such-program",
            ],
            &[],
        );
        host.marker().await;
        host.feed("x").await;
        assert_ne!(host.ended().await.code(), Some(0));
        assert!(!socket.exists());
    });
}

#[test]
fn h03_a_signal_ends_serve_while_its_command_waits_or_runs() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let arguments = ["steps", "serve", "--socket", text(&socket), "sh"];
        let mut waiting = start(&dir, &arguments, &[]);
        waiting.marker().await;
        waiting.signal(Signal::TERM);
        assert_eq!(
            waiting.ended().await.code(),
            Some(0),
            "nothing was asked of it"
        );
        let mut running = start(&dir, &arguments, &[]);
        running.marker().await;
        let mut stdin = running.stdin.take().expect("stdin is piped");
        stdin
            .write_all(b"trap 'exit 9' TERM; echo up; while :; do :; done\n")
            .await
            .expect("it reads");
        let mut line = String::new();
        running
            .stdout
            .read_line(&mut line)
            .await
            .expect("it writes");
        running.signal(Signal::TERM);
        assert_eq!(
            running.ended().await.code(),
            Some(9),
            "the command was asked politely"
        );
    });
}

#[test]
fn d13_serve_never_ends_with_0_before_the_marker() {
    block_on(async {
        let dir = directory();
        let missing = dir.path().join("missing/log");
        let table: [(&str, &[&str]); 5] = [
            ("an unknown option", &["--no-such-option"]),
            ("no value", &["--socket"]),
            (
                "a log file that cannot be made",
                &["--log-file", text(&missing)],
            ),
            ("a drain timeout that is none", &["--drain-timeout", "soon"]),
            ("a socket that cannot be made", &["--socket", "/proc/s"]),
        ];
        for (row, arguments) in table {
            refused(row, &serve_to_the_end(&dir, arguments).await);
        }
    });
}

#[test]
fn d13_the_operators_log_goes_to_its_file_and_nowhere_else() {
    block_on(async {
        let dir = directory();
        let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
        let arguments = [
            "steps",
            "serve",
            "--socket",
            text(&socket),
            "--log-file",
            text(&log),
        ];
        let mut host = start(&dir, &arguments, &[]);
        host.marker().await;
        let client = Client::connect(&socket).await.expect("it listens");
        let run = |steps: &str| request("twice", steps);
        client
            .run(run("{}\n---\nrun:\n- {name: it, script: 'true'}\n"))
            .await
            .expect("it starts");
        client.run(run("")).await.expect("a second Run is fine");
        client.close("twice").await.expect("closed");
        host.signal(Signal::TERM);
        assert_eq!(read_all(&mut host).await, (String::new(), String::new()));
        assert_eq!(host.ended().await.code(), Some(0));
        let written = std::fs::read_to_string(&log).expect("it was made");
        assert!(
            written.contains("twice") && written.contains("nothing started"),
            "{written}"
        );
    });
}

step_test!(
    steps_see_where_their_host_listens_and_nothing_that_is_between_it_and_the_runner,
    Options {
        // `SECRET;TOKEN`, compressed.
        env: vec![
            (
                "RUNNER_JOB_VAR_NAMES".into(),
                "H4sIAAAAAAACAwt2dQ5yDbEO8fd29QMAuEwdCAwAAAA=".into()
            ),
            ("SECRET".into(), "1".into()),
            ("TOKEN".into(), "2".into()),
            ("KEPT".into(), "3".into()),
            (RECOVERED.into(), "!".into()),
        ],
        ..Options::default()
    },
    |host| {
        let ended = host.script("env").run().await;
        let (out, socket) = (ended.succeeds().out(), host.socket().display());
        let has = |name: &str| {
            out.lines()
                .any(|line| line.starts_with(&format!("{name}=")))
        };
        assert!(
            out.contains(&format!("STEP_RUNNER_SOCKET={socket}\n")) && has("KEPT"),
            "{out}"
        );
        for name in ["SECRET", "TOKEN", "RUNNER_JOB_VAR_NAMES", RECOVERED] {
            assert!(!has(name), "{name}: {out}");
        }
    }
);

#[test]
fn version_is_one_line_on_stdout() {
    block_on(async {
        for arguments in [["version"], ["--version"]] {
            let done = run_program(&arguments, &[]).await;
            assert!(done.status.success() && done.err.is_empty(), "{done:?}");
            assert!(
                done.out.starts_with("stephost ") && done.out.lines().count() == 1,
                "{done:?}"
            );
        }
    });
}

#[test]
fn arguments_that_are_none_are_explained_with_exit_code_2() {
    block_on(async {
        let table: [&[&str]; 5] = [
            &[],
            &["steps"],
            &["no-such-command"],
            &["steps", "no-such"],
            &["steps", "bootstrap"],
        ];
        for arguments in table {
            let done = run_program(arguments, &[]).await;
            assert_eq!(
                (done.status.code(), done.out.as_str()),
                (Some(2), ""),
                "{arguments:?}: {done:?}"
            );
            assert!(done.err.contains("Usage"), "{arguments:?}: {done:?}");
        }
    });
}

#[test]
fn d13_a_marker_that_cannot_be_written_is_a_failure_that_leaves_no_socket() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let serve = format!(
            "exec {} steps serve --socket {} 2>/dev/full",
            program().display(),
            socket.display()
        );
        let mut full = spawn(Command::new("sh").args(["-c", &serve]));
        assert_eq!(
            full.ended().await.code(),
            Some(73),
            "a marker that cannot be written"
        );
        assert!(!socket.exists(), "it takes its socket along");
    });
}
