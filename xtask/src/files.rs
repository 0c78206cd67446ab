//! What lies below a directory. Called by what packs it, what copies it, and what notices that it has changed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Files below a directory, relative and sorted.
pub(crate) fn below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(dir, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let dir = root.join(below);
    let entries = dir
        .read_dir()
        .with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
