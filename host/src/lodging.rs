//! Where the files of a job are made: a directory, together with who removes it.
//!
//! Promises: whoever holds a [`Lodging`] finds its directory there, unless its owner has closed it or a stranger removed it; the
//! owner, if there is one, is dropped by the last holder at the earliest. That counts where no directory can be removed in
//! which a file is open, on Windows: who has a file open there holds the lodging, and lets go of it after the file. Never makes
//! or removes anything itself.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory for a job's files.
#[derive(Debug, Clone)]
pub(crate) struct Lodging {
    path: PathBuf,
    _owner: Option<Arc<dyn Any + Send + Sync>>,
}

impl Lodging {
    /// A directory that is nobody's of this host.
    pub(crate) fn at(path: PathBuf) -> Lodging {
        Lodging { path, _owner: None }
    }

    /// One that `owner` removes when it is dropped.
    pub(crate) fn of(path: PathBuf, owner: Arc<impl Any + Send + Sync>) -> Lodging {
        let owner: Arc<dyn Any + Send + Sync> = owner;
        Lodging {
            path,
            _owner: Some(owner),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_dropped_with_the_last_who_lodges_there() {
        let owner = Arc::new(());
        let seen = Arc::downgrade(&owner);
        let first = Lodging::of(PathBuf::from("somewhere"), owner);
        let second = first.clone();
        drop(first);
        assert!(seen.upgrade().is_some(), "one is still there");
        assert_eq!(second.path(), Path::new("somewhere"));
        drop(second);
        assert!(seen.upgrade().is_none());
    }
}
