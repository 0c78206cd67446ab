//! The registry: every job the host knows, by its id.
//!
//! Owns the only map of jobs and the two phases in which a job enters it: an id is reserved first, the job
//! is made second, so that two calls with one id start one job, and a job that cannot be made leaves no
//! trace (contract 1.7, design D3). Everybody who meets a reservation waits for its outcome. A job whose
//! host code panicked, or about which a call panicked, goes to its clean-up at once; what is left of it, and of jobs
//! whose host died, answers truthfully until it is closed or expires ([`tombstone`], [`slots`]; design D2).
//!
//! Never runs a step, never reads a clock for a decision: that is the [`driver`]'s, one task per job.
//! Called by `server`, and by `cli` for a job without a server. Locks are held for map operations and a line of the journal only, never over
//! foreign code or an await.

mod driver;
mod prepare;
mod slots;
mod tombstone;

use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stephost_fault::point;
use stephost_job::{JobId, StopReason};
use stephost_policy::Policy;
use stephost_process::Supervisors;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{self, Background};
use crate::lodging::Lodging;
use crate::logfile::LogReader;
use crate::observe::panics::Incident;
use crate::run::Functions;
use crate::run::room::Room;
use crate::run::room::journal::{Journal, Left, Recorded};

pub(crate) use driver::{JobView, Life};
pub(crate) use prepare::{RefusedJob, Submission, Variable, Work};

use driver::Job;
use slots::{Slot, Slots};
use tombstone::Tombstone;

/// Why a call about a job has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    /// No job of that id is registered.
    #[error("no job `{0}`: it was never run here, or it was closed")]
    Unknown(JobId),
    /// The host broke while it handled this job; the text names the incident.
    #[error("{0}")]
    Broken(String),
    /// The host that ran it died, and it with that one.
    #[error("internal error: job `{0}` is lost: the step host ended while it ran")]
    Lost(JobId),
    /// It had ended before its host died, with which its log went.
    #[error("the log of job `{0}` is lost: the step host ended after the job")]
    LogGone(JobId),
}

impl LookupError {
    fn broken(incident: Incident) -> LookupError {
        LookupError::Broken(incident.to_string())
    }
}

/// Why Run did not start a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The job cannot be made; nothing of it is left.
    #[error(transparent)]
    Refused(#[from] RefusedJob),
    /// The id belongs to a job that the host broke; it must be closed first.
    #[error("job `{0}` is broken by an internal error; close it before its id is used again")]
    Broken(JobId),
    /// The id belongs to a job of a host that died; it must be closed first.
    #[error(
        "job `{0}` was run by a step host that has ended since; close it before its id is used again"
    )]
    OfDeadHost(JobId),
    /// The host takes no new jobs.
    #[error("the step host is shutting down and takes no new jobs")]
    Draining,
}

/// What Run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// A new job.
    New,
    /// Nothing: the id was registered already.
    Already,
}

/// What an id stands for.
enum Known {
    Job(Arc<Job>),
    Tombstone(Arc<Tombstone>),
}

/// The log of a job, for one who follows it.
pub(crate) struct Followed {
    pub(crate) log: LogReader,
    job: Arc<Job>,
}

impl Followed {
    /// Why the log cannot be said to have ended well, if it cannot.
    pub(crate) fn broken(&self) -> Option<LookupError> {
        self.job.broken().map(LookupError::broken)
    }
}

struct Registry {
    slots: Slots,
    draining: bool,
}

/// All jobs of this host.
pub(crate) struct Jobs {
    registry: Mutex<Registry>,
    /// What new jobs call.
    functions: Mutex<Arc<Functions>>,
    hosting: Hosting,
    /// Changes whenever a job enters, ends or leaves.
    changed: watch::Sender<()>,
}

/// What a host has for its jobs. Clones are handles of the same.
#[derive(Debug, Clone)]
pub(crate) struct Hosting {
    /// Who runs their programs.
    pub(crate) supervisors: Supervisors,
    /// Where their directories are; without one, among everybody's temporary files.
    pub(crate) room: Option<Arc<Room>>,
    /// Where they are written down for the next host, if somebody may ask that one for them.
    pub(crate) journal: Option<Arc<Journal>>,
    /// What becomes of processes that outlive their step.
    pub(crate) background: Background,
}

