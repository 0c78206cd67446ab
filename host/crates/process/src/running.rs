//! A started step: its driver task, its handle, its stopper.
//!
//! The driver is one task: it pumps both pipes, watches the leader and, after a stop, the group; it is owned by
//! [`Running`] and ends with it. What comes next is decided by `phases`; here is only the waiting.

use std::{io, panic, sync::Arc, time::Duration};

use rustix::process::{self, PidfdFlags, Signal, pidfd_open};
use tokio::{
    net::unix::pipe::Receiver,
    select,
    signal::unix::{self, SignalKind},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    Exit, Leftovers, Pid, Report,
    group::Group,
    leftovers::{FIRST_PAUSE, KILL_BUDGET, LONGEST_PAUSE, look},
    linux::{self, Leader},
    phases::{Event, Phase},
    pump::Pump,
};

/// Pause between two looks at a leader whose end was announced but is not ours to see yet: a tracer sees it first.
const TRACED_PAUSE: Duration = Duration::from_millis(5);

/// A step that was started. It owns the step's processes: dropping it, or the future of [`ended`](Running::ended), kills the group.
#[derive(Debug)]
#[must_use = "dropping a running step kills it"]
pub struct Running {
    group: Arc<Group>,
    driver: JoinHandle<Report>,
}

/// Stops a step from anywhere; harmless when the step is over.
#[derive(Debug, Clone)]
pub struct Stopper {
    group: Arc<Group>,
}

impl Running {
    /// Drives the group from here on. Needs the runtime's context.
    pub(crate) fn drive(group: Arc<Group>, watch: Watch, pump: Pump) -> Running {
        // Owned by the value that is returned here: awaited by `ended`, aborted by a drop.
        let driver = tokio::spawn(drive(Arc::clone(&group), watch, pump));
        Running { group, driver }
    }

    /// The leader's id, which is also its group's number.
    pub fn pid(&self) -> Pid {
        self.group.leader().into()
    }

