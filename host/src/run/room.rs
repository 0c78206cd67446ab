//! The directory of one host, in which its jobs have theirs, and by which a later host knows what is left of it.
//!
//! ```text
//! TMPDIR/stephost-host-ID/        0700; the living host holds its lock
//!     host.json                   who the host is: process, start, boot, mark, cgroup
//!     jobs.journal                its jobs, and how far they came; of hosts that others can ask
//!     stephost-job-…/             a job's workspace
//! ```
//!
//! Promises: as long as the host lives, nobody who asks for the lock gets it, however it dies; at its end nothing is left. A host that cannot
//! have a room runs without one: jobs work in TMPDIR then, and the operator is told.
//! Called by `cli`, which makes one for each host, and `jobs`, whose workspaces lie in it.

pub(crate) mod janitor;
pub(crate) mod journal;

use std::fs::Permissions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stephost_process::{CgroupId, Identity};

use super::workspace::removal;
use journal::Journal;

/// How the directories of hosts are called. Only says where to look; what counts is lock and record.
const PREFIX: &str = "stephost-host-";
/// The record, in the room.
const RECORD: &str = "host.json";
/// How often a room is made again that a janitor took away.
const TRIES_MAX: usize = 16;
/// The only form of a record so far.
const VERSION: u32 = 1;

/// What a host writes down about itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// What names its room, its cgroup and its mark.
    id: String,
    pid: i32,
    started: u64,
    boot: String,
    cgroup: Option<Cgroup>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cgroup {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Record {
    fn identity(&self) -> Identity {
        Identity {
            pid: self.pid,
            started: self.started,
            boot: self.boot.clone(),
        }
    }

    fn cgroup(&self) -> Option<CgroupId> {
        let Cgroup {
            path,
            device,
            inode,
        } = self.cgroup.as_ref()?;
        let id = CgroupId {
            path: path.clone(),
            device: *device,
            inode: *inode,
        };
        // One of ours is called so; anything else was written by somebody else.
        let is_ours = path.file_name() == Some(cgroup_name(&self.id).as_ref());
        is_ours.then_some(id)
    }
}

/// What names a host that starts now: nobody can guess it, and nobody else has it.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// How the cgroup of a host is called.
pub(crate) fn cgroup_name(id: &str) -> String {
    format!("stephost-{id}")
}

/// The room of a host that lives. Dropping it removes it with everything in it.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
    /// Holds the lock.
    dir: OwnedFd,
    cgroup: Option<PathBuf>,
    closed: AtomicBool,
}

impl Room {
    /// Makes the room of the host `id` below `parent`, and writes down who that is.
    ///
    /// # Errors
    ///
    /// When there can be none; nothing is left of it then.
    pub(crate) fn make(parent: &Path, id: &str, cgroup: Option<&CgroupId>) -> io::Result<Room> {
        let Identity { pid, started, boot } = Identity::own()?;
        let record = Record {
            version: VERSION,
            id: id.to_owned(),
            pid,
            started,
            boot,
            cgroup: cgroup.map(|cgroup| Cgroup {
                path: cgroup.path.clone(),
                device: cgroup.device,
                inode: cgroup.inode,
            }),
        };
        let path = parent.join(format!("{PREFIX}{id}"));
        let mut tries = 0..TRIES_MAX;
        loop {
            let made = Room::locked(&path, cgroup);
            // A janitor that found it before it had its lock has taken it away.
            let taken = match &made {
                Ok(room) => !room.is_there(),
                Err(error) => error.kind() == io::ErrorKind::NotFound && parent.is_dir(),
            };
            if taken && tries.next().is_some() {
                continue;
            }
            let room = made?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(&room.dir, RECORD, flags, Mode::RUSR | Mode::WUSR)?;
            std::fs::File::from(file).write_all(&serde_json::to_vec(&record)?)?;
            return Ok(room);
        }
    }

