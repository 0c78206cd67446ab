//! `stephost:step/control`: learning of a stop, waiting without missing it, and the time. Milliseconds are
//! enough for every wait of a step, and too coarse to measure what somebody else computes.

use std::time::{Duration, Instant};

use crate::bindings::stephost::step::control::{self, Host};
use crate::guest::Guest;
use crate::stop::{StopLevel, StopReason};

impl Host for Guest {
    fn stop_requested(&mut self) -> wasmtime::Result<Option<control::Stop>> {
        Ok(self.stop.level().reason().map(lower))
    }

    async fn wait(&mut self, millis: u64) -> wasmtime::Result<Option<control::Stop>> {
        let requested =
            tokio::time::timeout(Duration::from_millis(millis), self.stop.requested()).await;
        Ok(requested.ok().map(lower))
    }

    fn grace_left(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(match self.stop.level() {
            StopLevel::None | StopLevel::Polite { kill_at: None, .. } => None,
            StopLevel::Polite {
                kill_at: Some(kill_at),
                ..
            } => {
                let left = kill_at.saturating_duration_since(Instant::now());
                Some(millis(left))
            }
            StopLevel::Kill { .. } => Some(0),
        })
    }

    fn elapsed_millis(&mut self) -> wasmtime::Result<u64> {
        Ok(millis(self.began.elapsed()))
    }

    fn now_millis(&mut self) -> wasmtime::Result<u64> {
        let now = self.context.began_at.saturating_add(self.began.elapsed());
        Ok(millis(now))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lower(reason: StopReason) -> control::Stop {
    match reason {
        StopReason::Cancelled => control::Stop::Cancelled,
        StopReason::Deadline => control::Stop::Deadline,
    }
}
