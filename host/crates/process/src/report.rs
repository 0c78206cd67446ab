//! What is known when a step is over. Plain data, made in `running`, read by `host::run`.

use std::{fmt, time::Duration};

use crate::{Exit, Leftovers, LimitsReached};

/// The end of a step: nobody is left, or whoever is left is named here.
#[derive(Debug)]
#[must_use = "dropping a report kills what the step left in the background"]
pub struct Report {
    /// How the leader ended. [`Exit::LOST`] if that could not be learned.
    pub exit: Exit,
    /// A stop was asked for before the leader ended. Exact: the kernel was asked at the time of the stop.
    pub signalled: bool,
    /// The hard kill was sent while something was alive.
    pub killed: bool,
    /// How many of the two pipes somebody still held when reading ended: 0 to 2. A note, not a proof: on a very busy machine
    /// the holder may be the host's own child that has not reached its `exec`, which closes its copy.
    pub background: usize,
    /// What outlived the leader of a step that nobody stopped: the job keeps it until it ends. Holders of a pipe.
    pub leftovers: Option<Leftovers>,
    /// What was done, and to whom.
    pub trace: Trace,
}

/// How a step was brought to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// When everybody was asked to end (CONT, TERM, CONT), counted from the step's start.
    pub terminated_after: Option<Duration>,
    /// When everybody was killed first.
    pub killed_after: Option<Duration>,
    /// How many processes the kill ended.
    pub killed_processes: usize,
    /// Who ended them.
    pub mechanism: Mechanism,
    /// The step had a cgroup of its own, which was killed with it.
    pub cgroup: bool,
    /// What the job's limits did while this step ran; none of them without limits.
    pub limits_reached: LimitsReached,
    /// Who could not be killed within the budget of five seconds.
    pub survivors: Vec<Survivor>,
    /// What the step used: its leader while others live on, else everybody. `None` if it is not known.
    pub usage: Option<Usage>,
}

impl Trace {
    /// Whether somebody is still alive who ought not to be.
    pub fn leaked(&self) -> bool {
        !self.survivors.is_empty()
    }
}

/// Who saw to it that nobody is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mechanism {
    /// The step's supervisor, to whom every descendant comes back.
    #[default]
    Supervisor,
    /// The host, because the supervisor had been killed or did not answer.
    Host,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Supervisor => "supervisor",
            Mechanism::Host => "host",
        })
    }
}

/// What the kernel counted for processes that were reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time in the programs.
    pub user: Duration,
    /// Time in the kernel for them.
    pub system: Duration,
    /// Largest resident memory of one process, in KiB.
    pub peak_rss_kib: u64,
}

impl Usage {
    /// Adds another process: times add up, of the peaks the higher one counts.
    #[cfg(target_os = "linux")]
    pub(crate) fn add(&mut self, other: &Usage) {
        self.user = self.user.saturating_add(other.user);
        self.system = self.system.saturating_add(other.system);
        self.peak_rss_kib = self.peak_rss_kib.max(other.peak_rss_kib);
    }
}

/// A process that could not be killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its id.
    pub pid: i32,
    /// What it calls itself; any text at all, which `Display` escapes.
    pub name: String,
    /// The letter of its state, as in `ps`.
    pub state: u8,
    /// Its effective user.
    pub uid: u32,
    /// The kernel did not permit the signal.
    pub refused: bool,
    /// Where in the kernel it waits; empty if that is not known.
    pub waits_in: String,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Survivor {
            pid,
            name,
            state,
            uid,
            refused,
            waits_in,
        } = self;
        if cfg!(windows) {
            // It has neither states nor numbers of users.
            return write!(f, "{} (pid {pid}: it does not die)", name.escape_debug());
        }
        write!(
            f,
            "{} (pid {pid}, state {}, user {uid}: ",
            name.escape_debug(),
            char::from(*state)
        )?;
        match (refused, waits_in.as_str()) {
            (true, _) => f.write_str("we may not signal it)"),
            (false, "") => f.write_str("it does not die)"),
            (false, place) => write!(f, "it does not die, waits in {place})"),
        }
    }
}
