//! `stephost`: a step host for CI runners.
//!
//! A runner's Run call comes in over a socket (`server`), becomes a job (`jobs`), whose steps run
//! (`run`: natively through `stephost_process`, in the sandbox through `stephost_sandbox`), whose log
//! streams out (`logfile`). Modules use each other downwards only, in this order: cli, server, jobs, run,
//! logfile; `cargo xtask tidy` checks it against docs/ARCHITECTURE.md.

#![cfg_attr(not(windows), forbid(unsafe_code))]
#![deny(unsafe_code)]

mod cli;
mod clock;
mod config;
#[cfg_attr(windows, path = "files/windows.rs")]
mod files;
mod jobs;
mod lodging;
mod logfile;
mod observe;
mod run;
mod server;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // First of all: a supervisor has one thread and nothing else of ours.
    if let Some(code) = stephost_process::supervise_if_asked() {
        return code;
    }
    // Before anything is promised: a panic must end one job, not the host with all of them.
    if !observe::panics::are_caught() {
        eprintln!(
            "error: this program was built with panic = \"abort\"; build it with panic = \"unwind\""
        );
        return std::process::ExitCode::from(cli::exit::CONFIG);
    }
    std::process::ExitCode::from(cli::run())
}
