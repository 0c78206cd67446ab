//! Two hundred steps leave nothing open and nobody unreaped. A process of its own: other tests open descriptors too.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::{fs, sync::Arc};

use rustix::{
    io::Errno,
    process::{WaitId, WaitIdOptions, waitid},
};
use stephost_process::Supervisors;

use crate::fixture::{Recorder, begin_in, plan, shell, supervisors, within};

#[path = "all/fixture.rs"]
mod fixture;

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A host that runs one step of each kind `rounds` times, and ends.
async fn life_of_a_host(rounds: usize) {
    let supervisors = supervisors();
    for round in 0..rounds {
        match round % 5 {
            0 => assert!(start_fails(&supervisors).await),
            1 => drop(begin_in(&supervisors, shell("sleep 600")).await),
            2 => {
                let (running, _) = begin_in(&supervisors, shell("sleep 600")).await;
                running.stopper().kill();
                assert!(within("the end", running.ended()).await.killed);
            }
            3 => {
                let (running, _) = begin_in(
                    &supervisors,
                    shell("setsid sleep 600 >/dev/null 2>&1 & exit 0"),
                )
                .await;
                drop(within("the end", running.ended()).await);
            }
            _ => {
                let (running, _) = begin_in(&supervisors, shell("echo hello")).await;
                let report = within("the end", running.ended()).await;
                assert!(report.exit.is_success());
            }
        }
    }
    within("the last supervisor", supervisors.close()).await;
}

#[tokio::test]
async fn two_hundred_steps_leave_no_descriptor_and_no_zombie() {
    life_of_a_host(5).await; // whatever is opened once is open now
    let before = open_descriptors();
    life_of_a_host(200).await;
    // A dropped task is let go of by the runtime when it next runs.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(open_descriptors(), before);
    let left = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    assert!(
        matches!(left, Err(Errno::CHILD)),
        "a child is left: {left:?}"
    );
}

async fn start_fails(supervisors: &Supervisors) -> bool {
    let recorder = Arc::new(Recorder::default());
    supervisors
        .start(plan("./nope", &[]), recorder)
        .await
        .is_err()
}
