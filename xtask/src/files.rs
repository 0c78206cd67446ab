//! What lies below a directory. Called by what packs it, what copies it, what looks through it, and what notices that it
//! has changed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Files below a directory, relative and sorted.
pub(crate) fn below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    of_interest(dir, |_| true)
}

/// The same, without whatever is of no interest by its relative path. A directory that is not is not even read.
pub(crate) fn of_interest(
    dir: &Path,
    interests: impl Fn(&Path) -> bool,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(dir, Path::new(""), &interests, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(
    root: &Path,
    below: &Path,
    interests: &impl Fn(&Path) -> bool,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let dir = root.join(below);
    let entries = dir
        .read_dir()
        .with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if !interests(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, interests, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
