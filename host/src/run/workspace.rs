//! The private directory of one job: file variables, and the files through which steps hand out outputs and
//! exports.
//!
//! Promises: mode 0700, every name in it is random and made by us, so that neither a job id nor a variable's
//! name is ever part of a path (contract K22); it is gone when the job has ended, and when the host drops
//! the job for any other reason. What a step may have replaced is only opened through [`WorkFile::read`] and
//! [`read_replaceable`].

pub(super) mod removal;

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Weak;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

/// Largest output, export or definition file in bytes (design D9).
pub(crate) const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a file that a step could replace cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A FIFO, a directory, a symbolic link, a device.
    #[error("is not a regular file")]
    NotRegular,
    /// More than [`FILE_BYTES_MAX`].
    #[error("is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    /// It was removed.
    #[error("does not exist any more")]
    Gone,
    /// Anything else the system says.
    #[error("cannot be read: {}", .0.kind())]
    Io(#[source] io::Error),
}

/// A job's own directory.
#[derive(Debug)]
pub(crate) struct Workspace {
    dir: Dir,
    path: PathBuf,
}

/// Removes the workspace and everything that is in it, also when the job is lost.
impl Drop for Workspace {
    fn drop(&mut self) {
        let emptied = removal::empty(&self.dir);
        // A step may have moved the directory; what was in it is gone in any case.
        let removed = std::fs::remove_dir(&self.path);
        if let Err(error) = emptied.and(removed) {
            tracing::warn!(%error, "a job's workspace could not be removed");
        }
    }
}

/// Longest part of a suggested name that a file keeps.
const HINT_BYTES_MAX: usize = 64;

/// A file that a program was given. Removed when dropped, unless the workspace went first.
#[derive(Debug)]
pub(crate) struct ProgramFile {
    workspace: Weak<Workspace>,
    name: String,
    path: PathBuf,
}

/// A file in the workspace, named by us. Removed when dropped.
#[derive(Debug)]
pub(crate) struct WorkFile<'a> {
    workspace: &'a Workspace,
    name: String,
}

impl Workspace {
    /// Makes an empty workspace below `parent`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub(crate) fn create(parent: &Path) -> io::Result<Workspace> {
        let path = tempfile::Builder::new()
            .prefix("stephost-job-")
            // Not left to the umask: the files inside may be secrets.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?
            .keep();
        let dir = Dir::open_ambient_dir(&path, cap_std::ambient_authority())?;
        Ok(Workspace { dir, path })
    }

    /// Writes `content` to a new file, mode 0600, that lives as long as the workspace.
    ///
    /// # Errors
    ///
    /// When it cannot be written; nothing of it is left then, once the workspace is dropped.
    pub(crate) fn keep(&self, content: &[u8]) -> io::Result<PathBuf> {
        let name = random();
        self.create_file(&name, 0o600, content)?;
        Ok(self.path.join(name))
    }

    /// Makes an empty file, mode 0600, that lives as long as the returned value.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn file(&self) -> io::Result<WorkFile<'_>> {
        let name = random();
        self.create_file(&name, 0o600, &[])?;
        Ok(WorkFile {
            workspace: self,
            name,
        })
    }

    /// Writes `content` to a new file, mode 0700, that lives as long as the returned value, and no longer than the
    /// workspace. Its name has something of `hint`, and something that nobody can guess.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or when the job is over.
    pub(crate) fn program_file(
        workspace: &Weak<Workspace>,
        hint: &str,
        content: &[u8],
    ) -> io::Result<ProgramFile> {
        let owner = workspace
            .upgrade()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let name = hinted(hint, &random());
        // Made first, so that half a file is removed too.
        let file = ProgramFile {
            workspace: Weak::clone(workspace),
            path: owner.path.join(&name),
            name,
        };
        owner.create_file(&file.name, 0o700, content)?;
        Ok(file)
    }

    fn create_file(&self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut file = self.dir.open_with(
            name,
            OpenOptions::new().write(true).create_new(true).mode(mode),
        )?;
        file.write_all(content)
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Joins a suggested name to a random one, so that the ending of the suggestion stays: `script-RANDOM.sh`.
fn hinted(hint: &str, random: &str) -> String {
    let hint: String = hint
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "._-".contains(*letter))
        .take(HINT_BYTES_MAX)
        .collect();
    match hint.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}-{random}.{ending}"),
        None => format!("{hint}-{random}"),
    }
}

