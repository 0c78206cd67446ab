//! What the start of a step is like on every system: how its supervisor is held, and why nothing began.
//!
//! Called by: the systems' `pool`s, and `running`, which gets what they started.

#[cfg(unix)]
use std::time::Duration;
use std::{io, path::Path, sync::Arc};

#[cfg(unix)]
use tokio::time::timeout;

#[cfg(unix)]
use crate::wire::Told;
use crate::{
    Plan, StartError,
    cgroup::{JobCgroup, StepCgroup},
    link::Link,
};

/// Pause between two attempts to wake a supervisor that does not answer.
#[cfg(unix)]
const WAKING_PAUSE: Duration = Duration::from_millis(100);

/// Where a step runs, beside its supervisor.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) group: Option<StepCgroup>,
    pub(crate) job: Option<Arc<JobCgroup>>,
}

/// Why a step did not begin.
pub(crate) enum Refusal {
    /// The program cannot be started.
    Program(io::Error),
    /// We cannot start any.
    Host(io::Error),
}

impl Refusal {
    /// Tells it of the program at `path`, which was to be started by `plan`.
    pub(crate) fn of(self, plan: Plan, path: &Path) -> StartError {
        match self {
            Refusal::Program(system) => StartError::explain(plan, path, system),
            Refusal::Host(system) => StartError::Watch {
                program: plan.program,
                system,
            },
        }
    }
}

/// Said of a supervisor that told nothing that can be understood.
pub(crate) fn nonsense() -> io::Error {
    io::Error::other("the step's supervisor ended before it had started the step")
}

/// Lets go of a supervisor when it is dropped.
pub(crate) struct Hold<'a>(pub(crate) &'a Link);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

/// Waits for what a supervisor says to a start. A step that begins by stopping its supervisor must not hold that up.
#[cfg(unix)]
pub(crate) async fn answer(link: &Link) -> Option<Told> {
    loop {
        match timeout(WAKING_PAUSE, link.told()).await {
            Ok(told) => return told,
            Err(_) => link.wake(),
        }
    }
}
