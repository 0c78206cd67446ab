//! `stephost run`: steps on this machine without a server (design D6, D20): what can be run, what is shown where, how
//! it ends. Nothing may be left in the temporary directory, whatever happens.

mod ci;
mod endings;
mod host;
mod inputs;
mod page;
mod terminal;

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use stephost_tests::{Program, installed_program};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// A function that greets and hands the greeting out.
const GREET: &str = r#"
spec:
  inputs:
    name: {type: string, description: Who is greeted}
    times: {type: number, default: 1}
    token: {type: string, default: "", sensitive: true}
  outputs:
    greeting: {type: string}
    secret: {type: string, default: sealed-away, sensitive: true}
---
exec:
  command:
    - sh
    - -euc
    - |
      printf '\033[32mhello %s\033[0m %s %s\n' "$1" "$2" "$3"
      echo "to stderr" >&2
      echo "{\"name\":\"greeting\",\"value\":\"hello $1\"}" >> "$4"
    - greet
    - ${{ inputs.name }}
    - ${{ str(inputs.times) }}
    - ${{ inputs.token }}
    - ${{ output_file }}
"#;

/// A place to run things in.
struct Place {
    work: TempDir,
    temp: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = || TempDir::new().expect("a directory can be made");
        Place {
            work: dir(),
            temp: dir(),
        }
    }

    /// A place with a function `./greet`.
    fn with_greet() -> Place {
        let place = Place::new();
        place.file("greet/func.yml", GREET);
        place
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Place {
        let path = self.work.path().join(path);
        let parent = path.parent().expect("a file has a directory");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        std::fs::write(path, content).expect("a file can be written");
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(installed_program());
        command
            .arg("run")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", self.temp.path())
            .env("TERM", "xterm")
            .current_dir(self.work.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs to the end; the bytes of both streams.
    async fn output(&self, arguments: &[&str]) -> std::process::Output {
        let output = self.command(arguments).output().await;
        self.is_clean();
        output.expect("the program under test starts")
    }

    async fn run(&self, arguments: &[&str]) -> Program {
        text(self.output(arguments).await)
    }

    async fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Program {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program under test starts");
        let mut pipe = child.stdin.take().expect("stdin is piped");
        // A program that has read enough closes it.
        let _ = pipe.write_all(stdin).await;
        drop(pipe);
        let output = child.wait_with_output().await.expect("it ends");
        self.is_clean();
        text(output)
    }

    fn start(&self, arguments: &[&str]) -> Started<'_> {
        let mut child = self
            .command(arguments)
            .spawn()
            .expect("the program under test starts");
        let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Started {
            place: self,
            child,
            out,
            read: String::new(),
        }
    }

    /// Nothing of ours is left.
    fn is_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.temp.path())
            .expect("the directory is there")
            .flatten()
            .map(|entry| entry.path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn text(output: std::process::Output) -> Program {
    Program {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A run that goes on.
struct Started<'a> {
    place: &'a Place,
    child: Child,
    out: BufReader<ChildStdout>,
    read: String,
}

impl Started<'_> {
    /// Waits for a line of the log that begins so; returns its rest.
    async fn wait_for(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            let bytes = self.out.read_line(&mut line).await.expect("a log is text");
            assert!(bytes > 0, "no line {beginning:?} in {:?}", self.read);
            self.read.push_str(&line);
            if let Some(rest) = line.trim_end().strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        rustix::process::kill_process(pid.expect("it runs"), signal).expect("it is there");
    }

    async fn ended(mut self) -> Program {
        self.out
            .read_to_string(&mut self.read)
            .await
            .expect("a log is text");
        let output = self.child.wait_with_output().await.expect("it ends");
        self.place.is_clean();
        Program {
            status: output.status,
            out: self.read,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What was said, without how long it took.
fn untimed(text: &str) -> String {
    text.lines()
        .map(|line| match line.split_once(" after ") {
            Some((before, _)) if line.starts_with("error: ") => format!("{before} after T\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

fn is_gone(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn a_function_runs_by_its_directory_or_its_file() {
    let place = Place::with_greet();
    for what in [
        "./greet",
        "greet",
        "greet/",
        "greet/func.yml",
        "./greet/func.yml",
    ] {
        let ran = place
            .run(&[what, "-i", "name=you", "-i", "times=2.5"])
            .await;
        assert_eq!(ran.status.code(), Some(0), "{what}: {ran:?}");
        assert_eq!(
            ran.out, "Running step name=greet\n\x1b[32mhello you\x1b[0m 2.5 \n",
            "the bytes of steps are theirs"
        );
        assert_eq!(
            ran.err,
            "to stderr\noutput greeting = \"hello you\"\noutput secret is sensitive\n"
        );
    }
}

#[tokio::test]
async fn references_begin_at_the_function_and_steps_work_where_one_says() {
    let place = Place::with_greet();
    place.file(
        "outer/func.yml",
        "spec: {outputs: delegate}\n---\nrun:\n  - {name: where, script: pwd}\n  - {name: g, func: ../greet, inputs: {name: '${{ env.WHO }}'}}\ndelegate: g\n",
    );
    std::fs::create_dir(place.work.path().join("elsewhere")).expect("a directory can be made");
    let ran = place
        .run(&["outer", "-C", "elsewhere", "--env", "WHO=me"])
        .await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[1].ends_with("/elsewhere"), "{lines:?}");
    assert!(lines[3].contains("hello me"), "{lines:?}");
    assert!(
        ran.err.contains("output greeting = \"hello me\"\n"),
        "{}",
        ran.err
    );
    let gone = place.run(&["greet", "-i", "name=x", "-C", "gone"]).await;
    assert_eq!(gone.status.code(), Some(2));
    assert!(
        gone.err.contains("the directory gone cannot be worked in"),
        "{}",
        gone.err
    );
}

#[tokio::test]
async fn a_function_on_stdin_takes_inputs_too() {
    let place = Place::new();
    let text = "spec: {inputs: {n: {type: number}}}\n---\nrun:\n  - {name: a, script: 'echo ${{ str(inputs.n + 1) }} ${{ job.V }}'}\n";
    let ran = place
        .run_with_stdin(&["-", "-i", "n=41", "--var", "V=x y"], text.as_bytes())
        .await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(ran.out, "Running step name=a\n42 x y\n");
    let broken = place.run_with_stdin(&["-"], b"{}\n").await;
    assert_eq!(broken.status.code(), Some(65));
    assert!(
        broken
            .err
            .starts_with("error: stdin:2:1: the text ends after one YAML document"),
        "{}",
        broken.err
    );
}

#[tokio::test]
async fn d6_what_is_unknown_is_an_error_here_also_in_a_function_that_is_called() {
    let place = Place::new();
    place.file(
        "bad/func.yml",
        "{}\n---\nrun:\n  - name: a\n    script: x\n    evn: {}\n",
    );
    let bad = place.run(&["bad"]).await;
    assert_eq!((bad.status.code(), bad.out.as_str()), (Some(65), ""));
    assert_eq!(
        bad.err,
        "error: ./bad/func.yml:6:5: key `evn` is unknown (did you mean `env`?); \
         `stephost check ./bad/func.yml` shows it in its lines\n"
    );
    let calls = "{}\n---\nrun: [{name: b, func: ./bad}]\n";
    let ran = place.run_with_stdin(&["-"], calls.as_bytes()).await;
    assert_eq!(ran.status.code(), Some(1));
    assert!(
        ran.err.contains("./bad/func.yml:6:5: key `evn` is unknown"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn every_byte_of_a_log_is_kept_and_goes_to_its_own_stream() {
    let place = Place::new();
    // Long lines, lines of every length around the border of a piece, carriage returns, every byte.
    let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(50_000).collect();
    for length in 8_150..8_170 {
        bytes.extend(vec![b'x'; length]);
        bytes.extend_from_slice(b"\r\n10%\r100%\r\n");
    }
    bytes.push(b'\n');
    place.file("bytes", &bytes);
    place.file(
        "cat/func.yml",
        "{}\n---\nexec: {command: [sh, -c, 'cat bytes; cat bytes >&2']}\n",
    );
    let ran = place.output(&["cat"]).await;
    assert_eq!(ran.status.code(), Some(0));
    assert!(ran.stderr == bytes, "stderr is kept");
    let begun = b"Running step name=cat\n";
    assert!(
        ran.stdout.starts_with(begun) && ran.stdout[begun.len()..] == bytes,
        "stdout is kept"
    );
}

#[tokio::test]
async fn what_is_no_function_is_refused_with_a_sentence() {
    let place = Place::new();
    place.file("empty/README", "");
    place.file(".gitlab-ci.yml", "job: {script: a}\n");
    place.file("large/func.yml", vec![b'#'; 5 << 20]);
    place.file("large.gitlab-ci.yml", vec![b'#'; 5 << 20]);
    place.file("huge.wasm", []);
    std::fs::OpenOptions::new()
        .write(true)
        .open(place.work.path().join("huge.wasm"))
        .and_then(|file| file.set_len(1 << 33))
        .expect("a sparse file can be made");
    place.file("loop/x", "");
    for fifo in [
        "fifo.yml",
        "loop/func.yml",
        "fifo.wasm",
        "fifo.gitlab-ci.yml",
    ] {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, place.work.path().join(fifo), mode)
            .expect("a FIFO can be made");
    }
    let table = [
        ("", 65, "name what to run: "),
        ("gone", 65, "there is no gone"),
        ("gone.wasm", 65, "there is no gone.wasm"),
        ("gone#job", 65, "there is no gone#job"),
        ("huge.wasm/x", 65, "looking at huge.wasm/x: Not a directory"),
        (
            "empty",
            65,
            "function `./empty` not found: there is neither `func.yml` nor `step.yml`",
        ),
        (
            ".",
            65,
            "; for a job of .gitlab-ci.yml write ./.gitlab-ci.yml#JOB",
        ),
        ("large", 65, "text of 5242880 bytes is too long"),
        ("huge.wasm", 65, "huge.wasm has more than 64 MiB"),
        ("fifo.yml", 65, "is not a regular file"),
        ("loop", 65, "is not a regular file"),
        ("fifo.wasm", 65, "not a regular file"),
        ("/dev/null", 65, "is not a regular file"),
        (
            "large.gitlab-ci.yml#a",
            65,
            "it has more than 4194304 bytes",
        ),
        ("fifo.gitlab-ci.yml", 65, "not a regular file"),
        (
            "fifo.gitlab-ci.yml#a",
            65,
            "there is no fifo.gitlab-ci.yml#a",
        ),
    ];
    for (what, code, sentence) in table {
        let ran = place.run(&[what]).await;
        assert_eq!(
            (ran.status.code(), ran.out.as_str()),
            (Some(code), ""),
            "{what}: {}",
            ran.err
        );
        assert!(ran.err.contains(sentence), "{what}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}
