//! Files, as Unix opens them; on Windows `files/windows.rs` has the same names.
//!
//! Owns what the rooms above would write differently for each system: how a file is opened that somebody else may have replaced, who may
//! read what we make, and reading and writing at a place of one's own counting. Never decides what is read or where it lies.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

/// What the kernel appends to the path of a program whose file was replaced.
const DELETED: &[u8] = b" (deleted)";

/// Opens for reading what somebody named. Links are followed; a FIFO does not hold up the host before it is found to be none of ours.
pub(crate) fn open_named(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NONBLOCK))
        .open(path)
}

/// Opens for reading what somebody else may have replaced: as [`open_named`], but no link in the last part is followed.
pub(crate) fn open_replaceable(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(replaceable_flags())
        .open(path)
}

/// What [`open_replaceable`] asks for, for who opens in a directory that he holds.
pub(crate) fn replaceable_flags() -> i32 {
    flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)
}

fn flags(flags: OFlags) -> i32 {
    i32::from_ne_bytes(flags.bits().to_ne_bytes())
}

/// Whether opening failed because there is no file but something else: a link, or a socket.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::LOOP.raw_os_error()) || code == Some(Errno::NXIO.raw_os_error())
}

/// Whoever makes a file by these options is the only one who may read it.
pub(crate) fn for_us_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a directory, and those above it, that only we may look into.
pub(crate) fn make_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Lets everybody read a file, and run it.
pub(crate) fn share(file: &File, executable: bool) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(Permissions::from_mode(mode))
}

/// What is open, and may be asked whether it has room.
pub(crate) use std::os::fd::AsFd as Open;

/// How much can be written without waiting where there is room.
pub(crate) const ROOM_BYTES: usize = rustix::pipe::PIPE_BUF;

/// Waits this long at most until [`ROOM_BYTES`] can be written without waiting; `true` also when writing fails at once.
pub(crate) fn has_room(file: &impl Open, patience: Duration) -> bool {
    let mut asked = [PollFd::new(file, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).ok();
    // Who cannot be asked may be written to.
    retry_on_intr(|| poll(&mut asked, patience.as_ref())).map_or(true, |ready| ready > 0)
}

/// Writes all of `bytes` from this place on.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// Appends what stands in the file from this place on, as far as `buffer` has room; returns how much that is.
pub(crate) fn read_at(file: &File, buffer: &mut Vec<u8>, at: u64) -> io::Result<usize> {
    Ok(rustix::io::pread(file, spare_capacity(buffer), at)?)
}

/// The path of a program whose file was replaced, as it was before.
pub(crate) fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(original) => PathBuf::from(OsString::from_vec(original.to_vec())),
        None => path,
    }
}

/// The path before the byte `at` of a text, where an ASCII letter stands.
pub(crate) fn path_before(text: &OsStr, at: usize) -> Option<PathBuf> {
    let bytes = text.as_bytes().get(..at)?;
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_keeps_its_name() {
        for (path, name) in [
            ("/opt/stephost (deleted)", "/opt/stephost"),
            ("/opt/stephost", "/opt/stephost"),
        ] {
            assert_eq!(without_mark(PathBuf::from(path)), Path::new(name));
        }
    }
}
