//! Panics of the host: caught where they can do no harm, and told to the operator.
//!
//! A panic gets an [`Incident`] the moment it happens, in the hook, which also writes to the operator's log what is
//! known there: payload, stack, thread, and by [`Scope`] the call and the job. Clients hear the incident's number and
//! nothing else. Whoever catches the panic finds the number again: by the task that panicked, because a panic may be
//! caught by somebody else than the task it happened in. Each is counted, and counts against the host's budget.
//!
//! The payload may hold a job's value. It goes to the operator's log and nowhere else (docs/threat-model.md), escaped
//! and bounded. Not caught, because nothing can: a panic in a drop during another panic, a stack overflow.

use std::any::Any;
use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt as _;
use stephost_job::JobId;
use tokio::task::{self, JoinError};

use super::{budget, metrics};

/// Longest payload in the operator's log, in bytes.
const PAYLOAD_BYTES_MAX: usize = 2 * 1024;
/// Longest stack there.
const STACK_BYTES_MAX: usize = 16 * 1024;
/// Incidents that are remembered until somebody asks for them.
const RECENT_MAX: usize = 256;

/// The number of a fault of the host. Shown, it is the whole sentence that clients read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incident(Arc<str>);

impl Incident {
    fn new() -> Incident {
        Incident(uuid::Uuid::new_v4().simple().to_string().into())
    }

    /// The incident of this number, if it can be one. An earlier host's log has it.
    pub(crate) fn parse(number: &str) -> Option<Incident> {
        let number = uuid::Uuid::try_parse(number).ok()?;
        Some(Incident(number.simple().to_string().into()))
    }

    /// What it is found by in the operator's log.
    pub(crate) fn number(&self) -> &str {
        &self.0
    }

    /// The incident of the panic that unwinds this thread; a new one if none is known.
    pub(crate) fn of_this_unwinding() -> Incident {
        known(task::try_id()).unwrap_or_else(Incident::of_nobody)
    }

    /// The incident of a task that panicked, or was lost in another way.
    pub(crate) fn of_task(failure: JoinError) -> Incident {
        let incident = known(Some(failure.id()));
        if let Ok(payload) = failure.try_into_panic() {
            forget(payload);
        }
        incident.unwrap_or_else(Incident::of_nobody)
    }

    fn of_payload(payload: Box<dyn Any + Send>) -> Incident {
        // Passed on by `resume`, or by a crate that knows its task and nothing of incidents.
        let payload = match payload.downcast::<Incident>() {
            Ok(incident) => return *incident,
            Err(payload) => payload,
        };
        let task = match payload.downcast::<task::Id>() {
            Ok(task) => Some(*task),
            Err(payload) => {
                forget(payload);
                task::try_id()
            }
        };
        known(task).unwrap_or_else(Incident::of_nobody)
    }

    /// Nobody has seen the panic: it is told here, or nowhere.
    fn of_nobody() -> Incident {
        let incident = Incident::new();
        tracing::error!(error.kind = "internal", incident = %incident.0, "the host lost a task");
        incident
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "internal error (incident {})", self.0)
    }
}

/// Goes on unwinding with the panic of another task.
pub(crate) fn resume(failure: JoinError) -> ! {
    let incident = Incident::of_task(failure);
    remember(task::try_id(), incident.clone());
    resume_unwind(Box::new(incident))
}

/// A payload's drop may panic too.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // This one may do the same, without end.
        std::mem::forget(second);
    }
}

/// For whom the host works at a moment: a call, a job, or both.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Name of the call; empty outside of calls.
    rpc: &'static str,
    place: &'static str,
    job: Arc<OnceLock<JobId>>,
}

tokio::task_local! {
    static SCOPE: Scope;
}

impl Scope {
    /// A call, whose job is not known yet.
    pub(crate) fn call(rpc: Option<&'static str>) -> Scope {
        Scope {
            rpc: rpc.unwrap_or(metrics::UNKNOWN_CALL),
            place: "call",
            job: Arc::default(),
        }
    }

    /// A task of this job.
    pub(crate) fn job(id: &JobId, place: &'static str) -> Scope {
        Scope {
            rpc: "",
            place,
            job: Arc::new(OnceLock::from(id.clone())),
        }
    }

    /// The same at another place.
    pub(crate) fn at(&self, place: &'static str) -> Scope {
        Scope {
            place,
            ..self.clone()
        }
    }

    /// The job that the call has named by now.
    pub(crate) fn named_job(&self) -> Option<&JobId> {
        self.job.get()
    }

    /// Works for this scope; a panic ends the work and nothing else.
    pub(crate) async fn around<F: Future>(self, work: F) -> Result<F::Output, Incident> {
        let caught = AssertUnwindSafe(work).catch_unwind();
        SCOPE
            .scope(self, caught)
            .await
            .map_err(Incident::of_payload)
    }

    /// The same without waiting.
    pub(crate) fn around_now<T>(&self, work: impl FnOnce() -> T) -> Result<T, Incident> {
        let caught = || catch_unwind(AssertUnwindSafe(work));
        SCOPE
            .sync_scope(self.clone(), caught)
            .map_err(Incident::of_payload)
    }
}

/// Says which job the running call is about. The first act of every call that knows one.
pub(crate) fn names_job(id: &JobId) {
    // Outside of calls there is nobody to tell.
    let _ = SCOPE.try_with(|scope| scope.job.set(id.clone()));
}

/// Work for another thread, in the scope of this task: who looks for its panic finds whom it was for.
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let scope = SCOPE.try_with(Clone::clone).ok();
    move || match scope {
        Some(scope) => SCOPE.sync_scope(scope, work),
        None => work(),
    }
}