    /// A room with nothing in it. Whoever has the lock of one that is there keeps it.
    fn locked(path: &Path, cgroup: Option<&CgroupId>) -> io::Result<Room> {
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        // From here on its drop removes it.
        let room = Room {
            dir: open_dir(path)?,
            path: path.to_owned(),
            cgroup: cgroup.map(|cgroup| cgroup.path.clone()),
            closed: AtomicBool::new(false),
        };
        // Not left to the umask: what jobs keep here may be secrets.
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
        flock(&room.dir, FlockOperation::LockExclusive)?;
        Ok(room)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A journal of the host's jobs in it.
    ///
    /// # Errors
    ///
    /// When there can be none.
    pub(crate) fn journal(&self) -> io::Result<Journal> {
        Journal::create(self.dir.try_clone()?)
    }

    /// Whether it is still where it was: whoever tidies TMPDIR up may have taken it away.
    pub(crate) fn is_there(&self) -> bool {
        let own = rustix::fs::fstat(&self.dir);
        let there = std::fs::symlink_metadata(&self.path);
        own.is_ok_and(|own| {
            there.is_ok_and(|there| (there.dev(), there.ino()) == (own.st_dev, own.st_ino))
        })
    }

    /// Removes it with everything in it. One whose cgroup could not be removed stays: by its record the next janitor finds that.
    pub(crate) fn close(&self) {
        let has_inhabitants = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.exists());
        if self.closed.swap(true, Ordering::Relaxed) || has_inhabitants {
            return;
        }
        if let Err(error) = remove(&self.dir, &self.path)
            && self.is_there()
        {
            tracing::warn!(%error, "the host's directory could not be removed");
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes a room with everything in it. The lock is ours, and goes last.
fn remove(dir: &OwnedFd, path: &Path) -> io::Result<()> {
    empty(dir)?;
    journal::remove(dir)?;
    // Last, so that what could not be removed is found again.
    match unlinkat(dir, RECORD, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // Whatever has its name by now: only an empty directory goes.
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes what is in a room, but for record and journal.
fn empty(dir: &OwnedFd) -> io::Result<()> {
    let room = Dir::from_std_file(std::fs::File::from(dir.try_clone()?));
    for entry in room.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let is_dir = entry.file_type()?.is_dir();
        if name == RECORD || (name == journal::NAME && !is_dir) {
            continue;
        }
        if is_dir {
            // A handle that only names it: a step may have taken all permissions away.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(&room, &name, flags, Mode::empty())?;
            removal::empty(&Dir::from_std_file(std::fs::File::from(inner)))?;
            room.remove_dir(&name)?;
        } else {
            room.remove_file(&name)?;
        }
    }
    Ok(())
}

/// A file of a host in its room, of which `bytes_max` bytes at most are read, the last ones. Only what `user` wrote there and nobody else could.
fn read_own(dir: &OwnedFd, name: &str, user: u32, bytes_max: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    let is_ours = stat.st_uid == user
        && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_mode & 0o022 == 0;
    if !is_ours {
        return None;
    }
    let bytes = u64::try_from(stat.st_size).ok()?;
    let mut file = std::fs::File::from(file);
    file.seek(SeekFrom::Start(bytes.saturating_sub(bytes_max)))
        .ok()?;
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text).ok()?;
    Some(text)
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD.as_fd(), path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_there_while_its_host_lives_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let id = new_id();
        let room = Room::make(parent.path(), &id, None).unwrap();
        let mode = std::fs::metadata(room.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(room.is_there());
        std::fs::create_dir_all(room.path().join("stephost-job-1/a/b")).unwrap();
        assert!(Room::make(parent.path(), &id, None).is_err(), "it is taken");
        drop(room);
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_room_that_somebody_else_removed_is_known_to_be_gone() {
        let parent = tempfile::tempdir().unwrap();
        let room = Room::make(parent.path(), &new_id(), None).unwrap();
        std::fs::remove_dir_all(room.path()).unwrap();
        assert!(!room.is_there());
        std::fs::create_dir(room.path()).unwrap();
        std::fs::write(room.path().join("somebody's"), "").unwrap();
        assert!(!room.is_there(), "another one");
        let path = room.path().to_owned();
        drop(room);
        assert!(path.join("somebody's").exists());
    }
}
