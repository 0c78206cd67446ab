//! From a reference to a function that can run.
//!
//! Owns which file a local reference means, and what is said when there is none. Files come through [`Files`], so
//! that the host decides what it opens (design D9) and tests need no disk.
//! Promises: messages name the reference as it was written, and no path of the host.
//! Called by: `host::run`, when a step is reached and never earlier (contract 3.6).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use stephost_expr::Scope;

use crate::code::Code;
use crate::document::{Function, Strictness, parse};
use crate::error::DocumentError;
use crate::reference::{LocalReference, Reference, ReferenceError, Shown};
use crate::warning::Warning;

/// The names of a function's file in the order of preference (contract 3.1).
const FILE_NAMES: [&str; 2] = ["func.yml", "step.yml"];

/// Reads files for [`load_local`].
pub trait Files {
    /// Returns the content of the file at `path`, or `None` when there is no such file.
    ///
    /// # Errors
    /// [`FileFault`] when there is something that cannot be read, or must not be.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileFault>;
}

/// Why a file cannot be read: a lower-case fragment for people, without a path of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileFault(pub String);

/// A function and where it was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The function.
    pub function: Arc<Function>,
    /// The directory of its file: what its own references are relative to, and its `func_dir`.
    pub dir: PathBuf,
    /// What was odd about its text.
    pub warnings: Vec<Warning>,
}

/// What a reference leads to.
#[derive(Debug, Clone)]
pub enum Callee {
    /// A function of the host, which the host looks up by its name.
    Builtin(Arc<str>),
    /// A function that was loaded.
    Function(Loaded),
}

/// Why a reference does not lead to a function.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("function {reference} not found: {}", looked_for(file.as_ref()))]
    NotFound {
        /// The reference as it was written.
        reference: Shown,
        /// The file that was named, if one was.
        file: Option<Shown>,
    },
    /// There is a file, but it cannot be read.
    #[error("function {reference} cannot be read: `{file}`: {fault}")]
    Unreadable {
        /// The reference as it was written.
        reference: Shown,
        /// The file that was tried.
        file: String,
        /// What the host said.
        fault: FileFault,
    },
    /// The file holds no function.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The text of a dynamic reference is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// This host cannot fetch such functions.
    #[error("function {reference} cannot be fetched: {kind} references are not supported yet")]
    NotSupported {
        /// `git` or `OCI`.
        kind: &'static str,
        /// The reference as it was written.
        reference: Shown,
    },
}

impl LoadError {
    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::NotFound { .. } => Code::R010,
            Self::Unreadable { .. } => Code::R011,
            Self::Document(error) => return error.code(),
            Self::Reference(error) => return error.code(),
            Self::NotSupported { .. } => Code::R012,
        };
        code.as_str()
    }
}

fn looked_for(file: Option<&Shown>) -> String {
    match file {
        Some(file) => format!("there is no file {file}"),
        None => format!(
            "there is neither `{}` nor `{}`",
            FILE_NAMES[0], FILE_NAMES[1]
        ),
    }
}

/// Follows a reference that stands in a definition in `base_dir`; expressions in it are evaluated in `scope`.
///
/// # Errors
/// [`LoadError`]; a git or OCI reference always fails, because nothing fetches yet.
pub fn resolve(
    reference: &Reference,
    scope: &dyn Scope,
    base_dir: &Path,
    files: &dyn Files,
    strictness: Strictness,
) -> Result<Callee, LoadError> {
    match reference.expand(scope)? {
        Reference::Local(local) => {
            load_local(&local, base_dir, files, strictness).map(Callee::Function)
        }
        Reference::Builtin(name) => Ok(Callee::Builtin(name)),
        Reference::Git(git) => Err(LoadError::NotSupported {
            kind: "git",
            reference: shown(&git),
        }),
        Reference::Oci(oci) => Err(LoadError::NotSupported {
            kind: "OCI",
            reference: shown(&oci),
        }),
        // `expand` returns no such reference; were it wrong, this is the same refusal.
        Reference::Dynamic(template) => Err(ReferenceError::ExpandsTwice {
            text: Shown::new(template.source()),
        }
        .into()),
    }
}

/// Loads the function that a local reference in a definition in `base_dir` means: the file it names, or `func.yml`
/// of the directory, or else its `step.yml`.
///
/// # Errors
/// [`LoadError`] when there is no readable function.
pub fn load_local(
    reference: &LocalReference,
    base_dir: &Path,
    files: &dyn Files,
    strictness: Strictness,
) -> Result<Loaded, LoadError> {
    let (dir, file, text) = find_local(reference, base_dir, files)?;
    let parsed = parse(&reference.with_file(&file), &text, strictness)?;
    Ok(Loaded {
        function: Arc::new(parsed.function),
        dir,
        warnings: parsed.warnings,
    })
}

/// Finds the file that a local reference means: its directory, its name, and its text.
pub(crate) fn find_local(
    reference: &LocalReference,
    base_dir: &Path,
    files: &dyn Files,
) -> Result<(PathBuf, String, Vec<u8>), LoadError> {
    let dir = clean(&base_dir.join(&reference.dir));
    let named = reference.file.as_deref();
    for file in named.as_ref().map_or(&FILE_NAMES[..], std::slice::from_ref) {
        let text = files
            .read(&dir.join(file))
            .map_err(|fault| LoadError::Unreadable {
                reference: shown(reference),
                file: (*file).to_owned(),
                fault,
            })?;
        if let Some(text) = text {
            return Ok((dir, (*file).to_owned(), text));
        }
    }
    let file = named.map(Shown::new);
    Err(LoadError::NotFound {
        reference: shown(reference),
        file,
    })
}

pub(crate) fn shown(reference: &impl std::fmt::Display) -> Shown {
    Shown::new(&reference.to_string())
}

/// Removes `.` and resolves `..` by text, as the peer does: `func_dir` is shown to people and compared by them.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match clean.components().next_back() {
                Some(Component::Normal(_)) => {
                    clean.pop();
                }
                Some(Component::RootDir | Component::Prefix(_)) => {}
                Some(Component::ParentDir | Component::CurDir) | None => clean.push(".."),
            },
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                clean.push(component)
            }
        }
    }
    clean
}
