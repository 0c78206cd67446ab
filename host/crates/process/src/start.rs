//! From a plan to a process. The only place that spawns.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    sync::Arc,
};

use rustix::process::Pid;
use tokio::runtime::Handle;

use crate::{
    Output, Plan, Running, StartError, descriptors, group::Group, lookup, pump::Pump,
    running::Watch, unreaped,
};

/// Starts the step in a group of its own, with the null device as its input, and reads both its outputs into `output`.
///
/// Blocks for the lookup and the `posix_spawn`, about a tenth of a millisecond.
///
/// # Errors
///
/// What is wrong with the plan, or what the system said; nothing is running then.
///
/// # Panics
///
/// Outside the context of a tokio runtime with its I/O and time drivers.
pub fn start(plan: Plan, output: Arc<dyn Output>) -> Result<Running, StartError> {
    // Panics now, while there is no process that it would leave behind.
    let _ = Handle::current();
    unreaped::reap_dead();
    StartError::check_for_nul(&plan)?;
    let path = lookup::program_of(&plan)?;
    let spawned = Command::new(&path)
        .arg0(&plan.program)
        .args(&plan.args)
        .env_clear()
        .envs(plan.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&plan.work_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(system) => return Err(StartError::explain(plan, &path, system)),
    };
    let leader = Pid::from_child(&child);
    // From here on a failure kills and reaps: std's `Child` does neither when it is dropped.
    let group = Arc::new(Group::new(leader));
    descriptors::restore_in(leader);
    let out = child.stdout.take().map(OwnedFd::from);
    let err = child.stderr.take().map(OwnedFd::from);
    match watch(leader, out, err, output) {
        Ok((watch, pump)) => Ok(Running::drive(group, watch, pump)),
        Err(system) => {
            group.abandon();
            Err(StartError::Watch {
                program: plan.program,
                system,
            })
        }
    }
}

fn watch(
    leader: Pid,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
    output: Arc<dyn Output>,
) -> io::Result<(Watch, Pump)> {
    let (Some(out), Some(err)) = (out, err) else {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe)); // both were asked for above
    };
    Ok((Watch::new(leader)?, Pump::new(out, err, output)?))
}
