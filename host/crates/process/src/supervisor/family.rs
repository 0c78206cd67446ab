//! A step's leader and everybody who descends from it: asked after, signalled, killed, reaped, and told about.
//!
//! Promises: a number is signalled only while it is proved to be theirs ([`supervisor`](super) has the rules); who was killed is counted;
//! nothing is allocated. Decides nothing: what is due comes from [`phases`](crate::phases).

use std::{os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group,
        pidfd_open, pidfd_send_signal, waitid,
    },
};

use super::{group::Group, host::tell, now};
use crate::{
    Exit, Usage,
    phases::{Event, Life, Over},
    sys::{self, Dead},
    tree,
    wire::{End, Told},
};

/// Most survivors that are named.
const NAMED_MAX: usize = 16;
/// Most of the dead that are reaped before the host is listened to again: a step whose processes end as fast as they are reaped must
/// not keep a stop from being heard.
const REAPED_AT_ONCE: u32 = 256;

/// A leader and everybody who descends from it. As a subreaper of one thread with no other children, all of ours.
pub(super) struct Family<'a> {
    leader: Pid,
    /// The leader was not reaped, so the group's number is ours.
    pinned: bool,
    exit: Option<Exit>,
    began: Duration,
    /// Of everybody who was reaped, and of a leader that was only looked at.
    usage: Usage,
    /// From here on, one who was ended by KILL was ended by us.
    killing: bool,
    killed: u32,
    reaped: u32,
    /// How many of the reaped were so before the last sweep.
    reaped_before_sweep: u32,
    is_behind: bool,
    terminated_at: Option<Duration>,
    killed_at: Option<Duration>,
    /// The step's own cgroup.
    group: Option<&'a Group>,
    strangers: bool,
    list: &'a mut Vec<i32>,
}

impl<'a> Family<'a> {
    /// A leader who was just started, in `group` if he has one. Who is listed is listed in `list`, as far as there is room.
    pub(super) fn of(leader: Pid, group: Option<&'a Group>, list: &'a mut Vec<i32>) -> Self {
        Family {
            leader,
            pinned: true,
            exit: None,
            began: now(),
            usage: Usage::default(),
            killing: false,
            killed: 0,
            reaped: 0,
            reaped_before_sweep: 0,
            is_behind: false,
            terminated_at: None,
            killed_at: None,
            group,
            strangers: false,
            list,
        }
    }

    /// How many were reaped.
    pub(super) fn reaped(&self) -> u32 {
        self.reaped
    }

    /// More may be dead than the last look has reaped.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Nobody who descends from us is left, but somebody is in the cgroup.
    pub(super) fn has_strangers(&self) -> bool {
        self.strangers
    }

    /// Asks the kernel, and reaps who is dead, but a leader only when its group needs no signal any more.
    pub(super) fn look(&mut self) -> Event {
        let enough = self.reaped.saturating_add(REAPED_AT_ONCE);
        self.is_behind = false;
        let others = if self.pinned {
            self.look_beside_the_leader(enough)
        } else {
            self.reap_all(enough)
        };
        // Somebody may have been put there who is none of ours; whoever left it is.
        self.strangers = !others && self.group.is_some_and(|group| !group.is_empty());
        Event::Seen {
            leader: self.exit,
            others: others || self.strangers,
        }
    }

    /// Returns whether anybody but the leader lives.
    fn look_beside_the_leader(&mut self, enough: u32) -> bool {
        while self.exit.is_none() {
            if self.reaped >= enough {
                self.is_behind = true;
                return true;
            }
            match sys::peek_at_any() {
                Dead::Child { pid, exit, usage } if pid == self.leader.as_raw_pid() => {
                    self.exit = Some(exit);
                    self.usage.add(&usage);
                }
                Dead::Child { pid, .. } => self.reap(pid),
                Dead::Nobody => return true,
                Dead::NoChild => {
                    // Somebody took its status: nothing of ours does that.
                    self.exit = Some(Exit::LOST);
                    self.pinned = false;
                    return false;
                }
            }
        }
        if no_live_child() {
            // Nobody is left to be signalled, so the number may go. The kernel has the last word.
            self.pinned = false;
            return self.reap_all(enough);
        }
        // The dead leader hides whoever else is dead from a question for anybody.
        let leader = self.leader.as_raw_pid();
        let this = &mut *self;
        let _ = tree::for_each_child(getpid().as_raw_pid(), &mut |child| {
            if child != leader {
                this.reap(child);
            }
        });
        true
    }

    /// Reaps everybody who is dead, as far as that is `enough`; returns whether anybody is left.
    fn reap_all(&mut self, enough: u32) -> bool {
        loop {
            if self.reaped >= enough {
                self.is_behind = true;
                return true;
            }
            match sys::reap(None) {
                Dead::Child { pid, exit, usage } => self.note(pid, exit, &usage),
                Dead::Nobody => return true,
                Dead::NoChild => {
                    self.exit.get_or_insert(Exit::LOST);
                    return false;
                }
            }
        }
    }

    fn reap(&mut self, child: i32) {
        if let Dead::Child { pid, exit, usage } = sys::reap(Some(child)) {
            self.note(pid, exit, &usage);
        }
    }

    fn note(&mut self, pid: i32, exit: Exit, usage: &Usage) {
        self.reaped = self.reaped.saturating_add(1);
        let was_known = pid == self.leader.as_raw_pid() && self.exit.is_some();
        if pid == self.leader.as_raw_pid() {
            self.pinned = false;
            self.exit.get_or_insert(exit);
        }
        if !was_known {
            self.usage.add(usage);
            self.killed += u32::from(self.killing && exit == Exit::Signal(Signal::KILL.as_raw()));
        }
    }

