//! Why there is no cgroup for steps, in words for an operator.

use std::{io, path::PathBuf};

/// Why a host has no cgroup of its own.
#[derive(Debug, thiserror::Error)]
pub enum CgroupUnusable {
    /// There is no tree of version 2.
    #[error("cgroup version 2 is not mounted")]
    NotMounted,
    /// The host's own place is not in what is mounted.
    #[error("cgroup version 2 is mounted, but the host's own cgroup cannot be seen")]
    OutOfSight,
    /// It is root's, or read-only.
    #[error("the cgroup {} is not ours to use; give it to the host's user (systemd: Delegate=yes)", path.display())]
    NotOurs {
        /// Where the host was started.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An old kernel.
    #[error("this kernel has no cgroup.kill; use Linux 5.14 or later")]
    NoKill,
    /// A limit needs a controller that was not handed down.
    #[error(
        "the cgroup {} does not have the controller {controller}, which the limit needs: it was not delegated, or is \
         mounted in version 1",
        path.display()
    )]
    NoController {
        /// Which one.
        controller: &'static str,
        /// Where the host was started.
        path: PathBuf,
    },
    /// A cgroup that has processes cannot give controllers to its children.
    #[error(
        "other processes live in the host's cgroup {}, so jobs in it cannot be limited; start the host in a cgroup of \
         its own",
        path.display()
    )]
    OthersThere {
        /// Where the host was started.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{what} the cgroup {}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which cgroup.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
