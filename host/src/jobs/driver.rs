//! One task per job: hears every event of the job in one order, and does what the state machine says.
//!
//! The only writer of a job's ending. Owns the job's scope: the task that walks its steps, its stop signal,
//! its workspace, what its steps left running. Leaving the scope is clean-up in every path: on a panic of
//! the walk, or of the driver itself, the job is broken for good, its log says so, and no other job notices
//! (design D2, D5; contract 2.2).
//!
//! ```text
//! Cancel, Close ──asked──▶ ┌────────┐ ──StopLevel──▶ run
//! timeout, grace ──clock─▶ │ driver │ ◀──Outcome─── run
//!                          └────────┘ ──JobView───▶ Status, Close, drain
//! ```
//!
//! At the end, in this order (contract 2.2): left-over processes killed, step files removed, status stored,
//! log closed, waiters woken.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use stephost_job::{self as job, At, Ending, Event, JobId, State, StopReason};
use stephost_joblog::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::prepare::Prepared;
use crate::clock::{self, Stopwatch};
use crate::logfile::{End, LogReader};
use crate::run::{Entry, JobContext, Outcome, StopLevel, containment};

/// What may wait for the driver. More of it changes nothing: the first stop counts.
const ASKED_WAITING_MAX: usize = 4;

/// What somebody wants of a driver.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// That the job ends.
    Stop(StopReason),
    /// That its grace ends now. Nothing to a job that nobody stopped.
    Hurry,
}

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    /// Registered.
    Created,
    /// Running or stopping.
    Running,
    /// Over; the message is for clients, without secrets.
    Done {
        /// How.
        ending: Ending,
        /// In words; empty on success.
        message: String,
    },
    /// The host broke; the text names the incident.
    Broken(String),
}

/// What the world may know about a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobView {
    pub(crate) id: JobId,
    pub(crate) life: Life,
    pub(crate) started: Option<SystemTime>,
    pub(crate) ended: Option<SystemTime>,
    /// When a Close answers at the latest; set by the first stop.
    closes_at: Option<Instant>,
}

impl JobView {
    fn is_over(&self) -> bool {
        match self.life {
            Life::Created | Life::Running => false,
            Life::Done { .. } | Life::Broken(_) => true,
        }
    }
}

/// The handle of a job: everything but its execution.
pub(super) struct Job {
    log: LogReader,
    view: watch::Receiver<JobView>,
    asked: mpsc::Sender<Asked>,
    grace: Duration,
}

impl Job {
    /// Starts the driver of a prepared job. `changed` is told when the job is over.
    pub(super) fn start(prepared: Prepared, changed: watch::Sender<()>) -> Arc<Job> {
        let view = watch::Sender::new(JobView {
            id: prepared.id.clone(),
            life: Life::Created,
            started: None,
            ended: None,
            closes_at: None,
        });
        let (asked, asked_heard) = mpsc::channel(ASKED_WAITING_MAX);
        let job = Job {
            log: prepared.reader.clone(),
            view: view.subscribe(),
            asked,
            grace: prepared.grace,
        };
        let session = Session {
            view,
            log: Arc::clone(&prepared.writer),
            changed,
            settled: false,
        };
        // The session's drop is what makes this task safe to lose.
        tokio::spawn(Driver::new(prepared, session, asked_heard).drive());
        Arc::new(job)
    }

    pub(super) fn log(&self) -> LogReader {
        self.log.clone()
    }

    pub(super) fn view(&self) -> JobView {
        self.view.borrow().clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.view.borrow().is_over()
    }

    /// The incident that broke this job, if one did.
    pub(super) fn broken(&self) -> Option<String> {
        match &self.view.borrow().life {
            Life::Broken(incident) => Some(incident.clone()),
            Life::Created | Life::Running | Life::Done { .. } => None,
        }
    }

    /// Asks for a stop. Never waits; a stop too many changes nothing.
    pub(super) fn stop(&self, reason: StopReason) {
        // Full means that stops wait already; closed means that the job is over.
        let _ = self.asked.try_send(Asked::Stop(reason));
    }

    /// Ends the grace of a stop. Never waits.
    pub(super) fn hurry(&self) {
        let _ = self.asked.try_send(Asked::Hurry);
    }