    /// Returns a handle that stops this step.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            group: Arc::clone(&self.group),
        }
    }

    /// Waits for the end. Output is pumped and the end is noticed whether or not this is polled.
    ///
    /// Without a stop, the step ends with its leader, within a second even if others hold its pipes. After a polite stop it
    /// ends when its group is empty; the owner of the grace period calls [`Stopper::kill`] when that takes too long.
    /// After that it ends when the group is dead, five seconds at most; who is alive then is among the leftovers.
    ///
    /// # Panics
    ///
    /// With the panic of an [`Output`](crate::Output), after the group was killed.
    pub async fn ended(mut self) -> Report {
        match (&mut self.driver).await {
            Ok(report) => report,
            Err(failure) => {
                self.group.abandon();
                match failure.try_into_panic() {
                    Ok(payload) => panic::resume_unwind(payload),
                    // The runtime that drove the step is gone; so is the step.
                    Err(_) => Report {
                        exit: Exit::Signal(Signal::KILL.as_raw()),
                        signalled: true,
                        killed: true,
                        background: 0,
                        leftovers: None,
                    },
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.driver.abort();
        self.group.abandon();
    }
}

impl Stopper {
    /// Asks the group to end: CONT, TERM, CONT. Only the first call of a stop does anything.
    pub fn terminate(&self) {
        self.group.terminate();
    }

    /// Kills the group; includes [`terminate`](Stopper::terminate), whose signals are then not sent. Only the first call does anything.
    pub fn kill(&self) {
        self.group.kill();
    }
}

async fn drive(group: Arc<Group>, mut watch: Watch, mut pump: Pump) -> Report {
    let exit = loop {
        match group.phase() {
            Phase::Running => {
                let exit = select! {
                    exit = watch.leader_ended(group.leader()) => exit,
                    never = pump.run() => match never {},
                };
                group.saw(Event::LeaderEnded(exit));
            }
            Phase::Emptying { .. } => {
                select! {
                    () = watch_group(&group) => {}
                    never = pump.run() => match never {},
                }
            }
            Phase::Reading { patience, .. } => {
                pump.read_what_is_there();
                select! {
                    biased;
                    () = pump.run_until_silent(patience) => group.saw(Event::OutputRead),
                    () = group.stop_asked() => {}
                }
            }
            Phase::Settled { exit } => break exit,
        }
    };
    group.reap();
    let life = group.life();
    let background = pump.held();
    let leftovers = Leftovers::collect(group.leader(), pump).await;
    Report {
        exit,
        signalled: life.signalled(),
        killed: life.killed(),
        background,
        leftovers,
    }
}

/// Watches a group whose leader has ended until nobody is alive in it, or its time is over.
async fn watch_group(group: &Group) {
    let mut pause = FIRST_PAUSE;
    let mut give_up = None;
    let mut last_seen = None;
    loop {
        if give_up.is_none() && group.life().kill_asked() {
            give_up = Some(Instant::now() + KILL_BUDGET);
            pause = FIRST_PAUSE;
        }
        // One who is still there is proof enough; only that nobody is needs a walk through all processes.
        let leader = group.leader();
        if !last_seen.is_some_and(|member: linux::Member| member.is_in(leader)) {
            let members = look(leader).await;
            last_seen = members.and_then(|members| members.alive.first().copied());
            if last_seen.is_none() {
                return group.saw(Event::GroupEmpty);
            }
        }
        if give_up.is_some_and(|give_up| Instant::now() >= give_up) {
            return group.saw(Event::BudgetSpent);
        }
        select! {
            () = sleep(pause) => {}
            () = group.stop_asked() => {}
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// What tells that a leader may have ended.
#[derive(Debug)]
pub(crate) enum Watch {
    /// The kernel's handle of the leader, which becomes readable at its end. It is not a pipe, and nothing is read: tokio's
    /// `Receiver` only waits for it, because `AsyncFd` can only be made with unsafe code.
    Leader(Receiver),
    /// Any child of the host: for kernels before 5.3 and sandboxes that refuse `pidfd_open`.
    Children(unix::Signal),
}

impl Watch {
    /// Watches `leader`, which is not reaped.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch another descriptor.
    pub(crate) fn new(leader: process::Pid) -> io::Result<Watch> {
        match pidfd_open(leader, PidfdFlags::empty()) {
            Ok(handle) => Ok(Watch::Leader(Receiver::from_owned_fd_unchecked(handle)?)),
            Err(_) => Watch::children(),
        }
    }

    fn children() -> io::Result<Watch> {
        Ok(Watch::Children(unix::signal(SignalKind::child())?))
    }

    /// Waits until `leader` has ended; does not reap it.
    async fn leader_ended(&mut self, leader: process::Pid) -> Exit {
        loop {
            match linux::look_at(leader) {
                Leader::Runs => {}
                Leader::Ended(exit) => return exit,
                Leader::Lost => return Exit::LOST,
            }
            match self {
                Watch::Leader(handle) => {
                    let announced = handle.readable().await.is_ok();
                    if !announced || linux::look_at(leader) == Leader::Runs {
                        sleep(TRACED_PAUSE).await;
                    }
                }
                Watch::Children(signals) => {
                    signals.recv().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::{fd::OwnedFd, unix::process::CommandExt},
        process::{Command, Stdio},
    };

    use super::*;
    use crate::{Output, Stream};

    struct Nowhere;

    impl Output for Nowhere {
        fn write(&self, _: Stream, _: &[u8]) {}
    }

    /// Runs `script` as on a kernel without `pidfd_open`.
    #[expect(clippy::zombie_processes, reason = "the driver reaps it")]
    fn begin_without_handle(script: &str) -> Running {
        let watch = Watch::children().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let out = OwnedFd::from(child.stdout.take().unwrap());
        let err = OwnedFd::from(child.stderr.take().unwrap());
        let group = Arc::new(Group::new(process::Pid::from_child(&child)));
        Running::drive(
            group,
            watch,
            Pump::new(out, err, Arc::new(Nowhere)).unwrap(),
        )
    }

    #[tokio::test]
    async fn a_kernel_without_process_handles_will_do() {
        for code in 0..20 {
            let report = begin_without_handle(&format!("exit {code}")).ended().await;
            assert_eq!(report.exit, Exit::Code(code));
        }
        let running = begin_without_handle("sleep 60 & wait");
        running.stopper().kill();
        let report = running.ended().await;
        assert_eq!(
            (report.exit, report.signalled, report.killed),
            (Exit::Signal(9), true, true)
        );
    }
}
