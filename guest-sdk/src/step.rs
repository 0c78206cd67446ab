//! The running step, as a function with `#[step]` holds it.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::control::Stop;
use crate::{Failure, context, control};

/// The running step: its exports, its stop, its time, its place. The log is written with the macros
/// [`say!`](crate::say), [`info!`](crate::info) and their like.
#[derive(Debug)]
pub struct Step {
    exports: RefCell<Vec<(String, String)>>,
}

impl Step {
    pub(crate) fn new() -> Step {
        Step {
            exports: RefCell::default(),
        }
    }

    pub(crate) fn into_exports(self) -> Vec<(String, String)> {
        self.exports.into_inner()
    }

    /// Sets an environment variable for the steps after this one, if this one succeeds. The last value counts.
    pub fn export(&self, name: &str, value: impl Into<String>) {
        let value = value.into();
        let mut exports = self.exports.borrow_mut();
        match exports.iter_mut().find(|(exported, _)| exported == name) {
            Some((_, earlier)) => *earlier = value,
            None => exports.push((name.to_owned(), value)),
        }
    }

    /// Returns why the step should stop; none while it may continue.
    #[must_use]
    pub fn stop_requested(&self) -> Option<Stop> {
        control::stop_requested()
    }

    /// Ends a step that was asked to stop: `step.proceed()?` between two pieces of work.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] once a stop was requested.
    pub fn proceed(&self) -> Result<(), Failure> {
        control::proceed()
    }

    /// Sleeps for `duration`, or until a stop is requested, which is then returned.
    pub fn sleep(&self, duration: Duration) -> Option<Stop> {
        control::wait(duration)
    }

    /// Returns what is left of the grace period; none while no stop was requested or when it has no end.
    #[must_use]
    pub fn grace_left(&self) -> Option<Duration> {
        control::grace_left()
    }

    /// Returns the time since the step began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        control::elapsed()
    }

    /// Returns the date. It follows [`Step::elapsed`], not a clock that somebody sets meanwhile.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        control::now()
    }

    /// Returns the directory the step works in, as the host sees it. Knowing it gives no access.
    #[must_use]
    pub fn work_dir(&self) -> String {
        context::work_dir()
    }

    /// Returns a variable of the environment that an exec step in this place would have.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<String> {
        find(context::environment(), name)
    }

    /// Returns a variable of the job.
    #[must_use]
    pub fn job_variable(&self, name: &str) -> Option<String> {
        find(context::job_variables(), name)
    }
}

fn find(variables: Vec<(String, String)>, name: &str) -> Option<String> {
    let found = variables.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value)
}
