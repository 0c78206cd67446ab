//! What this crate asks the kernel: signals to a group, a look at a leader without reaping it, who is in a group.
//!
//! No unsafe code and no state. Called by `group`, `running`, `leftovers`. Whether a number may still be signalled is the caller's knowledge.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
};

use rustix::process::{
    self, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, test_kill_process_group,
};

use crate::Exit;

/// Largest part of `/proc/<pid>/stat` that is read. Fifty numbers and a name of at most 64 bytes fit in a quarter of it.
const STAT_BYTES_MAX: usize = 2048;

/// The id of a step's leader; also the number of its group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// Returns the number.
    pub fn as_raw_pid(self) -> i32 {
        self.0
    }
}

impl From<process::Pid> for Pid {
    fn from(pid: process::Pid) -> Pid {
        Pid(pid.as_raw_pid())
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({})", self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a look at a leader shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    Runs,
    /// It ended and pins its number.
    Ended(Exit),
    /// It is not our child any more: its status is lost and its number is free.
    Lost,
}

/// Looks at `leader` without reaping it.
pub(crate) fn look_at(leader: process::Pid) -> Leader {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match process::waitid(WaitId::Pid(leader), options) {
        Ok(None) => Leader::Runs,
        Ok(Some(status)) => Leader::Ended(exit_of(&status)),
        Err(_) => Leader::Lost,
    }
}

/// Reaps `leader` if it has ended; returns whether nothing is left to reap.
pub(crate) fn reap(leader: process::Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    !matches!(process::waitid(WaitId::Pid(leader), options), Ok(None))
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) if status.dumped() => Exit::Dumped(signal),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::LOST,
    }
}

/// Asks everybody in the group to end.
pub(crate) fn terminate_group(group: process::Pid) {
    // The first CONT wakes stopped members while the leader still lives: if it died first, the kernel would send the orphaned group HUP
    // before their handler for TERM has run. The last one wakes who stopped in between. A failure means that nobody is
    // there or nobody may be signalled; both show when the group is looked at.
    for signal in [Signal::CONT, Signal::TERM, Signal::CONT] {
        let _ = kill_process_group(group, signal);
    }
}

/// Ends everybody in the group. Forks under way are included: the kernel restarts them after a signal to their group.
pub(crate) fn kill_group(group: process::Pid) {
    let _ = kill_process_group(group, Signal::KILL);
}

/// Returns whether anybody, dead or alive, is in the group.
pub(crate) fn group_exists(group: process::Pid) -> bool {
    // Not permitted means that somebody is there.
    test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
}

/// A live process in a group; the start time tells it from a later process of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pid: i32,
    started: u64,
}

impl Member {
    #[cfg(test)]
    pub(crate) fn new(pid: i32, started: u64) -> Member {
        Member { pid, started }
    }

    /// Looks whether this very process still lives and is in `group`.
    pub(crate) fn is_in(&self, group: process::Pid) -> bool {
        read_stat(self.pid).is_some_and(|stat| {
            stat.group == group.as_raw_pid() && stat.started == self.started && stat.lives()
        })
    }
}

/// Who is in a group.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Live processes.
    pub(crate) alive: Vec<Member>,
    /// Whether a process, dead or alive, has the group's number as its id.
    pub(crate) leader_exists: bool,
    /// The session of the members; a group has only one.
    pub(crate) session: Option<i32>,
}

