//! A started step: its driver task, its handle, its stopper.
//!
//! The driver is one task: it pumps both pipes and hears what the supervisor tells; it is owned by [`Running`] and ends with it.
//! When a signal is due is decided by `phases`, in the supervisor; here is only what a stop means for the reading.
//!
//! ```text
//! leader runs ──over──────────────────────────────► short read ──► reported
//!     └──leader ended, others live──► long read ──────┐  ▲   └──► reported, others kept
//!                                        └──stop──► wait for the end
//! ```

use std::{
    panic,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    select,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Exit, Leftovers, Mechanism, Pid, Report, Survivor, Trace, Usage,
    cgroup::{JobCgroup, StepCgroup},
    link::Link,
    orphans,
    phases::KILL_BUDGET,
    pool::Pool,
    pump::Pump,
    reading::Patience,
    starting::Place,
    wire::{self, End, Told},
};

/// How long a supervisor may take to say that it heard a kill, before it is killed itself.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// How long one that heard it may take to say who is left.
const REPORT_TIME: Duration = KILL_BUDGET.saturating_add(Duration::from_secs(2));

/// How long one who has closed the step's output is waited for.
const ENDING_TIME: Duration = Duration::from_millis(20);

/// A step that was started. It owns the step's processes: dropping it, or the future of [`ended`](Running::ended), kills them all.
#[derive(Debug)]
#[must_use = "dropping a running step kills it"]
pub struct Running {
    step: Arc<Step>,
    driver: JoinHandle<Report>,
}

/// Stops a step from anywhere; harmless when the step is over.
#[derive(Debug, Clone)]
pub struct Stopper {
    step: Arc<Step>,
}

/// How far a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Terminate,
    Insist,
    Kill,
}

/// What the driver, the handle and every stopper share.
#[derive(Debug)]
pub(crate) struct Step {
    pool: Arc<Pool>,
    link: Arc<Link>,
    number: u32,
    leader: Pid,
    asked: watch::Sender<Asked>,
    /// The supervisor is this step's. Once it is not, it may be another's.
    ours: Mutex<bool>,
    /// Its own cgroup, until nobody is left.
    group: Mutex<Option<StepCgroup>>,
    /// What it shares with the other steps of its job.
    job: Option<Arc<JobCgroup>>,
    has_cgroup: bool,
    /// The report is made: what lives on is kept on purpose, and no stopper's business.
    reported: AtomicBool,
}

impl Step {
    /// Asks for a stop. One that goes no further than an earlier one changes nothing.
    fn stop(&self, wanted: Asked) {
        let goes_further = self.asked.send_if_modified(|asked| {
            let further = wanted > *asked;
            *asked = wanted.max(*asked);
            further
        });
        if goes_further {
            // Numbered, so that it never meets another step.
            self.link.send_stop(&match wanted {
                Asked::Nothing | Asked::Terminate => wire::terminate(self.number),
                Asked::Insist => wire::insist(self.number),
                Asked::Kill => wire::kill(self.number),
            });
        }
    }

    pub(crate) fn kill(&self) {
        self.stop(Asked::Kill);
    }

    /// Lets go of the supervisor, which kills everybody; does nothing when the step is over and nobody is left.
    pub(crate) fn hang_up(&self) {
        if *self.ours() {
            self.link.hang_up();
        }
    }

    /// The step is over: the supervisor may have another, or has those who could not be killed.
    fn release(&self, end: &End) {
        let mut ours = self.ours();
        if end.empty && end.killed_after.is_none() {
            self.pool.give_back(Arc::clone(&self.link));
        } else {
            self.link.hang_up();
        }
        *ours = false;
        // Removed here, or when those who live in it have ended.
        *self.group() = None;
    }

    /// Adds what the step's surroundings know.
    fn completed(&self, trace: Trace) -> Trace {
        let reached = self.job.as_ref().map(|job| job.reached());
        Trace {
            cgroup: self.has_cgroup,
            limits_reached: reached.unwrap_or_default(),
            ..trace
        }
    }

    fn group(&self) -> MutexGuard<'_, Option<StepCgroup>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ours(&self) -> MutexGuard<'_, bool> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_asked(&self) -> bool {
        *self.asked.borrow() != Asked::Nothing
    }

    async fn asked_for(&self, wanted: Asked) {
        // The sender is ours, so there is always an answer.
        let _ = self
            .asked
            .subscribe()
            .wait_for(|asked| *asked >= wanted)
            .await;
    }

