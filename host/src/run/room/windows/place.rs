//! The directory of a room and its lock, on Windows; `place.rs` says what for.
//!
//! The lock is on the record: Windows lets go of it when the process is gone, and lets nobody else read the record before. The directory is held
//! open, so that nobody can move it or put another in its place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;

use super::{RECORD, RECORD_BYTES_MAX};
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
}

impl Place {
    /// Makes an empty one.
    pub(super) fn make(path: &Path) -> io::Result<Place> {
        std::fs::create_dir(path)?;
        let held = Held {
            dir: Some(files::hold_dir(path)?),
            record: None,
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
            .open(path.join(RECORD))
            .ok()?;
        let is_file = record.metadata().is_ok_and(|metadata| metadata.is_file());
        match record.try_lock() {
            Ok(()) if is_file => {}
            Ok(()) | Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        let held = Held {
            dir: Some(dir),
            record: Some(record),
        };
        Some(Place {
            path: path.to_owned(),
            held: Mutex::new(held),
        })
    }

    /// What its host has written down.
    pub(super) fn record(&self) -> Option<Vec<u8>> {
        let held = self.held();
        let mut text = Vec::new();
        let file = held.record.as_ref()?;
        file.take(RECORD_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still where it was. Nobody can take it away while it is held.
    pub(super) fn is_there(&self) -> bool {
        self.held().dir.is_some()
    }

    /// Removes it with everything in it. The record goes last, so that what could not be removed is found again.
    pub(super) fn remove(&self) -> io::Result<()> {
        for entry in self.path.read_dir()? {
            let entry = entry?;
            if entry.file_name() == RECORD {
                continue;
            }
            // Both follow no link, whatever comes into their way.
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                remove_one(&entry.path())?;
            }
        }
        // What is held cannot be removed. Another janitor may come in now, and does the same.
        *self.held() = Held::default();
        for removed in [
            std::fs::remove_file(self.path.join(RECORD)),
            std::fs::remove_dir(&self.path),
        ] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a file or a link, of which some are directories.
fn remove_one(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path).or_else(|_| std::fs::remove_dir(path))
}

/// Whether a lock in this directory is seen by every process that could hold one: a server of files knows all locks.
pub(super) fn locks_reach_everybody(_parent: &Path) -> bool {
    true
}
