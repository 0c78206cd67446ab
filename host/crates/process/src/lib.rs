//! One native step: started, read, stopped, and reported when it is over.
//!
//! Owns: spawning, the step's process group, both output pipes, the polite and the hard stop, the text of an ending.
//! Promises:
//! - [`start()`] gives a [`Running`] or a [`StartError`] that a client may read; nothing is left behind by a failed start.
//! - Everything that the leader wrote reaches the [`Output`], in the order it was read, before the [`Report`].
//! - The leader's exit decides; a pipe held by somebody else never fails a step and delays it by a second at most.
//! - Leaving is clean-up: dropping a [`Running`], its `ended` future or a [`Leftovers`] kills the group.
//! - A signal never reaches a stranger's group (see below for what is left of that risk).
//!
//! Never: knows what a step, a job or a grace period is; reads configuration; keeps a task without an owner.
//! Called by: `host::run` (exec steps), the sandbox's process interface through it. Calls nothing of ours.
//! Linux only so far.
//!
//! # What is not contained yet
//!
//! The step is its **process group**, nothing more. A process that calls `setsid` or `setpgid` (daemons, `set -m`,
//! interactive shells) leaves the group and survives stop, kill and the end of the job, and so does everything
//! when the host itself is killed. The supervisor (design D15) closes both behind this same interface.
//! A process of another user in the group (sudo) may be out of reach of our signals: it shows up as [`Leftovers`].
//! A step runs as the host's own user, so all of this is about accidents, not about attackers (design D10).
//!
//! # Whose number is it?
//!
//! A group is addressed by number, and numbers are reused. A leader that has ended but was not reaped pins its number, so
//! the leader is only *looked at* (`waitid` with `WNOWAIT`) until the group is settled; a stop and the reaping exclude each
//! other by one lock, so a late [`Stopper`] does nothing. Whether somebody else is in a zombie leader's group
//! costs a walk through `/proc` (about a millisecond), so it is only asked after a stop. An ordinary end is
//! cheaper: reap, then ask for the group by number; "no such group" is the common answer and proves it empty.
//! Any other answer means that members hold the number. Before [`Leftovers`] are killed, perhaps minutes later, the group
//! must still be ours: a member that we recorded is still in it, or it has no process whose id is the group's
//! number (a recycled group starts with one, ours has been reaped) and belongs to our session (a step's leader cannot leave it).
//! What remains: recorded members gone, their children too, the number reused by another step of this same host, whose leader has
//! ended as well; and the microseconds between looking and killing. Both need the whole range of ids to go round in between.
//! Where `/proc` cannot be read, the leader's end is the end of the grace, and leftovers are killed unverified.
//!
//! # How a step is spawned
//!
//! Always `posix_spawn` (`CLONE_VM | CLONE_VFORK`; seen with strace for glibc and static musl, directory change and group
//! included; `tests/spawning.rs` keeps it so): absolute path, own argv\[0\], no `pre_exec`. Forking a host with a gigabyte resident would cost a hundred milliseconds.
//! The descriptor limit of the host is raised ([`raise_descriptor_limit`]) and put back for the step right *after* the spawn:
//! for some ten microseconds a step may see the host's limit. The supervisor removes this window.
//!
//! # One life
//!
//! ```text
//! Running ──leader ended──────────────────────────► Reading ──read──► Settled ──► reaped, reported
//!    └─────leader ended, stop asked──► Emptying ──empty──┘ ▲
//!                                         └◄──stop asked───┘
//! ```
#![forbid(unsafe_code)]

mod descriptors;
mod exit;
mod group;
mod leftovers;
mod linux;
mod lookup;
mod phases;
mod plan;
mod pump;
mod report;
mod running;
mod start;
mod start_error;
mod unreaped;

pub use crate::{
    descriptors::raise_descriptor_limit,
    exit::Exit,
    leftovers::Leftovers,
    linux::Pid,
    lookup::which,
    plan::{Output, Plan, Stream},
    report::Report,
    running::{Running, Stopper},
    start::start,
    start_error::{StartError, WorkDirFault},
};