/// Does what a drop has to do. Two panics may meet there: one that came out of a drop during another one would end the
/// host, and with it every job. It ends here; whatever the first one broke is broken already.
pub(crate) fn in_drop(work: impl FnOnce()) {
    if !std::thread::panicking() {
        return work();
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        forget(payload);
    }
}

/// Whether a panic can be caught in this build. Nothing of what is promised about panics holds where it cannot.
pub(crate) fn are_caught() -> bool {
    struct Unwound<'a>(&'a mut bool);
    impl Drop for Unwound<'_> {
        fn drop(&mut self) {
            *self.0 = true;
        }
    }
    // Decided when this was compiled; trying it there would end the program without a word.
    if !cfg!(panic = "unwind") {
        return false;
    }
    let mut unwound = false;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _unwound = Unwound(&mut unwound);
        // Unlike `panic!` it does not call the hook: nobody is to be told.
        resume_unwind(Box::new(()));
    }));
    caught.is_err() && unwound
}

/// What every panic does before anything is unwound. Must not panic itself.
pub(super) fn hook(panic: &PanicHookInfo<'_>) {
    let incident = Incident::new();
    remember(task::try_id(), incident.clone());
    let scope = SCOPE.try_with(Clone::clone).ok();
    let (rpc, place) = scope
        .as_ref()
        .map_or(("", "task"), |scope| (scope.rpc, scope.place));
    let total = metrics::panicked(rpc, place);
    if tracing::enabled!(tracing::Level::ERROR) {
        tell(panic, &incident, scope.as_ref(), (rpc, place), total);
    }
    budget::panicked();
}

fn tell(
    panic: &PanicHookInfo<'_>,
    incident: &Incident,
    scope: Option<&Scope>,
    (rpc, place): (&str, &str),
    total: u64,
) {
    let location = panic.location().map(ToString::to_string);
    let stack = Backtrace::force_capture().to_string();
    let thread = std::thread::current();
    tracing::error!(
        error.kind = "internal",
        incident = %incident.0,
        rpc.method = rpc,
        job.id = scope.and_then(Scope::named_job).map(tracing::field::display),
        at = place,
        thread = ?thread.name().unwrap_or_default(),
        place = location.unwrap_or_default(),
        payload = ?cut(panic.payload_as_str().unwrap_or("(not a text)"), PAYLOAD_BYTES_MAX),
        stack = ?cut(&stack, STACK_BYTES_MAX),
        stephost_panics_total = total,
        "the host panicked"
    );
    super::spans::panicked(incident);
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Which incident belongs to which task, the newest last.
static RECENT: Mutex<VecDeque<(Option<task::Id>, Incident)>> = Mutex::new(VecDeque::new());

fn remember(task: Option<task::Id>, incident: Incident) {
    let mut recent = lock(&RECENT);
    if recent.len() == RECENT_MAX {
        recent.pop_front();
    }
    recent.push_back((task, incident));
}

fn known(task: Option<task::Id>) -> Option<Incident> {
    let recent = lock(&RECENT);
    let found = recent.iter().rev().find(|(of, _)| *of == task);
    found.map(|(_, incident)| incident.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Held for single steps that cannot panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_unwinds() {
        assert!(are_caught());
    }

    /// The hook is the process's own; the other tests of this program panic on purpose too, and are none the worse.
    fn with_hook() {
        std::panic::set_hook(Box::new(hook));
    }

    #[tokio::test]
    async fn a_panic_is_found_by_whoever_catches_it_in_this_task_or_another() {
        with_hook();
        let id = JobId::parse("7").unwrap();
        let caught = Scope::job(&id, "walk").around(async { panic!("here") });
        let here: Incident = caught.await.unwrap_err();
        assert_eq!(known(task::try_id()), Some(here.clone()));

        let failure = tokio::spawn(async { panic!("there") }).await.unwrap_err();
        let there = known(Some(failure.id())).expect("the hook has seen it");
        assert_ne!(here, there);
        let passed_on = Scope::job(&id, "walk").around_now(|| resume(failure));
        assert_eq!(passed_on.unwrap_err(), there);

        let failure = tokio::spawn(async { panic!("far") }).await.unwrap_err();
        let (far, task) = (known(Some(failure.id())), failure.id());
        let by_its_task = Scope::job(&id, "walk").around_now(|| resume_unwind(Box::new(task)));
        assert_eq!(by_its_task.err(), far);
    }

    #[tokio::test]
    async fn a_payload_that_panics_when_it_is_dropped_harms_nobody() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("once more");
            }
        }
        let id = JobId::parse("7").unwrap();
        let caught = Scope::job(&id, "walk").around_now(|| std::panic::panic_any(Bad));
        let text = caught.unwrap_err().to_string();
        assert!(text.starts_with("internal error (incident "), "{text}");
        assert!(text.len() <= 512);
    }

    #[test]
    fn a_panic_in_a_drop_during_another_one_ends_there() {
        struct Clumsy;
        impl Drop for Clumsy {
            fn drop(&mut self) {
                in_drop(|| panic!("the second one"));
            }
        }
        let id = JobId::parse("7").unwrap();
        let first = Scope::job(&id, "walk").around_now(|| {
            let _clumsy = Clumsy;
            panic!("the first one")
        });
        assert!(first.is_err());
        // Without another one it is a panic like any other.
        let alone = Scope::job(&id, "walk").around_now(|| drop(Clumsy));
        assert!(alone.is_err());
    }
}
