//! Two hundred steps leave nothing open and nobody unreaped. A process of its own: other tests open descriptors too.
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::fs;

use rustix::{
    io::Errno,
    process::{WaitId, WaitIdOptions, waitid},
};

use crate::fixture::{begin, run, shell};

#[path = "all/fixture.rs"]
mod fixture;

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn two_hundred_steps_leave_no_descriptor_and_no_zombie() {
    assert!(run(shell("exit 0")).await.0.exit.is_success()); // whatever is opened once is open now
    let before = open_descriptors();
    for round in 0..200 {
        match round % 5 {
            0 => assert!(start_fails()),
            1 => drop(begin(shell("sleep 600"))),
            2 => {
                let (running, _) = begin(shell("sleep 600"));
                running.stopper().kill();
                assert!(running.ended().await.killed);
            }
            _ => assert!(run(shell("echo hello")).await.0.exit.is_success()),
        }
    }
    // A dropped step's driver is let go of by the runtime when it next runs.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(open_descriptors(), before);
    drop(begin(shell("exit 0"))); // reaps what earlier drops could not
    let left = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    assert!(
        matches!(left, Err(Errno::CHILD)),
        "a child is left: {left:?}"
    );
}

fn start_fails() -> bool {
    let recorder = std::sync::Arc::new(fixture::Recorder::default());
    stephost_process::start(fixture::plan("./nope", &[]), recorder).is_err()
}
