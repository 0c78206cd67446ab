//! An operator's own builtins: `<program>.d/builtins/DIR/NAME.wasm` is `builtin://DIR/NAME` (design D11).
//!
//! Names are read when the host starts, components when they are first used. The directory between keeps them apart
//! from the shipped ones, which have no `/` in their names: no file can stand in for one of those.
//!
//! Never decides whether one may run: without a rule in the policy none does.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::companion::{companion, in_companion, own_program, read_regular};

/// Name of the directory in `<program>.d`.
const BUILTINS_DIR: &str = "builtins";

/// Largest component that is read, in bytes. Shipped ones have some 100 KB, an interpreter in one has 12 MB.
const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Most builtins that are looked at. More are a directory that was meant for something else.
const BUILTINS_MAX: usize = 4096;

/// A component that nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnBuiltin {
    /// `DIR/NAME`.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// Why the builtins of this program are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuiltinsError {
    /// A directory cannot be read.
    #[error("reading the builtins in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A component has a name that no step could use.
    #[error(
        "{} cannot be a builtin: directory and name are lower-case letters, digits, `-` and `_`, as in \
         builtins/release/notes.wasm",
        path.display()
    )]
    Name { path: PathBuf },
    /// There are too many of them.
    #[error("{} holds more than {BUILTINS_MAX} builtins", path.display())]
    TooMany { path: PathBuf },
    /// This program does not know where it is.
    #[error("finding this program, beside which builtins would lie")]
    OwnProgram {
        #[source]
        source: io::Error,
    },
}

/// Why a component cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentFileError {
    /// The system says no.
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is longer than any that is read.
    #[error("{} has more than {} MiB", path.display(), COMPONENT_BYTES_MAX >> 20)]
    TooLong { path: PathBuf },
}

/// The builtins beside this program, sorted by name.
///
/// # Errors
///
/// When they cannot be found out, or a file that ends in `.wasm` lies where none is looked for. Whoever put it there
/// expects it to be a builtin.
pub(crate) fn own_builtins() -> Result<Vec<OwnBuiltin>, BuiltinsError> {
    let program = own_program().map_err(|source| BuiltinsError::OwnProgram { source })?;
    builtins_beside(&program)
}

/// Reads a component.
///
/// # Errors
///
/// When that is no file, cannot be read, or is too long.
pub(crate) fn component_file(path: &Path) -> Result<Arc<[u8]>, ComponentFileError> {
    let wasm =
        read_regular(path, COMPONENT_BYTES_MAX).map_err(|source| ComponentFileError::Read {
            path: path.to_owned(),
            source,
        })?;
    if wasm.len() > COMPONENT_BYTES_MAX {
        return Err(ComponentFileError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(wasm.into())
}

fn builtins_beside(program: &Path) -> Result<Vec<OwnBuiltin>, BuiltinsError> {
    let root = in_companion(program, BUILTINS_DIR)
        .map_err(|source| unread(&companion(program).join(BUILTINS_DIR), source))?;
    match root {
        Some(root) => builtins_in(&root),
        None => Ok(Vec::new()),
    }
}

/// The builtins in a directory, sorted by name.
///
/// # Errors
///
/// As those of [`own_builtins`].
pub(crate) fn builtins_in(root: &Path) -> Result<Vec<OwnBuiltin>, BuiltinsError> {
    let entries = |dir: &Path| -> Result<Vec<DirEntry>, BuiltinsError> {
        let entries = dir.read_dir().and_then(Iterator::collect);
        entries.map_err(|source| unread(dir, source))
    };
    let mut builtins = Vec::new();
    for entry in entries(root)? {
        let dir = entry.path();
        if !dir.is_dir() {
            if is_component(&dir) {
                return Err(BuiltinsError::Name { path: dir });
            }
            continue;
        }
        for entry in entries(&dir)? {
            let path = entry.path();
            if !is_component(&path) {
                continue;
            }
            let Some(name) = name(&dir, &path) else {
                return Err(BuiltinsError::Name { path });
            };
            if builtins.len() == BUILTINS_MAX {
                return Err(BuiltinsError::TooMany {
                    path: root.to_owned(),
                });
            }
            builtins.push(OwnBuiltin { name, path });
        }
    }
    builtins.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(builtins)
}

fn unread(path: &Path, source: io::Error) -> BuiltinsError {
    BuiltinsError::Read {
        path: path.to_owned(),
        source,
    }
}

fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm")
}

/// `DIR/NAME`, if both are words that a reference and a policy can hold.
fn name(dir: &Path, file: &Path) -> Option<String> {
    let word = |text: Option<&std::ffi::OsStr>| {
        let text = text?.to_str()?;
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        (begins && text.len() <= 64 && text.bytes().all(fits)).then(|| text.to_owned())
    };
    Some(format!(
        "{}/{}",
        word(dir.file_name())?,
        word(file.file_stem())?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found beside a program with these files in its `builtins`, by their names.
    fn beside(files: &[&str]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stephost");
        for file in files {
            let path = companion(&program).join(BUILTINS_DIR).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = builtins_beside(&program);
        let names = |found: Vec<OwnBuiltin>| found.into_iter().map(|own| own.name).collect();
        found.map(names).map_err(|error| {
            let root = companion(&program).join(BUILTINS_DIR);
            error.to_string().replace(&*root.to_string_lossy(), "…")
        })
    }

    #[test]
    fn a_component_in_a_directory_is_a_builtin_of_both_names() {
        assert_eq!(beside(&[]), Ok(vec![]));
        let files = [
            "b/x_1.wasm",
            "a/notes.wasm",
            "a/README.md",
            "a/.wasm",
            "LICENSE",
        ];
        assert_eq!(
            beside(&files),
            Ok(vec!["a/notes".to_owned(), "b/x_1".to_owned()])
        );
        assert_eq!(beside(&["a/b/deeper.wasm"]), Ok(vec![]));
    }

    #[test]
    fn a_component_that_no_step_could_name_is_an_error_and_not_overlooked() {
        for file in [
            "hello.wasm",
            "a/Notes.wasm",
            "a/b c.wasm",
            "-a/b.wasm",
            "a/ä.wasm",
        ] {
            let error = beside(&[file]).expect_err(file);
            let expected = format!("…/{file} cannot be a builtin");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
