//! The program between the host and a step: it outlives the host for as long as it takes to kill the step's group.
//!
//! Promises: the step has a group of its own, and is over when the kernel knows nobody in it. When the host is gone, the group is killed. What left the
//! group (`setsid`) is not found: this system gives orphans to nobody but process 1. Never: runs a second step.
//! Called by: the host's `main`, before anything else ([`supervise_if_asked`]). Spoken to by `link`.
//!
//! A group lives on after its leader was reaped, for as long as anybody is in it, and until then its number is nobody else's. Once it was seen to be
//! gone it is never signalled again.

use std::{
    env,
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, PipeReader, pipe},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, process::CommandExt, process::ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SendFlags, send},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, kill_process_group, setsid, test_kill_process_group,
        waitid,
    },
    stdio::{dup2_stderr, dup2_stdout, stdin},
};

use crate::{
    Exit, Survivor, Usage,
    framed::{self, Frames},
    phases::{Due, Event, Life, Over},
    wire::{self, End, Request, Told},
};

/// What the host puts first on its own command line to get a supervisor.
pub(crate) const MARKER: &str = "--supervise-one-step";
/// Pause between two looks at a group whose leader has ended: nobody tells when the last one leaves.
const GROUP_PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are read from the host at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Becomes a supervisor if the command line asks for that, and returns its exit code at the end. Called before anything else in `main`.
pub fn supervise_if_asked() -> Option<ExitCode> {
    let asked = env::args_os().nth(1).as_deref() == Some(OsStr::new(MARKER));
    asked.then(|| match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The host sees the socket's end.
        Err(_) => ExitCode::FAILURE,
    })
}

/// The host's wishes.
struct Requests {
    frames: Frames,
    plan: Vec<u8>,
    chunk: Vec<u8>,
    ended: bool,
}

impl Requests {
    /// Reads once; waits if there is nothing.
    fn read(&mut self) {
        match rustix::io::read(stdin(), &mut self.chunk) {
            Ok(read_bytes) if read_bytes > 0 => self.frames.push(&self.chunk[..read_bytes]),
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => self.ended = true,
        }
    }

    /// The next packet, if it has arrived.
    fn next(&mut self) -> Option<Vec<u8>> {
        match self.frames.next() {
            Ok(packet) => packet,
            Err(framed::Nonsense) => {
                self.ended = true;
                None
            }
        }
    }
}

/// Runs one step.
fn serve() -> io::Result<()> {
    // The step must not have the host's terminal.
    setsid()?;
    let mut requests = Requests {
        frames: Frames::default(),
        plan: Vec::new(),
        chunk: vec![0; CHUNK_BYTES],
        ended: false,
    };
    let number = loop {
        let Some(packet) = requests.next() else {
            if requests.ended {
                return Ok(());
            }
            requests.read();
            continue;
        };
        match Request::decode(&packet) {
            Some(Request::Part(part)) => requests.plan.extend_from_slice(part),
            Some(Request::Start { number, part }) => {
                requests.plan.extend_from_slice(part);
                break number;
            }
            // Nothing else comes first.
            Some(
                Request::Terminate { .. }
                | Request::Insist { .. }
                | Request::Kill { .. }
                | Request::Dismiss,
            )
            | None => return Ok(()),
        }
    };
    let spawned = spawn(&requests.plan);
    // From here on the outputs are the step's alone.
    let null = File::options().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    match spawned {
        Ok(leader) => watch(leader, number, &mut requests),
        Err(error) => {
            tell(&Told::Failed {
                errno: error.raw_os_error().unwrap_or_default(),
            });
            Ok(())
        }
    }
}

fn spawn(plan: &[u8]) -> io::Result<Child> {
    let plan = wire::decode_plan(plan).ok_or(io::ErrorKind::InvalidData)?;
    let text = |text: &CStr| OsStr::from_bytes(text.to_bytes()).to_owned();
    let variables = plan.environment.iter().map(|variable| {
        let variable = variable.to_bytes();
        // A name may begin with a `=`, and has no other.
        let name_ends = variable.iter().skip(1).position(|&byte| byte == b'=');
        let (name, value) = variable.split_at(name_ends.map_or(variable.len(), |at| at + 1));
        (
            OsStr::from_bytes(name),
            OsStr::from_bytes(value.get(1..).unwrap_or_default()),
        )
    });
    let mut arguments = plan.arguments.iter().map(|argument| text(argument));
    Command::new(text(plan.path))
        .arg0(arguments.next().unwrap_or_default())
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir(Path::new(&text(plan.work_dir)))
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Sees the step to its end.
fn watch(child: Child, number: u32, requests: &mut Requests) -> io::Result<()> {
    let pid = Pid::from_child(&child);
    let ended = ending_of(pid)?;
    tell(&Told::Started {
        pid: pid.as_raw_pid(),
    });
    let mut step = Step {
        child,
        group: pid,
        is_gone: false,
        began: Instant::now(),
        terminated_at: None,
        killed_at: None,
    };
    let mut life = Life::new();
    let mut host_listens = true;
    loop {
        let mut due = life.apply(step.look(), step.now());
        loop {
            step.perform(due, &life);
            if life.over().is_some() || !host_listens {
                break;
            }
            let event = match requests.next().map(|packet| wish(&packet, number)) {
                Some(Some(event)) => event,
                Some(None) => continue,
                None if requests.ended => {
                    host_listens = false;
                    Event::Kill
                }
                None => break,
            };
            // First what has happened already is noted, so that nobody is said to have been signalled after his end.
            let seen = life.apply(step.look(), step.now());
            step.perform(seen, &life);
            due = life.apply(event, step.now());
        }
        if life.over().is_some() {
            return Ok(());
        }
        let leader_ended = life.exit().is_some();
        let limit = (leader_ended || life.killed()).then_some(GROUP_PAUSE);
        if wait(&ended, leader_ended, host_listens, limit) {
            requests.read();
        }
    }
}

/// A pipe that comes to its end when the leader has ended.
fn ending_of(leader: Pid) -> io::Result<PipeReader> {
    let (ended, held) = pipe()?;
    // Ends with the leader, or with this process.
    thread::spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(leader), options), Err(Errno::INTR)) {}
        drop(held);
    });
    Ok(ended)
}

