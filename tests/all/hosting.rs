//! The command line that a runner uses: serve, proxy, bootstrap (contract 7, 10.5; design D11, D12, D13).

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use stephost_tests::{Client, Host, Options, Program, Request, State, block_on, program, run_program, step_test, text_of};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tonic::Code;

const MARKER: &str = "step-runner is listening on socket ";
const RECOVERED: &str = "_GITLAB_RUNNER_HELPER_NATIVE_STEPS_ARGV";
/// Shell text that says `ready` and waits at the gate.
const WAIT: &str = "echo ready; read _ < gate; echo done";
/// The beginning of an HTTP/2 connection with empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn h01_serve_says_where_it_listens_in_exactly_the_words_a_runner_waits_for() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        assert_eq!(host.marker().await, format!("{MARKER}{}\n", socket.display()));
        let client = Client::connect(&socket).await.expect("it listens when it says so");
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
        for step in ["script: echo x >&2; exit 3", "func: 'builtin://test/misbehave'\n  inputs: {how: panic}"] {
            let steps = format!("{{}}\n---\nrun:\n- name: it\n  {}\n", step.replace("script: ", "script: |-\n    "));
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
        let arguments = ["steps", "serve", "--socket", text(&socket), "sh", "-c", "touch started"];
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
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket), "sh", "-c", "touch started; cat"], &[]);
        host.marker().await;
        let client = Client::connect(&socket).await.expect("it serves before there is a command");
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
        for (script, code) in [("exit 5", 5), ("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 128 + 9)] {
            let dir = directory();
            let socket = dir.path().join("s");
            let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket), "sh"], &[]);
            host.marker().await;
            host.feed(&format!("echo hello; echo there >&2; {script}\n")).await;
            let (out, err) = (read(&mut host.stdout).await, read(&mut host.stderr).await);
            assert_eq!((out.as_str(), err.as_str()), ("hello\n", "there\n"), "{script}");
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
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket), "sh"], &[]);
        host.marker().await;
        let mut stdin = host.stdin.take().expect("stdin is piped");
        stdin.write_all(b"echo \"$STEP_RUNNER_SOCKET\"\n").await.expect("it reads");
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
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket), "no-such-program"], &[]);
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
        assert_eq!(waiting.ended().await.code(), Some(0), "nothing was asked of it");
        let mut running = start(&dir, &arguments, &[]);
        running.marker().await;
        let mut stdin = running.stdin.take().expect("stdin is piped");
        stdin.write_all(b"trap 'exit 9' TERM; echo up; sleep 300 & wait\n").await.expect("it reads");
        let mut line = String::new();
        running.stdout.read_line(&mut line).await.expect("it writes");
        running.signal(Signal::TERM);
        assert_eq!(running.ended().await.code(), Some(9), "the command was asked politely");
    });
}

step_test!(h04_a_runner_can_work_through_a_proxy, |host| {
    let arguments = ["steps", "proxy", "--socket", text(host.socket())];
    let dir = directory();
    let mut proxy = start(&dir, &arguments, &[]);
    // A runner's connection is the proxy's stdio; here it is a socket that is copied there and back.
    let near = dir.path().join("near");
    let listener = UnixListener::bind(&near).expect("a socket can be made");
    let connected = async {
        let client = Client::connect(&near).await.expect("there is a listener");
        let mut log = Vec::new();
        let request = host.script("echo through; seq 1 20000").request();
        let status = client.run_and_follow(request, |piece| log.extend_from_slice(piece)).await;
        assert_eq!(status.expect("the job runs").state, State::Success);
        assert!(text_of(&log).ends_with("19999\n20000\n"));
    };
    let copied = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let stdin = proxy.stdin.take().expect("stdin is piped");
        let mut stdio = tokio::io::join(&mut proxy.stdout, stdin);
        // How a connection breaks off when its client goes away is not looked at.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut stdio).await;
    };
    tokio::join!(connected, copied);
    assert_eq!(read(&mut proxy.stderr).await, "");
    assert_eq!(proxy.ended().await.code(), Some(0));
});