    /// How long a Close of this job may take from now on.
    pub(super) fn closes_within(&self) -> Duration {
        if self.is_over() {
            Duration::ZERO
        } else {
            self.grace.saturating_add(job::CLOSE_MARGIN)
        }
    }

    /// Waits until the job is over, or until its Close must answer.
    pub(super) async fn closed(&self) {
        let mut view = self.view.clone();
        let known = view
            .wait_for(|view| view.is_over() || view.closes_at.is_some())
            .await;
        let Some(closes_at) = known.ok().and_then(|view| view.closes_at) else {
            return;
        };
        let in_time = tokio::time::timeout_at(closes_at, view.wait_for(JobView::is_over))
            .await
            .is_ok();
        if !in_time {
            tracing::error!(job.id = %view.borrow().id, "a job outlived its grace; its reaper goes on");
        }
    }
}

/// What must be said about a job however its driver ends.
struct Session {
    view: watch::Sender<JobView>,
    log: Arc<crate::logfile::LogWriter>,
    changed: watch::Sender<()>,
    settled: bool,
}

impl Session {
    fn running(&self) {
        self.view.send_modify(|view| {
            view.life = Life::Running;
            view.started = Some(clock::wall());
        });
    }

    fn stopping(&self, closes_at: Instant) {
        self.view
            .send_modify(|view| view.closes_at = Some(closes_at));
    }

    /// The job's own ending.
    fn done(&mut self, ending: Ending) {
        // Masked before it is cut to its length: half a secret would not be found any more.
        let ending = ending.map_message(|text| self.log.masked(text));
        let message = ending.message();
        self.settle(Life::Done { ending, message }, End::Complete);
    }

    /// The host broke. Says so under an incident number that the operator's log has too.
    fn broken(&mut self) {
        let incident = format!(
            "internal error (incident {})",
            uuid::Uuid::new_v4().simple()
        );
        tracing::error!(job.id = %self.view.borrow().id, error.kind = "internal", "{incident}");
        self.settle(Life::Broken(incident.clone()), End::Broken(incident));
    }

    fn settle(&mut self, life: Life, end: End) {
        self.settled = true;
        self.view.send_modify(|view| {
            view.life = life;
            view.ended = Some(clock::wall());
        });
        self.log.end(end);
        self.changed.send_replace(());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.settled {
            self.broken();
        }
    }
}

struct Driver {
    entry: Arc<Entry>,
    context: Arc<JobContext>,
    stop: watch::Sender<StopLevel>,
    asked: mpsc::Receiver<Asked>,
    zero: Stopwatch,
    /// When the job has run long enough; taken when it fires.
    timeout: Option<Instant>,
    grace: Duration,
    /// The one task that walks the steps. Dropping the set aborts it.
    walk: JoinSet<Outcome>,
    session: Session,
}

impl Driver {
    fn new(prepared: Prepared, session: Session, asked: mpsc::Receiver<Asked>) -> Driver {
        let zero = Stopwatch::start();
        Driver {
            entry: prepared.entry,
            context: prepared.context,
            stop: prepared.stop,
            asked,
            zero,
            timeout: prepared.timeout.and_then(|timeout| zero.deadline(timeout)),
            grace: prepared.grace,
            walk: JoinSet::new(),
            session,
        }
    }

    async fn drive(mut self) {
        // A stop that came first keeps the job from starting.
        let first = match self.asked.try_recv() {
            Ok(Asked::Stop(reason)) => Event::Stop(reason),
            Ok(Asked::Hurry) | Err(_) => Event::PickedUp,
        };
        let mut event = Some((first, self.zero.at()));
        let mut state = State::Created;
        while let Some((happened, at)) = event {
            let picked_up = matches!(happened, Event::PickedUp);
            let (next, effect) = job::step(state, happened, at, self.grace);
            state = next;
            if picked_up {
                self.start_walk();
            }
            match effect {
                job::Effect::Nothing => {}
                job::Effect::Terminate(reason) => {
                    let kill_at = job::wake_at(&state).unwrap_or(at);
                    let closes_at = job::close_answers_by(&state, at, self.grace);
                    self.session.stopping(self.zero.instant(closes_at));
                    let kill_at = self.zero.instant(kill_at);
                    self.stop
                        .send_replace(StopLevel::Polite { reason, kill_at });
                }
                job::Effect::Kill(reason) => {
                    self.stop.send_replace(StopLevel::Kill { reason });
                }
                job::Effect::Publish(ending) => {
                    self.finish(ending).await;
                    return;
                }
            }
            event = self.next_event(&state).await;
        }
        // The walk panicked: dropping the session says so.
    }

