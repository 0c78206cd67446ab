//! Which policy is in force: the shipped one, or the file that lies beside this program (design D11).
//!
//! A file that is there and cannot be used is an error and never a return to the shipped policy, which may
//! allow more. Nothing else is looked at: no variable, no directory of the job, no `/etc`.

use std::io;
use std::path::{Path, PathBuf};

use stephost_policy::{Policy, PolicyError};

use super::companion::{companion, in_companion, own_program, read_regular};

/// Name of the policy in `<executable>.d`.
const POLICY_FILE: &str = "policy.toml";

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
    match in_companion(program, POLICY_FILE) {
        Ok(Some(path)) => policy_file(&path),
        Ok(None) => Ok(LoadedPolicy {
            policy: Policy::shipped(),
            file: None,
        }),
        Err(source) => Err(PolicyFileError::Read {
            path: companion(program).join(POLICY_FILE),
            source,
        }),
    }
}

/// Reads one policy file.
///
/// # Errors
///
/// When it cannot be read, or is no policy.
pub(crate) fn policy_file(path: &Path) -> Result<LoadedPolicy, PolicyFileError> {
    let bytes =
        read_regular(path, Policy::TEXT_BYTES_MAX).map_err(|source| PolicyFileError::Read {
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
}
