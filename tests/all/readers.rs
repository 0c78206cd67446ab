//! What every command owes whoever reads what it prints: it ends in the same way when its reader has gone, it says when
//! something could not be written, and no name that it is given acts on a terminal.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use stephost_tests::{Installation, usual_policy};
use tempfile::TempDir;

const FUNCTION: &str = "spec: {}\n---\nexec: {command: [sh, -c, 'echo out; echo err >&2']}\n";

/// A function, a policy and a component of one's own, and the program.
struct Place {
    dir: TempDir,
    installed: Installation,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            dir: TempDir::new().expect("a directory can be made"),
            installed: Installation::with_policy(usual_policy()),
        };
        for (file, text) in [
            ("it/func.yml", FUNCTION),
            ("wrong.yml", "spec: {}\n---\nexec: {comand: []}\n"),
            ("policy.toml", "policy = 1\nname = \"own\"\n"),
        ] {
            place.file(file, text);
        }
        let mut shipped = stephost_builtins::shipped().iter();
        let hello = shipped.find(|builtin| builtin.name == "hello");
        let component = hello.expect("it is shipped").wasm;
        std::fs::write(place.dir.path().join("it.wasm"), component).expect("it can be written");
        place
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        std::fs::write(path, text).expect("a file can be written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.installed.program());
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("TMPDIR", self.dir.path())
            .stdin(Stdio::null());
        command
    }
}

/// Commands that print something, and the exit code that they end with.
const COMMANDS: [(&[&str], i32); 19] = [
    (&["--help"], 0),
    (&["help", "run"], 0),
    (&["man"], 0),
    (&["completions", "bash"], 0),
    (&["explain"], 0),
    (&["explain", "S003"], 0),
    (&["version"], 0),
    (&["version", "--json"], 0),
    (&["policy", "show"], 0),
    (&["policy", "check", "policy.toml"], 0),
    (&["config", "show"], 0),
    (&["doctor"], 0),
    (&["check", "it/func.yml"], 0),
    (&["check", "wrong.yml"], 1),
    (&["check", "--json", "wrong.yml"], 1),
    (&["inspect", "it.wasm"], 0),
    (&["run", "./it"], 0),
    (&["run", "it.wasm", "-i", "name=Ada"], 0),
    (&["run", "./gone"], 65),
];

/// The writing end of a pipe that nobody reads.
fn unread() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    writer
}

#[test]
fn a_command_whose_reader_has_gone_ends_as_it_would_have() {
    let place = Place::new();
    for (arguments, code) in COMMANDS {
        let out_gone = place
            .command(arguments)
            .stdout(unread())
            .stderr(Stdio::piped())
            .output()
            .expect("the program under test starts");
        let said = String::from_utf8_lossy(&out_gone.stderr);
        assert_eq!(out_gone.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        let both_gone = place
            .command(arguments)
            .stdout(unread())
            .stderr(unread())
            .status()
            .expect("the program under test starts");
        assert_eq!(both_gone.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_result_that_could_not_be_written_is_told() {
    let place = Place::new();
    for (arguments, code) in COMMANDS {
        // What clap prints by itself it does not look after, and some have nothing to say on stdout.
        let silent = ["help", "--help", "./gone"];
        if code != 0 || arguments.iter().any(|word| silent.contains(word)) {
            continue;
        }
        let full = File::options().write(true).open("/dev/full");
        let done = place
            .command(arguments)
            .stdout(full.expect("Linux has it"))
            .stderr(Stdio::piped())
            .output()
            .expect("the program under test starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(73), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: ") && last.contains("No space left on device"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn no_name_acts_on_a_terminal() {
    let place = Place::new();
    let odd = "o\u{1b}[31mdd\nerror: forged\u{202E}";
    for (file, text) in [
        ("{}.yml", FUNCTION),
        ("{}.toml", "policy = 1\nname = \"own\"\n"),
        ("{}.wasm", "no wasm"),
    ] {
        place.file(&file.replace("{}", odd), text);
    }
    let commands: [&[&str]; 21] = [
        &["check", "{}.yml"],
        &["check", "{}"],
        &["policy", "check", "{}.toml"],
        &["policy", "check", "{}"],
        &["policy", "show", "--policy", "{}.toml"],
        &["inspect", "{}"],
        &["inspect", "{}.wasm"],
        &["run", "{}"],
        &["run", "./{}"],
        &["run", "{}.yml"],
        &["run", "{}.wasm"],
        &["run", ".gitlab-ci.yml#{}"],
        &["run", "./it", "-i", "{}=1"],
        &["run", "./it", "-C", "{}"],
        &["health", "--socket", "{}"],
        &["serve", "--config", "{}"],
        &["steps", "serve", "--socket", "/gone/{}"],
        &["steps", "bootstrap", "/gone/{}"],
        &["explain", "{}"],
        &["new", "{}"],
        &["man", "/gone/{}"],
    ];
    for arguments in commands {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| argument.replace("{}", odd))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = place
            .command(&arguments)
            .output()
            .expect("the program under test starts");
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        assert!(!said.is_empty(), "{arguments:?}");
        let acts = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202E}';
        assert!(!said.contains(acts), "{arguments:?}: {said:?}");
        assert!(!said.contains("\nerror: forged"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_name_that_is_no_text_is_found_all_the_same() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let named = |end: &str| -> std::path::PathBuf {
        let name = [b"o\xffdd", end.as_bytes()].concat();
        Path::new(OsStr::from_bytes(&name)).to_owned()
    };
    let copy = |from: &str, to: &Path| {
        let dir = place.dir.path();
        std::fs::copy(dir.join(from), dir.join(to)).expect("it can be copied");
    };
    copy("it/func.yml", &named(".yml"));
    copy("policy.toml", &named(".toml"));
    copy("it.wasm", &named(".wasm"));
    for (verbs, file) in [
        (&["check"][..], named(".yml")),
        (&["policy", "check"], named(".toml")),
        (&["policy", "show", "--policy"], named(".toml")),
        (&["inspect"], named(".wasm")),
    ] {
        let done = place
            .command(verbs)
            .arg(&file)
            .output()
            .expect("the program under test starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{verbs:?}: {said}");
    }
}
