//! What a step left behind, until its job ends: everybody who descends from its leader, and pipes that somebody still holds.
//!
//! Promises: whoever drops it leaves nobody alive, be he in a session of his own. The supervisor of the step is kept with them.
//! Made by the driver in `running`; kept by the job's scope.

use std::sync::Arc;

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{Trace, pump::Pump, running::Step};

/// Processes and pipe holders that outlived a step. Dropping it kills the processes without waiting for their end.
#[derive(Debug)]
#[must_use = "dropping leftovers kills them"]
pub struct Leftovers {
    kept: Option<Kept>,
    drain: Option<Drain>,
}

/// A step whose leader has ended, and how many lived on then.
#[derive(Debug)]
struct Kept {
    step: Arc<Step>,
    count: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Does nothing when they have ended.
        self.step.hang_up();
    }
}

/// The reader of pipes that were given up; it ends with its owner.
#[derive(Debug)]
struct Drain {
    reader: JoinHandle<()>,
    killed: Option<oneshot::Sender<()>>,
}

impl Drain {
    /// Reads what those have written who were just killed.
    async fn finish(mut self) {
        if let Some(killed) = self.killed.take() {
            // It may be at its end already.
            let _ = killed.send(());
        }
        // A panic of the output in there was said where it happened; no step is left that it could fail.
        let _ = (&mut self.reader).await;
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Leftovers {
    /// Collects what is left: those who live on, and the pipes, if somebody holds one.
    pub(crate) fn collect(kept: Option<(Arc<Step>, usize)>, pump: Pump) -> Option<Leftovers> {
        let kept = kept.map(|(step, count)| Kept { step, count });
        let drain = (pump.held() > 0).then(|| {
            let (killed, hears) = oneshot::channel();
            Drain {
                // Owned by the value that is returned here.
                reader: tokio::spawn(pump.run_late(hears)),
                killed: Some(killed),
            }
        });
        (kept.is_some() || drain.is_some()).then_some(Leftovers { kept, drain })
    }

    /// How many processes lived on when the leader had ended.
    pub fn processes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.count)
    }

    /// Kills the processes, waits until nobody is left (five seconds at most), and says what was done.
    ///
    /// What they had written is in the output then, and the pipes are closed.
    pub async fn kill(mut self) -> Trace {
        let trace = match &self.kept {
            Some(kept) => kept.step.end_kept().await,
            None => Trace::default(),
        };
        // Last, so that nobody dies of a closed pipe before being counted.
        if let Some(drain) = self.drain.take() {
            drain.finish().await;
        }
        trace
    }
}
