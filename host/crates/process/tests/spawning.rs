//! A step is spawned without copying the host's page tables (design D8). A process of its own: it counts its own page faults.
//!
//! A fork write-protects every page of the host, and each one faults when it is next written; `posix_spawn` leaves them alone. So
//! faults tell the two apart on any machine under any load, which times do not.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::{
    hint::black_box,
    process::{Command, Stdio},
};

use crate::fixture::{own_stat, plan, run};

#[path = "all/fixture.rs"]
mod fixture;

const PAGES: usize = 8192;
const PAGE_BYTES: usize = 4096;

/// Writes to every page; returns the faults that this took.
fn faults_of_writing(ballast: &mut [u8]) -> u64 {
    let before = own_stat(10);
    for page in ballast.chunks_mut(PAGE_BYTES) {
        page[0] = page[0].wrapping_add(1);
    }
    black_box(&ballast);
    own_stat(10) - before
}

#[tokio::test]
async fn a_start_leaves_the_hosts_pages_alone() {
    let mut ballast = vec![1; PAGES * PAGE_BYTES];
    faults_of_writing(&mut ballast);

    // The yardstick: std falls back to a fork for a bare name with a changed PATH.
    let mut forked = Command::new("true")
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let after_fork = faults_of_writing(&mut ballast);
    forked.wait().unwrap();

    assert!(run(plan("true", &[])).await.0.exit.is_success());
    let after_start = faults_of_writing(&mut ballast);

    assert!(
        after_fork > 0,
        "a fork cost no fault: the yardstick is broken"
    );
    assert!(
        after_start * 4 < after_fork,
        "{after_start} faults after a start, {after_fork} after a fork"
    );
}
