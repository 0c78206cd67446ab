//! `serve`, the operator's own daemon: files and flags, systemd, a policy that is read again.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use stephost_tests::{
    Client, Points, Request, State, block_on, blocks, installed_program, program, run_program,
    text_of,
};
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Command;

use super::{Running, directory, read, run_job, spawn, start, text};

/// Where a daemon of these tests is started, and what it tells systemd.
pub(super) struct Place {
    pub(super) dir: TempDir,
    notices: UnixDatagram,
    /// Of daemons that are made to fail: where their points are.
    points: Option<(&'static str, PathBuf)>,
}

impl Place {
    pub(super) fn new() -> Place {
        let dir = directory();
        let notices = UnixDatagram::bind(dir.path().join("notify")).expect("a socket can be made");
        Place {
            dir,
            notices,
            points: None,
        }
    }

    /// Daemons started here have these points.
    pub(super) fn with_points(mut self, points: &Points) -> Place {
        self.points = Some(points.variable());
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        let dir = path.parent().expect("it is below the place");
        std::fs::create_dir_all(dir).expect("a directory can be made");
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(super) fn serve(&self, arguments: &[&str]) -> Running {
        self.serve_with(arguments, &[])
    }

    pub(super) fn serve_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Running {
        let arguments: Vec<&str> = [&["serve"], arguments].concat();
        let notify = self.path("notify");
        let mut env = vec![("NOTIFY_SOCKET", text(&notify))];
        if let Some((name, points)) = &self.points {
            env.push((*name, text(points)));
        }
        env.extend(more);
        start(&self.dir, &arguments, &env)
    }

    /// The next thing that systemd is told; the others are passed over.
    pub(super) async fn told(&self, words: &str) {
        let mut message = [0; 256];
        loop {
            let length = self
                .notices
                .recv(&mut message)
                .await
                .expect("it can be read");
            let message = String::from_utf8_lossy(&message[..length]);
            if message.lines().any(|line| line == words) {
                return;
            }
        }
    }

    pub(super) async fn client(&self, socket: &str) -> Client {
        Client::connect(&self.path(socket))
            .await
            .expect("it listens")
    }
}

/// A job of one builtin step, which a policy may refuse.
pub(super) const HELLO: &str = "{}\n---\nrun: [{name: it, func: 'builtin://hello'}]\n";

const NOBODY: &str = "policy = 1\nname = \"nobody\"\n";
const GREETER: &str = "policy = 1\nname = \"greeter\"\n[[allow]]\nfunction = \"hello\"\nreason = \"a test\"\nexports = [\"HELLO_GREETED\"]\n";

#[test]
fn a_daemon_does_what_its_file_says_and_tells_systemd_how_it_is() {
    block_on(async {
        let place = Place::new();
        place.write("policy.toml", GREETER);
        let config = place.write("config.toml", "socket = \"s\"\npolicy = \"policy.toml\"\n");
        let mut daemon = place.serve(&["--config", text(&config)]);
        place.told("READY=1").await;
        let client = place.client("s").await;
        assert_eq!(run_job(&client, HELLO).await, State::Success);
        let shell = "{}\n---\nrun: [{name: it, script: 'true'}]\n";
        assert_eq!(run_job(&client, shell).await, State::Failure, "no rule");
        let alone = "{}\n---\nexec: {command: [/bin/sh, -c, 'test -z \"$NOTIFY_SOCKET\"']}\n";
        assert_eq!(
            run_job(&client, alone).await,
            State::Success,
            "steps do not speak for the daemon"
        );
        daemon.signal(Signal::TERM);
        place.told("STOPPING=1").await;
        let log = read(&mut daemon.stderr).await;
        assert_eq!(daemon.ended().await.code(), Some(0), "{log}");
        for words in [
            "listening socket=",
            "policy.code=\"no-rule\"",
            "draining",
            "ended",
        ] {
            assert!(log.contains(words), "{words} in {log}");
        }
        assert!(!place.path("s").exists(), "it removes its socket");
    });
}

#[test]
fn a_flag_has_the_last_word() {
    block_on(async {
        let place = Place::new();
        let config = place.write("config.toml", "socket = \"of-the-file\"\n");
        let socket = place.path("of-the-flag");
        let mut daemon = place.serve(&["--config", text(&config), "--socket", text(&socket)]);
        place.told("READY=1").await;
        place.client("of-the-flag").await;
        assert!(!place.path("of-the-file").exists());
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
    });
}

#[test]
fn a_hangup_reads_the_policy_again_and_a_bad_one_changes_nothing() {
    block_on(async {
        let place = Place::new();
        let policy = place.write("policy.toml", NOBODY);
        let socket = place.path("s");
        let mut daemon = place.serve(&["--socket", text(&socket), "--policy", text(&policy)]);
        place.told("READY=1").await;
        let client = place.client("s").await;
        assert_eq!(run_job(&client, HELLO).await, State::Failure);
        for (text, state) in [
            (GREETER, State::Success),
            ("policy = 1\nname = \"broken\"\n[[alow]]\n", State::Success),
            (NOBODY, State::Failure),
        ] {
            place.write("policy.toml", text);
            daemon.signal(Signal::HUP);
            place.told("RELOADING=1").await;
            place.told("READY=1").await;
            assert_eq!(run_job(&client, HELLO).await, state, "{text}");
        }
        daemon.signal(Signal::TERM);
        let log = read(&mut daemon.stderr).await;
        assert_eq!(daemon.ended().await.code(), Some(0));
        for words in [
            "policy.name=\"greeter\"",
            "the policy stays as it was",
            "policy.name=\"nobody\"",
        ] {
            assert!(log.contains(words), "{words} in {log}");
        }
    });
}

#[test]
fn a_socket_of_systemd_is_taken_and_left_in_its_place() {
    block_on(async {
        let place = Place::new();
        let socket = place.path("of-systemd");
        let listener = StdUnixListener::bind(&socket).expect("a socket can be made");
        // Descriptor 3, as systemd passes it.
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve",
            ])
            .arg(installed_program())
            .env_clear()
            .env("NOTIFY_SOCKET", place.path("notify"))
            .env("TMPDIR", place.dir.path());
        let mut daemon = {
            command
                .stdin(Stdio::from(OwnedFd::from(listener)))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true);
            command.spawn().expect("a shell starts")
        };
        place.told("READY=1").await;
        let client = place.client("of-systemd").await;
        let dials = "{}\n---\nexec: {command: [/bin/sh, -c, 'test \"${STEP_RUNNER_SOCKET##*/}\" = of-systemd -a -z \"$LISTEN_FDS\"']}\n";
        assert_eq!(run_job(&client, dials).await, State::Success);
        let id = daemon.id().expect("it runs").to_string();
        Command::new("kill")
            .arg(id)
            .status()
            .await
            .expect("kill starts");
        let status = daemon.wait().await.expect("it can be waited for");
        assert_eq!(status.code(), Some(0));
        assert!(socket.exists(), "it is not the daemon's to remove");
    });
}

