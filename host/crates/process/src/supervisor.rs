//! The program between the host and a step: a process of one thread to whom every descendant of the step comes back.
//!
//! Promises: nobody who descends from the step's leader outlives a kill, whatever he did to get away (`setsid`, double fork, a
//! cleared environment), unless the kernel will not kill him, and then he is named; it is over when the kernel knows no child any
//! more (`ECHILD`), never earlier. When the host is gone, everybody is killed. Every step gets the same inherited attributes.
//! Never: has a second thread, a runtime, or anything of the host's but its binary; allocates while it kills; trusts that a packet arrives.
//! Called by: the host's `main`, before anything else ([`supervise_if_asked`]). Spoken to by `link`.
//!
//! # Why a process
//!
//! The kernel gives orphans to the nearest ancestor that is a *subreaper*. With one per step, whose orphan it is needs no
//! bookkeeping, "nobody is left" is one answer of the kernel, the end of the host is the end of a socket, and the large host never
//! forks. Signals that the step sends its parent are blocked; one that kills it leaves the orphans to the host, which is a subreaper too.
//!
//! # Whose number is it?
//!
//! A group is addressed by number, and numbers are reused. A leader that has ended but was not reaped pins its number: it stays so until
//! nobody else is left or the group was killed, and the group is never signalled afterwards. Direct children are pinned by not being reaped.
//! For whoever is further down, a handle of the process is opened, its parent is asked for again, and the signal goes to the handle.

mod attributes;
mod group;

use std::{
    env,
    ffi::{CStr, OsStr, c_char},
    io::IoSliceMut,
    iter,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
    ptr,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send},
    process::{
        DumpableBehavior, Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, getppid,
        kill_process, kill_process_group, pidfd_open, pidfd_send_signal, set_child_subreaper,
        set_dumpable_behavior, set_parent_process_death_signal, setsid, waitid,
    },
    stdio::stdin,
    thread::set_name,
    time::{ClockId, clock_gettime},
};

use self::{attributes::Attributes, group::Group};
use crate::{
    Exit, Usage,
    cgroup::{self, NotBorn},
    phases::{Due, Event, Life, Over},
    sys::{self, Dead},
    tree,
    wire::{self, End, REQUEST_BYTES_MAX, Request, Told},
};

/// What the host puts first on its own command line to get a supervisor.
pub(crate) const MARKER: &str = "--supervise-one-step";
/// Most descendants that are listed at once; whoever is beyond is found by a later look.
const LIST_MAX: usize = 32 * 1024;
/// Most survivors that are named.
const NAMED_MAX: usize = 16;
/// Most of the dead that are reaped before the host is listened to again: a step whose processes end as fast as they are reaped must
/// not keep a stop from being heard.
const REAPED_AT_ONCE: u32 = 256;
/// First and longest pause between two sweeps in which nobody died.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How long a host that has closed its sockets may take to be dead.
const DYING_TIME: Duration = Duration::from_secs(1);
/// Pause between two looks at those who could not be killed.
const LINGERING_PAUSE: Duration = Duration::from_secs(1);

/// Becomes a supervisor if the command line asks for that, and returns its exit code at the end. Called before anything else in `main`:
/// there must be one thread.
pub fn supervise_if_asked() -> Option<ExitCode> {
    let asked = env::args_os().nth(1).as_deref() == Some(OsStr::new(MARKER));
    asked.then(|| match Supervisor::start() {
        Some(mut supervisor) => {
            supervisor.serve();
            supervisor.clean_up();
            ExitCode::SUCCESS
        }
        // The host sees the socket's end.
        None => ExitCode::FAILURE,
    })
}

struct Supervisor {
    /// Readable after a child's end.
    children: OwnedFd,
    /// The input of every step.
    null: OwnedFd,
    /// The host; another parent means that it is dead.
    host: Option<Pid>,
    /// The host's cgroup, with a handle of the host, for the case of its death.
    cgroup: Option<(PathBuf, OwnedFd)>,
    /// The host has said that it lets go.
    dismissed: bool,
    /// How it was at the beginning.
    fresh: Attributes,
    /// Parts of a plan that is not complete.
    plan: Vec<u8>,
    /// Room for what is received; room for a list of processes. Made once, so that nothing is allocated later.
    packet: Vec<u8>,
    list: Vec<i32>,
}

