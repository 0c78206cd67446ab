//! Removing a directory that hostile hands have filled.
//!
//! A step may leave directories without permissions, thousands of them inside each other, links that lead
//! elsewhere. So nothing is followed, permissions are taken back first, and nothing recurses: what lies two
//! levels down is moved up beside its parent, so that every directory is looked into from the top. Takes
//! two descriptors and no stack, however deep the tree was. What belongs to another user stays, and the
//! caller is told.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::fd::{AsFd, OwnedFd};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::path::Arg;

/// Most entries that are removed. Bounds the time that one job's end can take.
const ENTRIES_MAX: usize = 10_000_000;

/// Empties `root`.
///
/// # Errors
///
/// The first thing that could not be removed; everything else is gone.
pub(in crate::run) fn empty(root: &Dir) -> io::Result<()> {
    allow(root)?;
    let mut failed = None;
    let mut names = Hoisted::default();
    let mut left = ENTRIES_MAX;
    loop {
        let mut progress = false;
        for entry in entries(root)? {
            left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("too many files"))?;
            match remove(root, &entry, &mut names, &mut left) {
                Ok(()) => progress = true,
                Err(error) => failed = Some(error),
            }
        }
        if !progress {
            return failed.map_or(Ok(()), Err);
        }
        failed = None;
    }
}

/// Names for directories that are moved up. They cannot be met by chance, and a collision only fails one try.
#[derive(Default)]
struct Hoisted(u64);

impl Hoisted {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("{}-{}", uuid::Uuid::new_v4().simple(), self.0)
    }
}

struct Entry {
    name: std::ffi::CString,
    is_dir: bool,
}

/// What lies in a directory, without itself and its parent.
fn entries(dir: impl AsFd) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    // The handle may be one that only names the directory.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(&dir, ".", flags, Mode::empty())?;
    for entry in rustix::fs::Dir::new(readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Directory => true,
            // Not every file system says.
            FileType::Unknown => {
                let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            _ => false,
        };
        found.push(Entry {
            name: name.to_owned(),
            is_dir,
        });
    }
    Ok(found)
}

fn remove(root: &Dir, entry: &Entry, names: &mut Hoisted, left: &mut usize) -> io::Result<()> {
    if !entry.is_dir {
        return Ok(rustix::fs::unlinkat(root, &entry.name, AtFlags::empty())?);
    }
    let dir = named(root, entry.name.as_c_str())?;
    for inner in entries(&dir)? {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("too many files"))?;
        if inner.is_dir {
            // A directory that changes its parent must be writable itself.
            named(&dir, inner.name.as_c_str())?;
            rustix::fs::renameat(&dir, &inner.name, root, names.next())?;
        } else {
            rustix::fs::unlinkat(&dir, &inner.name, AtFlags::empty())?;
        }
    }
    Ok(rustix::fs::unlinkat(root, &entry.name, AtFlags::REMOVEDIR)?)
}

/// A handle of the directory `name` in `dir`, whose permissions are ours again.
#[cfg(target_os = "linux")]
pub(in crate::run) fn named(dir: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    // It only names the directory: a step may have taken all permissions away.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    allow(&handle)?;
    Ok(handle)
}

/// Gives us back what a step may have taken from a directory of ours. Reaches exactly what is open, whatever
/// its name leads to by now.
#[cfg(target_os = "linux")]
fn allow(dir: impl AsFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    Ok(rustix::fs::chmod(path, Mode::RWXU)?)
}

/// A handle of the directory `name` in `dir`, whose permissions are ours again.
#[cfg(target_vendor = "apple")]
pub(in crate::run) fn named(dir: impl AsFd, name: impl Arg + Copy) -> io::Result<OwnedFd> {
    // There is no handle that only names it, but a change of permissions that follows no link.
    rustix::fs::chmodat(&dir, name, Mode::RWXU, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// Gives us back what a step may have taken from a directory that is open.
#[cfg(target_vendor = "apple")]
fn allow(dir: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fchmod(dir, Mode::RWXU)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn chmod(path: &std::path::Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_tree_without_permissions_with_links_and_depth_is_emptied_and_nothing_else_is_touched() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("precious"), b"x").unwrap();
        let tree = tempfile::tempdir().unwrap();
        let root = Dir::open_ambient_dir(tree.path(), cap_std::ambient_authority()).unwrap();
        symlink(outside.path(), tree.path().join("link")).unwrap();
        let inner = tree.path().join("a/b/c");
        std::fs::create_dir_all(&inner).unwrap();
        symlink(outside.path(), inner.join("link")).unwrap();
        std::fs::write(inner.join("file"), b"x").unwrap();
        for dir in [&inner, &tree.path().join("a/b"), &tree.path().join("a")] {
            chmod(dir, 0);
        }
        chmod(tree.path(), 0);
        empty(&root).unwrap();
        assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), 0);
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn thousands_of_directories_inside_each_other_are_no_matter() {
        let tree = tempfile::tempdir().unwrap();
        let root = Dir::open_ambient_dir(tree.path(), cap_std::ambient_authority()).unwrap();
        let mut deepest = root.try_clone().unwrap();
        for _ in 0..3000 {
            deepest.create_dir("d").unwrap();
            deepest = deepest.open_dir("d").unwrap();
        }
        empty(&root).unwrap();
        assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), 0);
    }
}
