//! `cargo xtask demo`: the real host on a socket, and jobs that show what it does.
//!
//! Speaks to the host through the client crate, as a runner would. Ends with a table: how each job ended,
//! how long it took, and what a runner reports for it; and another of what it reports where there is no job's
//! ending ([`reasons`]). Fails when a job ends differently than it should.

mod reasons;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail, ensure};
use comfy_table::{Table, presets};
use stephost_client::reason::Seen;
use stephost_client::{Client, JobStatus, Kind, Request, State, Variable};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cargo;

/// Bytes of stamp before each line of a log.
const STAMP_BYTES: usize = 32;
/// What the host says before the path of its socket.
const MARKER: &str = "step-runner is listening on socket ";

const TITLE: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
const FAINT: Style = Style::new().dimmed();

/// When a running job is cancelled.
enum Cancel {
    Never,
    /// As soon as its log holds this text.
    After(&'static str),
}

/// One job of the demo.
struct Show {
    title: &'static str,
    steps: &'static str,
    cancel: Cancel,
    timeout: Option<Duration>,
    /// How it must end.
    ending: (State, Option<Kind>),
}

const SHOWS: [Show; 8] = [
    Show {
        title: "native steps: inputs, outputs and exports flow from step to step",
        steps: r#"
run:
  - name: version
    func: ./version
    inputs: { major: 2, suffix: -rc1 }
  - name: announce
    script: |
      echo "output of the step before: ${{ steps.version.outputs.version }}"
      echo "its export, in the environment: $RELEASE"
      echo "a job variable: ${{ vars.PROJECT }}, and a masked one: ${{ vars.TOKEN }}"
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Success, None),
    },
    Show {
        title: "nested functions: a release made of a version and an archive",
        steps: r#"
run:
  - name: release
    func: ./release
    inputs: { major: 3 }
  - name: report
    script: echo "released ${{ steps.release.outputs.version }}, ${{ steps.release.outputs.bytes }} bytes"
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Success, None),
    },
    Show {
        title: "a builtin: a Wasm component in the sandbox",
        steps: r#"
run:
  - name: greet
    func: builtin://hello
    inputs: { name: reader }
  - name: read
    script: echo "the builtin said ${{ steps.greet.outputs.greeting }}"
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Success, None),
    },
    Show {
        title: "a step that fails: its exit status ends the message",
        steps: r#"
run:
  - name: compile
    script: echo "no such header" >&2; exit 7
  - name: never
    script: echo "not reached"
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Failure, Some(Kind::StepFailure)),
    },
    Show {
        title: "an operator's own builtin, which panics: a trap, told apart from a failed step",
        steps: r#"
run:
  - name: broken
    func: builtin://test/misbehave
    inputs: { how: panic }
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Failure, Some(Kind::Internal)),
    },
    Show {
        title: "a job that is cancelled: the step gets SIGTERM and its grace",
        steps: r#"
run:
  - name: deploy
    script: |
      trap 'echo "rolling back"; exit 1' TERM
      echo "deploying"
      while true; do sleep 0.1; done
"#,
        cancel: Cancel::After("deploying"),
        timeout: None,
        ending: (State::Cancelled, Some(Kind::Cancelled)),
    },
    Show {
        title: "a job that takes too long: the host itself counts",
        steps: r#"
run:
  - name: forever
    script: echo "sleeping for an hour"; exec sleep 3600
"#,
        cancel: Cancel::Never,
        timeout: Some(Duration::from_millis(700)),
        ending: (State::Cancelled, Some(Kind::Timeout)),
    },
    Show {
        title: "a step that leaves processes behind: the job may use them, and nobody outlives it",
        steps: r#"
run:
  - name: leave
    script: |
      (setsid sh -c 'echo "left: a daemon $$"; exec sleep 60 </dev/null >/dev/null 2>&1' &)
      setsid sh -c 'echo "left: a child in a session of its own $$"; exec sleep 60' &
      sh -c 'echo "left: a stopped child $$"; kill -STOP $$' &
  - name: use
    script: echo "the next step runs, and they are there"
"#,
        cancel: Cancel::Never,
        timeout: None,
        ending: (State::Success, None),
    },
];

