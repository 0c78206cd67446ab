//! What is known when a step is over. Plain data, made in `running`, read by `host::run`.

use crate::{Exit, Leftovers};

/// The end of a step: its group is empty, or whoever is left is in `leftovers`.
#[derive(Debug)]
#[must_use = "dropping a report kills what the step left in the background"]
pub struct Report {
    /// How the leader ended.
    pub exit: Exit,
    /// A stop was asked for before the leader ended. Exact: the kernel was asked at the time of the stop.
    pub signalled: bool,
    /// The hard kill was sent while something was alive.
    pub killed: bool,
    /// How many of the two pipes somebody still held when reading ended: 0 to 2. A note, not a proof: on a very busy machine
    /// the holder may be the child of another start that has not reached its `exec`, which closes its copy.
    pub background: usize,
    /// What outlived the leader: members of the group that an unstopped step left behind (the job keeps them until it ends),
    /// members that a kill could not reach, holders of a pipe. `None`: nothing that we know of.
    pub leftovers: Option<Leftovers>,
}
