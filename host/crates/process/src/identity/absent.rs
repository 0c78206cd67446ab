//! Who a process is, where only the lock of its host's room tells: the system lets go of it with the last breath of the process, and of nothing
//! else. So no start is written down here, and nobody carries a mark.

use std::io;

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number, for people.
    pub pid: i32,
    /// When it was started: not known.
    pub started: u64,
    /// Which start of the machine: not known.
    pub boot: String,
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn own() -> io::Result<Identity> {
        Ok(Identity {
            pid: i32::try_from(std::process::id()).unwrap_or(i32::MAX),
            started: 0,
            boot: String::new(),
        })
    }

    /// Whether the machine was not started again since: unknown, so whoever asks looks.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn is_of_this_boot(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether it can be seen to live by anything but the lock: no.
    ///
    /// # Errors
    ///
    /// None here.
    pub fn lives(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// What the processes of a host's steps carry; there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {}

impl Mark {
    /// No mark.
    pub fn new(_host: &str) -> Option<Mark> {
        None
    }
}