/// What the steps of a show say of a process that they leave, before its name and its number.
const LEFT: &str = "left: ";
/// How many they are, all together.
const LEFT_COUNT: usize = 3;

/// The policy under which the demo runs: the shipped one, and rules for the guests of the tests.
const POLICY: &str = concat!(
    include_str!("../../policies/default.toml"),
    include_str!("../../tests/guests/policy.toml")
);
/// The builtin that the demo's operator brings along.
const OWN_BUILTIN: &str = "builtins/test/misbehave.wasm";

/// Runs the demo.
pub(crate) fn demo() -> anyhow::Result<()> {
    let built = cargo::build_host()?;
    let dir = tempfile::tempdir().context("making a directory for the host")?;
    let program = install(&built, dir.path()).context("installing the host")?;
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(show_all(&program))
}

/// Does what an operator does who has a builtin of his own: the program, and a directory beside it.
fn install(built: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let program = dir.join("stephost");
    std::fs::copy(built, &program)?;
    let companion = dir.join("stephost.d");
    let own = companion.join(OWN_BUILTIN);
    std::fs::create_dir_all(own.parent().unwrap_or(&companion))?;
    std::fs::copy(cargo::guest("stephost_guest_misbehave"), own)?;
    std::fs::write(companion.join("policy.toml"), POLICY)?;
    Ok(program)
}

async fn show_all(program: &Path) -> anyhow::Result<()> {
    let socket = program.with_file_name("demo.sock");
    let points = program.with_file_name("points");
    let mut host = start(program, &socket, &points).await?;
    let client = Client::connect(&socket).await?;
    let mut endings = Vec::new();
    let mut left = Vec::new();
    for (index, show) in SHOWS.iter().enumerate() {
        endings.push(run(&client, index + 1, show, &mut left).await?);
    }
    let reasons = reasons::cause(&client, &points, &program.with_file_name("nobody")).await?;
    end(&mut host).await?;
    print_table(&endings);
    print_left(&left)?;
    reasons::print(&reasons)?;
    for (show, status) in SHOWS.iter().zip(&endings) {
        let found = (status.state, status.kind);
        ensure!(
            found == show.ending,
            "{}: ended as {found:?}, not as {:?}",
            show.title,
            show.ending
        );
    }
    Ok(())
}

async fn start(program: &Path, socket: &Path, points: &Path) -> anyhow::Result<Child> {
    let mut host = Command::new(program)
        .args(["steps", "serve", "--socket"])
        .arg(socket)
        .current_dir(cargo::root().join("examples"))
        .env(reasons::POINTS, points)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the host")?;
    let mut stderr = BufReader::new(host.stderr.take().context("reading the host's stderr")?);
    let mut line = String::new();
    stderr
        .read_line(&mut line)
        .await
        .context("waiting for the host")?;
    if !line.starts_with(MARKER) {
        let mut rest = String::new();
        stderr
            .read_to_string(&mut rest)
            .await
            .context("reading the host's stderr")?;
        bail!("the host does not listen: {line}{rest}");
    }
    host.stderr = Some(stderr.into_inner());
    Ok(host)
}

/// Lets the host drain, as a runner's container engine does.
async fn end(host: &mut Child) -> anyhow::Result<()> {
    let pid = host.id().context("the host ended early")?;
    let status = Command::new("kill")
        .arg(pid.to_string())
        .status()
        .await
        .context("ending the host")?;
    ensure!(status.success(), "the host is gone already");
    let status = host.wait().await.context("waiting for the host")?;
    ensure!(status.success(), "the host ended with {status}");
    Ok(())
}

/// A process that a step left, and whether it lived when its job was over.
struct Left {
    name: String,
    pid: u32,
    lives: bool,
}

impl Left {
    /// What a line of a log says of one, if it does. Whether it lives is asked later.
    fn parse(line: &str) -> Option<Left> {
        let (_, said) = line.split_once(LEFT)?;
        let (name, pid) = said.trim_end().rsplit_once(' ')?;
        Some(Left {
            name: name.to_owned(),
            pid: pid.parse().ok()?,
            lives: true,
        })
    }
}

