//! Cgroups, where the system has none: nothing of this can be made, so nothing of it has to be done.
//!
//! Called by: `running`, `report` and the host, which are the same everywhere.

use std::path::PathBuf;

/// What all programs of one job may use together: no limit can be set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// How many processes and threads.
    pub processes: Option<u64>,
}

/// What limits did: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitsReached {
    /// How many processes the kernel killed for memory.
    pub memory_kills: u64,
    /// How many processes could not be started, because there were too many.
    pub processes_refused: u64,
    /// What the limits are.
    pub limits: JobLimits,
}

/// A cgroup as a host on Linux writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupId {
    /// Where it is.
    pub path: PathBuf,
    /// The file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// Why a host has no cgroup of its own.
#[derive(Debug, thiserror::Error)]
pub enum CgroupUnusable {
    /// This is not Linux.
    #[error(
        "this system has no cgroups, by which the programs of a job are limited; leave the limit out"
    )]
    NotHere,
}

/// The cgroup of one host; there is none.
#[derive(Debug, Clone)]
pub enum HostCgroup {}

impl HostCgroup {
    /// Whether a host with these limits gains something by one: only limits need it, for whoever a step starts is found without.
    pub fn is_of_use(limits: JobLimits) -> bool {
        limits != JobLimits::default()
    }

    /// Makes none.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn make(_name: &str, _limits: JobLimits) -> Result<HostCgroup, CgroupUnusable> {
        Err(CgroupUnusable::NotHere)
    }

    /// What tells it from every other.
    pub fn id(&self) -> &CgroupId {
        match *self {}
    }
}

/// What the steps of one job share; there is none.
#[derive(Debug)]
pub(crate) enum JobCgroup {}

impl JobCgroup {
    pub(crate) fn reached(&self) -> LimitsReached {
        match *self {}
    }
}

/// A step's own cgroup; there is none.
#[derive(Debug)]
pub(crate) enum StepCgroup {}