#[test]
fn a_watchdog_hears_that_the_daemon_lives() {
    block_on(async {
        let place = Place::new();
        let mut command = Command::new(installed_program());
        command
            .args(["serve", "--socket"])
            .arg(place.path("s"))
            .env_clear()
            .env("NOTIFY_SOCKET", place.path("notify"))
            .env("WATCHDOG_USEC", "200000");
        let mut daemon = spawn(&mut command);
        place.told("WATCHDOG=1").await;
        place.told("WATCHDOG=1").await;
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
    });
}

#[tokio::test]
async fn what_a_daemon_cannot_be_configured_with_keeps_it_from_starting() {
    let place = Place::new();
    let table = [
        (
            "sokcet = \"/s\"\n",
            "config.toml:1:1: unknown field `sokcet`",
        ),
        ("drain-timeout = 5\n", "config.toml:1:17: invalid type"),
        ("policy = \"gone.toml\"\n", "gone.toml"),
        ("builtins = \"gone\"\n", "reading the builtins in"),
    ];
    for (config, words) in table {
        let config = place.write("config.toml", config);
        for verb in [&["serve"][..], &["config", "show"]] {
            let refused_by_reading = words.contains("config.toml");
            if verb[0] == "config" && !refused_by_reading {
                continue;
            }
            let arguments = [verb, &["--config", text(&config)]].concat();
            let done = run_program(&arguments, &[("TMPDIR", text(place.dir.path()))]).await;
            assert_eq!(done.status.code(), Some(78), "{words}: {done:?}");
            assert!(
                done.err.contains(words) && done.out.is_empty(),
                "{words}: {done:?}"
            );
        }
    }
    let gone = place.path("no-config.toml");
    let done = run_program(&["serve", "--config", text(&gone)], &[]).await;
    assert_eq!(done.status.code(), Some(78), "{done:?}");
}

