//! How a run is asked to stop, in tiers. The sender lives with whoever owns the job.
//!
//! `None` → `Polite` (the guest may look and finish) → `Kill` (it is ended wherever it is). A level only ever
//! rises; a sender that is dropped leaves the last level standing.

use std::time::Instant;

use tokio::sync::watch;

/// The receiving end of a run's stop level.
#[derive(Debug, Clone)]
pub struct Stop(pub watch::Receiver<StopLevel>);

/// How urgently a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopLevel {
    /// It may continue.
    #[default]
    None,
    /// It is asked to stop.
    Polite {
        /// Why.
        reason: StopReason,
        /// When it will be killed, for the guest to know. The sandbox itself waits for [`StopLevel::Kill`].
        kill_at: Option<Instant>,
    },
    /// It is ended now.
    Kill {
        /// Why.
        reason: StopReason,
    },
}

/// Why a run should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody cancelled the job.
    Cancelled,
    /// The job ran out of time.
    Deadline,
}

impl StopLevel {
    /// Returns why to stop, if at all.
    #[must_use]
    pub fn reason(self) -> Option<StopReason> {
        match self {
            StopLevel::None => None,
            StopLevel::Polite { reason, .. } | StopLevel::Kill { reason } => Some(reason),
        }
    }
}

impl Stop {
    /// A stop that is never requested.
    #[must_use]
    pub fn never() -> Stop {
        Stop(watch::channel(StopLevel::None).1)
    }

    pub(crate) fn level(&self) -> StopLevel {
        *self.0.borrow()
    }

    /// Waits until a stop is requested, politely or not. Never ends when none can be any more.
    pub(crate) async fn requested(&mut self) -> StopReason {
        self.wait_for(StopLevel::reason).await
    }

    /// Waits until the guest must be killed. Never ends when that cannot happen any more.
    pub(crate) async fn killed(&mut self) -> StopReason {
        self.wait_for(|level| match level {
            StopLevel::Kill { reason } => Some(reason),
            StopLevel::None | StopLevel::Polite { .. } => None,
        })
        .await
    }

    async fn wait_for(&mut self, wanted: impl Fn(StopLevel) -> Option<StopReason>) -> StopReason {
        loop {
            if let Some(reason) = wanted(*self.0.borrow_and_update()) {
                return reason;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
