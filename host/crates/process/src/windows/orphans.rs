//! What is left of a step whose supervisor was killed or does not answer: the job around the supervisor has everybody, so it is ended.
//!
//! Called by: `running` and `pool`, for a supervisor that does not do its work.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Survivor, cgroup::StepCgroup, link::Link, phases::KILL_BUDGET, supervisor::survivor};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Who was found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) killed: usize,
    pub(crate) survivors: Vec<Survivor>,
}

/// Kills a supervisor that does not do its work, and everybody whom it leaves.
pub(crate) async fn take_over(link: &Link, _: Option<&StepCgroup>) -> Swept {
    let job = link.job();
    let active = || job.accounting().map_or(u32::MAX, |counted| counted.active);
    // The supervisor is one of them, unless that is the one who was killed.
    let killed = usize::try_from(active().saturating_sub(1)).unwrap_or(usize::MAX);
    let give_up = Instant::now() + KILL_BUDGET;
    let mut pause = FIRST_PAUSE;
    loop {
        job.terminate();
        if active() == 0 {
            return Swept {
                killed,
                survivors: Vec::new(),
            };
        }
        if Instant::now() >= give_up {
            let survivors = job.members().into_iter().map(survivor).collect();
            return Swept { killed, survivors };
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
