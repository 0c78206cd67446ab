//! The time a guest computes, counted by the clock of the thread it is on.
//!
//! Free is all waiting: in a host function, for its turn among the guests, and for a processor that something
//! else on the machine has. Counted is what host functions do for the guest before they wait.
//!
//! That clock is a system call (0.55 µs; one of the machine's clocks takes 0.02 µs, and would count the
//! neighbours). So a guest is counted from its first tick on: a short step, which never sees one, pays
//! nothing, and a long one has its first tick for free. Wasmtime's `call-hook` would pay at every host call
//! and still count a guest that waits for its turn.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::Ticks;
use crate::thread_clock::thread_nanos;

/// What one guest has spent. Shared by the wrapper of its future and the engine's tick, which run on the same
/// thread one inside the other: the order of their accesses needs no fences.
#[derive(Debug, Default)]
pub(crate) struct CpuTime {
    counting: AtomicBool,
    /// Nanoseconds of the polls that are over.
    spent: AtomicU64,
    /// The thread's clock when this poll began.
    resumed_at: AtomicU64,
}

impl CpuTime {
    /// Returns what the guest has spent. Called in the middle of a poll; the first call starts counting.
    pub(crate) fn tick(&self) -> Duration {
        let now = thread_nanos();
        if !self.counting.swap(true, Ordering::Relaxed) {
            self.resumed_at.store(now, Ordering::Relaxed);
        }
        Duration::from_nanos(self.until(now))
    }

    fn until(&self, now: u64) -> u64 {
        let poll = now.saturating_sub(self.resumed_at.load(Ordering::Relaxed));
        self.spent.load(Ordering::Relaxed).saturating_add(poll)
    }

    fn resume(&self) {
        if self.counting.load(Ordering::Relaxed) {
            self.resumed_at.store(thread_nanos(), Ordering::Relaxed);
        }
    }

    fn pause(&self) {
        if self.counting.load(Ordering::Relaxed) {
            self.spent
                .store(self.until(thread_nanos()), Ordering::Relaxed);
        }
    }
}

/// Drives `work`, counts what each poll of it takes, and has the time kept meanwhile.
pub(crate) async fn counted<T>(cpu: &CpuTime, ticks: &Ticks, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _computing = ticks.compute();
        cpu.resume();
        let polled = work.as_mut().poll(context);
        cpu.pause();
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn compute(time: Duration) {
        let begun = thread_nanos();
        while u128::from(thread_nanos() - begun) < time.as_nanos() {
            black_box(0);
        }
    }

    #[test]
    fn only_polls_after_the_first_tick_are_counted() {
        let cpu = CpuTime::default();
        let mut polls = 0;
        let work = poll_fn(|_| {
            polls += 1;
            compute(Duration::from_millis(2));
            match polls {
                1 => assert_eq!(cpu.tick(), Duration::ZERO, "the first tick"),
                2 => assert!(cpu.tick() >= Duration::from_millis(2), "a poll after it"),
                _ => return Poll::Ready(()),
            }
            Poll::Pending
        });
        let ticks = Ticks::default();
        let mut work = pin!(counted(&cpu, &ticks, work));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            // What the thread does between two polls is not the guest's.
            compute(Duration::from_millis(10));
            let _polled = work.as_mut().poll(&mut context);
        }
        let spent = Duration::from_nanos(cpu.spent.load(Ordering::Relaxed));
        assert!(
            (Duration::from_millis(4)..Duration::from_millis(10)).contains(&spent),
            "{spent:?}"
        );
    }
}
