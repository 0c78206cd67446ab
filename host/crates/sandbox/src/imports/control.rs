//! `stephost:step/control`: learning of a stop, and waiting without missing it.

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
                Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
            }
            StopLevel::Kill { .. } => Some(0),
        })
    }
}

fn lower(reason: StopReason) -> control::Stop {
    match reason {
        StopReason::Cancelled => control::Stop::Cancelled,
        StopReason::Deadline => control::Stop::Deadline,
    }
}