#[tokio::test]
async fn config_show_prints_a_file_that_means_the_same_and_whose_word_each_value_is() {
    let place = Place::new();
    let config = place.write(
        "config.toml",
        "# ours\nsocket = \"/run/stephost/steps.sock\"\ndrain-timeout = \"90s\"\njob-processes-max = 200\n",
    );
    let shown = async |more: &[&str]| {
        let arguments = [&["config", "show", "--config", text(&config)], more].concat();
        let done = run_program(&arguments, &[]).await;
        assert_eq!((done.status.code(), done.err.as_str()), (Some(0), ""));
        done.out.replace(text(&config), "config.toml")
    };
    expect_test::expect![[r#"
        socket = "/run/stephost/steps.sock"  # "config.toml" line 2
        # log-file = (stderr)  # default
        log-format = "text"  # default
        log-level = "info"  # default
        # metrics-listen = (nowhere)  # default
        panic-budget = "5/10m"  # default
        drain-timeout = "1m 30s"  # "config.toml" line 3
        background = "keep"  # default
        # policy = (that of the program)  # default
        # builtins = (that of the program)  # default
        # job-memory-max = (no limit)  # default
        job-processes-max = 200  # "config.toml" line 4
        # otlp = (nobody)  # default
    "#]]
    .assert_eq(&shown(&["--origin"]).await);
    let plain = shown(&[]).await;
    let again = place.write("again.toml", &plain);
    let done = run_program(&["config", "show", "--config", text(&again)], &[]).await;
    assert_eq!(done.out, plain);
}

/// The third that there could be, to leave it alive for ever, is not offered.
#[test]
fn scenario_11_an_operator_may_have_everybody_killed_at_the_end_of_his_step() {
    block_on(async {
        for (given, lives) in [("keep", true), ("kill", false)] {
            let place = Place::new();
            let config = format!("socket = \"s\"\nbackground = \"{given}\"\n");
            let config = place.write("config.toml", &config);
            let mut daemon = place.serve(&["--config", text(&config)]);
            place.told("READY=1").await;
            let client = place.client("s").await;
            let leaving = "setsid sleep 15 & sleep 15 >/dev/null 2>&1 & echo $! >left";
            let exec = format!("{{}}\n---\nexec: {{command: [sh, -c, '{leaving}']}}\n");
            std::fs::create_dir(place.path("leaves")).expect("a directory can be made");
            place.write("leaves/func.yml", &exec);
            for step in ["step: ./leaves".to_owned(), format!("script: '{leaving}'")] {
                let sees = "if kill -0 $(cat left); then echo it lives; else echo it is gone; fi";
                let run = format!(
                    "{{}}\n---\nrun:\n- {{name: one, {step}}}\n- {{name: two, script: '{sees}'}}\n"
                );
                let request = Request {
                    id: "job".to_owned(),
                    steps: run,
                    build_dir: text(place.dir.path()).to_owned(),
                    ..Request::default()
                };
                let mut log = Vec::new();
                let status = client
                    .run_and_follow(request, |piece| log.extend_from_slice(piece))
                    .await
                    .expect("the daemon runs it");
                let log = text_of(&log);
                assert_eq!(status.state, State::Success, "{given}, {step}: {log}");
                let (seen, not_seen) = match lives {
                    true => ("it lives\n", "it is gone\n"),
                    false => ("it is gone\n", "it lives\n"),
                };
                assert!(
                    log.contains(seen) && !log.contains(not_seen),
                    "{given}, {step}: {log}"
                );
                // At the end of the step or of the job.
                assert_eq!(
                    log.matches("step host: killed 2 processes\n").count(),
                    1,
                    "{given}, {step}: {log}"
                );
            }
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.ended().await.code(), Some(0));
        }
    });
}

#[test]
fn the_command_of_the_operating_page_starts_a_daemon() {
    block_on(async {
        let place = Place::new();
        let [command] = blocks(include_str!("../../../docs/operating.md"), "sh")[..] else {
            panic!("the page has one command");
        };
        let command = command.replace("/run/stephost", text(place.dir.path()));
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[..2], ["stephost", "serve"]);
        let mut daemon = place.serve(&words[2..]);
        place.told("READY=1").await;
        place.client("steps.sock").await;
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
    });
}

/// The example of the page is a configuration, with nothing that the table does not have.
#[tokio::test]
async fn the_configuration_of_the_operating_page_is_one() {
    let place = Place::new();
    let page = include_str!("../../../docs/operating.md");
    let (_, rest) = page.split_once("```toml\n").expect("it has an example");
    let (example, rest) = rest.split_once("```").expect("the example ends");
    let config = place.write("config.toml", example);
    let done = run_program(&["config", "show", "--config", text(&config)], &[]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    for line in example.lines() {
        let (key, _) = line.split_once(" = ").expect("a key and a value");
        assert!(done.out.contains(&format!("{key} = ")), "{key}: {done:?}");
        assert!(rest.contains(&format!("| `{key}` |")), "{key}");
    }
    assert!(!done.out.contains('#'), "every key there is: {done:?}");
}

/// Every key and every file that the units name exists, so that installing them works.
#[test]
fn the_units_start_the_program_as_it_is() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let service = std::fs::read_to_string(units.join("stephost.service")).expect("it is there");
    let socket = std::fs::read_to_string(units.join("stephost.socket")).expect("it is there");
    let line = |text: &str, key: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    assert_eq!(line(&service, "Type"), "notify-reload");
    assert_eq!(line(&service, "Requires"), "stephost.socket");
    assert_eq!(line(&socket, "SocketUser"), line(&service, "User"));
    // What a cgroup for each step needs.
    assert_eq!(line(&service, "Delegate"), "yes");
    assert!(!service.contains("ProtectControlGroups=yes"), "{service}");
    let command = line(&service, "ExecStart");
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/stephost"));
    let help = std::process::Command::new(program())
        .args(words)
        .arg("--help")
        .output()
        .expect("the program under test starts");
    assert!(help.status.success());
}
