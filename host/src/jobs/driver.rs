//! One task per job: hears every event of the job in one order, and does what the state machine says.
//!
//! The only writer of a job's ending. Owns the job's scope: the task that walks its steps, its stop signal,
//! its workspace, what its steps left running. Leaving the scope is clean-up in every path: on a panic of
//! the walk, of the driver itself, or of a call about the job, the job is broken for good, what it runs is ended,
//! its log says so, and no other job notices (design D2, D5; contract 2.2).
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

use stephost_fault::point;
use stephost_job::{self as job, At, Ending, Event, JobId, State, StopReason};
use stephost_joblog::Stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::prepare::Prepared;
use super::tombstone;
use crate::clock::{self, Stopwatch};
use crate::logfile::{End, LogReader};
use crate::observe::metrics::{Ended, RunningJob};
use crate::observe::panics::{self, Incident, Scope};
use crate::observe::spans;
use crate::run::room::journal::{How, Recorded};
use crate::run::{Entry, JobContext, Outcome, StopLevel, containment};

/// What may wait for the driver. More of it changes nothing: the first stop counts.
const ASKED_WAITING_MAX: usize = 4;

/// Longest patience with the steps of a job that the host broke.
const BROKEN_GRACE: Duration = Duration::from_secs(2);
/// How long the walk of a broken job may take to end after the kill, before it is left at whatever it waits for.
const BROKEN_WALK: Duration = Duration::from_secs(10);

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
    /// A job of which nothing is left to wait for.
    pub(super) fn over(
        id: &JobId,
        life: Life,
        started: Option<SystemTime>,
        ended: SystemTime,
    ) -> JobView {
        JobView {
            id: id.clone(),
            life,
            started,
            ended: Some(ended),
            closes_at: None,
        }
    }

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
    /// What broke it; the first one counts.
    broken: Broken,
    asked: mpsc::Sender<Asked>,
    grace: Duration,
    recorded: Arc<Recorded>,
}

/// That the host broke a job.
struct Breakage {
    incident: Incident,
    since: Instant,
}

type Broken = watch::Sender<Option<Breakage>>;

fn break_by(broken: &Broken, incident: &Incident) {
    broken.send_if_modified(|broken| {
        let first = broken.is_none();
        broken.get_or_insert_with(|| Breakage {
            incident: incident.clone(),
            since: Instant::now(),
        });
        first
    });
}

fn incident(broken: &Broken) -> Option<Incident> {
    let broken = broken.borrow();
    broken.as_ref().map(|breakage| breakage.incident.clone())
}

impl Job {
    /// The handle of a prepared job, and its driver, which is to be started. `changed` is told when the job is over.
    pub(super) fn new(
        prepared: Prepared,
        recorded: Arc<Recorded>,
        changed: watch::Sender<()>,
    ) -> (Arc<Job>, Driver) {
        let view = watch::Sender::new(JobView {
            id: prepared.id.clone(),
            life: Life::Created,
            started: None,
            ended: None,
            closes_at: None,
        });
        let (asked, asked_heard) = mpsc::channel(ASKED_WAITING_MAX);
        let broken = watch::Sender::new(None);
        let job = Job {
            log: prepared.reader.clone(),
            view: view.subscribe(),
            broken: broken.clone(),
            asked,
            grace: prepared.grace,
            recorded: Arc::clone(&recorded),
        };
        let session = Session {
            span: spans::job(&prepared.id, prepared.context.trace.as_ref()),
            view,
            log: Arc::clone(&prepared.writer),
            broken,
            recorded,
            changed,
            zero: Stopwatch::start(),
            running: Some(RunningJob::new()),
            settled: false,
        };
        (Arc::new(job), Driver::new(prepared, session, asked_heard))
    }

    pub(super) fn log(&self) -> LogReader {
        self.log.clone()
    }

    pub(super) fn view(&self) -> JobView {
        let mut view = self.view.borrow().clone();
        if let Some(incident) = self.broken() {
            view.life = Life::Broken(incident.to_string());
        }
        view
    }

    /// The host broke while it did something for this job: what it runs is ended, and it is broken for good.
    pub(super) fn break_by(&self, incident: &Incident) {
        break_by(&self.broken, incident);
        self.recorded.ended(&tombstone::broken(incident));
    }

    /// How it is written down.
    pub(super) fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Since when it has been broken, if nothing of it runs any more.
    pub(super) fn dead_since(&self) -> Option<Instant> {
        let broken = self.broken.borrow();
        let since = broken.as_ref().map(|breakage| breakage.since);
        since.filter(|_| self.is_over())
    }

    pub(super) fn is_over(&self) -> bool {
        self.view.borrow().is_over()
    }