/// What the host asks for, without borrowing the packet.
enum Asked {
    Start {
        number: u32,
        outputs: Option<[OwnedFd; 2]>,
        /// The directory of the step's own cgroup, where it has one.
        group: Option<OwnedFd>,
    },
    Terminate {
        number: u32,
    },
    Insist {
        number: u32,
    },
    Kill {
        number: u32,
    },
    More,
    /// The host lives and lets go.
    Dismissed,
    /// The host is gone.
    End,
}

impl Supervisor {
    fn start() -> Option<Supervisor> {
        sys::close_inherited();
        let children = sys::take_signals().ok()?;
        // The step must not have the host's terminal, and whoever has this session is a descendant of ours.
        setsid().ok()?;
        set_child_subreaper(Some(getpid())).ok()?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).ok()?;
        // One that a step put to sleep would not see the host's end. Sent too when the thread that started us ends, which does no harm.
        set_parent_process_death_signal(Some(Signal::CONT)).ok()?;
        // Only names: without them all is as good.
        let _ = set_name(c"step-supervisor");
        rustix::process::chdir("/").ok()?;
        let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let host = getppid();
        let cgroup = env::args_os().nth(2).map(PathBuf::from);
        Some(Supervisor {
            children,
            null,
            host,
            cgroup: cgroup.zip(host.and_then(|host| pidfd_open(host, PidfdFlags::empty()).ok())),
            dismissed: false,
            fresh: Attributes::read(),
            plan: Vec::with_capacity(REQUEST_BYTES_MAX),
            packet: vec![0; REQUEST_BYTES_MAX],
            list: Vec::with_capacity(LIST_MAX),
        })
    }

    /// Runs one step after the other, until the host is gone or something is odd.
    fn serve(&mut self) {
        loop {
            match self.receive(RecvFlags::empty()) {
                Asked::Start {
                    number,
                    outputs: Some(outputs),
                    group,
                } => {
                    let started = self.start_step(&outputs, group);
                    self.plan.clear();
                    drop(outputs);
                    match started {
                        Ok((leader, group)) => {
                            tell(&Told::Started {
                                pid: leader.as_raw_pid(),
                            });
                            if !self.watch(leader, number, group.as_ref()) {
                                return;
                            }
                        }
                        Err(refusal) => tell(&refusal),
                    }
                    if Attributes::read() != self.fresh {
                        return tell(&Told::Retired);
                    }
                }
                // A late stop of the step before.
                Asked::More
                | Asked::Terminate { .. }
                | Asked::Insist { .. }
                | Asked::Kill { .. } => {}
                Asked::Dismissed => {
                    self.dismissed = true;
                    return;
                }
                Asked::Start { outputs: None, .. } | Asked::End => return,
            }
        }
    }

    /// Starts the program of the received plan, in its cgroup if it has one; otherwise says why not.
    fn start_step(
        &self,
        outputs: &[OwnedFd; 2],
        group: Option<OwnedFd>,
    ) -> Result<(Pid, Option<Group>), Told> {
        let not_joined = |errno| Told::NotJoined { errno };
        let group = match group.map(Group::open) {
            Some(Err(error)) => return Err(not_joined(error.raw_os_error())),
            Some(Ok(group)) => Some(group),
            None => None,
        };
        let number = |error: std::io::Error| error.raw_os_error().unwrap_or_default();
        match self.spawn(outputs, group.as_ref()) {
            Ok(leader) => Ok((leader, group)),
            Err(NotBorn::Program(error)) => Err(Told::Failed {
                errno: number(error),
            }),
            Err(NotBorn::Cgroup(error)) => Err(not_joined(number(error))),
        }
    }

    fn spawn(&self, [out, err]: &[OwnedFd; 2], group: Option<&Group>) -> Result<Pid, NotBorn> {
        let plan =
            wire::decode_plan(&self.plan).ok_or_else(|| NotBorn::Program(Errno::INVAL.into()))?;
        let pointers = |strings: &[&CStr]| -> Vec<*const c_char> {
            let strings = strings.iter().map(|string| string.as_ptr());
            strings.chain(iter::once(ptr::null())).collect()
        };
        let program = sys::Program {
            path: plan.path,
            arguments: &pointers(&plan.arguments),
            environment: &pointers(&plan.environment),
            work_dir: plan.work_dir,
            standard: [self.null.as_fd(), out.as_fd(), err.as_fd()],
        };
        match group {
            Some(group) => cgroup::spawn_into(&program, group.dir()),
            None => sys::spawn(&program).map_err(NotBorn::Program),
        }
    }

    /// Sees a step to its end. Returns whether this supervisor may start another one.
    fn watch(&mut self, leader: Pid, number: u32, group: Option<&Group>) -> bool {
        let mut life = Life::new();
        let mut tree = Tree {
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
            list: &mut self.list,
        };
        let mut host_listens = true;
        let mut pause = FIRST_PAUSE;
        loop {
            let reaped_before = tree.reaped;
            empty(&self.children);
            let mut due = life.apply(tree.look(), now());
            loop {
                match due {
                    // There is nothing between TERM and KILL.
                    Due::Nothing | Due::Insist => {}
                    Due::TellLeaderEnded => tree.tell_leader_ended(&life),
                    Due::Terminate => tree.terminate(),
                    Due::Kill => {
                        tell(&Told::Killing);
                        tree.kill();
                    }
                    Due::Sweep => tree.sweep(),
                    Due::TellEmpty => tree.tell_end(&life),
                    Due::TellLeft => tree.tell_left(&life),
                }
                if life.over().is_some() || !host_listens {
                    break;
                }
                due = match receive(RecvFlags::DONTWAIT, &mut self.packet, None) {
                    None => break,
                    Some(Asked::Terminate { number: step }) if step == number => {
                        stop(&mut life, &mut tree, Event::Terminate)
                    }
                    Some(Asked::Insist { number: step }) if step == number => {
                        stop(&mut life, &mut tree, Event::Insist)
                    }
                    Some(Asked::Kill { number: step }) if step == number => {
                        stop(&mut life, &mut tree, Event::Kill)
                    }
                    // A late stop of the step before.
                    Some(
                        Asked::Terminate { .. }
                        | Asked::Insist { .. }
                        | Asked::Kill { .. }
                        | Asked::More,
                    ) => Due::Nothing,
                    Some(asked @ (Asked::Dismissed | Asked::End | Asked::Start { .. })) => {
                        self.dismissed = matches!(asked, Asked::Dismissed);
                        host_listens = false;
                        stop(&mut life, &mut tree, Event::Kill)
                    }
                };
            }
            match life.over() {
                // One that had to kill starts nothing more: whatever made that necessary ends with it.
                Some(Over::Empty) => return host_listens && !life.killed(),
                Some(Over::Left) => {
                    self.linger(group);
                    return false;
                }
                None => {}
            }
            let wait = if tree.is_behind {
                Some(Duration::ZERO)
            } else if life.killed() {
                pause = if tree.reaped > reaped_before {
                    FIRST_PAUSE
                } else {
                    LONGEST_PAUSE.min(pause * 2)
                };
                Some(pause)
            } else {
                None
            };
            let strangers = group.filter(|_| tree.strangers);
            self::wait(&self.children, host_listens, strangers, wait);
        }
    }

    /// Goes on killing those who could not be killed, for as long as the host lives: who is stuck in the kernel may come loose.
    fn linger(&mut self, group: Option<&Group>) {
        while getppid() == self.host {
            empty(&self.children);
            loop {
                match sys::reap(None) {
                    Dead::Child { .. } => {}
                    Dead::Nobody => break,
                    Dead::NoChild if group.is_none_or(Group::is_empty) => return,
                    Dead::NoChild => break,
                }
            }
            kill_children();
            kill_descendants(&mut self.list);
            if let Some(group) = group {
                group.kill();
            }
            wait(&self.children, false, None, Some(LINGERING_PAUSE));
        }
    }

    /// Removes the cgroups of a host that died, as far as nobody is in them: the last of its supervisors finds them empty.
    fn clean_up(&self) {
        let Some((path, host)) = self.cgroup.as_ref().filter(|_| !self.dismissed) else {
            return;
        };
        // Its sockets are closed a moment before it is dead. One that lives on, and only could not say that it lets go, keeps them.
        let limit = Timespec::try_from(DYING_TIME).ok();
        let mut ends = [PollFd::new(host, PollFlags::IN)];
        if poll(&mut ends, limit.as_ref()) == Ok(1) {
            cgroup::remove_path(path);
        }
    }

    fn receive(&mut self, flags: RecvFlags) -> Asked {
        receive(flags, &mut self.packet, Some(&mut self.plan)).unwrap_or(Asked::More)
    }
}