impl Hosting {
    fn lodging(&self) -> Lodging {
        match &self.room {
            Some(room) if room.is_there() => Lodging::of(room.path().to_owned(), Arc::clone(room)),
            Some(_) | None => Lodging::at(config::temp_dir()),
        }
    }
}

/// A reserved id. Dropping it frees the id and wakes who waits for it; in a panic a tombstone stays.
struct Reservation<'a> {
    jobs: &'a Jobs,
    id: JobId,
    /// Closed by the drop, which is what the waiting see.
    _over: watch::Sender<()>,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let journal = self.jobs.hosting.journal.as_ref();
        let mut registry = self.jobs.lock();
        if let MapEntry::Occupied(mut slot) = registry.slots.entry(&self.id, Instant::now())
            && let Slot::Reserved { broken, .. } = slot.get_mut()
        {
            let broken = broken.take();
            let broken = broken.or_else(|| panicking.then(Incident::of_this_unwinding));
            slot.remove();
            if let Some(incident) = broken {
                registry.bury(
                    &self.id,
                    Tombstone::broken(incident, &self.id, journal, Instant::now()),
                );
            }
        }
        drop(registry);
        // A drain waits for reserved ids too.
        self.jobs.changed.send_replace(());
    }
}

impl Registry {
    fn bury(&mut self, id: &JobId, stone: Tombstone) {
        let now = stone.since();
        let slot = Slot::Tombstone(Arc::new(stone));
        self.slots.insert(id.clone(), slot, now);
    }
}

impl Jobs {
    /// An empty registry whose jobs call `functions` and have what is in `hosting`.
    pub(crate) fn new(functions: Arc<Functions>, hosting: Hosting) -> Jobs {
        let registry = Registry {
            slots: Slots::new(Instant::now()),
            draining: false,
        };
        Jobs {
            registry: Mutex::new(registry),
            functions: Mutex::new(functions),
            hosting,
            changed: watch::Sender::new(()),
        }
    }

    /// Answers for the jobs of a host that died. Before there are jobs of this one.
    pub(crate) fn inherit(&self, left: &[Left]) {
        for left in left {
            let stone = Tombstone::inherited(left, self.hosting.journal.as_ref(), Instant::now());
            self.lock().bury(&left.id, stone);
        }
    }

    /// Registers and starts the job that `submission` describes.
    ///
    /// # Errors
    ///
    /// [`RunError`]; the id is free again then, and nothing of the job is left.
    pub(crate) async fn run(&self, submission: Submission) -> Result<Started, RunError> {
        let id = submission.id.clone();
        let reservation = loop {
            match self.reserve(&id)? {
                Reserve::Mine(reservation) => break reservation,
                // The one before us may still fail; then it is our turn.
                Reserve::Wait(mut over) => while over.changed().await.is_ok() {},
                Reserve::Registered => {
                    tracing::warn!(job.id = %id, "Run of a registered id: nothing started");
                    return Ok(Started::Already);
                }
            }
        };
        point!("run.reserved", waits);
        let functions = self.functions();
        let prepared = prepare::prepare(submission, functions, self.hosting.clone()).await?;
        point!("run.prepared", waits);
        let recorded = Recorded::begin(self.hosting.journal.as_ref(), &id);
        let (job, driver) = Job::new(prepared, recorded, self.changed.clone());
        // From here to the start nothing waits: a call that is given up leaves no job that nobody drives.
        point!("run.made");
        self.register(id, job);
        point!("run.registered");
        driver.start();
        point!("run.started", waits);
        drop(reservation);
        point!("run.released", waits);
        self.changed.send_replace(());
        Ok(Started::New)
    }

    /// Gives a reserved id its job.
    fn register(&self, id: JobId, job: Arc<Job>) {
        let mut registry = self.lock();
        let before = registry
            .slots
            .insert(id, Slot::Made(Arc::clone(&job)), Instant::now());
        drop(registry);
        if let Some(Slot::Reserved {
            broken: Some(incident),
            ..
        }) = before
        {
            job.break_by(&incident);
        }
    }

