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
//! have a room runs without one: jobs work in TMPDIR then, and the operator is told. Windows removes no directory in which a file is open: whoever
//! opens one has the room by its [`Lodging`](crate::lodging::Lodging), so that the last of them can remove it.
//! Called by `cli`, which makes one for each host, and `jobs`, whose workspaces lie in it.

pub(crate) mod janitor;
pub(crate) mod journal;
#[cfg_attr(windows, path = "room/windows/place.rs")]
mod place;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use stephost_process::{CgroupId, Identity};

use self::journal::Journal;
use self::place::Place;

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
    place: Arc<Place>,
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
        let place = loop {
            let made = Place::make(&path);
            // A janitor that found it before it had its lock has taken it away.
            let taken = match &made {
                Ok(place) => !place.is_there(),
                Err(error) => error.kind() == io::ErrorKind::NotFound && parent.is_dir(),
            };
            if !taken || tries.next().is_none() {
                break made?;
            }
        };
        // From here on its drop removes it.
        let room = Room {
            place: Arc::new(place),
            cgroup: cgroup.map(|cgroup| cgroup.path.clone()),
            closed: AtomicBool::new(false),
        };
        room.place.move_in(&serde_json::to_vec(&record)?)?;
        Ok(room)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A journal of the host's jobs in it.
    ///
    /// # Errors
    ///
    /// When there can be none.
    pub(crate) fn journal(&self) -> io::Result<Journal> {
        Journal::create(&self.place)
    }

    /// Whether it is still where it was: whoever tidies TMPDIR up may have taken it away.
    pub(crate) fn is_there(&self) -> bool {
        self.place.is_there()
    }

    /// Removes it with everything in it; on Windows the last who lodges there does. One whose cgroup could not be removed stays: by its record the
    /// next janitor finds that.
    pub(crate) fn close(&self) {
        if !cfg!(windows) {
            self.remove();
        }
    }

    fn remove(&self) {
        let has_inhabitants = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.exists());
        if self.closed.swap(true, Ordering::Relaxed) || has_inhabitants {
            return;
        }
        if let Err(error) = self.place.remove()
            && self.is_there()
        {
            tracing::warn!(%error, "the host's directory could not be removed");
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether an entry of a room stays when it is emptied: the record, and the journal, which is a file.
fn stays(name: &OsStr, is_dir: bool) -> bool {
    name == RECORD || (name == journal::NAME && !is_dir)
}

/// What a file ends with, `bytes_max` bytes of it at most.
fn end_of(mut file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(bytes_max)))?;
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

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
