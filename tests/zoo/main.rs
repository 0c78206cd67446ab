//! Every kind of process that a step can leave: `zoo TAG KIND…` starts one of each, says `zoo ready` when all of them live, and
//! waits; with `leave` as a kind it ends instead. The tag is on every command line, so that nobody can hide.
//!
//! A black box's test animal: it owns ways to outlive a step, promises that nothing of it lives longer than [`LIFE`], whoever fails
//! to end it, and never forks faster than once a millisecond. Started as a step by `all/containment.rs`.
//!
//! Kinds are made by starting this program again (`zoo --be KIND TAG`), for `std` cannot fork. `daemon` starts one that starts
//! the daemon and ends, so that its parent is gone.

#![allow(
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "these programs wait for nothing but the end, and for nobody"
)]

use std::{
    env,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, Uid, WaitId, WaitIdOptions, getpid, kill_process, setpgid, setsid, waitid,
};

/// Longest life of any of them.
const LIFE: Duration = Duration::from_secs(60);
/// … and of one that moves.
const MOVING_LIFE: Duration = Duration::from_secs(15);
/// How long one that moves stands still.
const HOP: Duration = Duration::from_millis(1);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--be", kind, tag, rest @ ..] => be(kind, tag, rest),
        [tag, kinds @ ..] => {
            let (leave, kinds): (Vec<&str>, Vec<&str>) =
                kinds.iter().partition(|&&kind| kind == "leave");
            for kind in kinds {
                begin(kind, tag);
            }
            say("zoo ready\n");
            if leave.is_empty() {
                sleep(LIFE);
            }
        }
        [] => panic!("zoo TAG KIND…"),
    }
}

/// Starts one kind, and waits until it says that it is what it ought to be.
fn begin(kind: &str, tag: &str) {
    let count = if kind == "storm" { 200 } else { 1 };
    for _ in 0..count {
        let mut child = again(&["--be", kind, tag])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        // The line comes through a pipe of our own: what it does with the step's is its own affair.
        let mut word = [0; 6];
        child
            .stdout
            .take()
            .expect("a pipe")
            .read_exact(&mut word)
            .expect("it says that it lives");
        assert_eq!(&word, b"ready\n");
        if kind.starts_with("stopped") {
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(Pid::from_child(&child)), stopped).expect("it is our child");
        }
    }
}

fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments);
    command
}

fn be(kind: &str, tag: &str, rest: &[&str]) {
    match kind {
        "bg" | "storm" => ready(),
        // Whoever is started with TERM ignored ignores it.
        "ignterm" => {
            let error = Command::new("/bin/sh")
                .args(["-c", "trap '' TERM INT HUP QUIT; echo ready; exec sleep 60"])
                .exec();
            panic!("{error}");
        }
        "daemon" | "daemon-clean" => {
            let second = if kind == "daemon" {
                "second"
            } else {
                "second-clean"
            };
            setsid().expect("no leader of a group");
            let mut command = again(&["--be", second, tag]);
            if kind == "daemon-clean" {
                command.env_clear();
            }
            command.spawn().expect("it starts");
            return; // its parent is gone
        }
        "second" | "second-clean" => {
            env::set_current_dir("/").expect("there is a root");
            ready();
            rustix::stdio::dup2_stderr(null()).expect("stderr can be replaced");
        }
        "stopped" => {
            ready();
            kill_process(getpid(), Signal::STOP).expect("it stops");
        }
        // Asked to end, it says so in a file, and goes.
        "stopped-trap" => {
            let script =
                "trap 'echo asked >asked; exit' TERM; echo ready; sleep 60 & kill -STOP $$; wait";
            let error = Command::new("/bin/sh").args(["-c", script, tag]).exec();
            panic!("{error}");
        }
        // Only with the set-user-id bit, and root as the program's owner.
        "sudo" => {
            rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
                .expect("it is root's");
            ready();
        }
        "pipehold" => {
            setsid().expect("no leader of a group");
            // Its stderr is the step's.
            ready();
        }
        "pgnest" => {
            setpgid(None::<Pid>, None::<Pid>).expect("a group of its own");
            ready();
        }
        "chain" | "chain-pg" => {
            ready();
            hop(kind, tag, MOVING_LIFE);
            return;
        }
        "hop" => {
            let [of, left] = rest else {
                panic!("zoo --be hop TAG KIND MS")
            };
            let left = Duration::from_millis(left.parse().expect("milliseconds"));
            if *of == "chain" {
                setsid().expect("no leader of a group");
            }
            // A start takes about as long as a stay, so the life is an upper limit of hops and not of time.
            sleep(HOP);
            hop(of, tag, left.saturating_sub(HOP * 2));
            return;
        }
        other => panic!("no such kind: {other}"),
    }
    sleep(LIFE);
}

/// Lets another process go on, and ends.
fn hop(kind: &str, tag: &str, left: Duration) {
    if left > HOP {
        let left = left.as_millis().to_string();
        again(&["--be", "hop", tag, kind, &left])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
    }
}

fn ready() {
    say("ready\n");
    // Whoever started us waits for no more than this line.
    rustix::stdio::dup2_stdout(null()).expect("stdout can be replaced");
}

fn null() -> std::fs::File {
    let null = std::fs::File::options().write(true).open("/dev/null");
    null.expect("there is a null device")
}

fn say(line: &str) {
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("somebody reads");
    std::io::stdout().flush().expect("somebody reads");
}