/// Waits for a child's end, for the host, for the last one of a cgroup to go, or until `limit` is over.
fn wait(children: &OwnedFd, host_listens: bool, group: Option<&Group>, limit: Option<Duration>) {
    let nothing = || PollFd::new(children, PollFlags::empty());
    let mut sources = [
        PollFd::new(children, PollFlags::IN),
        nothing(),
        group.map_or_else(nothing, Group::events),
    ];
    if host_listens {
        sources[1] = PollFd::from_borrowed_fd(stdin(), PollFlags::IN);
    }
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    // An interruption is one more look.
    let _ = poll(&mut sources, limit.as_ref());
}

/// Takes a stop: first what is dead already is noted, so that nobody is said to have been signalled after his end.
fn stop(life: &mut Life, tree: &mut Tree<'_>, stop: Event) -> Due {
    match life.apply(tree.look(), now()) {
        Due::TellEmpty => return Due::TellEmpty,
        Due::TellLeft => return Due::TellLeft,
        Due::TellLeaderEnded => tree.tell_leader_ended(life),
        Due::Nothing | Due::Terminate | Due::Insist | Due::Kill | Due::Sweep => {}
    }
    life.apply(stop, now())
}

/// Receives one packet; `None` if there is none now. Parts of a plan go to `plan`.
fn receive(flags: RecvFlags, packet: &mut [u8], plan: Option<&mut Vec<u8>>) -> Option<Asked> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(packet)];
        match recvmsg(
            stdin(),
            &mut into,
            &mut extra,
            flags | RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return None,
            Err(_) => return Some(Asked::End),
        }
    };
    let mut descriptors = extra.drain().flat_map(|message| {
        let rights = match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        };
        rights.into_iter().flatten()
    });
    let outputs = match (descriptors.next(), descriptors.next()) {
        (Some(out), Some(err)) => Some([out, err]),
        _ => None,
    };
    let group = descriptors.next();
    // No packet of the host's is empty: this is the end.
    let Some(request) = Request::decode(&packet[..received.bytes]) else {
        return Some(Asked::End);
    };
    Some(match (request, plan) {
        (Request::Part(part), Some(plan)) => {
            plan.extend_from_slice(part);
            Asked::More
        }
        (Request::Start { number, part }, Some(plan)) => {
            plan.extend_from_slice(part);
            Asked::Start {
                number,
                outputs,
                group,
            }
        }
        // Two steps at once are none of the host's wishes.
        (Request::Part(_) | Request::Start { .. }, None) => Asked::End,
        (Request::Insist { number }, _) => Asked::Insist { number },
        (Request::Terminate { number }, _) => Asked::Terminate { number },
        (Request::Kill { number }, _) => Asked::Kill { number },
        (Request::Dismiss, _) => Asked::Dismissed,
    })
}

