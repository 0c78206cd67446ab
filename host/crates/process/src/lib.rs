//! One native step: started, read, stopped, and reported when nobody of it is left.
//!
//! Owns: the supervisors and their pool, cgroups, spawning, both output pipes, the polite and the hard stop, the text of an ending.
//! Promises:
//! - [`Supervisors::start`] gives a [`Running`] or a [`StartError`] that a client may read; nothing is left behind by a failed start.
//! - Everything that the leader wrote reaches the [`Output`], in the order it was read, before the [`Report`].
//! - What outlives a step is read on until it ends, and told apart from the step ([`Output::write_late`]): it never meets a closed pipe.
//! - The leader's exit decides; a pipe held by somebody else never fails a step and delays it by a second at most.
//! - Ended means *empty*: the kernel has no descendant of the step any more, whatever it did to get away, and nobody is in its cgroup, if it
//!   could have one. Exceptions are named in
//!   the report ([`Survivor`]), or kept on purpose until the job ends ([`Leftovers`]).
//! - Leaving is clean-up: dropping a [`Running`], its `ended` future or a [`Leftovers`] kills all of it; so does the death of the host.
//! - A signal never reaches a stranger (see `supervisor`).
//!
//! Never: knows what a step, a job or a grace period is; reads configuration; forks; keeps a task without an owner.
//! Called by: `host::run` (exec steps), the sandbox's process interface through it; `host::main` for the supervisor.
//! Calls nothing of ours but the points of `fault`.
//!
//! What follows is Linux, which the promises are made for. Windows does the same with a job object, and macOS with less (docs/windows.md, docs/containment.md):
//! modules of the same names in `windows` and `macos`, chosen below.
//!
//! # Who is who
//!
//! ```text
//! host ──socket──► supervisor (this program again, one thread, a subreaper)
//!   ▲                  └──► leader (a group of its own) ──► … ──► daemons come back to the supervisor
//!   └──both pipes──────────────┘
//! ```
//!
//! A supervisor has one step at a time, waits for the next in a pool of the whole host, and ends when anything about it is odd: it had to
//! kill, an attribute that children inherit has changed, somebody could not be killed. Steps whose children live on keep theirs.
//! When a supervisor is killed, its step's processes become children of the host, which kills them (`orphans`).
//!
//! # What is not contained
//!
//! Work that a step hands to another daemon (docker, cron, systemd) does not descend from it. A process of another user (sudo) is
//! out of reach of our signals: without a cgroup it is named as a survivor. A step runs as the host's own user, so all of this is about
//! accidents and daemons, not about attackers (design D10).
//!
//! # How a step is spawned
//!
//! Always `posix_spawn` (`CLONE_VM | CLONE_VFORK`), of the supervisor in the host and of the step in the supervisor; `tests/spawning.rs` keeps it
//! so. Forking a host with a gigabyte resident would cost a hundred milliseconds. The exception is a step with a cgroup, in which its supervisor, which is
//! small, makes it by `clone3`. A supervisor gets the limit of descriptors
//! that the host was started with ([`raise_descriptor_limit`]), and so does every step.
#![deny(unsafe_code)]

// The same everywhere.
mod exit;
mod leftovers;
mod phases;
mod pid;
mod plan;
mod reading;
mod report;
mod running;
mod start_error;
mod starting;
mod surroundings;
mod wire;

// The same names everywhere, and what is behind them is the system's.
#[cfg_attr(not(target_os = "linux"), path = "cgroup/absent.rs")]
mod cgroup;
#[cfg_attr(not(target_os = "linux"), path = "dead/absent.rs")]
mod dead;
#[cfg_attr(windows, path = "windows/descriptors.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos/descriptors.rs")]
mod descriptors;
#[cfg_attr(not(target_os = "linux"), path = "identity/absent.rs")]
mod identity;
#[cfg_attr(windows, path = "windows/link.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos/link.rs")]
mod link;
#[cfg_attr(windows, path = "windows/lookup.rs")]
mod lookup;
#[cfg_attr(windows, path = "windows/orphans.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos/orphans.rs")]
mod orphans;
#[cfg_attr(windows, path = "windows/pool.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos/pool.rs")]
mod pool;
#[cfg_attr(windows, path = "windows/pump.rs")]
mod pump;
#[cfg_attr(windows, path = "windows/supervisor.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos/supervisor.rs")]
mod supervisor;
#[cfg(not(target_vendor = "apple"))]
#[cfg_attr(windows, path = "windows/sys.rs")]
mod sys;

#[cfg(windows)]
#[path = "windows/command_line.rs"]
mod command_line;
#[cfg(not(target_os = "linux"))]
mod framed;
#[cfg(target_os = "linux")]
mod tree;

#[cfg(target_os = "linux")]
pub use crate::cgroup::signals_everybody;
pub use crate::{
    cgroup::{CgroupId, CgroupUnusable, HostCgroup, JobLimits, LimitsReached},
    dead::{Cleared, clear_cgroup, kill_marked},
    descriptors::raise_descriptor_limit,
    exit::Exit,
    identity::{Identity, Mark},
    leftovers::Leftovers,
    link::start_other,
    lookup::which,
    pid::Pid,
    plan::{Output, Plan, Stream},
    pool::{Supervisors, hide_memory},
    report::{Mechanism, Report, Survivor, Trace, Usage},
    running::{Running, Stopper},
    start_error::{StartError, WorkDirFault},
    supervisor::supervise_if_asked,
    surroundings::Surroundings,
};
