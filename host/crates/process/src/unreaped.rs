//! Leaders that were killed by a drop and had not died yet. They need somebody to reap them, and a drop cannot wait:
//! every later start and drop tries. Holds one id per process that is stuck in the kernel, so it is small.

use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;

use crate::linux;

static UNREAPED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Takes over the reaping of `leader`, which was sent SIGKILL and whom nobody else waits for.
pub(crate) fn adopt(leader: Pid) {
    UNREAPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(leader);
}

/// Reaps those that have died since.
pub(crate) fn reap_dead() {
    UNREAPED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|&leader| !linux::reap(leader));
}