/// Tells the host. A failure is none of a supervisor's business: either the host is gone, which the socket's end will tell, or
/// it does not read.
fn tell(told: &Told) {
    let packet = told.encode();
    let _ = send(
        stdin(),
        packet.as_bytes(),
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    );
}

/// Takes the announcements; what they announce is asked for in any case.
fn empty(children: &OwnedFd) {
    let mut announcements = [0; 1024];
    while rustix::io::read(children, &mut announcements)
        .is_ok_and(|bytes| bytes == announcements.len())
    {}
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// A leader and everybody who descends from it. As a subreaper of one thread with no other children, all of ours.
struct Tree<'a> {
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
    /// How many were reaped, and how many of them before the last sweep.
    reaped: u32,
    reaped_before_sweep: u32,
    /// More may be dead than the last look has reaped.
    is_behind: bool,
    terminated_at: Option<Duration>,
    killed_at: Option<Duration>,
    /// The step's own cgroup.
    group: Option<&'a Group>,
    /// Nobody who descends from us is left, but somebody is in the cgroup.
    strangers: bool,
    list: &'a mut Vec<i32>,
}

impl Tree<'_> {
    /// Asks the kernel, and reaps who is dead, but a leader only when its group needs no signal any more.
    fn look(&mut self) -> Event {
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
    fn terminate(&mut self) {
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
    fn kill(&mut self) {
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
    fn sweep(&mut self) {
        kill_children();
        // Who is further down comes up to us when his parent is dead; only when nobody dies must he be looked for.
        if self.reaped == self.reaped_before_sweep {
            kill_descendants(self.list);
            self.kill_group();
        }
        self.reaped_before_sweep = self.reaped;
    }

    fn tell_leader_ended(&mut self, life: &Life) {
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

    fn tell_end(&self, life: &Life) {
        tell(&Told::Over(self.end(life)));
    }

    fn tell_left(&mut self, life: &Life) {
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
fn kill_children() {
    let _ = tree::for_each_child(getpid().as_raw_pid(), &mut |child| {
        if let Some(child) = Pid::from_raw(child) {
            let _ = kill_process(child, Signal::KILL);
        }
    });
}

/// Kills all descendants below the direct children.
fn kill_descendants(list: &mut Vec<i32>) {
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