#[test]
fn h04_a_proxy_changes_no_byte() {
    block_on(async {
        let dir = directory();
        let (mut proxy, stream) = proxied(&dir).await;
        let (mut from, mut to) = stream.into_split();
        let up: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let down: Vec<u8> = up.iter().map(|byte| byte ^ 0x55).collect();
        let mut stdin = proxy.stdin.take().expect("stdin is piped");
        let (mut received, mut returned) = (Vec::new(), Vec::new());
        let sent = async {
            stdin.write_all(&up).await.expect("it reads");
            drop(stdin);
        };
        let answered = async {
            to.write_all(&down).await.expect("it reads");
            from.read_to_end(&mut received).await.expect("the end of stdin arrives");
            drop(to);
        };
        let (_, (), read) = tokio::join!(sent, answered, proxy.stdout.read_to_end(&mut returned));
        read.expect("stdout can be read");
        assert!(received == up && returned == down, "{} up, {} down", received.len(), returned.len());
        assert_eq!(read_all(&mut proxy).await, (String::new(), String::new()));
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn h04_a_proxy_ends_when_the_server_closes_even_while_stdin_stays_open() {
    block_on(async {
        let dir = directory();
        let (mut proxy, mut stream) = proxied(&dir).await;
        let stdin = proxy.stdin.take();
        stream.write_all(b"bye").await.expect("it reads");
        drop(stream);
        assert_eq!(read(&mut proxy.stdout).await, "bye");
        assert_eq!(proxy.ended().await.code(), Some(0));
        drop(stdin);
    });
}

#[test]
fn h04_after_the_end_of_stdin_a_proxy_passes_on_what_the_server_still_says() {
    block_on(async {
        let dir = directory();
        let (mut proxy, mut stream) = proxied(&dir).await;
        proxy.feed("last words").await;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.expect("the end of stdin arrives");
        stream.write_all(b"understood").await.expect("it still reads");
        drop(stream);
        assert_eq!((heard.as_str(), read(&mut proxy.stdout).await.as_str()), ("last words", "understood"));
        assert_eq!(proxy.ended().await.code(), Some(0));
    });
}

#[test]
fn h04_a_proxy_without_a_host_fails_and_keeps_stdout_clean() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("nobody");
        let done = run_program(&["steps", "proxy", "--socket", text(&socket)], &[]).await;
        assert_eq!((done.status.code(), done.out.as_str()), (Some(69), ""), "{done:?}");
        assert!(done.err.contains("nobody"), "{done:?}");
    });
}

#[test]
fn h05_arguments_that_an_entrypoint_dropped_are_recovered() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let arguments = ["steps", "serve", "--socket", text(&socket), "sh", "-c", "env; cat"];
        let mut host = start(&dir, &[], &[(RECOVERED, &packed(&arguments))]);
        assert_eq!(host.marker().await, format!("{MARKER}{}\n", socket.display()));
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
            ("another file", packed(&["steps", "serve", "--socket", socket, "--log-file", log])),
            ("another file first", packed(&["steps", "serve", &equals, "--socket", socket])),
            ("another file as the socket's value", packed(&["steps", "serve", "--socket", &equals])),
            ("a drain timeout", packed(&["steps", "serve", "--socket", socket, "--drain-timeout", "1h"])),
            ("an object", base64::engine::general_purpose::STANDARD.encode("{}")),
            ("numbers", base64::engine::general_purpose::STANDARD.encode("[1]")),
            ("no base64", "!".to_owned()),
            ("nothing", String::new()),
        ];
        for (row, packed) in table {
            let done = run_program(&[], &[(RECOVERED, &packed), ("TMPDIR", text(dir.path()))]).await;
            assert_ne!(done.status.code(), Some(0), "{row}: {done:?}");
            assert!(!done.err.contains(MARKER), "{row}: {done:?}");
            assert_eq!(names(dir.path()), [""; 0], "{row}");
        }
    });
}

step_test!(d12_the_socket_is_for_its_owner_only, |host| {
    assert_eq!(mode(host.socket()), 0o600);
});

#[test]
fn d12_the_socket_is_for_its_owner_only_whatever_the_umask() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let serve = format!("umask 0; exec {} steps serve --socket {}", program().display(), socket.display());
        let mut host = spawn(Command::new("sh").args(["-c", &serve]).current_dir(dir.path()));
        host.marker().await;
        assert_eq!(mode(&socket), 0o600);
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
    });
}

