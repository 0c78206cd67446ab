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
mod family;
mod group;
mod host;

use std::{
    env,
    ffi::{CStr, OsStr, c_char},
    iter,
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
    net::RecvFlags,
    process::{
        DumpableBehavior, Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open,
        set_child_subreaper, set_dumpable_behavior, set_parent_process_death_signal, setsid,
    },
    stdio::stdin,
    thread::set_name,
    time::{ClockId, clock_gettime},
};

use self::{
    attributes::Attributes,
    family::{Family, kill_children, kill_descendants},
    group::Group,
    host::{Asked, receive, tell},
};
use crate::{
    cgroup::{self, NotBorn},
    phases::{Due, Event, Life, Over},
    sys::{self, Dead},
    wire::{self, REQUEST_BYTES_MAX, Told},
};

/// What the host puts first on its own command line to get a supervisor.
pub(crate) const MARKER: &str = "--supervise-one-step";
/// Most descendants that are listed at once; whoever is beyond is found by a later look.
const LIST_MAX: usize = 32 * 1024;
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
        let mut family = Family::of(leader, group, &mut self.list);
        let mut host_listens = true;
        let mut pause = FIRST_PAUSE;
        loop {
            let reaped_before = family.reaped();
            empty(&self.children);
            let mut due = life.apply(family.look(), now());
            loop {
                match due {
                    // There is nothing between TERM and KILL.
                    Due::Nothing | Due::Insist => {}
                    Due::TellLeaderEnded => family.tell_leader_ended(&life),
                    Due::Terminate => family.terminate(),
                    Due::Kill => {
                        tell(&Told::Killing);
                        family.kill();
                    }
                    Due::Sweep => family.sweep(),
                    Due::TellEmpty => family.tell_end(&life),
                    Due::TellLeft => family.tell_left(&life),
                }
                if life.over().is_some() || !host_listens {
                    break;
                }
                due = match receive(RecvFlags::DONTWAIT, &mut self.packet, None) {
                    None => break,
                    Some(Asked::Terminate { number: step }) if step == number => {
                        stop(&mut life, &mut family, Event::Terminate)
                    }
                    Some(Asked::Insist { number: step }) if step == number => {
                        stop(&mut life, &mut family, Event::Insist)
                    }
                    Some(Asked::Kill { number: step }) if step == number => {
                        stop(&mut life, &mut family, Event::Kill)
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
                        stop(&mut life, &mut family, Event::Kill)
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
            let wait = if family.is_behind() {
                Some(Duration::ZERO)
            } else if life.killed() {
                pause = if family.reaped() > reaped_before {
                    FIRST_PAUSE
                } else {
                    LONGEST_PAUSE.min(pause * 2)
                };
                Some(pause)
            } else {
                None
            };
            let strangers = group.filter(|_| family.has_strangers());
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
fn stop(life: &mut Life, family: &mut Family<'_>, stop: Event) -> Due {
    match life.apply(family.look(), now()) {
        Due::TellEmpty => return Due::TellEmpty,
        Due::TellLeft => return Due::TellLeft,
        Due::TellLeaderEnded => family.tell_leader_ended(life),
        Due::Nothing | Due::Terminate | Due::Insist | Due::Kill | Due::Sweep => {}
    }
    life.apply(stop, now())
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
