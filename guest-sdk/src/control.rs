//! Learning that the step should stop, waiting, and telling the time.

use std::time::{Duration, SystemTime};

use crate::{Failure, host};

pub use crate::bindings::stephost::step::control::Stop;

/// Returns why the step should stop; none while it may continue.
#[must_use]
pub fn stop_requested() -> Option<Stop> {
    host::stop_requested()
}

/// Ends a step that was asked to stop: `control::proceed()?` between two pieces of work.
///
/// # Errors
/// [`Failure::Cancelled`] once a stop was requested.
pub fn proceed() -> Result<(), Failure> {
    stop_requested().map_or(Ok(()), |_| Err(Failure::Cancelled))
}

/// Sleeps for `duration`, or until a stop is requested, which is then returned.
pub fn wait(duration: Duration) -> Option<Stop> {
    // Rounded up: a loop of short waits must wait.
    let millis = duration.as_nanos().div_ceil(1_000_000);
    host::wait(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Returns what is left of the grace period; none while no stop was requested or when it has no end.
#[must_use]
pub fn grace_left() -> Option<Duration> {
    host::grace_left().map(Duration::from_millis)
}

/// Returns the time since the step began.
#[must_use]
pub fn elapsed() -> Duration {
    Duration::from_millis(host::elapsed_millis())
}

/// Returns the date. It follows [`elapsed`], not a clock that somebody sets meanwhile. Stands in for
/// [`SystemTime::now`], which panics in a component.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(host::now_millis()))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