    /// A call that had named this job panicked: the job goes to its clean-up. `makes_jobs` says that the call was
    /// one that might have made it.
    pub(crate) fn broke(&self, id: &JobId, incident: &Incident, makes_jobs: bool) {
        let mut registry = self.lock();
        match registry.slots.entry(id, Instant::now()) {
            MapEntry::Vacant(_) if makes_jobs => {
                let journal = self.hosting.journal.as_ref();
                registry.bury(
                    id,
                    Tombstone::broken(incident.clone(), id, journal, Instant::now()),
                );
            }
            MapEntry::Vacant(_) => {}
            MapEntry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Reserved { broken, .. } => {
                    broken.get_or_insert_with(|| incident.clone());
                }
                Slot::Made(job) => job.break_by(incident),
                // It says already what happened.
                Slot::Tombstone(_) => {}
            },
        }
    }

    /// Jobs that come from now on run under `policy`; those that are here keep theirs.
    pub(crate) fn adopt(&self, policy: Policy) {
        let functions = self.functions().under(policy);
        *self.lock_functions() = Arc::new(functions);
    }

    fn functions(&self) -> Arc<Functions> {
        Arc::clone(&self.lock_functions())
    }

    fn lock_functions(&self) -> MutexGuard<'_, Arc<Functions>> {
        // One pointer: nothing that a panic could leave half-changed.
        self.functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, id: &JobId) -> Result<Reserve<'_>, RunError> {
        let mut registry = self.lock();
        let draining = registry.draining;
        match registry.slots.entry(id, Instant::now()) {
            MapEntry::Occupied(slot) => match slot.get() {
                Slot::Reserved { over, .. } => Ok(Reserve::Wait(over.clone())),
                Slot::Made(job) if job.broken().is_some() => Err(RunError::Broken(id.clone())),
                Slot::Tombstone(stone) => Err(stone.refusal(id)),
                Slot::Made(_) => Ok(Reserve::Registered),
            },
            MapEntry::Vacant(_) if draining => Err(RunError::Draining),
            MapEntry::Vacant(slot) => {
                let over = watch::Sender::new(());
                slot.insert(Slot::Reserved {
                    over: over.subscribe(),
                    broken: None,
                });
                Ok(Reserve::Mine(Reservation {
                    jobs: self,
                    id: id.clone(),
                    _over: over,
                }))
            }
        }
    }

    /// What this id stands for, after whoever makes a job of it is done.
    async fn find(&self, id: &JobId) -> Option<Known> {
        loop {
            let mut over = match self.lock().slots.get(id, Instant::now()) {
                None => return None,
                Some(Slot::Made(job)) => return Some(Known::Job(Arc::clone(job))),
                Some(Slot::Tombstone(stone)) => return Some(Known::Tombstone(Arc::clone(stone))),
                Some(Slot::Reserved { over, .. }) => over.clone(),
            };
            while over.changed().await.is_ok() {}
        }
    }

    async fn known(&self, id: &JobId) -> Result<Known, LookupError> {
        self.find(id)
            .await
            .ok_or_else(|| LookupError::Unknown(id.clone()))
    }

    /// The log of a job.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub(crate) async fn log(&self, id: &JobId) -> Result<Followed, LookupError> {
        let job = match self.known(id).await? {
            Known::Job(job) => sound(job)?,
            Known::Tombstone(stone) => return Err(stone.without_log(id)),
        };
        Ok(Followed {
            log: job.log(),
            job,
        })
    }

    /// How a job is doing.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub(crate) async fn status(&self, id: &JobId) -> Result<JobView, LookupError> {
        match self.known(id).await? {
            Known::Job(job) => Ok(sound(job)?.view()),
            Known::Tombstone(stone) => stone.status(id),
        }
    }

    /// How every job is doing, broken and lost ones included.
    pub(crate) fn list(&self) -> Vec<JobView> {
        let mut registry = self.lock();
        registry.slots.tidy(Instant::now());
        let known = registry.slots.iter().filter_map(|(id, slot)| match slot {
            Slot::Made(job) => Some(job.view()),
            Slot::Tombstone(stone) => Some(stone.view(id)),
            Slot::Reserved { .. } => None,
        });
        known.collect()
    }

    /// Asks a job to stop politely. Returns at once.
    ///
    /// # Errors
    ///
    /// [`LookupError::Unknown`].
    pub(crate) async fn cancel(&self, id: &JobId) -> Result<(), LookupError> {
        let known = self.known(id).await?;
        point!("cancel.found", waits);
        if let Known::Job(job) = known {
            job.stop(StopReason::Cancel);
        }
        Ok(())
    }

    /// Ends the grace of a job that was cancelled: what runs is killed. Returns at once.
    ///
    /// For a person who sits before the job and asks twice. No call of the wire gets here: there, nothing shortens a
    /// grace (design D5).
    ///
    /// # Errors
    ///
    /// [`LookupError::Unknown`].
    pub(crate) async fn hurry(&self, id: &JobId) -> Result<(), LookupError> {
        if let Known::Job(job) = self.known(id).await? {
            job.hurry();
        }
        Ok(())
    }

    /// Ends a job and frees its id. Unknown ids are fine. Waits until the job is over, at the latest until
    /// its grace and the margin of the contract have passed; what is still dying then goes on without id.
    pub(crate) async fn close(&self, id: &JobId) {
        let Some(known) = self.find(id).await else {
            return;
        };
        point!("close.found", waits);
        if let Known::Job(job) = &known {
            job.stop(StopReason::Close);
            point!("close.asked", waits);
            job.closed().await;
            point!("close.over", waits);
        }
        self.free(id, &known);
        point!("close.removed", waits);
        self.changed.send_replace(());
    }

    /// Frees an id that stands for this still: another Close may have been faster, and it may be a new job's by now.
    fn free(&self, id: &JobId, known: &Known) {
        match known {
            Known::Job(job) => job.recorded().closed(),
            Known::Tombstone(stone) => stone.recorded.closed(),
        }
        if let MapEntry::Occupied(slot) = self.lock().slots.entry(id, Instant::now())
            && match (slot.get(), known) {
                (Slot::Made(made), Known::Job(job)) => Arc::ptr_eq(made, job),
                (Slot::Tombstone(found), Known::Tombstone(stone)) => Arc::ptr_eq(found, stone),
                (Slot::Reserved { .. } | Slot::Made(_) | Slot::Tombstone(_), _) => false,
            }
        {
            slot.remove();
        }
    }

    /// Takes no new jobs from now on.
    pub(crate) fn refuse_new(&self) {
        self.lock().draining = true;
    }

    /// Waits until no job runs.
    pub(crate) async fn idle(&self) {
        self.until(|slots| {
            slots.iter().all(|(_, slot)| match slot {
                Slot::Made(job) => job.is_over(),
                Slot::Tombstone(_) => true,
                Slot::Reserved { .. } => false,
            })
        })
        .await;
    }

    /// Waits until every job of this host was closed.
    pub(crate) async fn all_closed(&self) {
        self.until(|slots| slots.iter().all(|(_, slot)| slot.is_inherited()))
            .await;
    }

    async fn until(&self, reached: impl Fn(&Slots) -> bool) {
        let mut changed = self.changed.subscribe();
        // A change between the look and the wait is not missed: it is newer than what was marked as seen.
        while !reached(&self.lock().slots) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops every job as a Close would, and keeps them for who asks how they ended. Returns when all are
    /// over or their grace has passed.
    pub(crate) async fn stop_all(&self) {
        let jobs: Vec<Arc<Job>> = self
            .lock()
            .slots
            .iter()
            .filter_map(|(_, slot)| match slot {
                Slot::Made(job) => Some(Arc::clone(job)),
                Slot::Reserved { .. } | Slot::Tombstone(_) => None,
            })
            .collect();
        futures_util::future::join_all(jobs.iter().map(|job| async {
            job.stop(StopReason::Close);
            job.closed().await;
        }))
        .await;
    }

    /// Longest time that [`Jobs::stop_all`] can take.
    pub(crate) fn grace_left(&self) -> Duration {
        let registry = self.lock();
        let jobs = registry.slots.iter().filter_map(|(_, slot)| match slot {
            Slot::Made(job) => Some(job.closes_within()),
            Slot::Reserved { .. } | Slot::Tombstone(_) => None,
        });
        jobs.max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Every change under this lock is one map operation, so a panic cannot leave half of one.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that nothing broke.
fn sound(job: Arc<Job>) -> Result<Arc<Job>, LookupError> {
    match job.broken() {
        Some(incident) => Err(LookupError::broken(incident)),
        None => Ok(job),
    }
}

enum Reserve<'a> {
    Mine(Reservation<'a>),
    Wait(watch::Receiver<()>),
    Registered,
}
