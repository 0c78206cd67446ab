//! What outlives a step: what it says, and how long it lives.
//!
//! Owns the way of a program's output into the job's log, also after its step, and the one place where it is decided whether
//! those who live on are kept for the job or killed at the step's end ([`Background`]). Promises: what a process says
//! after its step is marked with the step's name; who is killed is told to the operator and in the log, and fails nothing.
//! Called by `exec` and `builtin` at a step's end, and by `process` whenever a program writes.

use std::sync::{Arc, OnceLock};

use stephost_joblog::{BackgroundId, Stream};
use stephost_process::{Leftovers, Output, Report};

use super::{JobContext, containment};
use crate::config::Background;
use crate::logfile::LogWriter;
use crate::observe::panics;

/// Said when a program's output does not end with it.
const HELD: &str = "a background process still holds the step's output; the step does not wait for it, and what it says later is marked";

/// What a program prints goes into the job's log.
pub(super) struct StepOutput {
    log: Arc<LogWriter>,
    step: String,
    /// Set by the first word after the step's end.
    late: OnceLock<BackgroundId>,
}

impl StepOutput {
    pub(super) fn new(log: &Arc<LogWriter>, step: &str) -> StepOutput {
        StepOutput {
            log: Arc::clone(log),
            step: step.to_owned(),
            late: OnceLock::new(),
        }
    }
}

impl Output for StepOutput {
    fn write(&self, stream: stephost_process::Stream, bytes: &[u8]) {
        self.log.write(in_log(stream), bytes);
    }

    fn write_late(&self, stream: stephost_process::Stream, bytes: &[u8]) {
        let late = self
            .late
            .get_or_init(|| self.log.begin_background(&self.step));
        self.log.write_background(*late, in_log(stream), bytes);
    }
}

impl Drop for StepOutput {
    fn drop(&mut self) {
        if let Some(late) = self.late.get() {
            panics::in_drop(|| self.log.end_background(*late));
        }
    }
}

fn in_log(stream: stephost_process::Stream) -> Stream {
    match stream {
        stephost_process::Stream::Out => Stream::Out,
        stephost_process::Stream::Err => Stream::Err,
    }
}

/// Notes it in the log when a process of the step still holds its output. Held by nobody of the step means: for a moment,
/// by a child of the host that has not become another program yet; that does not count.
pub(super) fn note_if_held(log: &LogWriter, report: &Report) -> bool {
    let members = report.leftovers.as_ref().map_or(0, Leftovers::processes);
    let held = report.background > 0 && members > 0;
    if held {
        log.line(Stream::Err, HELD);
    }
    held
}

impl JobContext {
    /// Decides about those who outlived `step`, which is over.
    pub(super) async fn outlived(&self, step: &str, leftovers: Leftovers) {
        match self.background {
            Background::Keep => self.keep(leftovers),
            Background::Kill => {
                let trace = leftovers.kill().await;
                containment::record_killed(step, &trace);
                if let Some(line) = containment::line(&trace) {
                    self.log.line(Stream::Err, &line);
                }
            }
        }
    }
}
