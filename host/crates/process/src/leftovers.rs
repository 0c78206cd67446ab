//! What a step left behind, until its job ends: members of its group, and pipes that somebody still holds.
//!
//! Promises: whoever drops it leaves no member of the group alive; holders of a pipe that left the group stay (see the crate's header).
//! Made by the driver in `running`; kept by the job's scope.

use std::{collections::HashSet, time::Duration};

use rustix::process::Pid;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};

use crate::{
    linux::{self, Member, Members},
    pump::Pump,
};

/// How long killed processes may take to die before they are left to themselves (process stuck in the kernel, other user).
pub(crate) const KILL_BUDGET: Duration = Duration::from_secs(5);
/// First and longest pause between two looks at a dying group.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Processes and pipe holders that outlived a step. Dropping it kills the processes without waiting for their end.
#[derive(Debug)]
#[must_use = "dropping leftovers kills them"]
pub struct Leftovers {
    orphans: Option<Orphans>,
    drain: Option<Drain>,
}

/// Members of a group whose leader was reaped.
#[derive(Debug)]
struct Orphans {
    group: Pid,
    known: Vec<Member>,
}

/// The reader of pipes that were given up; it ends with its owner.
#[derive(Debug)]
struct Drain(JoinHandle<()>);

impl Drop for Drain {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Leftovers {
    /// Collects what is left: the group's members, if the kernel still knows the group, and the pipes, if somebody holds one.
    /// The leader must have been reaped just now.
    pub(crate) async fn collect(group: Pid, pump: Pump) -> Option<Leftovers> {
        let orphans = if linux::group_exists(group) {
            Orphans::find(group).await
        } else {
            None
        };
        // Owned by the value that is returned here.
        let drain = (pump.held() > 0).then(|| Drain(tokio::spawn(pump.run_to_nowhere())));
        (orphans.is_some() || drain.is_some()).then_some(Leftovers { orphans, drain })
    }

    /// How many processes were found in the group when the step ended. Holders of a pipe outside the group are not counted.
    pub fn processes(&self) -> usize {
        self.orphans
            .as_ref()
            .map_or(0, |orphans| orphans.known.len())
    }

    /// Kills the processes, waits until they are gone (five seconds at most), and returns how many were found alive.
    ///
    /// The pipes that were still read are closed.
    pub async fn kill(mut self) -> usize {
        let found = match self.orphans.take() {
            Some(orphans) => orphans.kill().await,
            None => 0,
        };
        drop(self.drain.take()); // last, so that nobody dies of a closed pipe before being counted
        found
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if let Some(orphans) = self.orphans.take() {
            orphans.kill_if_ours(linux::members_of(orphans.group).ok().as_ref());
        }
    }
}

impl Orphans {
    async fn find(group: Pid) -> Option<Orphans> {
        match look(group).await {
            Some(members) if members.alive.is_empty() => None, // zombies: not reaped yet by whoever adopted them
            Some(members) => Some(Orphans {
                group,
                known: members.alive,
            }),
            None => Some(Orphans {
                group,
                known: Vec::new(),
            }),
        }
    }

    async fn kill(self) -> usize {
        // What a drop of this future leaves is killed too.
        let orphans = Leftovers {
            orphans: Some(self),
            drain: None,
        };
        let Some(this) = &orphans.orphans else {
            return 0;
        };
        let give_up = Instant::now() + KILL_BUDGET;
        let mut pause = FIRST_PAUSE;
        let mut found = HashSet::new();
        loop {
            let members = look(this.group).await;
            if !this.kill_if_ours(members.as_ref()) || Instant::now() >= give_up {
                break;
            }
            found.extend(members.into_iter().flat_map(|members| members.alive));
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        found.len()
    }

    /// Kills the group if it is the one that was left; returns whether somebody had to be killed.
    /// `members` is what `/proc` says, `None` if it cannot be read.
    fn kill_if_ours(&self, members: Option<&Members>) -> bool {
        let kills = match members {
            Some(members) => !members.alive.is_empty() && self.are_ours(members),
            None => linux::group_exists(self.group),
        };
        if kills {
            linux::kill_group(self.group);
        }
        kills
    }

    fn are_ours(&self, members: &Members) -> bool {
        // One that we know was there all the time, so the number was never free.
        if self.known.iter().any(|known| members.alive.contains(known)) {
            return true;
        }
        // Descendants of those we knew, or strangers? A stranger's group starts with a process of that id.
        !members.leader_exists
            && members.session.is_some()
            && members.session == linux::own_session()
    }
}

/// Looks who is in `group`, off the runtime's threads: the walk takes a while on a machine with many processes.
pub(crate) async fn look(group: Pid) -> Option<Members> {
    spawn_blocking(move || linux::members_of(group))
        .await
        .ok()?
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_only_killed_when_it_must_be_ours() {
        let us = linux::own_session();
        let known = Member::new(101, 7);
        let child = Member::new(102, 8);
        let reused = Member::new(101, 9);
        let orphans = Orphans {
            group: Pid::INIT,
            known: vec![known, Member::new(100, 6)],
        };
        let table = [
            ("one that we know", vec![child, known], false, us, true),
            (
                "one that we know, and its number as an id: it was never free",
                vec![known],
                true,
                us,
                true,
            ),
            (
                "a child of those that we knew",
                vec![child],
                false,
                us,
                true,
            ),
            (
                "a group with a leader is a new one",
                vec![child],
                true,
                us,
                false,
            ),
            (
                "a process with a known id that started later",
                vec![reused],
                true,
                us,
                false,
            ),
            ("another session", vec![child], false, Some(-1), false),
            ("no session seen", vec![child], false, None, false),
        ];
        for (row, alive, leader_exists, session, ours) in table {
            let members = Members {
                alive,
                leader_exists,
                session,
            };
            assert_eq!(orphans.are_ours(&members), ours, "{row}");
        }
    }
}
