//! A number that is used again belongs to a stranger, and no signal of ours reaches him. A process of its own: it starts itself
//! again in a namespace that has a hundred numbers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]
#![allow(
    clippy::disallowed_methods,
    reason = "this test starts processes that are none of the crate's"
)]

use std::{
    env, fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use stephost_process::{Exit, start_other};

use crate::fixture::{Witness, begin, shell, within};

#[path = "all/fixture.rs"]
mod fixture;

/// Set in the namespace.
const INSIDE: &str = "STEPHOST_TEST_FEW_NUMBERS";
/// The kernel keeps the first three hundred for those who came first.
const NUMBERS: &str = "400";
/// The first number that is used a second time.
const USED_AGAIN: &str = "300";
/// Starts that are enough to meet every free number.
const STARTS: usize = 400;

#[test]
fn scenario_17_a_stranger_with_the_number_of_a_step_is_not_signalled() {
    if env::var_os(INSIDE).is_some() {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(among_few_numbers());
        return;
    }
    let limit = || fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    if !numbers_are_of_the_namespace() {
        eprintln!("skipped: this kernel has one limit of numbers for all namespaces");
        return;
    }
    let before = limit();
    let inside = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--mount-proc",
            ])
            .args(program)
            .env(INSIDE, "1");
        command.output()
    };
    let lowers = format!("echo {NUMBERS} >/proc/sys/kernel/pid_max");
    let tried = inside(&["sh", "-c", &lowers]);
    assert_eq!(limit(), before, "the limit out here is as it was");
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this user cannot make a pid namespace and lower its limit");
        return;
    }
    let own = env::current_exe().unwrap();
    let again = format!("{lowers}; exec \"$0\" --nocapture");
    let done = inside(&["sh", "-c", &again, own.to_str().unwrap()]).unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("the number is used again"), "{said}");
}

/// Since Linux 6.14.
fn numbers_are_of_the_namespace() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 14)
}

async fn among_few_numbers() {
    assert!(stranger_with(USED_AGAIN).map(put_down).is_some());
    // The child leaves the group, so nobody but the dead leader holds its number.
    let (running, output) = begin(shell(
        r#"setsid sleep 15 >/dev/null 2>&1 &
        until read -r _ _ _ _ _ session _ </proc/$!/stat && [ "$session" = $! ]; do :; done
        echo child $!"#,
    ))
    .await;
    let leader = running.pid().to_string();
    let child = Witness::of(&output.line("child ").await);
    let report = within("the end", running.ended()).await;
    assert_eq!(report.exit, Exit::Code(0));
    let leftovers = report.leftovers.expect("the child lives");

    let mut stranger = stranger_with(&leader);
    within("the kill", leftovers.kill()).await;
    child.assert_dies();
    if let Some(stranger) = &mut stranger {
        let ended = stranger.try_wait().unwrap();
        let _ = stranger.kill();
        assert!(ended.is_none(), "a stranger was killed: {ended:?}");
    }

    // Else the test would show nothing.
    put_down(stranger_with(&leader).expect("a number that is free is used again"));
    eprintln!("the number is used again");
}

/// Starts strangers, each a group of its own, until one gets this number.
fn stranger_with(number: &str) -> Option<Child> {
    for _ in 0..STARTS {
        let mut command = Command::new("/bin/sleep");
        command.arg("15").stdin(Stdio::null()).process_group(0);
        let stranger = start_other(|| command.spawn(), |child| Some(child.id())).unwrap();
        if stranger.id().to_string() == number {
            return Some(stranger);
        }
        put_down(stranger);
    }
    None
}

fn put_down(mut stranger: Child) {
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