#[test]
fn d12_without_a_path_serve_and_proxy_meet_in_a_private_directory() {
    block_on(async {
        let dir = directory();
        let mut host = start(&dir, &["steps", "serve"], &[]);
        let marker = host.marker().await;
        let socket = Path::new(marker.trim_end().strip_prefix(MARKER).expect("the marker"));
        let parent = socket.parent().expect("a directory");
        assert!(parent.parent() == Some(dir.path()), "{marker}");
        assert_eq!((mode(parent), mode(socket)), (0o700, 0o600));
        let mut proxy = start(&dir, &["steps", "proxy"], &[]);
        let mut stdin = proxy.stdin.take().expect("stdin is piped");
        stdin.write_all(HELLO).await.expect("it reads");
        let mut hello = [0; 9];
        proxy.stdout.read_exact(&mut hello).await.expect("a host answers with its settings");
        assert_eq!(hello[3], 4, "{hello:?}");
        drop(stdin);
        assert_eq!(proxy.ended().await.code(), Some(0));
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
        let again = start(&dir, &["steps", "serve"], &[]).marker_then_end().await;
        assert_eq!(again, marker, "the directory may be there already");
    });
}

#[test]
fn d12_places_where_others_could_put_a_socket_are_refused() {
    block_on(async {
        let dir = directory();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "keep me").expect("a file");
        symlink(path("file"), path("link")).expect("a link");
        symlink(path("nowhere"), path("dangling")).expect("a link");
        make_dir(&path("open"), 0o777);
        make_dir(&path("group"), 0o770);
        let long = path(&"x".repeat(108));
        let table = [
            ("a file", path("file")),
            ("a link to a file", path("link")),
            ("a link to nothing", path("dangling")),
            ("a directory", path("open")),
            ("a parent that everybody may write to", path("open/s")),
            ("a parent that a group may write to", path("group/s")),
            ("a parent that is not there", path("missing/s")),
            ("a path that is too long", long),
        ];
        for (row, socket) in table {
            refused(row, &serve_to_the_end(&dir, &["--socket", text(&socket)]).await);
            assert!(!path("nowhere").exists() && !path("open/s").exists(), "{row}");
            assert_eq!(std::fs::read_to_string(path("file")).ok().as_deref(), Some("keep me"), "{row}");
        }
    });
}

#[test]
fn d12_a_link_to_a_socket_and_a_socket_that_somebody_answers_at_are_refused() {
    block_on(async {
        let dir = directory();
        let (socket, link) = (dir.path().join("s"), dir.path().join("link"));
        let mut first = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        first.marker().await;
        symlink(&socket, &link).expect("a link");
        for taken in [&socket, &link] {
            refused("taken", &serve_to_the_end(&dir, &["--socket", text(taken)]).await);
        }
        let client = Client::connect(&socket).await.expect("the first one is unharmed");
        assert_eq!(client.list().await.expect("and answers"), []);
        first.signal(Signal::TERM);
        assert_eq!(first.ended().await.code(), Some(0));
    });
}

#[test]
fn d12_what_a_killed_host_left_does_not_stop_the_next() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let arguments = ["steps", "serve", "--socket", text(&socket)];
        let mut first = start(&dir, &arguments, &[]);
        first.marker().await;
        first.signal(Signal::KILL);
        first.ended().await;
        assert!(socket.exists());
        start(&dir, &arguments, &[]).marker_then_end().await;
    });
}

#[test]
fn d12_a_sticky_directory_of_everybody_is_fine() {
    block_on(async {
        let dir = directory();
        let open = dir.path().join("tmp");
        make_dir(&open, 0o1777);
        start(&dir, &["steps", "serve", "--socket", text(&open.join("s"))], &[]).marker_then_end().await;
    });
}

#[test]
fn d12_a_default_directory_that_is_not_private_is_refused() {
    block_on(async {
        let name = format!("stephost-{}", rustix::process::geteuid().as_raw());
        for (row, made) in [("readable", Some(0o755)), ("writable", Some(0o777)), ("a link", None)] {
            let dir = directory();
            let default = dir.path().join(&name);
            match made {
                Some(mode) => make_dir(&default, mode),
                None => {
                    make_dir(&dir.path().join("elsewhere"), 0o700);
                    symlink(dir.path().join("elsewhere"), &default).expect("a link");
                }
            }
            refused(row, &serve_to_the_end(&dir, &[]).await);
        }
    });
}

