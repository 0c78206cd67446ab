//! Programs of others that a part of the gate needs: whether one is there, running it for a bounded time, installing Debian's packages.
//!
//! Promises: nothing is installed unless the caller was told to; whatever is wrong comes back as a text for a line that says
//! what was skipped. Called by the parts that are skipped aloud where something is missing: Wine, the clients in Go and Python.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// How long an installation may take, in seconds: past that it hangs.
const INSTALL_SECONDS: &str = "240";
/// As much of what a program said as is looked through for its last words.
const WORDS_BYTES_MAX: u64 = 64 * 1024;

/// Whether a program is there and answers to this argument.
pub(crate) fn answers(tool: &str, argument: &str) -> bool {
    let status = Command::new(tool)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Runs a program that may take so long; an error says what it was for, and the last that the program said.
pub(crate) fn run(
    what: &str,
    seconds: &str,
    program: &[&str],
    env: &[(&str, &Path)],
) -> Result<(), String> {
    let mut command = Command::new("timeout");
    command.arg(seconds).args(program).envs(env.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    run_command(what, program, &mut command)
}

/// Runs a command that stands for `program`. Its words go to a file, for a daemon that it leaves would hold a pipe.
pub(crate) fn run_command(
    what: &str,
    program: &[&str],
    command: &mut Command,
) -> Result<(), String> {
    println!("$ {}", program.join(" "));
    let failed = |error: std::io::Error| format!("{what} failed: {error}");
    let mut words = tempfile::tempfile().map_err(failed)?;
    command.stderr(words.try_clone().map_err(failed)?);
    let status = command.status().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    match last_line(&mut words) {
        Some(line) => Err(format!("{what} failed ({status}): {line}")),
        None => Err(format!("{what} failed ({status})")),
    }
}

fn last_line(words: &mut File) -> Option<String> {
    let mut text = Vec::new();
    words.rewind().ok()?;
    words.take(WORDS_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    // Another's words, on our terminal.
    Some(line.trim().replace(char::is_control, " "))
}

/// Installs Debian's packages.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    // An ordinary user may be allowed to, without being asked for a password.
    let user = Command::new("id").arg("-u").output();
    let is_root = user.is_ok_and(|user| user.stdout.trim_ascii() == b"0");
    let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let apt = |what: &str, rest: &[&str]| {
        let quiet = [("DEBIAN_FRONTEND", Path::new("noninteractive"))];
        run(
            what,
            INSTALL_SECONDS,
            &[sudo, &["apt-get"], rest].concat(),
            &quiet,
        )
    };
    apt("asking for packages", &["update"])?;
    let install = ["install", "-y", "--no-install-recommends"];
    apt("installing packages", &[&install[..], packages].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_told_with_its_last_words() {
        let said = run(
            "trying it",
            "10",
            &[
                "sh",
                "-c",
                "echo first >&2; echo 'the \x1b[31mlast' >&2; exit 3",
            ],
            &[],
        );
        let said = said.unwrap_err();
        assert_eq!(said, "trying it failed (exit status: 3): the  [31mlast");
    }

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(answers("true", "--version"));
        assert!(!answers("no-such-program-of-ours", "--version"));
    }
}