/// Waits for the leader's end, for the host, or until `limit` is over. Returns whether the host has something to say.
fn wait(
    ended: &PipeReader,
    leader_ended: bool,
    host_listens: bool,
    limit: Option<Duration>,
) -> bool {
    let host = stdin();
    let mut sources = Vec::with_capacity(2);
    if host_listens {
        sources.push(PollFd::from_borrowed_fd(host, PollFlags::IN));
    }
    if !leader_ended {
        sources.push(PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN));
    }
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    // An interruption is one more look.
    let _ = poll(&mut sources, limit.as_ref());
    sources.iter().any(|source| {
        source.as_fd().as_raw_fd() == host.as_raw_fd() && !source.revents().is_empty()
    })
}

/// What a packet means to step `number`; `None` if it is none of its business.
fn wish(packet: &[u8], number: u32) -> Option<Event> {
    match Request::decode(packet) {
        Some(Request::Terminate { number: of }) if of == number => Some(Event::Terminate),
        Some(Request::Insist { number: of }) if of == number => Some(Event::Insist),
        Some(Request::Kill { number: of }) if of == number => Some(Event::Kill),
        Some(_) | None => None,
    }
}

/// A leader and its group.
struct Step {
    child: Child,
    group: Pid,
    /// The kernel knew nobody in the group: its number may be anybody's.
    is_gone: bool,
    began: Instant,
    /// When it was asked to end and when it was killed, counted from its start.
    terminated_at: Option<Duration>,
    killed_at: Option<Duration>,
}

impl Step {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Asks the kernel, and reaps the leader if it is dead.
    fn look(&mut self) -> Event {
        let leader = match self.child.try_wait() {
            Ok(status) => status.map(|status| match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) if status.core_dumped() => Exit::Dumped(signal),
                (None, signal) => signal.map_or(Exit::LOST, Exit::Signal),
            }),
            // Somebody took its status: nothing of ours does that.
            Err(_) => Some(Exit::LOST),
        };
        // Not while the leader is there: a group of the dead is one too.
        if leader.is_some() && !self.is_gone {
            self.is_gone = is_gone(test_kill_process_group(self.group));
        }
        Event::Seen {
            leader,
            others: leader.is_none() || !self.is_gone,
        }
    }

    fn perform(&mut self, due: Due, life: &Life) {
        match due {
            // There is nothing between TERM and KILL.
            Due::Nothing | Due::Insist => {}
            Due::TellLeaderEnded => {
                let Some(exit) = life.exit() else { return };
                tell(&Told::LeaderEnded {
                    exit,
                    signalled: life.signalled(),
                    usage: Usage::default(),
                    // How many there are nobody says.
                    others: 1,
                });
            }
            Due::Terminate => {
                self.terminated_at = Some(self.now());
                // A stopped process runs its handler only when it goes on, whichever comes first.
                for signal in [Signal::CONT, Signal::TERM, Signal::CONT] {
                    self.signal(signal);
                }
            }
            Due::Kill => {
                tell(&Told::Killing);
                self.killed_at = Some(self.now());
                self.signal(Signal::KILL);
            }
            Due::Sweep => self.signal(Signal::KILL),
            Due::TellEmpty => self.tell_end(life),
            Due::TellLeft => {
                tell(&Told::Survivor(survivor(self.group.as_raw_pid())));
                self.tell_end(life);
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if !self.is_gone {
            let _ = kill_process_group(self.group, signal);
        }
    }

    fn tell_end(&self, life: &Life) {
        tell(&Told::Over(End {
            exit: life.exit(),
            signalled: life.signalled(),
            empty: life.over() == Some(Over::Empty),
            killed: u32::from(self.killed_at.is_some()),
            terminated_after: self.terminated_at,
            killed_after: self.killed_at,
            usage: Usage::default(),
        }));
    }
}

/// Whether the answer to a question for a group means that there is none. That it may not be signalled means that there is one.
pub(crate) fn is_gone(answer: rustix::io::Result<()>) -> bool {
    answer == Err(Errno::SRCH)
}

/// Names a group that could not be killed.
pub(crate) fn survivor(group: i32) -> Survivor {
    Survivor {
        pid: group,
        name: "the step's process group".to_owned(),
        state: b'?',
        uid: u32::MAX,
        refused: false,
        waits_in: String::new(),
    }
}

/// Tells the host. A failure means that it is gone, which the socket's end will tell.
fn tell(told: &Told) {
    let frame = framed::frame(told.encode().as_bytes());
    let _ = send(stdin(), &frame, SendFlags::empty());
}
