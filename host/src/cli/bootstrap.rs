//! `steps bootstrap FILE`: this program, copied to where a job's container will find it.
//!
//! The copy appears whole or not at all, so that a second bootstrap may run beside a first, and a running
//! host keeps its own file. What lies in `<program>.d` goes along (design D11). Nothing is printed.

use std::path::Path;

use anyhow::Context as _;

use super::exit::{self, Failure};
use crate::config::companion;
use crate::files;

/// Directories below `<program>.d` that are copied, at most this deep.
const DEPTH_MAX: usize = 8;

/// Copies the program.
pub(super) fn bootstrap(file: &Path) -> Result<u8, Failure> {
    copy(file).map_err(Failure::cannot_create)?;
    Ok(exit::FINE)
}

fn copy(file: &Path) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("finding this program")?;
    if file.is_dir() {
        anyhow::bail!("{} is a directory; name the file to write", file.display());
    }
    copy_file(&own, file, true)?;
    let own_companion = companion(&own);
    if own_companion.is_dir() {
        copy_tree(&own_companion, &companion(file), 0)?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, executable: bool) -> anyhow::Result<()> {
    let failed = || format!("writing {}", to.display());
    let parent = to
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut copy = tempfile::NamedTempFile::new_in(parent).with_context(failed)?;
    let mut source = std::fs::File::open(from).context("reading this program")?;
    std::io::copy(&mut source, copy.as_file_mut()).with_context(failed)?;
    files::share(copy.as_file(), executable).with_context(failed)?;
    copy.persist(to).with_context(failed)?;
    Ok(())
}

fn copy_tree(from: &Path, to: &Path, depth: usize) -> anyhow::Result<()> {
    anyhow::ensure!(depth < DEPTH_MAX, "{} is nested too deeply", from.display());
    std::fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    let entries = from
        .read_dir()
        .with_context(|| format!("reading {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target, depth + 1)?;
        } else {
            copy_file(&source, &target, false)?;
        }
    }
    Ok(())
}
