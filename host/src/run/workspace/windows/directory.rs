//! The directory of a workspace once it exists, on Windows; `directory.rs` says what for.
//!
//! As long as it is held open here nobody can move it or put another in its place, so its path is as good as a handle. Who may look into it is
//! inherited from the directory it is made in.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Purpose;
use crate::files;

/// A directory that exists. Removed with everything that is in it when dropped, also when the job is lost.
#[derive(Debug)]
pub(super) struct Directory {
    /// Until it is to be removed.
    held: Option<File>,
    path: PathBuf,
}

impl Directory {
    /// Makes one below `parent`.
    pub(super) fn create(parent: &Path) -> io::Result<Directory> {
        let path = tempfile::Builder::new()
            .prefix("stephost-job-")
            .tempdir_in(parent)?
            .keep();
        let held = Some(files::hold_dir(&path)?);
        Ok(Directory { held, path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file. Whether it can be run is for its name to say.
    pub(super) fn create_file(
        &self,
        name: &str,
        _purpose: Purpose,
        content: &[u8],
    ) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options.open(self.path.join(name))?.write_all(content)
    }

    /// Opens a file that a step may have replaced; what was opened may be anything.
    pub(super) fn open_replaceable(&self, name: &str) -> io::Result<File> {
        files::open_replaceable(&self.path.join(name))
    }

    /// Removes a file that may be gone. Whatever is left goes with the directory.
    pub(super) fn remove_file(&self, name: &str) {
        let _ = std::fs::remove_file(self.path.join(name));
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is held cannot be removed.
        drop(self.held.take());
        // Follows no link, whatever comes into its way.
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "a job's workspace could not be removed");
        }
    }
}