#[test]
fn d12_what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    block_on(async {
        let dir = directory();
        let default = dir.path().join("stephost-0");
        make_dir(&default, 0o700);
        std::os::unix::fs::chown(&default, Some(65534), Some(65534)).expect("root may");
        refused("a default directory of another", &serve_to_the_end(&dir, &[]).await);
        let socket = dir.path().join("s");
        drop(UnixListener::bind(&socket).expect("a socket"));
        std::os::unix::fs::chown(&socket, Some(65534), Some(65534)).expect("root may");
        refused("a socket of another", &serve_to_the_end(&dir, &["--socket", text(&socket)]).await);
        assert!(socket.exists());
    });
}

#[test]
fn d12_a_peer_of_another_user_is_not_served_even_if_it_can_connect() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    block_on(async {
        let dir = directory();
        let (socket, copy) = (dir.path().join("s"), dir.path().join("copy"));
        let copied = run_program(&["steps", "bootstrap", text(&copy)], &[]).await;
        assert!(copied.status.success(), "{copied:?}");
        let mut host = start(&dir, &["steps", "serve", "--socket", text(&socket)], &[]);
        host.marker().await;
        for path in [dir.path(), &socket] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("ours");
        }
        for (user, answers) in [(65534, false), (1, false), (0, true)] {
            let mut command = Command::new(&copy);
            command.args(["steps", "proxy", "--socket", text(&socket)]).uid(user).current_dir("/");
            let mut peer = spawn(&mut command);
            let mut stdin = peer.stdin.take().expect("stdin is piped");
            // A host that hangs up first is what is looked for.
            let _ = stdin.write_all(HELLO).await;
            let mut first = [0; 1];
            let got = peer.stdout.read(&mut first).await.expect("stdout can be read");
            assert_eq!(got == 1, answers, "user {user}");
            drop(stdin);
            assert_eq!(peer.ended().await.code(), Some(0), "user {user}: it could connect");
        }
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0));
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
            ("a log file that cannot be made", &["--log-file", text(&missing)]),
            ("a drain timeout that is none", &["--drain-timeout", "soon"]),
            ("a socket that cannot be made", &["--socket", "/proc/s"]),
        ];
        for (row, arguments) in table {
            refused(row, &serve_to_the_end(&dir, arguments).await);
        }
        let full = Command::new("sh")
            .args(["-c", &format!("exec {} steps serve --socket {}/s 2>/dev/full", program().display(), dir.path().display())])
            .stdin(Stdio::null())
            .status()
            .await
            .expect("it starts");
        assert_ne!(full.code(), Some(0), "a marker that cannot be written");
    });
}

#[test]
fn d13_the_operators_log_goes_to_its_file_and_nowhere_else() {
    block_on(async {
        let dir = directory();
        let (socket, log) = (dir.path().join("s"), dir.path().join("log"));
        let arguments = ["steps", "serve", "--socket", text(&socket), "--log-file", text(&log)];
        let mut host = start(&dir, &arguments, &[]);
        host.marker().await;
        let client = Client::connect(&socket).await.expect("it listens");
        let run = |steps: &str| request("twice", steps);
        client.run(run("{}\n---\nrun:\n- {name: it, script: 'true'}\n")).await.expect("it starts");
        client.run(run("")).await.expect("a second Run is fine");
        client.close("twice").await.expect("closed");
        host.signal(Signal::TERM);
        assert_eq!(read_all(&mut host).await, (String::new(), String::new()));
        assert_eq!(host.ended().await.code(), Some(0));
        let written = std::fs::read_to_string(&log).expect("it was made");
        assert!(written.contains("twice") && written.contains("nothing started"), "{written}");
    });
}

#[test]
fn bootstrap_copies_the_program_and_its_directory() {
    block_on(async {
        let dir = directory();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let done = run_program(&["steps", "bootstrap", text(&first)], &[]).await;
        assert!(done.status.success() && done.out.is_empty() && done.err.is_empty(), "{done:?}");
        assert_eq!(mode(&first), 0o755);
        assert!(!dir.path().join("first.d").exists(), "there was none to copy");
        std::fs::create_dir_all(dir.path().join("first.d/builtins")).expect("ours");
        std::fs::write(dir.path().join("first.d/policy.toml"), "version = 1\n").expect("ours");
        std::fs::write(dir.path().join("first.d/builtins/a.wasm"), b"\0asm").expect("ours");
        for round in ["first", "again"] {
            let done = spawn(Command::new(&first).args(["steps", "bootstrap", text(&second)])).ended().await;
            assert_eq!(done.code(), Some(0), "{round}");
        }
        assert!(std::fs::read(&second).expect("a copy") == std::fs::read(program()).expect("readable"));
        let policy = std::fs::read_to_string(dir.path().join("second.d/policy.toml"));
        assert_eq!(policy.ok().as_deref(), Some("version = 1\n"));
        assert_eq!(std::fs::read(dir.path().join("second.d/builtins/a.wasm")).ok().as_deref(), Some(&b"\0asm"[..]));
        assert_eq!(names(dir.path()), ["first", "first.d", "second", "second.d"], "nothing else is left");
    });
}

