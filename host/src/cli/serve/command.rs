//! The command beside a host, on Unix: started at the first byte on stdin, told to end with the host, and its exit code is the host's. On Windows
//! `absent_command.rs` stands here.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::watch;

use crate::cli::exit::{self, Failure};
use crate::config;
use crate::server::Drain;

/// Time between the polite signal and the kill for the command (contract 2.4).
const GRACE: Duration = Duration::from_secs(5);
/// How long the command's first byte may be looked for before signals are looked at again.
const ROUND: Duration = Duration::from_millis(200);

/// Whether a command can be run: always.
///
/// # Errors
///
/// None on Unix.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it cannot be run")]
pub(super) fn check() -> Result<(), Failure> {
    Ok(())
}

/// Runs the command once stdin has a first byte for it; 0 if stdin ends before.
pub(super) async fn run(
    program: &OsStr,
    arguments: &[OsString],
    mut drain: watch::Receiver<Drain>,
) -> Result<u8, Failure> {
    let input = tokio::task::spawn_blocking({
        let drain = drain.clone();
        move || has_input(&drain)
    });
    if !input.await.unwrap_or(false) {
        return Ok(exit::FINE);
    }
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(config::host_environment())
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .process_group(0);
    let mut command = tokio::process::Command::from(command);
    let mut child = stephost_process::start_other(|| command.spawn(), tokio::process::Child::id)
        .with_context(|| format!("starting {}", program.display()))
        .map_err(Failure::unavailable)?;
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = drain.wait_for(|drain| is_asked_to_end(*drain)) => {
            // The leader is not reaped yet, so the group is still its own.
            signal_group(group, Signal::TERM);
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    signal_group(group, Signal::KILL);
                    child.wait().await
                }
            }
        }
    };
    let status = status
        .context("waiting for the command")
        .map_err(Failure::internal)?;
    Ok(code(status))
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // A group that is gone needs no signal.
        let _ = kill_process_group(group, signal);
    }
}

/// The exit code of a command as a shell would give it.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(exit::INTERNAL)
}

/// Waits until stdin has a byte, without taking it. False when it ends before, or a drain begins.
fn has_input(drain: &watch::Receiver<Drain>) -> bool {
    let stdin = std::io::stdin();
    let timeout = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: ROUND.as_nanos() as i64,
    };
    while !is_asked_to_end(*drain.borrow()) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // Readable with nothing to read is the end; so is a descriptor that cannot say, like /dev/null.
            Ok(_) => return rustix::io::ioctl_fionread(stdin.as_fd()).is_ok_and(|bytes| bytes > 0),
            Err(_) => return false,
        }
    }
    false
}

/// Whether somebody has asked for the end. A host that is worn out goes on for its command, which nobody asked to end.
fn is_asked_to_end(drain: Drain) -> bool {
    match drain {
        Drain::No | Drain::WornOut => false,
        Drain::Patient | Drain::Now => true,
    }
}
