//! The directory of a workspace once it exists, on Unix; on Windows `windows/directory.rs` has the same names.
//!
//! Everything in it is opened through the handle that is held here, whatever has become of its path.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use super::{Purpose, removal};
use crate::files;

/// A directory that exists. Removed with everything that is in it when dropped, also when the job is lost.
#[derive(Debug)]
pub(super) struct Directory {
    dir: Dir,
    path: PathBuf,
}

impl Directory {
    /// Makes one below `parent`.
    pub(super) fn create(parent: &Path) -> io::Result<Directory> {
        let path = tempfile::Builder::new()
            .prefix("stephost-job-")
            // Not left to the umask: the files inside may be secrets.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?
            .keep();
        let dir = Dir::open_ambient_dir(&path, cap_std::ambient_authority())?;
        Ok(Directory { dir, path })
    }

    /// Where it was made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that nobody else may read.
    pub(super) fn create_file(
        &self,
        name: &str,
        purpose: Purpose,
        content: &[u8],
    ) -> io::Result<()> {
        let mode = match purpose {
            Purpose::Data => 0o600,
            Purpose::Program => 0o700,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        self.dir.open_with(name, &options)?.write_all(content)
    }

    /// Opens a file that a step may have replaced; what was opened may be anything that is not a link.
    pub(super) fn open_replaceable(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(files::replaceable_flags());
        Ok(self.dir.open_with(name, &options)?.into_std())
    }

    /// Removes a file that may be gone. Whatever is left goes with the directory.
    pub(super) fn remove_file(&self, name: &str) {
        let _ = self.dir.remove_file(name);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Steps seldom leave anything.
        if std::fs::remove_dir(&self.path).is_ok() {
            return;
        }
        let emptied = removal::empty(&self.dir);
        // A step may have moved the directory; what was in it is gone in any case.
        let removed = std::fs::remove_dir(&self.path);
        if let Err(error) = emptied.and(removed) {
            tracing::warn!(%error, "a job's workspace could not be removed");
        }
    }
}
