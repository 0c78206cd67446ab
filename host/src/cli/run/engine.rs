//! One job on this machine, by the same pieces as behind a server: the registry, its driver, the log it writes.
//!
//! Owns the way from a submission to what is left of it. Promises: the job is over and closed when [`run`] returns;
//! the first interrupt asks it to stop, the second one ends its grace; the signals are heard while the screen is
//! busy. Called by `cli::run`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use stephost_job::{Ending, JobId};
use stephost_joblog::{LogOffset, Unstamper};
use stephost_steps::Name;
use tokio::sync::watch;

use super::screen::Screen;
use crate::cli::signals::{Asked, Listening};
use crate::cli::visible::visible;
use crate::clock::Stopwatch;
use crate::jobs::{Jobs, Life, RefusedJob, RunError, Submission};
use crate::logfile::LogReader;
use crate::run::Walk;

/// How much of the log is looked at for the last lines of a step.
const TAIL_BYTES_MAX: u64 = 64 << 10;

/// How often progress is drawn while nothing happens.
const ROUND: Duration = Duration::from_secs(1);

/// A signal that ends this program: what to do about it, and the exit code that tells of it.
const SIGNALS: [(Asked, u8); 3] = [
    (Asked::Hangup, 129),
    (Asked::Interrupt, super::exit::INTERRUPTED),
    (Asked::Terminate, 143),
];

/// How a job ended.
pub(super) struct Ended {
    pub(super) ending: Ending,
    /// In words, for people; empty on success.
    pub(super) message: String,
    /// The steps in which it ended.
    pub(super) path: Vec<Name>,
    /// The end of what the innermost of them printed, not stamped.
    pub(super) tail: Vec<u8>,
    pub(super) outputs: BTreeMap<Name, Option<Json>>,
    pub(super) elapsed: Duration,
}

/// The stops that a person asked for.
#[derive(Clone)]
pub(super) struct Stops {
    heard: watch::Receiver<Heard>,
    /// How many of them were for jobs that are over.
    settled: u32,
}

/// What was heard so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    times: u32,
    /// Exit code of the first.
    code: Option<u8>,
}

impl Stops {
    /// Listens from now on, for as long as the runtime lives.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn listen() -> std::io::Result<Stops> {
        let (say, heard) = watch::channel(Heard::default());
        for (asked, code) in SIGNALS {
            let mut listening = Listening::to(asked)?;
            let say = say.clone();
            // Ends with the runtime; it owns nothing.
            tokio::spawn(async move {
                while listening.heard().await.is_some() {
                    say.send_modify(|heard| {
                        heard.times = heard.times.saturating_add(1);
                        heard.code.get_or_insert(code);
                    });
                }
            });
        }
        Ok(Stops { heard, settled: 0 })
    }

    /// The exit code of the signal that came first, if one came.
    pub(super) fn code(&self) -> Option<u8> {
        self.heard.borrow().code
    }

    /// Waits until somebody asks, or asks again; returns how often that is.
    async fn asked(&mut self, before: u32) -> u32 {
        let settled = self.settled;
        let asked = self.heard.wait_for(|heard| heard.times - settled > before);
        let times = asked.await.ok().map(|heard| heard.times - settled);
        match times {
            Some(times) => times,
            // Nobody listens any more, so nobody asks.
            None => std::future::pending().await,
        }
    }

    /// Passes on to a job what was heard since the last one: the first signal asks, the second hurries.
    async fn pass_on(mut self, jobs: Arc<Jobs>, id: JobId) {
        let mut times = 0;
        loop {
            // Two signals may be seen as one change.
            times = self.asked(times).await;
            // A job that is gone needs no stop.
            let _ = jobs.cancel(&id).await;
            if times > 1 {
                let _ = jobs.hurry(&id).await;
            }
        }
    }

    /// Takes what was heard so far as meant for the job that is over. Returns how often it was told to end.
    pub(super) fn settle(&mut self) -> u32 {
        let times = self.heard.borrow().times;
        times - std::mem::replace(&mut self.settled, times)
    }
}

