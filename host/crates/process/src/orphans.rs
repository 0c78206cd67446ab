//! What is left of a step whose supervisor was killed: its processes are the host's children, because the host is a subreaper too.
//!
//! Promises: every descendant of a dead supervisor is found and killed; nobody else is. A supervisor has a session of its own, and
//! nobody can move into another's session, so an orphan that is in the host's session descends from something else that the host
//! started, and is left alone. Whoever it is: an orphan that is dead is reaped, for nobody else will.
//! Called by: `running` and `pool`, after a supervisor's death; the pool's keeper after anybody's.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    Survivor,
    cgroup::StepCgroup,
    link::{self, Link},
    phases::KILL_BUDGET,
    tree,
};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Pause between two looks at a cgroup whose members were killed.
const SWEEPING_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Who was found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) killed: usize,
    pub(crate) survivors: Vec<Survivor>,
}

/// One sweep at a time: what one has reaped must not be signalled by another.
pub(crate) static SWEEPING: Mutex<()> = Mutex::const_new(());

/// Kills a supervisor that does not do its work, and everybody whom it leaves, be he only in the step's cgroup.
pub(crate) async fn take_over(link: &Link, group: Option<&StepCgroup>) -> Swept {
    link.kill().await;
    if let Some(group) = group {
        group.kill();
    }
    let mut swept = sweep().await;
    if let Some(group) = group {
        let others = emptied(group, &swept.survivors).await;
        swept.survivors.extend(others);
    }
    swept
}

/// Waits until nobody is left in the cgroup of a step whose descendants were swept, or the time is over, and names the others.
async fn emptied(group: &StepCgroup, known: &[Survivor]) -> Vec<Survivor> {
    let give_up = Instant::now() + KILL_BUDGET;
    // Those who are known not to die are not waited for again.
    while known.is_empty() && !group.is_empty() && Instant::now() < give_up {
        group.kill();
        sleep(SWEEPING_PAUSE).await;
    }
    let others = group.members();
    let others = others
        .into_iter()
        .filter(|pid| known.iter().all(|survivor| survivor.pid != *pid));
    others.filter_map(tree::survivor).collect()
}

/// Kills all orphans, and waits until there are none any more, or the time is over.
async fn sweep() -> Swept {
    let _sweeping = SWEEPING.lock().await;
    let give_up = Instant::now() + KILL_BUDGET;
    let mut pause = FIRST_PAUSE;
    let mut killed = 0;
    loop {
        // Killed as they are met: who moves on has no time for it.
        let mut orphans = kill_orphans();
        if orphans.is_empty() {
            return Swept {
                killed,
                survivors: Vec::new(),
            };
        }
        let before = killed;
        // Whoever was reaped has no number any more.
        orphans.retain(|&orphan| match reap(orphan) {
            Reaped::Lives => true,
            Reaped::EndedByKill => {
                killed += 1;
                false
            }
            Reaped::Ended => false,
        });
        if Instant::now() >= give_up {
            let survivors = orphans.into_iter().filter_map(tree::survivor).collect();
            return Swept { killed, survivors };
        }
        pause = if killed > before {
            FIRST_PAUSE
        } else {
            LONGEST_PAUSE.min(pause * 2)
        };
        sleep(pause).await;
    }
}

/// Reaps the dead among the host's children that it did not start. Those of its own group are left to whoever may have started them.
pub(crate) fn reap_dead() {
    let Some(own_group) = tree::own().map(|own| own.group) else {
        return; // without /proc nobody can be told apart
    };
    link::with_own_children(|is_own| {
        let mut dead = Vec::new();
        let _ = tree::for_each_child(getpid().as_raw_pid(), &mut |child| {
            let is_dead = |stat: tree::Stat| !stat.lives() && stat.group != own_group;
            if !is_own(child) && tree::stat(child).is_some_and(is_dead) {
                dead.push(child);
            }
        });
        for orphan in dead {
            reap(orphan);
        }
    });
}

/// Kills the host's children that it did not start; returns them. Their numbers are theirs until we reap them, and nobody else does.
fn kill_orphans() -> Vec<i32> {
    let Some(session) = tree::own().map(|own| own.session) else {
        return Vec::new(); // without /proc nobody can be told apart
    };
    link::with_own_children(|is_own| {
        let mut orphans = Vec::new();
        let _ = tree::for_each_child(getpid().as_raw_pid(), &mut |child| {
            let is_orphan =
                !is_own(child) && tree::stat(child).is_some_and(|stat| stat.session != session);
            if is_orphan {
                kill(child);
                orphans.push(child);
            }
        });
        orphans
    })
}

enum Reaped {
    Lives,
    Ended,
    EndedByKill,
}

/// Reaps an orphan if it is dead.
fn reap(orphan: i32) -> Reaped {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let Some(pid) = Pid::from_raw(orphan) else {
        return Reaped::Ended;
    };
    match waitid(WaitId::Pid(pid), options) {
        Ok(None) => Reaped::Lives,
        Ok(Some(status)) if status.terminating_signal() == Some(Signal::KILL.as_raw()) => {
            Reaped::EndedByKill
        }
        Ok(Some(_)) | Err(_) => Reaped::Ended,
    }
}

fn kill(orphan: i32) {
    if let Some(orphan) = Pid::from_raw(orphan) {
        // One that may not be signalled is named at the end.
        let _ = kill_process(orphan, Signal::KILL);
    }
}
