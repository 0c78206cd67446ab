//! What the steps of a host get beside their supervisor. On a system that has neither there is nothing to put into it.

use crate::{HostCgroup, Mark};

/// What steps get beside their supervisor.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Where each step gets a cgroup of its own.
    pub cgroup: Option<HostCgroup>,
    /// By which a later host knows them, should this one die.
    pub mark: Option<Mark>,
}
