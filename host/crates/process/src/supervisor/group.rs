//! A step's own cgroup, as its supervisor uses it, which stays outside: the step's leader is born in it.
//!
//! Everything is opened before the step starts, for a step may lower its supervisor's limits. Nothing is allocated after that.
//! The other side is `cgroup`.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, openat},
    io::{Errno, pread, write},
};

/// How long the kernel may take to notice that the last one is gone who was reaped already.
const SETTLING_TIME: Duration = Duration::from_millis(20);

pub(super) struct Group {
    dir: OwnedFd,
    kill: OwnedFd,
    events: OwnedFd,
    members: OwnedFd,
}

impl Group {
    pub(super) fn open(dir: OwnedFd) -> Result<Group, Errno> {
        let open = |name: &str, flags| openat(&dir, name, flags | OFlags::CLOEXEC, Mode::empty());
        Ok(Group {
            kill: open("cgroup.kill", OFlags::WRONLY)?,
            events: open("cgroup.events", OFlags::RDONLY)?,
            members: open("cgroup.procs", OFlags::RDONLY)?,
            dir,
        })
    }

    /// The directory, for who is born there.
    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Readable out of order when somebody came or the last one went.
    pub(super) fn events(&self) -> PollFd<'_> {
        PollFd::new(&self.events, PollFlags::PRI)
    }

    /// Kills everybody in it, of whatever user. That it failed shows when it is asked who is left.
    pub(super) fn kill(&self) {
        let _ = write(&self.kill, b"1");
    }

    /// Whether nobody is in it, dead ones not counted. Waits a moment for the kernel.
    pub(super) fn is_empty(&self) -> bool {
        if self.seems_empty() {
            return true;
        }
        let limit = Timespec::try_from(SETTLING_TIME).ok();
        // An interruption is one more look.
        let _ = poll(&mut [self.events()], limit.as_ref());
        self.seems_empty()
    }

    fn seems_empty(&self) -> bool {
        let mut text = [0; 64];
        match pread(&self.events, &mut text, 0) {
            Ok(_) => text.starts_with(b"populated 0"),
            // One that was removed holds nobody.
            Err(_) => true,
        }
    }

    /// Calls `visit` with everybody in it, as far as one read shows them and they have numbers here.
    pub(super) fn for_each_member(&self, visit: &mut dyn FnMut(i32)) {
        let mut text = [0; 4096];
        let bytes = pread(&self.members, &mut text, 0).unwrap_or_default();
        let mut lines = text[..bytes].split_inclusive(|&byte| byte == b'\n');
        let numbers = lines.by_ref().filter_map(|line| {
            let digits = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
            digits.parse().ok()
        });
        for number in numbers.filter(|&number| number > 0) {
            visit(number);
        }
    }
}
