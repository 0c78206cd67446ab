//! The programs of the Windows tests: a step in every kind that matters, and a host of steps. Which one, the first argument says.

use std::{
    env,
    io::{self, BufRead, Write},
    os::windows::process::CommandExt,
    process::{self, Child, Command, ExitCode, Stdio},
    sync::Arc,
    thread,
};

use stephost_process::{Output, Plan, Stopper, Stream, Supervisors, Surroundings};
use tokio::signal::windows::{ctrl_break, ctrl_c};

/// Asks to be outside of every job; a job that does not allow it refuses.
const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;

/// Plays the role on the command line; `None` without one.
pub(crate) fn act() -> Option<ExitCode> {
    let mut arguments = env::args().skip(1);
    let role = arguments.next()?;
    let rest: Vec<String> = arguments.collect();
    let number = || rest.first().and_then(|first| first.parse::<u32>().ok());
    match role.as_str() {
        "exit" => process::exit(number()?.cast_signed()),
        "show" => show(&rest),
        "write" => write(number()?),
        "lines" => lines(number()?),
        "read" => read(),
        "tree" => tree(number()?),
        "leave" => leave(),
        "break-away" => break_away(),
        "polite" => polite(number()?),
        "deaf" => deaf(),
        "host" => host(&rest),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Says a line at once.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("somebody listens");
}

fn start_another(role: &str, argument: &str) -> Child {
    Command::new(env::current_exe().expect("this program is a file"))
        .args([role, argument])
        .stdin(Stdio::null())
        .spawn()
        .expect("another one starts")
}

/// What it was given: arguments, directory, environment.
fn show(arguments: &[String]) {
    for argument in arguments {
        say(&format!("argument {argument:?}"));
    }
    let directory = env::current_dir().expect("there is one");
    say(&format!("directory {}", directory.display()));
    for (name, value) in env::vars() {
        say(&format!("variable {name}={value}"));
    }
}

fn write(bytes: u32) {
    let text = vec![b'x'; usize::try_from(bytes).expect("a number of bytes")];
    io::stdout().write_all(&text).expect("somebody reads");
    eprint!("last words");
}

fn lines(count: u32) {
    for number in 0..count {
        println!("out {number}");
        eprintln!("err {number}");
    }
}

/// Whether there is anything to read.
fn read() {
    let mut line = String::new();
    let bytes = io::stdin().read_line(&mut line).expect("a null device");
    say(&format!("read {bytes}"));
}

/// Says who it is, starts another one below it, and stays.
fn tree(generations: u32) {
    say(&format!("alive {}", process::id()));
    let _child = generations
        .checked_sub(1)
        .filter(|&below| below > 0)
        .map(|below| start_another("tree", &below.to_string()));
    stay()
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}

/// Leaves a child behind, which has its output.
fn leave() {
    let _child = start_another("tree", "1");
    process::exit(7);
}

fn break_away() {
    let child = Command::new(env::current_exe().expect("this program is a file"))
        .args(["tree", "1"])
        .creation_flags(CREATE_BREAKAWAY_FROM_JOB)
        .spawn();
    match child {
        Ok(child) => say(&format!("away {}", child.id())),
        Err(error) => say(&format!("refused {:?}", error.raw_os_error())),
    }
}

fn in_runtime<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// Ends when it is asked to, and so does everybody below it.
fn polite(generations: u32) {
    in_runtime(async {
        let mut asked = ctrl_c().expect("a console");
        let below = generations.saturating_sub(1);
        let child = (below > 0).then(|| start_another("polite", &below.to_string()));
        say(&format!("ready {generations}"));
        asked.recv().await;
        if let Some(mut child) = child {
            child.wait().expect("our child");
        }
        say(&format!("asked {generations}"));
    });
}

/// Hears everything and stays.
fn deaf() {
    in_runtime(async {
        let mut asked = ctrl_c().expect("a console");
        let mut insisted = ctrl_break().expect("a console");
        say(&format!("alive {}", process::id()));
        asked.recv().await;
        say("asked");
        insisted.recv().await;
        say("insisted");
        stay();
    });
}

struct Forward;

impl Output for Forward {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let written = match stream {
            Stream::Out => io::stdout()
                .write_all(bytes)
                .and_then(|()| io::stdout().flush()),
            Stream::Err => io::stderr().write_all(bytes),
        };
        written.expect("somebody reads");
    }

    fn write_late(&self, stream: Stream, bytes: &[u8]) {
        self.write(stream, bytes);
    }
}

/// A host of one step, which it stops when it is told to.
fn host(step: &[String]) {
    let plan = Plan {
        program: env::current_exe().expect("this program is a file").into(),
        args: step.iter().map(Into::into).collect(),
        env: env::vars_os().collect(),
        work_dir: env::current_dir().expect("there is one"),
    };
    let report = in_runtime(async {
        let supervisors = Supervisors::new(Surroundings::default()).expect("a host");
        let running = supervisors
            .start(plan, Arc::new(Forward))
            .await
            .expect("the step starts");
        let stopper = running.stopper();
        thread::spawn(move || obey(&stopper));
        running.ended().await
    });
    say(&format!(
        "ended {} signalled {} killed {}",
        report.exit, report.signalled, report.killed
    ));
}

fn obey(stopper: &Stopper) {
    for line in io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("stop") => stopper.terminate(),
            Ok("kill") => stopper.kill(),
            Ok(_) | Err(_) => return,
        }
    }
}
