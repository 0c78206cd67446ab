//! What the thread that asks has computed so far. On Windows `thread_clock/sys.rs` stands here.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has had of a processor.
pub(crate) fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
