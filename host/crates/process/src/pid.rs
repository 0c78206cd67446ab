//! The id of a step's leader, as a number that callers can print.

use std::fmt;

/// The id of a step's leader; on Unix also the number of its group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// A process; `None` for a number that no process has.
    pub(crate) fn from_raw(pid: i32) -> Option<Pid> {
        (pid > 0).then_some(Pid(pid))
    }

    /// Returns the number.
    pub fn as_raw_pid(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({})", self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
