//! The program of the steps, on Windows: its first argument says what it does. Whoever is to be seen to end holds a connection to the test, which the
//! system closes with the process.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, thread};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["say", ref words @ ..] => say(&words.join(" ")),
        ["fill", lines] => fill(lines),
        ["variable", name] => say(&env::var_os(name).unwrap_or_default().to_string_lossy()),
        ["output", line] => output(line),
        ["fail", code] => return code.parse::<u8>().unwrap_or(u8::MAX).into(),
        ["stay", address, generations] => stay(address, generations),
        ["polite", address] => polite(address),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// Says a line at once.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("somebody listens");
}

/// Says as many long lines.
fn fill(lines: &str) {
    let line = "x".repeat(8 << 10);
    for _ in 0..lines.parse().unwrap_or(0) {
        say(&line);
    }
}

/// Hands out an output, through the file that the environment names.
fn output(line: &str) {
    let file = env::var_os("OUTPUT_FILE").expect("the step says where");
    fs::write(file, format!("{line}\n")).expect("it can be written");
}

/// Starts others below it, and stays with them, deaf.
fn stay(address: &str, generations: &str) {
    let _witness = TcpStream::connect(address).expect("the test listens");
    let below = generations.parse::<u32>().unwrap_or(0).saturating_sub(1);
    let own = env::current_exe().expect("this program is a file");
    let _child = (below > 0).then(|| {
        let mut another = Command::new(own);
        another.args(["stay", address, &below.to_string()]);
        another.stdin(Stdio::null()).spawn().expect("it starts")
    });
    asked(|_| {
        say("stays");
        loop {
            thread::park();
        }
    });
}

/// Ends when it is asked to.
fn polite(address: &str) {
    let _witness = TcpStream::connect(address).expect("the test listens");
    asked(|wait| {
        say("ready");
        wait();
        say("asked to end");
    });
}

/// Hears Ctrl-C, and does something that may wait for it.
#[cfg(windows)]
fn asked(work: impl FnOnce(&dyn Fn())) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let _context = runtime.enter();
    let keys = std::cell::RefCell::new(tokio::signal::windows::ctrl_c().expect("a console"));
    work(&|| {
        runtime.block_on(keys.borrow_mut().recv());
    });
}

/// Hears nothing: this program is for Windows.
#[cfg(not(windows))]
fn asked(work: impl FnOnce(&dyn Fn())) {
    work(&|| {});
}