    /// Asks everybody to end. A failure means that nobody is there or nobody may be signalled; both show when the kernel is asked.
    pub(super) fn terminate(&mut self) {
        self.terminated_at = Some(now());
        let mut outside = self.list_outsiders_first();
        // The first CONT wakes everybody while everybody still lives: if the leader of a session died first, the kernel would send its
        // orphaned groups HUP before the handlers for TERM of their stopped members have run. The last one wakes who stopped in between.
        for signal in [Signal::CONT, Signal::TERM, Signal::CONT] {
            if self.pinned {
                let _ = kill_process_group(self.leader, signal);
            }
            // Those outside may have started others since they were listed; a group is signalled as it is.
            if signal == Signal::TERM && outside > 0 {
                outside = self.list_outsiders_first();
            }
            for &pid in &self.list[..outside] {
                let Some(handle) = handle_of(pid) else {
                    continue;
                };
                // Asked after the handle was opened: it is this process that left the group, and it is ours still.
                if tree::stat(pid)
                    .is_some_and(|stat| self.is_outside(&stat) && is_ours(stat.parent, self.list))
                {
                    let _ = pidfd_send_signal(&handle, signal);
                }
            }
        }
    }

    /// Lists all descendants, first those who left the group; returns how many they are.
    fn list_outsiders_first(&mut self) -> usize {
        tree::descendants(getpid().as_raw_pid(), self.list);
        let mut outside = 0;
        for index in 0..self.list.len() {
            if tree::stat(self.list[index]).is_some_and(|stat| self.is_outside(&stat)) {
                self.list.swap(outside, index);
                outside += 1;
            }
        }
        outside
    }

    fn is_outside(&self, stat: &tree::Stat) -> bool {
        stat.group != self.leader.as_raw_pid()
    }

    /// Kills everybody. Forks under way in the group are included: the kernel restarts them after a signal to their group.
    pub(super) fn kill(&mut self) {
        self.killing = true;
        self.killed_at = Some(now());
        if self.pinned {
            let _ = kill_process_group(self.leader, Signal::KILL);
            self.pinned = false;
        }
        kill_children();
        self.kill_group();
        self.reaped_before_sweep = self.reaped;
    }

    /// Kills those too whom we may not signal.
    fn kill_group(&self) {
        if let Some(group) = self.group {
            group.kill();
        }
    }

    /// Kills whoever can be seen.
    pub(super) fn sweep(&mut self) {
        kill_children();
        // Who is further down comes up to us when his parent is dead; only when nobody dies must he be looked for.
        if self.reaped == self.reaped_before_sweep {
            kill_descendants(self.list);
            self.kill_group();
        }
        self.reaped_before_sweep = self.reaped;
    }

    pub(super) fn tell_leader_ended(&mut self, life: &Life) {
        let Some(exit) = life.exit() else { return };
        tree::descendants(getpid().as_raw_pid(), self.list);
        let leader = self.leader.as_raw_pid();
        let alive = self
            .list
            .iter()
            .filter(|&&pid| pid != leader && tree::stat(pid).is_some_and(|stat| stat.lives()));
        let alive = alive.count() + usize::from(self.strangers);
        tell(&Told::LeaderEnded {
            exit,
            signalled: life.signalled(),
            usage: self.usage,
            others: u32::try_from(alive).unwrap_or(u32::MAX),
        });
    }

    pub(super) fn tell_end(&self, life: &Life) {
        tell(&Told::Over(self.end(life)));
    }

    pub(super) fn tell_left(&mut self, life: &Life) {
        tree::descendants(getpid().as_raw_pid(), self.list);
        if let Some(group) = self.group {
            let list = &mut *self.list;
            group.for_each_member(&mut |pid| {
                if list.len() < list.capacity() && !list.contains(&pid) {
                    list.push(pid);
                }
            });
        }
        let survivors = self.list.iter().filter_map(|&pid| tree::survivor(pid));
        for survivor in survivors.take(NAMED_MAX) {
            tell(&Told::Survivor(survivor));
        }
        self.tell_end(life);
    }

    fn end(&self, life: &Life) -> End {
        let since = |at: Option<Duration>| at.map(|at| at.saturating_sub(self.began));
        End {
            exit: life.exit(),
            signalled: life.signalled(),
            empty: life.over() == Some(Over::Empty),
            killed: self.killed,
            terminated_after: since(self.terminated_at),
            killed_after: since(self.killed_at),
            usage: self.usage,
        }
    }
}

/// Returns whether every child is dead.
///
/// A question for stopped children finds none, and the kernel answers "no child" when no living one could have been meant. Should a
/// kernel answer otherwise, it is one more look, or one more child that is waited for: neither loses anybody.
fn no_live_child() -> bool {
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, stopped), Err(Errno::CHILD))
}

/// Kills the direct children. Nobody but us reaps them, so their numbers are theirs.
pub(super) fn kill_children() {
    let _ = tree::for_each_child(getpid().as_raw_pid(), &mut |child| {
        if let Some(child) = Pid::from_raw(child) {
            let _ = kill_process(child, Signal::KILL);
        }
    });
}

/// Kills all descendants below the direct children.
pub(super) fn kill_descendants(list: &mut Vec<i32>) {
    let me = getpid().as_raw_pid();
    tree::descendants(me, list);
    for &pid in &*list {
        let Some(handle) = handle_of(pid) else {
            continue;
        };
        if tree::stat(pid).is_some_and(|stat| stat.parent != me && is_ours(stat.parent, list)) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

fn handle_of(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Whether a process with this parent descends from us, as the list has it.
fn is_ours(parent: i32, list: &[i32]) -> bool {
    parent == getpid().as_raw_pid() || list.contains(&parent)
}
