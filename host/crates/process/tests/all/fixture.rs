//! What every test here needs: a plan that runs a shell line, an output that can be waited for, a process whose death can be.
//!
//! Nothing in here sleeps. [`GUARD`] only turns a hang into a failure.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    env, fs,
    future::Future,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use stephost_process::{
    Leftovers, Output, Plan, Report, Running, Stream, Supervisors, Surroundings,
};
use tokio::{sync::Notify, time::timeout};

/// No test waits longer than this for anything.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

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

/// Keeps what a step writes.
#[derive(Default)]
pub(crate) struct Recorder {
    out: Mutex<Vec<u8>>,
    err: Mutex<Vec<u8>>,
    late: Mutex<Vec<u8>>,
    written: Notify,
}

impl Recorder {
    pub(crate) fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.of(stream).lock().unwrap().clone()
    }

    pub(crate) fn text(&self, stream: Stream) -> String {
        String::from_utf8(self.bytes(stream)).expect("tests write UTF-8")
    }

    pub(crate) fn out(&self) -> String {
        self.text(Stream::Out)
    }

    /// What was written on both streams by those who outlived their step.
    pub(crate) fn late(&self) -> String {
        String::from_utf8(self.late.lock().unwrap().clone()).expect("tests write UTF-8")
    }

    /// Waits until those who outlived their step have written `text`.
    pub(crate) async fn hears_late(&self, text: &str) {
        within(&format!("late {text:?}"), async {
            loop {
                let written = self.written.notified();
                if self.late().contains(text) {
                    return;
                }
                written.await;
            }
        })
        .await
    }

    /// Waits for a whole line on stdout that begins with `start`; returns the rest of it.
    pub(crate) async fn line(&self, start: &str) -> String {
        within(&format!("line {start:?}"), async {
            loop {
                let written = self.written.notified();
                let out = self.out();
                let complete = out.rfind('\n').map_or("", |end| &out[..end]);
                if let Some(line) = complete.lines().find(|line| line.starts_with(start)) {
                    return line[start.len()..].to_owned();
                }
                written.await;
            }
        })
        .await
    }

    fn of(&self, stream: Stream) -> &Mutex<Vec<u8>> {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

impl Output for Recorder {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        self.of(stream).lock().unwrap().extend_from_slice(bytes);
        self.written.notify_waiters();
    }

    fn write_late(&self, _: Stream, bytes: &[u8]) {
        self.late.lock().unwrap().extend_from_slice(bytes);
        self.written.notify_waiters();
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

/// Waits for `what`, which must not take long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(GUARD, future)
        .await
        .unwrap_or_else(|_| panic!("waited {GUARD:?} for {what}"))
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