    /// Kills what was kept and waits for its end.
    pub(crate) async fn end_kept(&self) -> Trace {
        self.kill();
        let trace = match self.settled().await {
            Settled::Over(end, trace) => {
                self.release(&end);
                trace
            }
            Settled::Kept(_) | Settled::Lost => self.take_over().await.1,
        };
        self.completed(trace)
    }

    /// Waits until the step is over, whoever is left. A supervisor that does not answer is killed, and the host does its work.
    async fn settled(&self) -> Settled {
        let mut survivors = Vec::new();
        // Set by the kill, moved by the answer to it.
        let mut patience = None;
        loop {
            let told = select! {
                biased;
                told = self.link.told() => told,
                () = self.asked_for(Asked::Kill), if patience.is_none() => {
                    patience = Some(Instant::now() + ANSWER_TIME);
                    continue;
                }
                () = at(patience) => None,
            };
            match told {
                Some(Told::Over(end)) => return Settled::told(end, survivors),
                Some(Told::LeaderEnded {
                    exit,
                    signalled,
                    usage,
                    others,
                }) => {
                    return Settled::Kept(Kept {
                        exit,
                        signalled,
                        usage,
                        others,
                    });
                }
                Some(Told::Survivor(survivor)) => survivors.push(survivor),
                Some(Told::Killing) => patience = Some(Instant::now() + REPORT_TIME),
                Some(
                    Told::Started { .. }
                    | Told::Failed { .. }
                    | Told::NotJoined { .. }
                    | Told::Retired,
                )
                | None => return Settled::Lost,
            }
        }
    }

    /// Does the supervisor's work after its death, and says what is known of the step.
    async fn take_over(&self) -> (End, Trace) {
        let group = self.group().take();
        let swept = orphans::take_over(&self.link, group.as_ref()).await;
        *self.ours() = false;
        let end = End {
            exit: None,
            signalled: self.stop_asked(),
            empty: swept.survivors.is_empty(),
            killed: u32::try_from(swept.killed).unwrap_or(u32::MAX),
            terminated_after: None,
            killed_after: None,
            usage: Usage::default(),
        };
        let trace = Trace {
            killed_processes: swept.killed,
            mechanism: Mechanism::Host,
            survivors: swept.survivors,
            ..Trace::default()
        };
        (end, trace)
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What is known when the supervisor has told something final.
#[derive(Debug)]
enum Settled {
    /// The step is over.
    Over(End, Trace),
    /// The leader has ended, others live on.
    Kept(Kept),
    /// The supervisor is gone, or ought to be.
    Lost,
}

#[derive(Debug)]
struct Kept {
    exit: Exit,
    signalled: bool,
    usage: Usage,
    others: u32,
}

impl Settled {
    fn told(end: End, survivors: Vec<Survivor>) -> Settled {
        let trace = Trace {
            terminated_after: end.terminated_after,
            killed_after: end.killed_after,
            killed_processes: usize::try_from(end.killed).unwrap_or(usize::MAX),
            mechanism: Mechanism::Supervisor,
            survivors,
            usage: Some(end.usage),
            ..Trace::default()
        };
        Settled::Over(end, trace)
    }
}

impl Running {
    /// Drives the step from here on. Needs the runtime's context.
    pub(crate) fn drive(
        pool: Arc<Pool>,
        link: Arc<Link>,
        number: u32,
        leader: Pid,
        pump: Pump,
        place: Place,
    ) -> Running {
        let Place { group, job } = place;
        let step = Arc::new(Step {
            pool,
            link,
            number,
            leader,
            asked: watch::Sender::new(Asked::Nothing),
            ours: Mutex::new(true),
            has_cgroup: group.is_some(),
            group: Mutex::new(group),
            job,
            reported: AtomicBool::new(false),
        });
        // Owned by the value that is returned here: awaited by `ended`, aborted by a drop.
        let driver = tokio::spawn(drive(Arc::clone(&step), pump));
        Running { step, driver }
    }

    /// The leader's id, which is also its group's number on Unix.
    pub fn pid(&self) -> Pid {
        self.step.leader
    }

    /// Returns a handle that stops this step.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            step: Arc::clone(&self.step),
        }
    }

