//! The directory of a room and its lock, on Windows; `place.rs` says what for.
//!
//! The lock is on the record: Windows lets go of it when the process is gone, and lets nobody else read the record before. The directory is held
//! open, so that nobody can move it or put another in its place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;

use super::{RECORD, journal, stays};
use crate::files;

/// A room's directory.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    held: Mutex<Held>,
}

/// What keeps others out, until the room is to be removed.
#[derive(Debug, Default)]
struct Held {
    dir: Option<File>,
    /// With the lock.
    record: Option<File>,
    /// The journal that is being written.
    ledger: Option<File>,
}

impl Place {
    /// Makes an empty one.
    pub(super) fn make(path: &Path) -> io::Result<Place> {
        std::fs::create_dir(path)?;
        let held = Held {
            dir: Some(files::hold_dir(path)?),
            ..Held::default()
        };
        Ok(Place {
            path: path.to_owned(),
            held: Mutex::new(held),
        })
    }

    /// Makes it its host's, who writes down `record`.
    pub(super) fn move_in(&self, record: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(RECORD))?;
        // A janitor that found it just now lets go at once: nothing is written yet.
        file.lock()?;
        file.write_all(record)?;
        self.held().record = Some(file);
        Ok(())
    }

    /// The place at `path`, locked by us, if nobody else has the lock. Somebody else's is removed as he could do himself: what is in it is all
    /// that goes, and no link leads out of it.
    pub(super) fn abandoned(path: &Path) -> Option<Place> {
        let dir = files::hold_dir(path).ok()?;
        let record = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(path.join(RECORD));
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // Of a host that was killed before it wrote that. One that lives holds it, and one that does not yet makes another.
                    drop(dir);
                    let _ = std::fs::remove_dir(path);
                }
                return None;
            }
        };
        let is_file = record.metadata().is_ok_and(|metadata| metadata.is_file());
        match record.try_lock() {
            Ok(()) if is_file => {}
            Ok(()) | Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        let held = Held {
            dir: Some(dir),
            record: Some(record),
            ..Held::default()
        };
        Some(Place {
            path: path.to_owned(),
            held: Mutex::new(held),
        })
    }

    /// A file of a host in its room, of which `bytes_max` bytes at most are read, the last ones.
    pub(super) fn read_own(&self, name: &str, bytes_max: u64) -> Option<Vec<u8>> {
        let held = self.held();
        let opened;
        let file = if name == RECORD {
            // Through the handle that has the lock: nobody else may read it.
            held.record.as_ref()?
        } else {
            opened = files::open_replaceable(&self.path.join(name)).ok()?;
            &opened
        };
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        super::end_of(file, bytes_max).ok()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still where it was. Nobody can take it away while it is held; whatever is there afterwards counts.
    pub(super) fn is_there(&self) -> bool {
        self.held().dir.is_some() || self.path.is_dir()
    }

    /// Removes it with everything in it. The record goes last, so that what could not be removed is found again.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.empty()?;
        self.remove_journal()?;
        // What is held cannot be removed. Another janitor may come in now, and does the same.
        *self.held() = Held::default();
        gone(std::fs::remove_file(self.path.join(RECORD)))?;
        gone(std::fs::remove_dir(&self.path))
    }

    /// Removes what is in it, but for record and journal.
    pub(super) fn empty(&self) -> io::Result<()> {
        for entry in self.path.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            let is_dir = entry.file_type()?.is_dir();
            if stays(&name, is_dir) {
                continue;
            }
            // Both follow no link, whatever comes into their way.
            if is_dir {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                remove_one(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the journal, which may be gone. Nobody writes in it any more.
    pub(super) fn remove_journal(&self) -> io::Result<()> {
        drop(self.held().ledger.take());
        gone(remove_one(&self.path.join(journal::NAME)))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of a journal that is being written. Its place holds it, for what is open cannot be removed.
#[derive(Debug)]
pub(super) struct Ledger(Arc<Place>);

impl Ledger {
    /// An empty one.
    pub(super) fn create(room: &Arc<Place>) -> io::Result<Ledger> {
        let file = make(&room.path.join(journal::NAME))?;
        room.held().ledger = Some(file);
        Ok(Ledger(Arc::clone(room)))
    }

    /// Writes after what stands there; nothing when the room was removed.
    pub(super) fn append(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.0.held().ledger {
            Some(file) => file.write_all(text),
            None => Ok(()),
        }
    }

    /// Puts another in its place, in one step.
    pub(super) fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let [fresh, old] = [journal::FRESH, journal::NAME].map(|name| self.0.path.join(name));
        let mut held = self.0.held();
        if held.ledger.is_none() {
            return Ok(());
        }
        gone(std::fs::remove_file(&fresh))?;
        make(&fresh)?.write_all(text)?;
        // What is open cannot be replaced.
        held.ledger = None;
        let renamed = std::fs::rename(&fresh, &old);
        // The new one, or else the old one as it was.
        held.ledger = Some(OpenOptions::new().append(true).open(&old)?);
        renamed
    }
}

fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// Removes a file or a link, of which some are directories.
fn remove_one(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        // Of what is no directory, the first refusal tells more.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            std::fs::remove_dir(path).map_err(|_| error)
        }
        removed => removed,
    }
}

/// What is gone already is as good as removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether a lock in this directory is seen by every process that could hold one: a server of files knows all locks.
pub(super) fn locks_reach_everybody(_parent: &Path) -> bool {
    true
}
