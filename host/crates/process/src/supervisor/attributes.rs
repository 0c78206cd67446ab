//! What a child inherits from its supervisor, so that one step cannot set the stage for the next: every step gets the same.

use std::fs;

use rustix::{
    fs::{Mode, stat},
    process::{Resource, Rlimit, getpriority_process, getrlimit, umask},
    thread::{CpuSet, sched_getaffinity},
};

use crate::sys::{self, Scheduling};

const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

/// Everything that another process of the same user can change in us and that a child would inherit, and what only a tracer could.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    limits: [Rlimit; 16],
    affinity: Option<CpuSet>,
    nice: Option<i32>,
    scheduling: Scheduling,
    signals: (u64, u64),
    umask: Mode,
    directory: Option<(u64, u64)>,
    cgroups: Option<Vec<u8>>,
    oom_score: Option<Vec<u8>>,
}

impl Attributes {
    /// Reads those of this process.
    pub(super) fn read() -> Attributes {
        let mask = umask(Mode::empty());
        umask(mask);
        Attributes {
            limits: RESOURCES.map(getrlimit),
            affinity: sched_getaffinity(None).ok(),
            nice: getpriority_process(None).ok(),
            scheduling: sys::scheduling(),
            signals: sys::signal_state(),
            umask: mask,
            directory: stat(".").ok().map(|found| (found.st_dev, found.st_ino)),
            cgroups: fs::read("/proc/self/cgroup").ok(),
            oom_score: fs::read("/proc/self/oom_score_adj").ok(),
        }
    }
}