    /// Waits for the end. Output is pumped and the end is noticed whether or not this is polled.
    ///
    /// Without a stop, the step ends with its leader, within a second even if others hold its pipes. After a polite stop it
    /// ends when nobody is left; the owner of the grace period calls [`Stopper::kill`] when that takes too long.
    /// After that it ends when all are dead, five seconds at most; who is alive then is named in the report.
    ///
    /// # Panics
    ///
    /// When an [`Output`](crate::Output) panicked, after the step was killed. The payload is the id of the task in which it did,
    /// by which a panic hook may have remembered it.
    pub async fn ended(mut self) -> Report {
        match (&mut self.driver).await {
            Ok(report) => report,
            Err(failure) => {
                self.step.hang_up();
                let task = failure.id();
                match failure.try_into_panic() {
                    Ok(_) => panic::resume_unwind(Box::new(task)),
                    // The runtime that drove the step is gone; so is the step.
                    Err(_) => Report {
                        exit: Exit::KILLED,
                        signalled: true,
                        killed: true,
                        background: 0,
                        leftovers: None,
                        trace: Trace::default(),
                    },
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.driver.abort();
        // Once there is a report, what is left belongs to its leftovers.
        if !self.step.reported.load(Ordering::Acquire) {
            self.step.hang_up();
        }
    }
}

impl Stopper {
    /// Asks everybody to end: CONT, TERM, CONT; on Windows Ctrl-C. Only the first call of a stop does anything.
    pub fn terminate(&self) {
        self.stop(Asked::Terminate);
    }

    /// Asks those who have not ended once more, in a stronger way, where the system has one: Ctrl-Break on Windows. Does nothing
    /// elsewhere. Due when half the time for a polite stop is over.
    pub fn insist(&self) {
        self.stop(Asked::Insist);
    }

    /// Kills everybody; includes [`terminate`](Stopper::terminate), whose signals are then not sent. Only the first call does anything.
    pub fn kill(&self) {
        self.stop(Asked::Kill);
    }

    fn stop(&self, wanted: Asked) {
        if !self.step.reported.load(Ordering::Acquire) {
            self.step.stop(wanted);
        }
    }
}

async fn drive(step: Arc<Step>, mut pump: Pump) -> Report {
    stephost_fault::point!("running.driven", waits);
    let mut kept: Option<Kept> = None;
    let (end, trace) = loop {
        let settled = match &kept {
            Some(others) if !step.stop_asked() => {
                pump.read_what_is_there();
                select! {
                    biased;
                    settled = step.settled() => settled,
                    () = step.asked_for(Asked::Terminate) => continue,
                    () = read_what_others_say(&mut pump) => {
                        return report_kept(Arc::clone(&step), others, pump);
                    }
                }
            }
            _ => select! {
                settled = step.settled() => settled,
                never = pump.run() => match never {},
            },
        };
        match settled {
            Settled::Over(end, trace) => {
                step.release(&end);
                break (end, trace);
            }
            Settled::Kept(others) => kept = Some(others),
            Settled::Lost => break step.take_over().await,
        }
    };
    // Whoever had something to say is gone: only a moment for one who holds a pipe without knowing it.
    pump.read_what_is_there();
    pump.run_until_silent(Patience::Short).await;
    step.reported.store(true, Ordering::Release);
    let known = kept.as_ref().map(|kept| kept.exit);
    let trace = step.completed(trace);
    Report {
        exit: end.exit.or(known).unwrap_or(Exit::LOST),
        signalled: end.signalled,
        killed: end.killed_after.is_some() || trace.mechanism == Mechanism::Host,
        background: pump.held(),
        leftovers: Leftovers::collect(None, pump),
        trace,
    }
}

/// Reads for those who outlived the leader.
async fn read_what_others_say(pump: &mut Pump) {
    // Helpers of the step (`> >(tee)`) may be finishing.
    pump.run_until_silent(Patience::Long).await;
    if pump.held() == 0 {
        // Who has closed the last pipe is probably ending; that is worth a moment, so that he is not called a leftover.
        sleep(ENDING_TIME).await;
    }
}

/// The report of a step that others outlived whom nobody wants to stop.
fn report_kept(step: Arc<Step>, kept: &Kept, pump: Pump) -> Report {
    step.reported.store(true, Ordering::Release);
    let trace = step.completed(Trace {
        usage: Some(kept.usage),
        ..Trace::default()
    });
    let count = usize::try_from(kept.others).unwrap_or(usize::MAX);
    Report {
        exit: kept.exit,
        signalled: kept.signalled,
        killed: false,
        background: pump.held(),
        leftovers: Leftovers::collect(Some((step, count)), pump),
        trace,
    }
}
