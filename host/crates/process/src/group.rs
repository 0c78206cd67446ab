//! One step's group while its leader is not reaped: the only place that signals it by number.
//!
//! Promises: after [`Group::reap`] or [`Group::abandon`] no signal is sent; both and every stop exclude each other by one lock.
//! Shared by the driver (reports what it sees), every `Stopper` (asks), and `Running` (abandons).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::sync::Notify;

use crate::{
    linux::{self, Leader},
    phases::{Due, Event, Life, Phase},
    unreaped,
};

/// How long a drop waits for a killed leader to die, so that it can reap it itself. Usually much less than one millisecond.
const DEATH_WAIT: Duration = Duration::from_millis(10);

/// A step's group, addressed by its leader's id.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Pid,
    hold: Mutex<Hold>,
    /// Wakes the driver after a stop; it is the only one who waits.
    stopped: Notify,
}

#[derive(Debug)]
struct Hold {
    life: Life,
    /// The leader was not reaped, so the number is ours.
    pinned: bool,
}

impl Group {
    /// The group of a leader that was just spawned and is nobody else's to reap.
    pub(crate) fn new(leader: Pid) -> Group {
        Group {
            leader,
            hold: Mutex::new(Hold {
                life: Life::new(),
                pinned: true,
            }),
            stopped: Notify::new(),
        }
    }

    pub(crate) fn leader(&self) -> Pid {
        self.leader
    }

    pub(crate) fn phase(&self) -> Phase {
        self.hold().life.phase()
    }

    pub(crate) fn life(&self) -> Life {
        self.hold().life
    }

    /// Waits for a stop that came since the last wait.
    pub(crate) async fn stop_asked(&self) {
        self.stopped.notified().await;
    }

    /// Tells what the driver saw.
    pub(crate) fn saw(&self, event: Event) {
        let mut hold = self.hold();
        let due = hold.life.apply(event);
        self.send(&hold, due);
    }

    /// Asks for a polite stop.
    pub(crate) fn terminate(&self) {
        let mut hold = self.hold();
        let leader_lives = self.leader_lives(&mut hold);
        let due = hold.life.apply(Event::Terminate { leader_lives });
        self.send(&hold, due);
        drop(hold);
        self.stopped.notify_one();
    }

    /// Asks for a hard stop.
    pub(crate) fn kill(&self) {
        let mut hold = self.hold();
        let leader_lives = self.leader_lives(&mut hold);
        // The walk through /proc is only for the truth of the report, and only when the answer is not known.
        let others_live = !leader_lives
            && hold.pinned
            && linux::members_of(self.leader).is_ok_and(|members| !members.alive.is_empty());
        let due = hold.life.apply(Event::Kill {
            leader_lives,
            others_live,
        });
        self.send(&hold, due);
        drop(hold);
        self.stopped.notify_one();
    }

    /// Reaps the leader, which has ended. From here on the number may be anybody's.
    pub(crate) fn reap(&self) {
        let mut hold = self.hold();
        if hold.pinned {
            linux::reap(self.leader);
            hold.pinned = false;
        }
    }

    /// Kills the group and sees to the reaping, in any phase; does nothing when the leader was reaped.
    pub(crate) fn abandon(&self) {
        let mut hold = self.hold();
        if !hold.pinned {
            return;
        }
        linux::kill_group(self.leader);
        hold.pinned = false;
        wait_for_death(self.leader);
        if !linux::reap(self.leader) {
            unreaped::adopt(self.leader);
        }
        unreaped::reap_dead();
    }

    fn leader_lives(&self, hold: &mut Hold) -> bool {
        if !hold.pinned {
            return false;
        }
        match linux::look_at(self.leader) {
            Leader::Runs => true,
            Leader::Ended(_) => false,
            Leader::Lost => {
                hold.pinned = false;
                false
            }
        }
    }

    fn send(&self, hold: &Hold, due: Due) {
        if !hold.pinned {
            return;
        }
        match due {
            Due::Nothing => {}
            Due::Terminate => linux::terminate_group(self.leader),
            Due::Kill => linux::kill_group(self.leader),
        }
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        // `Hold` is changed in single steps, so a panic elsewhere leaves nothing half done.
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits at most [`DEATH_WAIT`] for `leader`; not at all where that cannot be done.
fn wait_for_death(leader: Pid) {
    let Ok(leader) = pidfd_open(leader, PidfdFlags::empty()) else {
        return;
    };
    if let Ok(timeout) = Timespec::try_from(DEATH_WAIT) {
        // An error or an interruption only means that the leader is left to `unreaped`.
        let _ = poll(&mut [PollFd::new(&leader, PollFlags::IN)], Some(&timeout));
    }
}
