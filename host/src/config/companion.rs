//! `<program>.d`: the directory beside this program, and how files in it are read (design D11).
//!
//! It is found through the program itself, so that nothing in the surroundings of a job can point elsewhere.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::files;

/// `<program>.d`: what belongs to a program and is copied along with it.
pub(crate) fn companion(program: &Path) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(".d");
    name.into()
}

/// The path of this program. When its file was replaced while it runs, the path where it was: its directory is
/// still the one beside it.
pub(super) fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let replaced = !is_there(&path)?;
    Ok(if replaced {
        files::without_mark(path)
    } else {
        path
    })
}

/// The path of `name` in the companion of `program`, if it is there.
///
/// # Errors
///
/// When that cannot be found out. Links are followed, so that one to nowhere is an error and not a program without
/// a companion.
pub(super) fn in_companion(program: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let dir = companion(program);
    // A plain file is what cargo leaves beside the programs it builds, and has nothing to do with us.
    if !is_there(&dir)? || !dir.metadata()?.is_dir() {
        return Ok(None);
    }
    let path = dir.join(name);
    Ok(is_there(&path)?.then_some(path))
}

fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a regular file, one byte beyond `bytes_max` at most: whoever uses it says that it is too long.
pub(crate) fn read_regular(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = files::open_named(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let bytes_max = u64::try_from(bytes_max).map_or(u64::MAX, |bytes| bytes.saturating_add(1));
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