async fn run(
    client: &Client,
    number: usize,
    show: &Show,
    left: &mut Vec<Left>,
) -> anyhow::Result<JobStatus> {
    anstream::println!("\n{TITLE}{number}. {}{TITLE:#}", show.title);
    anstream::println!("{FAINT}{}{FAINT:#}", show.steps.trim());
    let id = format!("demo-{number}");
    client
        .run(Request {
            id: id.clone(),
            steps: format!("{{}}\n---{}", show.steps),
            build_dir: cargo::root().join("examples").display().to_string(),
            variables: vec![
                Variable {
                    key: "PROJECT".into(),
                    value: "stephost".into(),
                    ..Variable::default()
                },
                Variable {
                    key: "TOKEN".into(),
                    value: "not-for-your-eyes".into(),
                    masked: true,
                    ..Variable::default()
                },
            ],
            timeout: show.timeout,
            ..Request::default()
        })
        .await?;
    let mut log = client.follow(&id, 0);
    let mut waiting = match show.cancel {
        Cancel::Never => None,
        Cancel::After(text) => Some(text),
    };
    let before = left.len();
    while let Some(piece) = log.next().await? {
        let text = print_piece(&piece)?;
        left.extend(text.lines().filter_map(Left::parse));
        if waiting.is_some_and(|awaited| text.lines().any(|line| line == awaited)) {
            client.cancel(&id).await?;
            waiting = None;
        }
    }
    let status = client.status(&id).await?;
    for process in &mut left[before..] {
        process.lives = Path::new("/proc").join(process.pid.to_string()).exists();
    }
    print_ending(&status);
    client.close(&id).await?;
    Ok(status)
}

/// Prints a piece of a log without its stamps, stderr marked; returns the text.
fn print_piece(piece: &[u8]) -> anyhow::Result<String> {
    let mut out = anstream::stdout().lock();
    let mut text = String::new();
    for line in piece.split_inclusive(|byte| *byte == b'\n') {
        let (stamp, line) = line.split_at(line.len().min(STAMP_BYTES));
        let line = String::from_utf8_lossy(line);
        let bar = if stamp.get(30) == Some(&b'E') {
            "!"
        } else {
            "|"
        };
        write!(out, "  {FAINT}{bar}{FAINT:#} {line}").context("printing the log")?;
        text.push_str(&line);
    }
    Ok(text)
}

/// The ending in words, under the job's log.
fn print_ending(status: &JobStatus) {
    let state = state_word(status.state);
    if status.message.is_empty() {
        anstream::println!("  {TITLE}{state}{TITLE:#}");
    } else {
        anstream::println!("  {TITLE}{state}{TITLE:#}: {}", status.message);
    }
}

fn print_table(endings: &[JobStatus]) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["job", "ending", "kind", "wall time", "a runner reports"]);
    for status in endings {
        table.add_row([
            status.id.clone(),
            state_word(status.state).to_owned(),
            status.kind.map_or("-", kind_word).to_owned(),
            format!("{:.0?}", status.wall_time().unwrap_or_default()),
            reasons::reported(Seen::Status(status)),
        ]);
    }
    println!("\n{table}");
}

/// Who was left, and that he is gone.
fn print_left(left: &[Left]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["left by a step", "process", "when its job was over"]);
    for Left { name, pid, lives } in left {
        let fate = if *lives { "ALIVE" } else { "gone" };
        table.add_row([name.clone(), pid.to_string(), fate.to_owned()]);
    }
    println!("\n{table}");
    ensure!(
        left.len() == LEFT_COUNT,
        "{} processes were left, not {LEFT_COUNT}",
        left.len()
    );
    ensure!(
        left.iter().all(|process| !process.lives),
        "somebody outlived his job"
    );
    Ok(())
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Created => "created",
        State::Running => "running",
        State::Success => "success",
        State::Failure => "failure",
        State::Cancelled => "cancelled",
        State::Unknown(_) => "unknown",
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "unknown",
        Kind::StepFailure => "step_failure",
        Kind::Internal => "internal",
        Kind::Cancelled => "cancelled",
        Kind::Timeout => "timeout",
    }
}
