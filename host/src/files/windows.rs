//! Files, as Windows opens them; `files.rs` says what for.
//!
//! Who may read what is made is inherited from the directory it is made in: the user's own directory of temporary files lets in nobody but
//! himself, administrators and the system (docs/windows.md).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_READ, FILE_SHARE_WRITE,
};

/// Opens for reading what somebody named. Links are followed; so that a directory is found to be one, it can be opened.
pub(crate) fn open_named(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)
}

/// Opens for reading what somebody else may have replaced: as [`open_named`], but no link in the last part is followed; it is opened
/// itself, and found to be no file.
pub(crate) fn open_replaceable(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Holds a directory: until the handle is closed nobody can remove it, move it or put another in its place.
pub(crate) fn hold_dir(path: &Path) -> io::Result<File> {
    let dir = OpenOptions::new()
        .read(true)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    if dir.metadata()?.is_dir() {
        Ok(dir)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// Whether opening failed because there is no file but something else: whatever there is can be opened here.
pub(crate) fn is_no_file(_: &io::Error) -> bool {
    false
}

/// Changes nothing: a file is as private as its directory.
pub(crate) fn for_us_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes a directory, and those above it, as private as the one that it is made in.
pub(crate) fn make_private_dirs(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Changes nothing: a file is as public as its directory, and its ending says whether it is a program.
pub(crate) fn share(_: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

/// What is open.
pub(crate) use std::os::windows::io::AsHandle as Open;

/// How much is written at once.
pub(crate) const ROOM_BYTES: usize = 4096;

/// Nobody can ask a pipe here whether it has room.
pub(crate) fn has_room(_: &impl Open, _patience: Duration) -> bool {
    true
}

/// Writes all of `bytes` from this place on.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Appends what stands in the file from this place on, as far as `buffer` has room; returns how much that is.
pub(crate) fn read_at(file: &File, buffer: &mut Vec<u8>, at: u64) -> io::Result<usize> {
    let filled = buffer.len();
    buffer.resize(buffer.capacity(), 0);
    let read = file.seek_read(&mut buffer[filled..], at);
    buffer.truncate(filled + read.as_ref().map_or(0, |&bytes| bytes));
    read
}

/// The path as it is: nobody marks it here.
pub(crate) fn without_mark(path: PathBuf) -> PathBuf {
    path
}

/// The path before the byte `at` of a text, where an ASCII letter stands. A path that is no Unicode is none that anybody types.
pub(crate) fn path_before(text: &OsStr, at: usize) -> Option<PathBuf> {
    Some(PathBuf::from(text.to_str()?.get(..at)?))
}
