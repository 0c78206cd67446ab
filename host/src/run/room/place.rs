//! The directory of a room and its lock, on Unix; on Windows `windows/place.rs` has the same names.
//!
//! The lock is on the directory itself, and is let go by the kernel with the last handle of it. What is in the room is reached through the handle.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use super::super::workspace::removal;
use super::{RECORD, journal, stays};

/// File systems on which a lock may not reach the host that holds it: NFS, SMB and CIFS, 9p, FUSE, Ceph (magic.h).
#[cfg(target_os = "linux")]
const REMOTE: [u64; 6] = [
    0x6969,
    0xFF53_4D42,
    0xFE53_4D42,
    0x0102_1997,
    0x6573_5546,
    0x00C3_6400,
];
/// What the file systems of the machine itself are marked with (`MNT_LOCAL`).
#[cfg(target_vendor = "apple")]
const LOCAL: u32 = 0x1000;

/// A room's directory.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Holds the lock.
    dir: File,
}

impl Place {
    /// Makes an empty one, locked by us. A janitor may find it before it is, and remove it.
    pub(super) fn make(path: &Path) -> io::Result<Place> {
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        let made = Place::at(path).and_then(|place| {
            // Not left to the umask: what jobs keep here may be secrets.
            std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
            flock(&place.dir, FlockOperation::LockExclusive)?;
            Ok(place)
        });
        if made.is_err() {
            // Nobody else has this name; where it is gone already that is as good.
            let _ = std::fs::remove_dir(path);
        }
        made
    }

    /// The one that is there, without its lock.
    pub(super) fn at(path: &Path) -> io::Result<Place> {
        Ok(Place {
            dir: open_dir(path)?,
            path: path.to_owned(),
        })
    }

    /// Makes it its host's, who writes down `record`.
    pub(super) fn move_in(&self, record: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.dir, RECORD, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(record)
    }

    /// The place at `path`, locked by us, if it is private and nobody else has the lock.
    pub(super) fn abandoned(path: &Path) -> Option<Place> {
        let place = Place::at(path).ok()?;
        let stat = fstat(&place.dir).ok()?;
        let is_private =
            stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
        let lock = FlockOperation::NonBlockingLockExclusive;
        (is_private && flock(&place.dir, lock).is_ok()).then_some(place)
    }

    /// A file of a host in its room, of which `bytes_max` bytes at most are read, the last ones. Only what our user wrote there and nobody else
    /// could.
    pub(super) fn read_own(&self, name: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        let is_ours = stat.st_uid == rustix::process::geteuid().as_raw()
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_mode & 0o022 == 0;
        if !is_ours {
            return None;
        }
        super::end_of(&File::from(file), bytes_max).ok()
    }

    /// Where it was made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still where it was.
    pub(super) fn is_there(&self) -> bool {
        let own = self.dir.metadata();
        let there = std::fs::symlink_metadata(&self.path);
        own.is_ok_and(|own| {
            there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()))
        })
    }

    /// Removes it with everything in it. The lock is ours, and goes last.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.empty()?;
        self.remove_journal()?;
        // Last, so that what could not be removed is found again.
        self.forget(RECORD)?;
        // Whatever has its name by now: only an empty directory goes.
        Ok(unlinkat(CWD, &self.path, AtFlags::REMOVEDIR)?)
    }

    /// Removes what is in it, but for record and journal.
    pub(super) fn empty(&self) -> io::Result<()> {
        let room = Dir::from_std_file(self.dir.try_clone()?);
        for entry in room.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let is_dir = entry.file_type()?.is_dir();
            if stays(&name, is_dir) {
                continue;
            }
            if is_dir {
                let inner = removal::named(&room, &name)?;
                removal::empty(&Dir::from_std_file(File::from(inner)))?;
                room.remove_dir(&name)?;
            } else {
                room.remove_file(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the journal, which may be gone.
    pub(super) fn remove_journal(&self) -> io::Result<()> {
        self.forget(journal::NAME)
    }

    fn forget(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The file of a journal that is being written. Holds its room.
#[derive(Debug)]
pub(super) struct Ledger {
    room: Arc<Place>,
    pub(super) file: File,
}

impl Ledger {
    /// An empty one.
    pub(super) fn create(room: &Arc<Place>) -> io::Result<Ledger> {
        Ok(Ledger {
            file: make(&room.dir, journal::NAME)?,
            room: Arc::clone(room),
        })
    }

    /// Writes after what stands there.
    pub(super) fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)
    }

    /// Puts another in its place, in one step.
    pub(super) fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let dir = &self.room.dir;
        self.room.forget(journal::FRESH)?;
        let mut file = make(dir, journal::FRESH)?;
        file.write_all(text)?;
        renameat(dir, journal::FRESH, dir, journal::NAME)?;
        self.file = file;
        Ok(())
    }
}

fn make(room: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(room, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn open_dir(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?.into())
}

/// Whether a lock in this directory is seen by every process that could hold one.
#[cfg(target_os = "linux")]
pub(super) fn locks_reach_everybody(parent: &Path) -> bool {
    let Ok(dir) = open_dir(parent) else {
        return false;
    };
    match rustix::fs::fstatfs(&dir) {
        Ok(stat) => u64::try_from(stat.f_type).is_ok_and(|kind| !REMOTE.contains(&kind)),
        Err(rustix::io::Errno::NOSYS) => true,
        Err(_) => false,
    }
}

/// Whether a lock in this directory is seen by every process that could hold one.
#[cfg(target_vendor = "apple")]
pub(super) fn locks_reach_everybody(parent: &Path) -> bool {
    let stat = open_dir(parent).and_then(|dir| Ok(rustix::fs::fstatfs(&dir)?));
    stat.is_ok_and(|stat| stat.f_flags & LOCAL != 0)
}
