//! Who a process is beyond its number: since when, since which start of the machine. And the mark that what it starts carries.
//!
//! Numbers are reused and names are anybody's; these are not. Called by whoever writes down that a host lives, and by whoever
//! finds what it wrote.

use std::{ffi::OsStr, fs, io};

use crate::tree;

/// The variable by which the processes of a host's steps are known.
const MARK: &str = "STEPHOST_HOST_ID";

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it was started, in ticks since the machine was.
    pub started: u64,
    /// Which start of the machine.
    pub boot: String,
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn own() -> io::Result<Identity> {
        let pid = rustix::process::getpid().as_raw_pid();
        let started = start_time(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Identity {
            pid,
            started,
            boot: boot()?,
        })
    }

    /// Whether the machine was not started again since.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn is_of_this_boot(&self) -> io::Result<bool> {
        Ok(boot()? == self.boot)
    }

    /// Whether this very process is alive, as far as it can be seen from here.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn lives(&self) -> io::Result<bool> {
        let there = tree::stat(self.pid).is_some_and(|stat| stat.lives());
        Ok(self.is_of_this_boot()? && there && start_time(self.pid) == Some(self.started))
    }
}

fn boot() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(boot.trim().to_owned())
}

/// When a process was started, in ticks since the machine was.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    start_time_in(&stat)
}

/// Field 22 of a line of `/proc/<pid>/stat`, whatever the process calls itself.
fn start_time_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// What the processes of a host's steps carry in their environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// The mark of the host with this name. Without zero bytes, of which an environment has none; `None` otherwise.
    pub fn new(host: &str) -> Option<Mark> {
        (!host.is_empty() && !host.contains('\0')).then(|| Mark(host.to_owned()))
    }

    pub(crate) fn variable(&self) -> (&OsStr, &OsStr) {
        (OsStr::new(MARK), OsStr::new(&self.0))
    }

    /// Whether this environment, strings that each end with a zero byte, has the mark.
    pub(crate) fn is_in(&self, environment: &[u8]) -> bool {
        let variable = format!("{MARK}={}", self.0);
        environment
            .split(|&byte| byte == 0)
            .any(|found| found == variable.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_another_of_its_number_would_not() {
        let own = Identity::own().unwrap();
        assert!(own.lives().unwrap());
        for other in [
            Identity {
                started: own.started + 1,
                ..own.clone()
            },
            Identity {
                boot: "another".to_owned(),
                ..own.clone()
            },
            Identity {
                pid: i32::MAX,
                ..own
            },
        ] {
            assert!(!other.lives().unwrap(), "{other:?}");
        }
    }

    #[test]
    fn a_start_is_read_whatever_the_process_calls_itself() {
        let line =
            b"812 (a) b) c) S 1 810 809 34816 812 4194560 1 0 0 0 1 2 0 0 20 0 3 0 99887 1 2";
        assert_eq!(start_time_in(line), Some(99887));
        for cut in 0..line.len() - 9 {
            assert_eq!(start_time_in(&line[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_mark_is_a_whole_variable() {
        let mark = Mark::new("a1").unwrap();
        for (environment, found) in [
            (&b"A=1\0STEPHOST_HOST_ID=a1\0B=2\0"[..], true),
            (b"STEPHOST_HOST_ID=a1", true),
            (b"STEPHOST_HOST_ID=a12\0", false),
            (b"X=STEPHOST_HOST_ID=a1\0", false),
            (b"", false),
        ] {
            assert_eq!(mark.is_in(environment), found);
        }
        assert_eq!(Mark::new(""), None);
        assert_eq!(Mark::new("a\0b"), None);
    }
}
