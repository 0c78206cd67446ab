//! Which policy is in force: the shipped one, or the file that lies beside this program (design D11).
//!
//! A file that is there and cannot be used is an error and never a return to the shipped policy, which may
//! allow more. Nothing else is looked at: no variable, no directory of the job, no `/etc`.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use stephost_policy::{Policy, PolicyError};

/// Name of the policy in `<executable>.d`.
const POLICY_FILE: &str = "policy.toml";

/// What the kernel appends to the path of a program whose file was replaced.
const DELETED: &[u8] = b" (deleted)";

/// A policy and where it came from.
#[derive(Debug)]
pub(crate) struct LoadedPolicy {
    pub(crate) policy: Policy,
    /// The file; `None` when it was shipped with this program.
    pub(crate) file: Option<PathBuf>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyFileError {
    /// It cannot be read.
    #[error("reading the policy {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Its bytes are no text.
    #[error("the policy {} is not UTF-8: byte {at} begins no character", path.display())]
    NotUtf8 { path: PathBuf, at: usize },
    /// It says what no policy may say.
    #[error("the policy {} is not valid", path.display())]
    Invalid {
        path: PathBuf,
        text: String,
        #[source]
        error: PolicyError,
    },
    /// This program does not know where it is.
    #[error("finding this program, beside which the policy would lie")]
    OwnProgram {
        #[source]
        source: io::Error,
    },
}

/// The policy in force for this program.
///
/// # Errors
///
/// When a policy lies beside the program and cannot be used.
pub(crate) fn policy() -> Result<LoadedPolicy, PolicyFileError> {
    let program = own_program().map_err(|source| PolicyFileError::OwnProgram { source })?;
    policy_beside(&program)
}

fn policy_beside(program: &Path) -> Result<LoadedPolicy, PolicyFileError> {
    let dir = companion(program);
    let path = dir.join(POLICY_FILE);
    let found = is_there(&dir).and_then(|dir_is_there| {
        if !dir_is_there {
            return Ok(false);
        }
        // Follows links, so that one to nowhere is an error and not a program without a policy. A plain file is
        // what cargo leaves beside the programs it builds, and has nothing to do with us.
        if !dir.metadata()?.is_dir() {
            return Ok(false);
        }
        is_there(&path)
    });
    match found {
        Ok(true) => policy_file(&path),
        Ok(false) => Ok(LoadedPolicy {
            policy: Policy::shipped(),
            file: None,
        }),
        Err(source) => Err(PolicyFileError::Read { path, source }),
    }
}

/// Reads one policy file.
///
/// # Errors
///
/// When it cannot be read, or is no policy.
pub(crate) fn policy_file(path: &Path) -> Result<LoadedPolicy, PolicyFileError> {
    let bytes = read(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|error| PolicyFileError::NotUtf8 {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    match Policy::parse(&path.to_string_lossy(), &text) {
        Ok(policy) => Ok(LoadedPolicy {
            policy,
            file: Some(path.to_owned()),
        }),
        Err(error) => Err(PolicyFileError::Invalid {
            path: path.to_owned(),
            text,
            error,
        }),
    }
}

/// Reads a regular file, one byte beyond the longest policy at most: the parser says that it is too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        // A FIFO must not hold up the host before it is found to be none of ours.
        .custom_flags(i32::from_ne_bytes(flags.to_ne_bytes()))
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let bytes_max = u64::try_from(Policy::TEXT_BYTES_MAX + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `<program>.d`: what belongs to a program and is copied along with it.
pub(crate) fn companion(program: &Path) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(".d");
    name.into()
}

/// The path of this program. When its file was replaced while it runs, the path where it was: its directory is
/// still the one beside it.
fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let replaced = !is_there(&path)?;
    Ok(if replaced { without_mark(path) } else { path })
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(original) => PathBuf::from(OsStr::from_bytes(original)),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "policy = 1\nname = \"own\"\n";

    fn beside(prepare: impl FnOnce(&Path)) -> Result<LoadedPolicy, PolicyFileError> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stephost");
        prepare(&companion(&program));
        policy_beside(&program)
    }

    #[test]
    fn a_file_beside_the_program_replaces_the_shipped_policy_as_a_whole() {
        let shipped = beside(|_| {}).unwrap();
        assert_eq!((shipped.policy.name(), shipped.file), ("shipped", None));
        let other = beside(|dir| std::fs::create_dir(dir).unwrap()).unwrap();
        assert_eq!(other.file, None, "a directory without a policy");
        let plain = beside(|dir| std::fs::write(dir, "stephost: src/main.rs").unwrap()).unwrap();
        assert_eq!(plain.file, None, "what cargo leaves beside its programs");
        let own = beside(|dir| {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join(POLICY_FILE), POLICY).unwrap();
        });
        let own = own.unwrap();
        assert_eq!(own.policy.name(), "own");
        assert!(
            own.file
                .is_some_and(|file| file.ends_with("stephost.d/policy.toml"))
        );
        assert_eq!(own.policy.functions().count(), 0, "nothing is merged");
    }

    #[test]
    fn a_policy_that_is_there_and_cannot_be_used_is_an_error() {
        type Prepare = fn(&Path);
        let table: [(&str, Prepare); 7] = [
            ("invalid", |path| {
                std::fs::write(path, "policy = 2").unwrap()
            }),
            ("empty", |path| std::fs::write(path, "").unwrap()),
            ("no text", |path| {
                std::fs::write(path, b"policy = 1\xff").unwrap()
            }),
            ("too long", |path| {
                std::fs::write(
                    path,
                    format!("{POLICY}#{}", "x".repeat(Policy::TEXT_BYTES_MAX)),
                )
                .unwrap();
            }),
            ("a directory", |path| std::fs::create_dir(path).unwrap()),
            ("a link to nowhere", |path| {
                std::os::unix::fs::symlink("gone", path).unwrap();
            }),
            ("a FIFO", |path| {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
            }),
        ];
        for (what, prepare) in table {
            let loaded = beside(|dir| {
                std::fs::create_dir(dir).unwrap();
                prepare(&dir.join(POLICY_FILE));
            });
            assert!(loaded.is_err(), "{what}: {loaded:?}");
        }
        assert!(
            beside(|dir| std::os::unix::fs::symlink("gone", dir).unwrap()).is_err(),
            "a link to nowhere for a directory"
        );
    }

    #[test]
    fn a_program_that_was_replaced_keeps_its_directory() {
        let marked = PathBuf::from("/opt/stephost (deleted)");
        assert_eq!(
            companion(&without_mark(marked)),
            Path::new("/opt/stephost.d")
        );
        assert_eq!(
            without_mark(PathBuf::from("/opt/stephost")),
            Path::new("/opt/stephost")
        );
    }
}
