//! Where the step runs: names and values only. Knowing a path gives no access to it.

use std::time::Duration;

use crate::host;

/// Returns the directory the step works in, as the host sees it.
#[must_use]
pub fn work_dir() -> String {
    host::work_dir()
}

/// Returns the environment an exec step in this place would have.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    host::environment()
}

/// Returns the variables of the job.
#[must_use]
pub fn job_variables() -> Vec<(String, String)> {
    host::job_variables()
}

/// Returns the time a step gets to finish once it is asked to stop.
#[must_use]
pub fn grace() -> Duration {
    Duration::from_millis(host::grace_millis())
}
