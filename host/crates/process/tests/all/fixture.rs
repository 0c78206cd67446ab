//! What every test here needs: a plan that runs a shell line, an output that can be waited for, a process whose death can be.
//!
//! Nothing in here sleeps. [`GUARD`] only turns a hang into a failure.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    env, fs,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use stephost_process::{Leftovers, Plan, Report, Running, Supervisors, Surroundings};

#[path = "recorder.rs"]
mod recorder;

pub(crate) use self::recorder::{GUARD, Recorder, within};

/// A plan of `program` with `args`, in `/`, with the tests' own PATH.
pub(crate) fn plan(program: &str, args: &[&str]) -> Plan {
    Plan {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env: vec![(
            "PATH".into(),
            env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        )],
        work_dir: "/".into(),
    }
}

/// A plan of a shell that runs `script`.
pub(crate) fn shell(script: &str) -> Plan {
    plan("sh", &["-c", script])
}

/// A plan of a shell that runs `script` in `directory`.
pub(crate) fn shell_in(directory: &Path, script: &str) -> Plan {
    Plan {
        work_dir: directory.to_owned(),
        ..shell(script)
    }
}

/// Supervisors of a host of their own, in the runtime of this test.
pub(crate) fn supervisors() -> Supervisors {
    let program = env!("CARGO_BIN_EXE_supervisor").into();
    Supervisors::of_program(program, Surroundings::default()).expect("a subreaper")
}

/// Starts `plan` in a host of its own.
pub(crate) async fn begin(plan: Plan) -> (Running, Arc<Recorder>) {
    begin_in(&supervisors(), plan).await
}

/// Starts `plan` in a host that other steps use too.
pub(crate) async fn begin_in(supervisors: &Supervisors, plan: Plan) -> (Running, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let running = supervisors
        .start(plan, recorder.clone())
        .await
        .expect("the step starts");
    (running, recorder)
}

/// Runs `plan` to its end.
pub(crate) async fn run(plan: Plan) -> (Report, Arc<Recorder>) {
    let (running, recorder) = begin(plan).await;
    (within("the step's end", running.ended()).await, recorder)
}

/// How many processes a step left.
///
/// Not whether there are leftovers at all: under load, another test's spawn may hold a pipe of this one for a moment.
pub(crate) fn left_by(report: &Report) -> usize {
    report.leftovers.as_ref().map_or(0, Leftovers::processes)
}

/// A live process whose end can be waited for, whoever's child it is.
pub(crate) struct Witness {
    pid: i32,
    handle: OwnedFd,
}

impl Witness {
    /// Watches the process with the id in `text`, which must be alive.
    pub(crate) fn of(text: &str) -> Witness {
        let pid = text.trim().parse().expect("a process id");
        let handle = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty())
            .expect("the process lives");
        Witness { pid, handle }
    }

    /// Waits for its end.
    pub(crate) fn assert_dies(&self) {
        assert!(self.ends_within(GUARD), "process {} survived", self.pid);
    }

    pub(crate) fn assert_lives(&self) {
        assert!(
            !self.ends_within(Duration::ZERO),
            "process {} is gone",
            self.pid
        );
    }

    /// Ends a process that a test let escape on purpose.
    pub(crate) fn put_down(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.handle, rustix::process::Signal::KILL);
        self.assert_dies();
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let give_up = Instant::now() + limit;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap();
            let mut handle = [PollFd::new(&self.handle, PollFlags::IN)];
            match poll(&mut handle, Some(&left)) {
                Ok(ended) => return ended == 1,
                // The end of some supervisor.
                Err(Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Field `number` (from 1, proc(5)) of this process's stat line, after the name.
pub(crate) fn own_stat(number: usize) -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace()
        .nth(number - 3)
        .unwrap()
        .parse()
        .unwrap()
}
