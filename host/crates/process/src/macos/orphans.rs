//! What is left of a step whose supervisor was killed or does not answer: its group, which the host knows by number.
//!
//! Called by: `running` and `pool`, for a supervisor that does not do its work.

use std::time::Duration;

use rustix::process::{Signal, kill_process_group, test_kill_process_group};
use tokio::time::{Instant, sleep};

use crate::{
    Survivor,
    cgroup::StepCgroup,
    link::Link,
    phases::KILL_BUDGET,
    supervisor::{is_gone, survivor},
};

const PAUSE: Duration = Duration::from_millis(5);

/// Who was found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) killed: usize,
    pub(crate) survivors: Vec<Survivor>,
}

/// Kills a supervisor that does not do its work, and the group that it leaves.
pub(crate) async fn take_over(link: &Link, _: Option<&StepCgroup>) -> Swept {
    link.kill().await;
    let mut swept = Swept::default();
    let Some(group) = link.group() else {
        return swept;
    };
    let give_up = Instant::now() + KILL_BUDGET;
    while !is_gone(test_kill_process_group(group)) {
        if Instant::now() >= give_up {
            swept.survivors.push(survivor(group.as_raw_pid()));
            return swept;
        }
        // How many there are nobody says.
        swept.killed = 1;
        let _ = kill_process_group(group, Signal::KILL);
        sleep(PAUSE).await;
    }
    swept
}
