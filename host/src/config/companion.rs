//! `<program>.d`: the directory beside this program, and how files in it are read (design D11).
//!
//! It is found through the program itself, so that nothing in the surroundings of a job can point elsewhere.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// What the kernel appends to the path of a program whose file was replaced.
const DELETED: &[u8] = b" (deleted)";

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
    Ok(if replaced { without_mark(path) } else { path })
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(original) => PathBuf::from(OsStr::from_bytes(original)),
        None => path,
    }
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
    let flags = OFlags::NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        // A FIFO must not hold up the host before it is found to be none of ours.
        .custom_flags(i32::from_ne_bytes(flags.to_ne_bytes()))
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let bytes_max = u64::try_from(bytes_max).map_or(u64::MAX, |bytes| bytes.saturating_add(1));
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
