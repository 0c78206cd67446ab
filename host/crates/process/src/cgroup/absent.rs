//! Cgroups, where the system has none: nothing of this can be made, so nothing of it has to be done.
//!
//! Called by: `running` and `report`, which are the same everywhere.

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