    /// The incident that broke this job, if one did.
    pub(super) fn broken(&self) -> Option<Incident> {
        incident(&self.broken)
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
    /// The job's own.
    span: Span,
    view: watch::Sender<JobView>,
    log: Arc<crate::logfile::LogWriter>,
    broken: Broken,
    recorded: Arc<Recorded>,
    changed: watch::Sender<()>,
    zero: Stopwatch,
    /// Taken when it is known how the job ended.
    running: Option<RunningJob>,
    /// Whether everybody was told.
    settled: bool,
}

impl Session {
    fn running(&self) {
        self.view.send_modify(|view| {
            view.life = Life::Running;
            view.started = Some(clock::wall());
        });
    }

    /// A Close answers then at the latest; what was said before it stays, if it was sooner.
    fn stopping(&self, closes_at: Instant) {
        self.view.send_modify(|view| {
            view.closes_at = Some(view.closes_at.map_or(closes_at, |at| at.min(closes_at)));
        });
    }

    /// The job's own ending.
    fn done(&mut self, ending: Ending) {
        // Masked before it is cut to its length: half a secret would not be found any more.
        let ending = ending.map_message(|text| self.log.masked(text));
        let message = ending.message();
        let written = How::from(&ending);
        let how = Ended::from(&ending);
        self.settle(how, &written, Life::Done { ending, message }, End::Complete);
    }

    /// Says that the host broke, and under which number the operator's log has it.
    fn broken(&mut self) {
        let incident = incident(&self.broken).unwrap_or_else(Incident::of_this_unwinding);
        break_by(&self.broken, &incident);
        tracing::error!(job.id = %self.view.borrow().id, error.kind = "internal", "the job is broken: {incident}");
        let written = tombstone::broken(&incident);
        let incident = incident.to_string();
        let life = Life::Broken(incident.clone());
        self.settle(Ended::Internal, &written, life, End::Broken(incident));
    }

    fn settle(&mut self, how: Ended, written: &How, life: Life, end: End) {
        self.recorded.ended(written);
        if let Some(running) = self.running.take() {
            let took = self.zero.at().since_zero();
            running.ended(how, took);
            tracing::info!(
                job.id = %self.view.borrow().id,
                job.result = how.as_str(),
                job.duration_s = took.as_secs_f64(),
                "a job ended"
            );
        }
        spans::job_ended(&self.span, how);
        self.view.send_modify(|view| {
            view.life = life;
            view.ended = Some(clock::wall());
        });
        self.log.end(end);
        self.changed.send_replace(());
        self.settled = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.settled {
            panics::in_drop(|| self.broken());
            // Followers must hear of an end in any case; the first one counts.
            if let Some(incident) = incident(&self.broken) {
                panics::in_drop(|| self.log.end(End::Broken(incident.to_string())));
            }
        }
    }
}

/// Drives one job, once it is started. Dropped before, it leaves a broken job.
pub(super) struct Driver {
    entry: Arc<Entry>,
    context: Arc<JobContext>,
    stop: watch::Sender<StopLevel>,
    asked: mpsc::Receiver<Asked>,
    broken: watch::Receiver<Option<Breakage>>,
    zero: Stopwatch,
    /// When the job has run long enough; taken when it fires.
    timeout: Option<Instant>,
    grace: Duration,
    /// The one task that walks the steps. Dropping the set aborts it.
    walk: JoinSet<Result<Outcome, Incident>>,
    session: Session,
}

/// What a driver waits for.
enum Happened {
    Event(Event, At),
    /// The host broke.
    Broken,
}

impl Driver {
    fn new(prepared: Prepared, session: Session, asked: mpsc::Receiver<Asked>) -> Driver {
        let zero = session.zero;
        Driver {
            entry: prepared.entry,
            context: prepared.context,
            stop: prepared.stop,
            asked,
            broken: session.broken.subscribe(),
            zero,
            timeout: prepared.timeout.and_then(|timeout| zero.deadline(timeout)),
            grace: prepared.grace,
            walk: JoinSet::new(),
            session,
        }
    }

    /// Starts the task that sees the job to its end.
    pub(super) fn start(self) {
        // The session's drop is what makes this task safe to lose.
        let span = self.session.span.clone();
        tokio::spawn(self.drive().instrument(span));
    }

    async fn drive(mut self) {
        let scope = self.scope("driver");
        let ending = match scope.clone().around(self.live()).await {
            Ok(ending) => ending,
            Err(incident) => {
                break_by(&self.session.broken, &incident);
                None
            }
        };
        if ending.is_none() && scope.clone().around(self.stop_broken()).await.is_err() {
            self.walk.abort_all();
        }
        let Driver {
            context,
            mut session,
            walk,
            ..
        } = self;
        drop(walk);
        if let Err(incident) = scope.clone().around(leave(context, &session)).await {
            break_by(&session.broken, &incident);
        }
        let broken = session.broken.borrow().is_some();
        let settled = scope.around_now(|| {
            point!("driver.settling");
            match ending {
                Some(ending) if !broken => session.done(ending),
                Some(_) | None => session.broken(),
            }
        });
        if let Err(incident) = settled {
            // Followers must hear of an end in any case.
            break_by(&session.broken, &incident);
            session.broken();
        }
    }

