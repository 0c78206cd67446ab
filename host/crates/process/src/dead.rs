//! What a host that died left in the kernel: processes that carry its mark, and its cgroup.
//!
//! Promises: whoever is killed here carried the mark in his own environment when a handle of him was open already, is ours, and was started
//! after that host; a cgroup is the one with the recorded inode number or it is left alone. Who does not die is named.
//! Never: looks at a name. Blocks, so it is called before a host serves, by its janitor.

use std::{
    fs,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
        unix::fs::MetadataExt as _,
    },
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags, fstat, openat},
    io::{Errno, pread},
    process::{Pid, PidfdFlags, Signal, geteuid, getpid, pidfd_open, pidfd_send_signal},
    time::{ClockId, clock_gettime},
};

use crate::{
    CgroupId, Identity, Mark, Survivor, cgroup, identity::start_time, phases::KILL_BUDGET, tree,
};

/// Largest environment that is looked through; the kernel takes no larger one by default.
const ENVIRONMENT_BYTES_MAX: u64 = 8 << 20;
/// Most processes that are waited for at once.
const WAITED_MAX: usize = 1024;

/// What was done.
#[derive(Debug, Default)]
pub struct Cleared {
    /// How many processes were killed.
    pub killed: usize,
    /// Who did not die within five seconds.
    pub survivors: Vec<Survivor>,
}

/// Kills the processes that carry `mark` and were started by `host` or after it.
pub fn kill_marked(mark: &Mark, host: &Identity) -> Cleared {
    let give_up = now() + KILL_BUDGET;
    let mut cleared = Cleared::default();
    let mut known: Vec<(i32, u64)> = Vec::new();
    // They may be starting others: until a look finds nobody.
    loop {
        let found = marked(mark, host);
        if found.is_empty() {
            return cleared;
        }
        for (pid, started, handle) in &found {
            // One who has ended meanwhile is as good.
            let _ = pidfd_send_signal(handle, Signal::KILL);
            if !known.contains(&(*pid, *started)) {
                known.push((*pid, *started));
                cleared.killed += 1;
            }
        }
        let left = wait_for_ends(found, give_up);
        if !left.is_empty() {
            cleared.killed -= left.len().min(cleared.killed);
            cleared.survivors = left.into_iter().filter_map(tree::survivor).collect();
            return cleared;
        }
    }
}

/// Live processes with the mark: number, start, handle.
fn marked(mark: &Mark, host: &Identity) -> Vec<(i32, u64, OwnedFd)> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = getpid().as_raw_pid();
    let pids = processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid != own)
        .filter_map(|pid| {
            let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            // Asked after the handle was opened: if the number is another's by now, the handle is a dead one's.
            let started = start_time(pid).filter(|&started| started >= host.started)?;
            let is_ours = fs::metadata(format!("/proc/{pid}")).ok()?.uid() == geteuid().as_raw();
            let lives = tree::stat(pid)?.lives();
            (is_ours && lives && mark.is_in(&environment(pid)?)).then_some((pid, started, handle))
        })
        .collect()
}

fn environment(pid: i32) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))
        .ok()?
        .take(ENVIRONMENT_BYTES_MAX)
        .read_to_end(&mut environment)
        .ok()?;
    Some(environment)
}

/// Waits for the ends of killed processes; returns those who live on.
fn wait_for_ends(mut found: Vec<(i32, u64, OwnedFd)>, give_up: Duration) -> Vec<i32> {
    loop {
        let watched = found.len().min(WAITED_MAX);
        let mut ends: Vec<PollFd<'_>> = found[..watched]
            .iter()
            .map(|(_, _, handle)| PollFd::new(handle, PollFlags::IN))
            .collect();
        let left = give_up.saturating_sub(now());
        let limit = Timespec::try_from(left).ok();
        // An interruption is one more look.
        let _ = poll(&mut ends, limit.as_ref());
        let ended: Vec<bool> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        let mut ended = ended.into_iter().chain(std::iter::repeat(false));
        found.retain(|_| !ended.next().unwrap_or(false));
        if found.is_empty() || left.is_zero() {
            return found.into_iter().map(|(pid, _, _)| pid).collect();
        }
    }
}

/// Kills everybody in a cgroup, and removes it with those below it. One that is not there any more, or is another one by now, is left alone.
///
/// # Errors
///
/// When it is there and cannot be removed, for another reason than that somebody in it does not die.
pub fn clear_cgroup(id: &CgroupId) -> io::Result<Cleared> {
    let Some(dir) = found(id)? else {
        return Ok(Cleared::default());
    };
    let members = members_below(&dir);
    let mut cleared = Cleared::default();
    if !members.is_empty() || !cgroup::is_empty(dir.as_fd()) {
        cgroup::write_file(&dir, "cgroup.kill", "1")?;
        wait_until_empty(&dir)?;
        cleared.survivors = members_below(&dir)
            .into_iter()
            .filter_map(tree::survivor)
            .collect();
        cleared.killed = members.len().saturating_sub(cleared.survivors.len());
    }
    let parent = id.path.parent().unwrap_or(Path::new("/"));
    let name = id.path.file_name().unwrap_or_default();
    let parent = cgroup::directory(CWD, parent)?;
    let name = std::ffi::CString::new(name.as_bytes())?;
    match cgroup::remove(parent.as_fd(), &name) {
        Err(Errno::BUSY) | Ok(()) => Ok(cleared),
        Err(error) => Err(error.into()),
    }
}

/// The cgroup, if what is at its path is it.
fn found(id: &CgroupId) -> io::Result<Option<OwnedFd>> {
    let dir = match cgroup::directory(CWD, &id.path) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stat = fstat(&dir)?;
    let is_it = cgroup::is_cgroup2(&dir) && (stat.st_dev, stat.st_ino) == (id.device, id.inode);
    Ok(is_it.then_some(dir))
}

fn wait_until_empty(dir: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let events = openat(dir, "cgroup.events", flags, Mode::empty())?;
    let give_up = now() + KILL_BUDGET;
    loop {
        let mut text = [0; 64];
        let bytes = pread(&events, &mut text, 0)?;
        let left = give_up.saturating_sub(now());
        if text[..bytes].starts_with(b"populated 0") || left.is_zero() {
            return Ok(());
        }
        let limit = Timespec::try_from(left).ok();
        // An interruption is one more look.
        let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], limit.as_ref());
    }
}

/// Who is in a cgroup or in one below it, as far as this process has numbers for them.
fn members_below(dir: &OwnedFd) -> Vec<i32> {
    let mut members = cgroup::members(dir);
    let mut above = cgroup::children(dir);
    while let Some(child) = above.pop() {
        members.extend(cgroup::members(&child));
        above.extend(cgroup::children(&child));
    }
    members
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
