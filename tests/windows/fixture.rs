//! What the tests on Windows are written in: a real host at a pipe, the program of the steps, and those who are to be seen to end.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stephost_client::{Client, JobStatus, Request};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};

/// Longest time of anything. Far beyond what any needs, also on a loaded machine.
pub(crate) const GUARD: Duration = Duration::from_secs(120);
/// The shipped policy, and what the guests of the tests need.
const POLICY: &str = concat!(
    include_str!("../../policies/default.toml"),
    include_str!("../guests/policy.toml")
);
/// What the host prints before the name of its pipe.
pub(crate) const MARKER: &str = "step-runner is listening on socket ";

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(GUARD, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} took longer than {GUARD:?}"),
    }
}

/// The program under test. Where it was built is no Windows path under Wine, until it gets a drive.
pub(crate) fn program() -> PathBuf {
    let built = std::env::var_os("STEPHOST_BIN").expect("STEPHOST_BIN says which program");
    std::path::absolute(built).unwrap()
}

/// The program of the steps, as it stands in YAML.
pub(crate) fn step() -> String {
    let path = std::path::absolute(env!("CARGO_BIN_EXE_step")).unwrap();
    path.to_str().unwrap().replace('\\', "/")
}

/// A function of one program.
pub(crate) fn function(arguments: &[&str]) -> String {
    let words: Vec<String> = std::iter::once(step())
        .chain(arguments.iter().map(|&argument| argument.to_owned()))
        .map(|word| format!("'{word}'"))
        .collect();
    format!(
        "spec: {{}}\n---\nexec:\n  command: [{}]\n",
        words.join(", ")
    )
}

pub(crate) fn new_pipe() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(r"\\.\pipe\stephost-test-{}-{count}", std::process::id())
}

/// The program with what every Windows program needs, working with temporary files in `temp`.
pub(crate) fn command(temp: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    let system = std::env::vars_os().filter(|(name, _)| name.eq_ignore_ascii_case("SystemRoot"));
    command
        .args(arguments)
        .env_clear()
        .envs(system)
        .env("TEMP", temp)
        .env("TMP", temp)
        .env("Greeting", "from the host")
        .current_dir(temp)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a program that has ended left.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn run(temp: &TempDir, arguments: &[&str]) -> Ended {
    let output = within("the program", command(temp.path(), arguments).output()).await;
    let output = output.expect("it starts");
    Ended {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn entries(dir: &TempDir) -> Vec<String> {
    let entries = dir.path().read_dir().unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// The directories of hosts, living and dead.
pub(crate) fn rooms(temp: &TempDir) -> Vec<String> {
    let mut entries = entries(temp);
    entries.retain(|name| name.starts_with("stephost-host-"));
    entries
}

/// A host that listens.
pub(crate) struct Host {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// It writes nothing but the marker.
    is_silent: bool,
    pub(crate) pipe: String,
    pub(crate) temp: TempDir,
    pub(crate) client: Client,
}

impl Host {
    pub(crate) async fn start() -> Host {
        Host::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(temp: TempDir) -> Host {
        let pipe = new_pipe();
        let host = Host::start_by(temp, pipe.clone(), &["steps", "serve"]);
        let (host, first) = within("the marker", host).await;
        assert_eq!(first.trim_end(), format!("{MARKER}{pipe}"));
        host
    }

    /// An operator's daemon, with the guests of the tests as builtins of its own.
    pub(crate) async fn start_with_guests() -> Host {
        let temp = tempfile::tempdir().unwrap();
        let builtins = temp.path().join("builtins");
        for guest in stephost_builtins::test_guests() {
            let file = builtins.join(format!("{}.wasm", guest.name));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, guest.wasm).unwrap();
        }
        let policy = temp.path().join("policy.toml");
        std::fs::write(&policy, POLICY).unwrap();
        let (policy, builtins) = (policy.to_str().unwrap(), builtins.to_str().unwrap());
        let arguments = ["serve", "--policy", policy, "--builtins", builtins];
        let host = Host::start_by(temp, new_pipe(), &arguments);
        within("the daemon", host).await.0
    }

    /// Starts a host and waits for the line that says that it listens; returns that too.
    pub(crate) async fn start_by(
        temp: TempDir,
        pipe: String,
        arguments: &[&str],
    ) -> (Host, String) {
        let mut child = command(temp.path(), arguments)
            .args(["--socket", &pipe])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program under test starts");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            let read = stderr.read_line(&mut line).await.unwrap();
            assert_ne!(read, 0, "it ended before it listened");
        }
        let client = within("connecting", Client::connect(Path::new(&pipe))).await;
        let host = Host {
            child,
            stderr,
            is_silent: line.starts_with(MARKER),
            client: client.expect("a host that says so listens"),
            pipe,
            temp,
        };
        (host, line)
    }

    pub(crate) async fn begin(&self, id: &str, steps: &str, grace: Option<Duration>) {
        let request = Request {
            id: id.to_owned(),
            steps: steps.to_owned(),
            grace,
            ..Request::default()
        };
        within("Run", self.client.run(request)).await.unwrap();
    }

    /// The log as people read it.
    pub(crate) async fn log(&self, id: &str) -> String {
        let mut follow = self.client.follow(id, 0);
        let mut stored = Vec::new();
        while let Some(piece) = within("the log", follow.next()).await.unwrap() {
            stored.extend_from_slice(&piece);
        }
        let text = String::from_utf8(stored).unwrap();
        // Each line has a stamp of 32 bytes.
        text.lines()
            .map(|line| format!("{}\n", &line[32..]))
            .collect()
    }

    /// Waits until the log says this.
    pub(crate) async fn heard(&self, id: &str, words: &str) {
        let mut follow = self.client.follow(id, 0);
        let mut stored = Vec::new();
        let said = async {
            while !String::from_utf8_lossy(&stored).contains(words) {
                let piece = follow.next().await.unwrap();
                stored.extend_from_slice(&piece.expect("the log ended before"));
            }
        };
        within(words, said).await;
    }

    pub(crate) async fn status(&self, id: &str) -> JobStatus {
        within("Status", self.client.status(id)).await.unwrap()
    }

    pub(crate) async fn close(&self, id: &str) {
        within("Close", self.client.close(id)).await.unwrap();
    }

    /// Kills the host and gives back what it was started in.
    pub(crate) async fn kill(mut self) -> TempDir {
        within("the end", self.child.kill()).await.unwrap();
        let mut rest = String::new();
        within("the last words", self.stderr.read_to_string(&mut rest))
            .await
            .unwrap();
        // All of it would stand in the log of a runner's job.
        assert!(!self.is_silent || rest.is_empty(), "{rest}");
        self.temp
    }

    pub(crate) async fn jobs(&self) -> usize {
        within("Status", self.client.list()).await.unwrap().len()
    }
}

/// Those who are to be seen to end.
pub(crate) struct Witnesses(TcpListener);

impl Witnesses {
    pub(crate) async fn listen() -> (Witnesses, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (Witnesses(listener), address)
    }

    pub(crate) async fn met(&self, count: usize) -> Vec<TcpStream> {
        let mut met = Vec::new();
        for _ in 0..count {
            met.push(within("a witness", self.0.accept()).await.unwrap().0);
        }
        met
    }
}

/// Waits until all of them are dead.
pub(crate) async fn all_end(witnesses: Vec<TcpStream>) {
    for mut witness in witnesses {
        let mut nothing = [0];
        // They never say anything: either the end, or the connection is broken off.
        let read = within("the end of a process", witness.read(&mut nothing)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}