    fn scope(&self, place: &'static str) -> Scope {
        Scope::job(&self.session.view.borrow().id, place)
    }

    /// Sees the job to its ending; `None` when the host broke.
    async fn live(&mut self) -> Option<Ending> {
        point!("driver.begun", waits);
        // A stop that came first keeps the job from starting.
        let first = match self.asked.try_recv() {
            Ok(Asked::Stop(reason)) => Event::Stop(reason),
            Ok(Asked::Hurry) | Err(_) => Event::PickedUp,
        };
        let mut state = State::Created;
        let mut happened = Happened::Event(first, self.zero.at());
        while let Happened::Event(event, at) = happened {
            point!("driver.event", waits);
            let picked_up = matches!(event, Event::PickedUp);
            let (next, effect) = job::step(state, event, at, self.grace);
            state = next;
            if picked_up {
                self.start_walk();
                point!("driver.started", waits);
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
                    point!("driver.ended", waits);
                    return Some(ending);
                }
            }
            happened = self.next(&state).await;
        }
        None
    }

    fn start_walk(&mut self) {
        self.session.running();
        let context = Arc::clone(&self.context);
        let entry = Arc::clone(&self.entry);
        let walk = async move { context.run(&entry).await };
        let walk = self.scope("walk").around(walk);
        self.walk.spawn(walk.in_current_span());
    }

    /// Waits for what happens next, and when it did.
    async fn next(&mut self, state: &State) -> Happened {
        let tick = job::wake_at(state).map(|at| self.zero.instant(at));
        let event = tokio::select! {
            biased;
            _ = self.broken.wait_for(Option::is_some) => return Happened::Broken,
            Some(walked) = self.walk.join_next() => match walked {
                Ok(Ok(Outcome { ending, interrupted })) => Event::Finished { ending, interrupted },
                Ok(Err(incident)) => {
                    break_by(&self.session.broken, &incident);
                    return Happened::Broken;
                }
                Err(lost) => {
                    break_by(&self.session.broken, &Incident::of_task(lost));
                    return Happened::Broken;
                }
            },
            Some(asked) = self.asked.recv() => match asked {
                Asked::Stop(reason) => Event::Stop(reason),
                // As if the end of the grace had come.
                Asked::Hurry => {
                    let now = self.zero.at();
                    let at = job::wake_at(state).map_or(now, |at| at.max(now));
                    return Happened::Event(Event::Tick, at);
                }
            },
            () = at(self.timeout) => {
                self.timeout = None;
                Event::Stop(StopReason::Timeout)
            }
            () = at(tick) => Event::Tick,
        };
        Happened::Event(event, self.zero.at())
    }

    /// Ends what a broken job runs: politely, then not. Waits until its walk is over.
    async fn stop_broken(&mut self) {
        let reason = StopReason::Close;
        let latest = Instant::now() + self.grace.min(BROKEN_GRACE);
        let mut kill_at = latest;
        self.stop.send_modify(|level| match level {
            StopLevel::None => *level = StopLevel::Polite { reason, kill_at },
            // It has begun; no later stop makes it longer.
            StopLevel::Polite { kill_at: begun, .. } => kill_at = latest.min(*begun),
            StopLevel::Kill { .. } => kill_at = Instant::now(),
        });
        self.session.stopping(kill_at + job::CLOSE_MARGIN);
        let over = async { while self.walk.join_next().await.is_some() {} };
        if tokio::time::timeout_at(kill_at, over).await.is_ok() {
            return;
        }
        self.stop.send_replace(StopLevel::Kill { reason });
        let over = async { while self.walk.join_next().await.is_some() {} };
        if tokio::time::timeout(BROKEN_WALK, over).await.is_err() {
            self.walk.shutdown().await;
        }
    }
}

/// Ends what the steps left running, and removes what they left lying. The walk is over.
async fn leave(context: Arc<JobContext>, session: &Session) {
    let leftovers = std::mem::take(
        &mut *context
            .leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    point!("driver.leftovers", waits);
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
    } else {
        let span = Span::current();
        let dropped = panics::carried(move || span.in_scope(|| drop(context)));
        let removed = tokio::task::spawn_blocking(dropped).await;
        if let Err(lost) = removed {
            break_by(&session.broken, &Incident::of_task(lost));
        }
    }
    point!("driver.removed", waits);
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
    use crate::lodging::Lodging;
    use crate::logfile;

    fn session() -> (
        Session,
        LogReader,
        watch::Receiver<JobView>,
        tempfile::TempDir,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new([b"hunter2".to_vec()]);
        let lodging = Lodging::at(dir.path().to_owned());
        let (log, reader) = logfile::create(lodging, secrets).unwrap();
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
            span: Span::none(),
            view,
            log,
            broken: watch::Sender::new(None),
            recorded: Recorded::begin(None, &JobId::parse("7").unwrap()),
            changed,
            zero: Stopwatch::start(),
            running: Some(RunningJob::new()),
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
