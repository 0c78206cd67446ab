//! The command line that a runner uses: serve, proxy, bootstrap (contract 7, 10.5; design D11, D12, D13).

mod bootstrap;
mod daemon;
mod drain;
mod health;
mod limits;
mod log;
mod metrics;
mod proxy;
mod recovery;
mod serve;
mod socket;
mod tracing;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use stephost_tests::{Client, Host, Program, Request, State, installed_program, run_program};
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
        self.stderr
            .read_line(&mut line)
            .await
            .expect("stderr can be read");
        assert!(
            line.starts_with(MARKER),
            "{line}{}",
            read(&mut self.stderr).await
        );
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
        kill_process(Pid::from_raw(id.cast_signed()).expect("a process"), signal)
            .expect("it is there");
    }

    async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }
}

fn spawn(command: &mut Command) -> Running {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("the program under test starts");
    let stdin = child.stdin.take();
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
    Running {
        child,
        stdin,
        stdout,
        stderr,
    }
}

/// Starts the program under test in `dir`, which is its directory for temporary files too.
fn start(dir: &TempDir, arguments: &[&str], env: &[(&str, &str)]) -> Running {
    let mut command = Command::new(installed_program());
    command.args(arguments).current_dir(dir.path()).env_clear();
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("TMPDIR", dir.path());
    spawn(command.envs(env.iter().copied()))
}

/// Runs a `steps serve` that ends by itself.
async fn serve_to_the_end(dir: &TempDir, arguments: &[&str]) -> Program {
    let arguments: Vec<&str> = ["steps", "serve"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    run_program(&arguments, &[("TMPDIR", text(dir.path()))]).await
}

#[track_caller]
fn refused(row: &str, done: &Program) {
    assert_ne!(done.status.code(), Some(0), "{row}: {done:?}");
    assert!(
        !done.err.contains(MARKER) && !done.err.is_empty() && done.out.is_empty(),
        "{row}: {done:?}"
    );
}

/// A proxy, and the server's end of its connection.
async fn proxied(dir: &TempDir) -> (Running, tokio::net::UnixStream) {
    let socket = dir.path().join("server");
    let listener = UnixListener::bind(&socket).expect("a socket can be made");
    let proxy = start(dir, &["steps", "proxy", "--socket", text(&socket)], &[]);
    (
        proxy,
        listener.accept().await.expect("the proxy connects").0,
    )
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
    client
        .run_and_follow(request("job", steps), |_| {})
        .await
        .expect("it runs")
        .state
}

fn request(id: &str, steps: &str) -> Request {
    Request {
        id: id.to_owned(),
        steps: steps.to_owned(),
        ..Request::default()
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .await
        .expect("a stream of the program can be read");
    text
}

async fn read_all(running: &mut Running) -> (String, String) {
    (
        read(&mut running.stdout).await,
        read(&mut running.stderr).await,
    )
}

fn packed(arguments: &[&str]) -> String {
    let quoted: Vec<String> = arguments
        .iter()
        .map(|argument| format!("{argument:?}"))
        .collect();
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
    std::fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it is there").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}
