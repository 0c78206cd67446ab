//! The private directory of one job: file variables, and the files through which steps hand out outputs and
//! exports.
//!
//! Promises: mode 0700, every name in it is random and made by us, so that neither a job id nor a variable's
//! name is ever part of a path (contract K22); it is gone when the job has ended, and when the host drops
//! the job for any other reason. Nothing of it is made before it is needed: most jobs leave no trace on the disk.
//! What a step may have replaced is only opened through [`WorkFile::read`] and
//! [`read_replaceable`].

#[cfg_attr(windows, path = "workspace/windows/directory.rs")]
mod directory;
#[cfg(unix)]
pub(super) mod removal;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use self::directory::Directory;
use crate::files;
use crate::lodging::Lodging;

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
    /// The directory, or why there is none, once somebody needed it.
    made: OnceLock<io::Result<Directory>>,
    /// After the directory.
    lodging: Lodging,
}

/// What a file is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// To be read and written.
    Data,
    /// To be run.
    Program,
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

/// A file in the workspace for a step to write to, named by us. Made, empty and with mode 0600, when somebody asks
/// where it is; until then nobody can have written to it. Removed when dropped.
#[derive(Debug)]
pub(crate) struct WorkFile {
    workspace: Arc<Workspace>,
    name: OnceLock<io::Result<String>>,
}

impl Workspace {
    /// A workspace there, with nothing in it.
    pub(crate) fn new(lodging: Lodging) -> Workspace {
        Workspace {
            made: OnceLock::new(),
            lodging,
        }
    }

    /// Whether nothing of it was ever needed, so that removing it is no work.
    pub(crate) fn is_unused(&self) -> bool {
        self.made.get().is_none()
    }

    /// Writes `content` to a new file, mode 0600, that lives as long as the workspace.
    ///
    /// # Errors
    ///
    /// When it cannot be written; nothing of it is left then, once the workspace is dropped.
    pub(crate) fn keep(&self, content: &[u8]) -> io::Result<PathBuf> {
        let directory = self.directory()?;
        let name = random();
        directory.create_file(&name, Purpose::Data, content)?;
        Ok(directory.path().join(name))
    }

    /// A file that lives as long as the returned value.
    pub(crate) fn file(workspace: &Arc<Workspace>) -> WorkFile {
        WorkFile {
            workspace: Arc::clone(workspace),
            name: OnceLock::new(),
        }
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
        let directory = owner.directory()?;
        let name = hinted(hint, &random());
        // Made first, so that half a file is removed too.
        let file = ProgramFile {
            workspace: Weak::clone(workspace),
            path: directory.path().join(&name),
            name,
        };
        directory.create_file(&file.name, Purpose::Program, content)?;
        Ok(file)
    }

    fn directory(&self) -> io::Result<&Directory> {
        let made = self
            .made
            .get_or_init(|| Directory::create(self.lodging.path()));
        made.as_ref().map_err(|error| io::Error::from(error.kind()))
    }

    /// Removes a file that may be gone. Whatever is left goes with the workspace.
    fn forget(&self, name: &str) {
        if let Some(Ok(directory)) = self.made.get() {
            directory.remove_file(name);
        }
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
            workspace.forget(&self.name);
        }
    }
}

impl WorkFile {
    /// Where a step finds it. It exists from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be made, now or when somebody asked before.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let made = self.name.get_or_init(|| {
            let name = random();
            let directory = self.workspace.directory()?;
            directory.create_file(&name, Purpose::Data, &[])?;
            Ok(name)
        });
        match made {
            Ok(name) => Ok(self.workspace.directory()?.path().join(name)),
            Err(error) => Err(io::Error::from(error.kind())),
        }
    }

    /// Whether it could be made, if somebody asked where it is.
    ///
    /// # Errors
    ///
    /// Why it could not.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.name.get() {
            Some(Err(error)) => Err(io::Error::from(error.kind())),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Reads what the step left there. Nothing, if nobody asked where it is.
    ///
    /// # Errors
    ///
    /// [`FileError`]; the step may have put anything in its place.
    pub(crate) fn read(&self) -> Result<Vec<u8>, FileError> {
        match self.name.get() {
            None => Ok(Vec::new()),
            Some(Ok(name)) => {
                let directory = self.workspace.directory().map_err(FileError::Io)?;
                regular_content(directory.open_replaceable(name))
            }
            Some(Err(error)) => Err(FileError::Io(error.kind().into())),
        }
    }
}

impl Drop for WorkFile {
    fn drop(&mut self) {
        if let Some(Ok(name)) = self.name.get() {
            self.workspace.forget(name);
        }
    }
}

/// Reads a file anywhere that somebody else may have replaced: without following a link in its last part,
/// without waiting for a FIFO, and no more than [`FILE_BYTES_MAX`].
///
/// # Errors
///
/// [`FileError`].
pub(crate) fn read_replaceable(path: &Path) -> Result<Vec<u8>, FileError> {
    regular_content(files::open_replaceable(path))
}

/// The shared second half: what was opened must be regular and small enough.
fn regular_content(opened: io::Result<std::fs::File>) -> Result<Vec<u8>, FileError> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FileError::Gone),
        Err(error) if files::is_no_file(&error) => return Err(FileError::NotRegular),
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
    fn nothing_is_made_until_somebody_asks_where_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let made = || parent.path().read_dir().unwrap().count();
        let workspace = Arc::new(Workspace::new(Lodging::at(parent.path().to_owned())));
        let file = Workspace::file(&workspace);
        assert_eq!(file.read().unwrap(), b"", "nobody can have written to it");
        assert!(workspace.is_unused());
        assert_eq!(made(), 0);
        let path = file.path().unwrap();
        std::fs::write(&path, b"written").unwrap();
        assert_eq!(file.path().unwrap(), path, "it stays where it is");
        assert_eq!(file.read().unwrap(), b"written");
        drop(file);
        assert!(!path.exists());
        assert!(!workspace.is_unused());
        drop(workspace);
        assert_eq!(made(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error_to_everybody_who_asks() {
        let parent = tempfile::tempdir().unwrap();
        let workspace = Arc::new(Workspace::new(Lodging::at(parent.path().join("missing"))));
        let file = Workspace::file(&workspace);
        file.check().unwrap();
        assert_eq!(file.path().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(file.check().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(matches!(file.read(), Err(FileError::Io(_))));
    }

    #[test]
    fn a_file_of_a_program_is_private_executable_and_gone_in_time() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let workspace = std::sync::Arc::new(Workspace::new(Lodging::at(parent.path().to_owned())));
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
