//! The id of a step's leader, as a number that callers can print.

use std::fmt;

use rustix::process;

/// The id of a step's leader; also the number of its group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// Returns the number.
    pub fn as_raw_pid(self) -> i32 {
        self.0
    }
}

impl From<process::Pid> for Pid {
    fn from(pid: process::Pid) -> Pid {
        Pid(pid.as_raw_pid())
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
