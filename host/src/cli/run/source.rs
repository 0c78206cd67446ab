//! What `run` was asked for: a function, a text on stdin, a job of a CI file, or a component.
//!
//! Owns what an argument means, and reading what it names: regular files of a bounded size, links followed, because a
//! person named them. Called by `cli::run`.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use stephost_steps::LocalReference;

use crate::config::{component_file, read_regular};
use crate::files;

/// What WebAssembly begins with.
const WASM_MAGIC: &[u8] = b"\0asm";

/// The file that GitLab reads.
pub(super) const CI_FILE: &str = ".gitlab-ci.yml";

/// What an argument names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `-`: a function on stdin.
    Stdin,
    /// A component.
    Component(PathBuf),
    /// A function's file or directory, and the directory that the reference begins in.
    Function(LocalReference),
    /// A job of a CI file; `None` when none was named.
    Job { file: PathBuf, job: Option<String> },
}

impl Source {
    /// Finds out what `argument` names.
    ///
    /// # Errors
    ///
    /// When there is no such thing.
    pub(super) fn of(argument: &OsStr) -> anyhow::Result<Source> {
        if argument == "-" {
            return Ok(Source::Stdin);
        }
        ensure!(
            !argument.is_empty(),
            "name what to run: a directory or a file of a function, a component, FILE#JOB, or - for stdin"
        );
        let path = Path::new(argument);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Source::Function(function(path, None)?)),
            Ok(_) if is_ci_file(path) => Ok(Source::Job {
                file: path.to_owned(),
                job: None,
            }),
            Ok(_) if is_component(path) => Ok(Source::Component(path.to_owned())),
            Ok(_) => {
                let file = path.file_name().unwrap_or_default();
                let dir = path.parent().unwrap_or(Path::new(""));
                Ok(Source::Function(function(dir, Some(file))?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                job_of(argument).unwrap_or_else(|| bail!("there is no {}", path.display()))
            }
            Err(error) => job_of(argument).unwrap_or_else(|| {
                Err(error).with_context(|| format!("looking at {}", path.display()))
            }),
        }
    }
}

/// `FILE#JOB`: the first `#` whose left side is a file. Job names may have one too.
fn job_of(argument: &OsStr) -> Option<anyhow::Result<Source>> {
    let bytes = argument.as_encoded_bytes();
    let hashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'#');
    let mut before = hashes.filter_map(|(at, _)| Some((at, files::path_before(argument, at)?)));
    let (at, file) = before.find(|(_, file)| file.is_file())?;
    let job = std::str::from_utf8(&bytes[at + 1..]).context("the name of the job is not UTF-8");
    Some(job.map(|job| Source::Job {
        file,
        job: Some(job.to_owned()).filter(|job| !job.is_empty()),
    }))
}

fn is_ci_file(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().ends_with(CI_FILE.as_bytes()))
}

fn is_component(path: &Path) -> bool {
    if path.extension() == Some(OsStr::new("wasm")) {
        return true;
    }
    read_regular(path, WASM_MAGIC.len()).is_ok_and(|bytes| bytes.starts_with(WASM_MAGIC))
}

fn function(dir: &Path, file: Option<&OsStr>) -> anyhow::Result<LocalReference> {
    let text = |part: &OsStr| {
        part.to_str().map(str::to_owned).with_context(|| {
            format!(
                "{} is not UTF-8, and no expression can hold it",
                part.display()
            )
        })
    };
    let dir = match text(dir.as_os_str())? {
        // As a reference in a file would be written; messages show it.
        dir if dir.is_empty() => ".".to_owned(),
        dir if dir.starts_with(['.', '/']) || Path::new(&dir).is_absolute() => dir,
        dir => format!("./{dir}"),
    };
    Ok(LocalReference {
        dir,
        file: file.map(text).transpose()?,
    })
}

/// Reads a file that a person named.
///
/// # Errors
///
/// When it cannot be read, is not regular, or has more than `bytes_max` bytes.
pub(super) fn read(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("reading {}", path.display());
    let bytes = read_regular(path, bytes_max).with_context(failed)?;
    bounded(bytes, bytes_max).with_context(failed)
}

/// Reads stdin to its end.
///
/// # Errors
///
/// When it cannot be read, or has more than `bytes_max` bytes.
pub(super) fn read_stdin(bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let failed = "reading stdin";
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let stdin = io::stdin().lock();
    stdin
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .context(failed)?;
    bounded(bytes, bytes_max).context(failed)
}

fn bounded(bytes: Vec<u8>, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    ensure!(
        bytes.len() <= bytes_max,
        "it has more than {bytes_max} bytes"
    );
    Ok(bytes)
}

/// The name by which a log calls the function in `dir`: that of its directory, where it can be a name.
pub(super) fn function_name(dir: &Path) -> String {
    let real = dir.canonicalize();
    let name = real.as_deref().unwrap_or(dir).file_name();
    name.and_then(OsStr::to_str)
        .filter(|name| !name.chars().any(char::is_control))
        .unwrap_or("function")
        .to_owned()
}

/// Reads a component that a person named.
///
/// # Errors
///
/// When it cannot be read, or is plainly something else.
pub(in crate::cli) fn read_component(file: &Path) -> anyhow::Result<Arc<[u8]>> {
    let wasm = component_file(file)?;
    ensure!(
        wasm.starts_with(WASM_MAGIC),
        "{} is no WebAssembly, which begins with \\0asm",
        file.display()
    );
    Ok(wasm)
}

/// The directory that steps work in: `wanted`, or else `own`.
///
/// # Errors
///
/// When there is no such directory.
pub(super) fn work_dir(wanted: Option<&Path>, own: &Path) -> anyhow::Result<PathBuf> {
    let dir = wanted.unwrap_or(own);
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let failed = || format!("the directory {} cannot be worked in", dir.display());
    let found = dir.canonicalize().with_context(failed)?;
    ensure!(found.is_dir(), anyhow!("not a directory").context(failed()));
    Ok(found)
}

/// What to write instead of a bare CI file.
pub(super) fn with_job(file: &Path, job: &str) -> String {
    format!("{}#{job}", file.display())
}