#[test]
fn bootstrap_replaces_a_copy_that_runs_and_ignores_the_umask() {
    block_on(async {
        let dir = directory();
        let (copy, socket) = (dir.path().join("copy"), dir.path().join("s"));
        let bootstrap = format!("umask 077; exec {} steps bootstrap {}", program().display(), copy.display());
        let done = async || Command::new("sh").args(["-c", &bootstrap]).status().await.expect("it starts").code();
        assert_eq!(done().await, Some(0));
        let mut host = spawn(Command::new(&copy).args(["steps", "serve", "--socket", text(&socket)]));
        host.marker().await;
        assert_eq!(done().await, Some(0), "while it runs");
        assert_eq!(mode(&copy), 0o755);
        let client = Client::connect(&socket).await.expect("the running one is unharmed");
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
        let table = [("a directory", dir.path().to_owned()), ("no parent", dir.path().join("missing/copy"))];
        for (row, file) in table {
            let done = run_program(&["steps", "bootstrap", text(&file)], &[]).await;
            assert_eq!((done.status.code(), done.out.as_str()), (Some(73), ""), "{row}: {done:?}");
            assert_eq!(names(dir.path()), [""; 0], "{row}");
        }
    });
}

step_test!(s21_a_host_that_is_asked_to_end_takes_no_new_jobs_and_finishes_the_others, |host| {
    host.gate("gate");
    let job = host.script(WAIT).start().await;
    job.wait_for("ready").await;
    let follow = job.log();
    let drained = async {
        host.signal(Signal::TERM);
        let refused = refusal(host).await;
        assert_eq!(refused, Code::Unavailable);
        assert_eq!(job.status().await.state, State::Running, "others can still be asked about");
        host.open_gate("gate").await;
    };
    let (log, ()) = tokio::join!(follow, drained);
    assert_eq!(text_of(&log), "Running step name=it\nready\ndone\n");
    assert_eq!(job.status().await.state, State::Success);
    job.close().await;
    assert_eq!(host.exited().await.code(), Some(0));
});

step_test!(s21_a_host_without_jobs_ends_at_once, |host| {
    let asked = Instant::now();
    host.signal(Signal::INT);
    assert_eq!(host.exited().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
});

step_test!(s21_a_second_signal_stops_the_jobs, |host| {
    let text = "trap 'echo told; exit 0' TERM; echo ready; sleep 300 & wait";
    let job = host.script(text).start().await;
    job.wait_for("ready").await;
    let twice = async {
        host.signal(Signal::TERM);
        refusal(host).await;
        assert_eq!(job.status().await.state, State::Running, "the first one is patient");
        host.signal(Signal::TERM);
    };
    let (log, ()) = tokio::join!(job.log(), twice);
    assert_eq!(text_of(&log), "Running step name=it\nready\ntold\n");
    assert_eq!(host.exited().await.code(), Some(0));
});

step_test!(
    s21_patience_ends_with_the_drain_timeout,
    Options { arguments: vec!["--drain-timeout".into(), "300ms".into()], ..Options::default() },
    |host| {
        let job = host.script("trap '' TERM; echo ready; sleep 300").grace_ms(300).start().await;
        job.wait_for("ready").await;
        let (log, ()) = tokio::join!(job.log(), async { host.signal(Signal::TERM) });
        assert_eq!(text_of(&log), "Running step name=it\nready\n");
        assert_eq!(host.exited().await.code(), Some(0));
    }
);

step_test!(
    steps_see_where_their_host_listens_and_nothing_that_is_between_it_and_the_runner,
    Options {
        // `SECRET;TOKEN`, compressed.
        env: vec![
            ("RUNNER_JOB_VAR_NAMES".into(), "H4sIAAAAAAACAwt2dQ5yDbEO8fd29QMAuEwdCAwAAAA=".into()),
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
        let has = |name: &str| out.lines().any(|line| line.starts_with(&format!("{name}=")));
        assert!(out.contains(&format!("STEP_RUNNER_SOCKET={socket}\n")) && has("KEPT"), "{out}");
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
            assert!(done.out.starts_with("stephost ") && done.out.lines().count() == 1, "{done:?}");
        }
    });
}

