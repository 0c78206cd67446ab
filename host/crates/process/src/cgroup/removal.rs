//! Removing a cgroup, and those that a step made below it.
//!
//! Only empty ones go, so nothing here can hurt anybody. From the bottom up, with two descriptors, however deep they are.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, unlinkat},
    io::Errno,
};

use super::directory;

/// Most cgroups that are removed at once. Bounds the time that a step's end can take.
const REMOVED_MAX: usize = 10_000;

/// Removes `name` in `parent`.
///
/// # Errors
///
/// [`Errno::BUSY`] when a process lives in it.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    for _ in 0..REMOVED_MAX {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(error) => return Err(error),
        }
        let mut above: Option<OwnedFd> = None;
        let mut lowest = name.to_owned();
        loop {
            let dir = directory(
                above.as_ref().map_or(parent, |above| above.as_fd()),
                &*lowest,
            )?;
            let Some(child) = child_names(&dir)?.next().transpose()? else {
                break;
            };
            above = Some(dir);
            lowest = child;
        }
        // Without one below it, it is busy itself.
        let above = above.ok_or(Errno::BUSY)?;
        unlinkat(&above, &*lowest, AtFlags::REMOVEDIR)?;
    }
    Err(Errno::BUSY)
}

/// The cgroups right below this one; one that goes meanwhile is missing.
pub(crate) fn children(dir: &OwnedFd) -> Vec<OwnedFd> {
    let names = child_names(dir).into_iter().flatten().flatten();
    names
        .filter_map(|name| directory(dir, &*name).ok())
        .collect()
}

fn child_names(dir: &OwnedFd) -> Result<impl Iterator<Item = Result<CString, Errno>>, Errno> {
    let entries = Dir::read_from(dir)?;
    Ok(entries.filter_map(|entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let name = entry.file_name();
        let is_child =
            entry.file_type() == FileType::Directory && !matches!(name.to_bytes(), b"." | b"..");
        is_child.then(|| Ok(name.to_owned()))
    }))
}