/// Runs a job to its end, its log on `screen`; `what` is what progress calls it before its first step.
///
/// # Errors
///
/// When it cannot be made; nothing of it is left then.
pub(super) async fn run<O: Write, E: Write>(
    jobs: &Arc<Jobs>,
    mut submission: Submission,
    what: &str,
    stops: &Stops,
    screen: &mut Screen<O, E>,
) -> Result<Ended, RunError> {
    let (watcher, walk) = watch::channel(Walk::default());
    submission.watcher = Some(watcher);
    let id = submission.id.clone();
    let grace = submission.grace.unwrap_or(stephost_job::GRACE_DEFAULT);
    let clock = Stopwatch::start();
    jobs.run(submission).await?;
    let gone = |_| RunError::Refused(RefusedJob::Broken("the job is gone".to_owned()));
    let log = jobs.log(&id).await.map_err(gone)?.log;

    let passing = tokio::spawn(stops.clone().pass_on(Arc::clone(jobs), id.clone()));
    let progress = || {
        let path = path_text(&walk.borrow().path);
        if path.is_empty() { visible(what) } else { path }
    };
    let broken = follow(&log, progress, stops, grace, clock, screen).await;
    passing.abort();

    let view = jobs.status(&id).await;
    let (ending, message) = match (broken, view.map(|view| view.life)) {
        (None, Ok(Life::Done { ending, message })) => (ending, message),
        (broken, _) => {
            let message = broken.unwrap_or_else(|| "internal error: the job has no end".to_owned());
            let ending = Ending::Internal {
                message: message.clone(),
            };
            (ending, message)
        }
    };
    let Walk {
        path,
        output_from,
        outputs,
    } = walk.borrow().clone();
    let tail = tail(&log, output_from).await;
    jobs.close(&id).await;
    Ok(Ended {
        ending,
        message,
        path,
        tail,
        outputs,
        elapsed: clock.at().since_zero(),
    })
}

/// Shows the log until it ends; returns why it ended too early, if it did.
async fn follow<O: Write, E: Write>(
    log: &LogReader,
    progress: impl Fn() -> String,
    stops: &Stops,
    grace: Duration,
    clock: Stopwatch,
    screen: &mut Screen<O, E>,
) -> Option<String> {
    let mut pieces = std::pin::pin!(log.follow(LogOffset::START));
    let mut stops = stops.clone();
    let mut times = 0;
    let mut rounds = tokio::time::interval(ROUND);
    let mut broken = None;
    loop {
        tokio::select! {
            // A stop is heard before it ends the log, so who looks for it first always says it.
            biased;
            asked = stops.asked(times) => {
                times = asked;
                screen.note(&if times > 1 {
                    "killing what runs".to_owned()
                } else {
                    format!("stopping: what runs has {grace:?} to end; a second interrupt kills it")
                });
            }
            piece = pieces.next() => match piece {
                Some(Ok(stored)) => screen.log(&stored),
                Some(Err(error)) => {
                    broken = Some(error.to_string());
                    break;
                }
                None => break,
            },
            _ = rounds.tick(), if screen.has_progress() => {}
        }
        if screen.has_progress() {
            screen.progress(&progress(), clock.at().since_zero());
        }
    }
    screen.log_ended();
    broken
}

/// `outer > inner`; nothing for a job without steps.
pub(super) fn path_text(path: &[Name]) -> String {
    let names: Vec<&str> = path.iter().map(Name::as_str).collect();
    names.join(" > ")
}

/// The end of a log that is over, not before `from`.
async fn tail(log: &LogReader, from: LogOffset) -> Vec<u8> {
    let stored = log.stored();
    let first = LogOffset::START.advance(stored.bytes().saturating_sub(TAIL_BYTES_MAX));
    let start = from.max(first);
    let mut bytes = Vec::new();
    let mut pieces = std::pin::pin!(log.follow(start));
    while let Some(Ok(piece)) = pieces.next().await {
        bytes.extend_from_slice(&piece);
    }
    let whole = if start > from {
        // The first line is cut.
        let end = bytes.iter().position(|byte| *byte == b'\n');
        &bytes[end.map_or(0, |end| end + 1)..]
    } else {
        &bytes[..]
    };
    let mut text = Vec::new();
    let mut unstamper = Unstamper::new();
    unstamper.push(whole, |_, shown| text.extend_from_slice(shown));
    unstamper.finish(|_, shown| text.extend_from_slice(shown));
    text
}

/// An id for a job that nobody else names.
pub(super) fn fresh_id() -> anyhow::Result<JobId> {
    JobId::parse(&uuid::Uuid::new_v4().simple().to_string()).context("making an id")
}