/// Walks through all processes; costs about ten microseconds for each. Blocking.
///
/// # Errors
///
/// When `/proc` cannot be read. A process that cannot be seen (`hidepid`) or ends meanwhile is not a member.
pub(crate) fn members_of(group: process::Pid) -> io::Result<Members> {
    let mut members = Members::default();
    let mut seen_any = false;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Some(stat) = read_stat(pid) else { continue };
        seen_any = true;
        if stat.group != group.as_raw_pid() {
            continue;
        }
        members.leader_exists |= pid == stat.group;
        members.session = Some(stat.session);
        if stat.lives() {
            members.alive.push(Member {
                pid,
                started: stat.started,
            });
        }
    }
    if seen_any {
        Ok(members)
    } else {
        // At least we ourselves must be there: an empty directory is not a mounted /proc.
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The session that this process belongs to, as `/proc` numbers it: 0 if its leader lives outside this pid namespace.
///
/// From the same source as [`Members::session`], so that the two compare; `getsid` through `rustix` cannot say 0.
pub(crate) fn own_session() -> Option<i32> {
    read_stat_file("/proc/self/stat").map(|stat| stat.session)
}

fn read_stat(pid: i32) -> Option<Stat> {
    read_stat_file(&format!("/proc/{pid}/stat"))
}

fn read_stat_file(path: &str) -> Option<Stat> {
    let mut text = Vec::with_capacity(512);
    File::open(path)
        .ok()?
        .take(STAT_BYTES_MAX as u64)
        .read_to_end(&mut text)
        .ok()?;
    parse_stat(&text)
}

/// The part of `/proc/<pid>/stat` that matters here (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    group: i32,
    session: i32,
    threads: u32,
    started: u64,
}

impl Stat {
    fn lives(&self) -> bool {
        // A process whose first thread ended while others run shows as a zombie with more than one thread.
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }
}

/// Reads one line of `/proc/<pid>/stat`; any bytes at all are allowed, the process chose its own name.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name may hold spaces and parentheses; nothing after it does.
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(&text[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let group = fields.nth(1)?.parse().ok()?; // field 5; 4 is the parent
    let session = fields.next()?.parse().ok()?; // field 6
    let threads = fields.nth(13)?.parse().ok()?; // field 20
    let started = fields.nth(1)?.parse().ok()?; // field 22
    Some(Stat {
        state,
        group,
        session,
        threads,
        started,
    })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    const LINE: &str =
        "812 (a) b) c) S 1 810 809 34816 812 4194560 1 0 0 0 1 2 0 0 20 0 3 0 99887 1 2 3 4";

    #[test]
    fn a_stat_line_is_read_whatever_the_process_calls_itself() {
        let stat = |state| Stat {
            state,
            group: 810,
            session: 809,
            threads: 3,
            started: 99_887,
        };
        assert_eq!(parse_stat(LINE.as_bytes()), Some(stat(b'S')));
        assert_eq!(
            parse_stat(LINE.replace(" S ", " Z ").as_bytes()),
            Some(stat(b'Z'))
        );
        let wild = [b"1 (\xff\n \0) ".as_slice(), &LINE.as_bytes()[13..]].concat();
        assert_eq!(parse_stat(&wild), Some(stat(b'S')));
    }

    #[test]
    fn no_cut_or_changed_line_is_misread() {
        let line = LINE.as_bytes();
        for cut in 0..line.len() {
            let stat = parse_stat(&line[..cut]);
            if let Some(stat) = stat {
                assert_eq!((stat.group, stat.session), (810, 809), "cut at {cut}");
            }
            for byte in [0, b' ', b')', b'-', 0xff] {
                let mut changed = line.to_vec();
                changed[cut] = byte;
                let _ = parse_stat(&changed); // total: any bytes give an answer
            }
        }
    }

    #[test]
    fn a_zombie_with_other_threads_lives() {
        for (state, threads, lives) in [
            (b'R', 1, true),
            (b'T', 1, true),
            (b'Z', 1, false),
            (b'Z', 2, true),
            (b'X', 0, false),
        ] {
            let stat = Stat {
                state,
                group: 1,
                session: 1,
                threads,
                started: 1,
            };
            assert_eq!(
                stat.lives(),
                lives,
                "{} with {threads} threads",
                state as char
            );
        }
    }

    #[test]
    fn a_child_is_found_in_the_group_that_it_leads_and_in_our_session() {
        let mut child = Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap();
        let group = process::Pid::from_child(&child);
        let members = members_of(group);
        child.kill().unwrap();
        child.wait().unwrap();

        let members = members.unwrap();
        let pids: Vec<_> = members.alive.iter().map(|member| member.pid).collect();
        assert_eq!(pids, [group.as_raw_pid()]);
        assert!(members.leader_exists);
        assert!(members.session.is_some());
        assert_eq!(members.session, own_session());
    }
}