    fn start_walk(&mut self) {
        self.session.running();
        let context = Arc::clone(&self.context);
        let entry = Arc::clone(&self.entry);
        self.walk.spawn(async move { context.run(&entry).await });
    }

    /// Waits for what happens next, and when it did; `None` when the walk panicked.
    async fn next_event(&mut self, state: &State) -> Option<(Event, At)> {
        let tick = job::wake_at(state).map(|at| self.zero.instant(at));
        let event = tokio::select! {
            biased;
            Some(walked) = self.walk.join_next() => {
                let Outcome { ending, interrupted } = walked.ok()?;
                Event::Finished { ending, interrupted }
            }
            Some(asked) = self.asked.recv() => match asked {
                Asked::Stop(reason) => Event::Stop(reason),
                // As if the end of the grace had come.
                Asked::Hurry => {
                    let now = self.zero.at();
                    return Some((Event::Tick, job::wake_at(state).map_or(now, |at| at.max(now))));
                }
            },
            () = at(self.timeout) => {
                self.timeout = None;
                Event::Stop(StopReason::Timeout)
            }
            () = at(tick) => Event::Tick,
        };
        Some((event, self.zero.at()))
    }

    async fn finish(self, ending: Ending) {
        let Driver {
            context,
            mut session,
            walk,
            ..
        } = self;
        drop(walk);
        let leftovers = std::mem::take(
            &mut *context
                .leftovers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for leftover in leftovers {
            let trace = leftover.kill().await;
            containment::record_kept(session.view.borrow().id.as_str(), &trace);
            if let Some(line) = containment::line(&trace) {
                session.log.line(Stream::Err, &line);
            }
        }
        // The walk is over, so this is the last holder of the workspace. A step may have filled it.
        if context.workspace.is_unused() {
            drop(context);
            return session.done(ending);
        }
        let removed = tokio::task::spawn_blocking(move || drop(context)).await;
        if removed.is_err() {
            tracing::error!("removing a job's workspace panicked");
        }
        session.done(ending);
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use stephost_joblog::{LogOffset, Secrets};

    use super::*;
    use crate::logfile;

    fn session() -> (
        Session,
        LogReader,
        watch::Receiver<JobView>,
        tempfile::TempDir,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([b"hunter2".to_vec()]);
        let (log, reader) = logfile::create(dir.path(), secrets).unwrap();
        let view = watch::Sender::new(JobView {
            id: JobId::parse("7").unwrap(),
            life: Life::Running,
            started: None,
            ended: None,
            closes_at: None,
        });
        let seen = view.subscribe();
        let changed = watch::Sender::new(());
        let session = Session {
            view,
            log,
            changed,
            settled: false,
        };
        (session, reader, seen, dir)
    }

    #[tokio::test]
    async fn a_driver_that_is_lost_breaks_its_job_and_says_so_to_every_follower() {
        let (session, reader, seen, _dir) = session();
        let lost = tokio::spawn(async move {
            let _session = session;
            panic!("asked to");
        });
        assert!(lost.await.unwrap_err().is_panic());
        let Life::Broken(incident) = seen.borrow().life.clone() else {
            panic!("the job is not broken: {seen:?}");
        };
        assert!(
            incident.starts_with("internal error (incident "),
            "{incident}"
        );
        let followed: Vec<_> = reader.follow(LogOffset::START).collect().await;
        assert_eq!(followed.len(), 1);
        assert_eq!(followed[0].as_ref().unwrap_err().to_string(), incident);
    }

    #[tokio::test]
    async fn an_ending_is_masked_and_stored_before_the_log_ends() {
        let (mut session, reader, seen, _dir) = session();
        let message = "cannot open hunter2".to_owned();
        session.done(Ending::Failed {
            message,
            exit_status: Some(3),
        });
        assert_eq!(
            reader.follow(LogOffset::START).count().await,
            0,
            "a clean end"
        );
        let Life::Done { message, .. } = seen.borrow().life.clone() else {
            panic!("the job is not done: {seen:?}");
        };
        assert_eq!(message, "cannot open [MASKED]: exit status 3");
        assert!(seen.borrow().ended.is_some());
    }
}