impl ProgramFile {
    /// Where the program finds it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ProgramFile {
    fn drop(&mut self) {
        if let Some(workspace) = self.workspace.upgrade() {
            // Whatever is left goes with the workspace.
            let _ = workspace.dir.remove_file(&self.name);
        }
    }
}

impl WorkFile<'_> {
    /// Where a step finds it.
    pub(crate) fn path(&self) -> PathBuf {
        self.workspace.path.join(&self.name)
    }

    /// Reads what the step left there.
    ///
    /// # Errors
    ///
    /// [`FileError`]; the step may have put anything in its place.
    pub(crate) fn read(&self) -> Result<Vec<u8>, FileError> {
        read_regular(&self.workspace.dir, Path::new(&self.name))
    }
}

impl Drop for WorkFile<'_> {
    fn drop(&mut self) {
        // Whatever is left goes with the workspace.
        let _ = self.workspace.dir.remove_file(&self.name);
    }
}

/// Reads a file in a workspace that a step may have replaced.
fn read_regular(dir: &Dir, name: &Path) -> Result<Vec<u8>, FileError> {
    let opened = dir.open_with(
        name,
        OpenOptions::new().read(true).custom_flags(open_flags()),
    );
    regular_content(opened.map(cap_std::fs::File::into_std))
}

/// Reads a file anywhere that somebody else may have replaced: without following a link in its last part,
/// without waiting for a FIFO, and no more than [`FILE_BYTES_MAX`].
///
/// # Errors
///
/// [`FileError`].
pub(crate) fn read_replaceable(path: &Path) -> Result<Vec<u8>, FileError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    regular_content(
        std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(open_flags())
            .open(path),
    )
}

fn open_flags() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    i32::try_from(flags.bits()).expect("open flags fit the type that open takes")
}

/// The shared second half: what was opened must be regular and small enough.
fn regular_content(opened: io::Result<std::fs::File>) -> Result<Vec<u8>, FileError> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FileError::Gone),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(FileError::NotRegular);
        }
        // A socket.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(FileError::NotRegular);
        }
        Err(error) => return Err(FileError::Io(error)),
    };
    let metadata = file.metadata().map_err(FileError::Io)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge);
    }
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(FileError::Io)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggested_name_keeps_its_ending_and_nothing_that_leads_elsewhere() {
        let long = "x".repeat(1000);
        let table = [
            ("script.sh", "script-R.sh"),
            ("a/../b.tar.gz", "a..b.tar-R.gz"),
            ("", "-R"),
            ("..", ".-R."),
            ("é\0\n$x", "x-R"),
            (long.as_str(), &format!("{}-R", "x".repeat(64))),
        ];
        for (hint, name) in table {
            assert_eq!(hinted(hint, "R"), name, "{hint:?}");
        }
    }

    #[test]
    fn a_file_of_a_program_is_private_executable_and_gone_in_time() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let workspace = std::sync::Arc::new(Workspace::create(parent.path()).unwrap());
        let weak = std::sync::Arc::downgrade(&workspace);
        let file = Workspace::program_file(&weak, "a.sh", b"text").unwrap();
        let path = file.path().to_owned();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(file);
        assert!(!path.exists());
        let file = Workspace::program_file(&weak, "a.sh", b"text").unwrap();
        drop(workspace);
        assert!(!file.path().exists(), "a file does not keep the workspace");
        assert!(Workspace::program_file(&weak, "a.sh", b"text").is_err());
    }
}
