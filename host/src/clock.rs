//! Wall time and the job's own time. The only module of the host that reads a clock.
//!
//! Wall time stamps log lines and statuses; everything that decides something counts from a job's own zero
//! ([`Stopwatch`]), so that a changed system clock neither ends nor saves a job.

use std::time::{Duration, SystemTime};

use stephost_job::At;
use tokio::time::Instant;

/// Now, for people to read.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Time since a job was registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts counting.
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn at(self) -> At {
        At::new(self.0.elapsed())
    }

    /// The moment at which this stopwatch shows `at`.
    pub(crate) fn instant(self, at: At) -> Instant {
        self.0 + at.since_zero()
    }

    /// The moment `after` the start; `None` when that is further away than the clock can count.
    pub(crate) fn deadline(self, after: Duration) -> Option<Instant> {
        self.0.checked_add(after)
    }
}
