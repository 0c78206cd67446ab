//! What a person sees on a terminal: progress between the lines of a log, and nothing of it in them.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::sync::mpsc;

use super::Place;

/// A step that waits in the middle of its log.
const WAITS: &str = "{}\n---\nrun:\n  - name: waits\n    script: |\n      echo first\n      read _ < gate\n      printf '\\033[32msecond\\033[0m\\n'; exit 3\n";

/// Both ends of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal can be made");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let theirs = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("it opens");
    (ours, theirs)
}

/// Pieces of what appears, until nobody holds the other end.
fn appearing(ours: OwnedFd) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (say, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut terminal = File::from(ours);
        let mut piece = vec![0; 4096];
        // The end of a terminal is an error.
        while let Ok(bytes @ 1..) = terminal.read(&mut piece) {
            let _ = say.send(piece[..bytes].to_vec());
        }
    });
    heard
}

/// What is left to see once lines were taken away.
fn seen(transcript: &str) -> String {
    let lines = transcript.split_inclusive("\r\n");
    let seen = lines.map(|line| line.rsplit("\r\x1b[2K").next().unwrap_or_default());
    seen.collect::<String>().replace("\r\n", "\n")
}

#[tokio::test]
async fn progress_names_the_step_and_leaves_no_trace_in_the_log() {
    for (both, coloured, arguments) in [
        (true, true, &["-"][..]),
        (true, false, &["-"]),
        (false, true, &["-"]),
        (true, true, &["-", "--json"]),
    ] {
        let place = Place::new();
        let gate = place.work.path().join("gate");
        rustix::fs::mkfifoat(rustix::fs::CWD, &gate, Mode::RUSR | Mode::WUSR)
            .expect("a FIFO can be made");
        place.file("steps.yml", WAITS);
        let (ours, theirs) = terminal();
        let mut appearing = appearing(ours);
        let stdin = File::open(place.work.path().join("steps.yml")).expect("it is there");
        let mut command = place.command(arguments);
        command.stdin(stdin);
        if !coloured {
            command.env("NO_COLOR", "1");
        }
        let drawn = if coloured {
            "\x1b[2m[00:00] waits\x1b[0m"
        } else {
            "\x1b[?7l[00:00] waits\x1b[?7h"
        };
        let json = arguments.contains(&"--json");
        if both && !json {
            command.stdout(theirs.try_clone().expect("it can be shared"));
        }
        command.stderr(Stdio::from(theirs));
        let child = command.spawn().expect("the program under test starts");
        // It holds the terminal too.
        drop(command);

        let mut transcript = Vec::new();
        while !String::from_utf8_lossy(&transcript).contains(drawn) {
            transcript.extend(appearing.recv().await.expect("progress is drawn"));
        }
        tokio::fs::write(&gate, "go\n").await.expect("a step waits");
        let output = child.wait_with_output().await.expect("it ends");
        place.is_clean();
        while let Some(piece) = appearing.recv().await {
            transcript.extend(piece);
        }
        let transcript = String::from_utf8_lossy(&transcript).into_owned();
        let seen = super::untimed(&seen(&transcript));

        let log = "Running step name=waits\nfirst\n\x1b[32msecond\x1b[0m\n";
        let card = "error: step waits failed (exit status 3) after T\n";
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if both {
            assert!(seen.starts_with(&format!("{log}{card}")), "{transcript:?}");
        } else {
            assert_eq!(out, log);
            assert!(seen.starts_with(card), "{transcript:?}");
        }
        assert_eq!(out.starts_with("{\"schema\""), json, "{out}");
    }
}