#[test]
fn arguments_that_are_none_are_explained_with_exit_code_2() {
    block_on(async {
        let table: [&[&str]; 5] = [&[], &["steps"], &["no-such-command"], &["steps", "no-such"], &["steps", "bootstrap"]];
        for arguments in table {
            let done = run_program(arguments, &[]).await;
            assert_eq!((done.status.code(), done.out.as_str()), (Some(2), ""), "{arguments:?}: {done:?}");
            assert!(done.err.contains("Usage"), "{arguments:?}: {done:?}");
        }
    });
}

/// A program with all three streams in the test's hands.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// The first line on stderr.
    async fn marker(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).await.expect("stderr can be read");
        assert!(line.starts_with(MARKER), "{line}{}", read(&mut self.stderr).await);
        line
    }

    /// The marker of a host that is then ended.
    async fn marker_then_end(mut self) -> String {
        let marker = self.marker().await;
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await.code(), Some(0));
        marker
    }

    /// Writes `text` on its stdin and ends it.
    async fn feed(&mut self, text: &str) {
        let mut stdin = self.stdin.take().expect("stdin is piped and still there");
        stdin.write_all(text.as_bytes()).await.expect("it reads");
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it was not waited for");
        kill_process(Pid::from_raw(id.cast_signed()).expect("a process"), signal).expect("it is there");
    }

    async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }
}

fn spawn(command: &mut Command) -> Running {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program under test starts");
    let stdin = child.stdin.take();
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
    Running { child, stdin, stdout, stderr }
}

/// Starts the program under test in `dir`, which is its directory for temporary files too.
fn start(dir: &TempDir, arguments: &[&str], env: &[(&str, &str)]) -> Running {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(dir.path()).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", dir.path());
    spawn(command.envs(env.iter().copied()))
}

/// Runs a `steps serve` that ends by itself.
async fn serve_to_the_end(dir: &TempDir, arguments: &[&str]) -> Program {
    let arguments: Vec<&str> = ["steps", "serve"].into_iter().chain(arguments.iter().copied()).collect();
    run_program(&arguments, &[("TMPDIR", text(dir.path()))]).await
}

#[track_caller]
fn refused(row: &str, done: &Program) {
    assert_ne!(done.status.code(), Some(0), "{row}: {done:?}");
    assert!(!done.err.contains(MARKER) && !done.err.is_empty() && done.out.is_empty(), "{row}: {done:?}");
}

/// A proxy, and the server's end of its connection.
async fn proxied(dir: &TempDir) -> (Running, tokio::net::UnixStream) {
    let socket = dir.path().join("server");
    let listener = UnixListener::bind(&socket).expect("a socket can be made");
    let proxy = start(dir, &["steps", "proxy", "--socket", text(&socket)], &[]);
    (proxy, listener.accept().await.expect("the proxy connects").0)
}

/// Runs jobs that do nothing until one is refused.
async fn refusal(host: &Host) -> Code {
    loop {
        if let Err(error) = host.script("true").try_start().await {
            return error.code().expect("an answer of the host");
        }
    }
}

/// Runs a job to its end and closes it.
async fn run_job(client: &Client, steps: &str) -> State {
    client.run_and_follow(request("job", steps), |_| {}).await.expect("it runs").state
}

fn request(id: &str, steps: &str) -> Request {
    Request { id: id.to_owned(), steps: steps.to_owned(), ..Request::default() }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("a stream of the program can be read");
    text
}

async fn read_all(running: &mut Running) -> (String, String) {
    (read(&mut running.stdout).await, read(&mut running.stderr).await)
}

fn packed(arguments: &[&str]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| format!("{argument:?}")).collect();
    base64::engine::general_purpose::STANDARD.encode(format!("[{}]", quoted.join(",")))
}

fn directory() -> TempDir {
    TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made")
}

fn make_dir(path: &Path, mode: u32) {
    std::fs::create_dir(path).expect("a directory can be made");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it is there").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}
