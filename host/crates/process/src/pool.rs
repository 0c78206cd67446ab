//! The supervisors that wait for a step: from a plan to a running step.
//!
//! Promises: a step that is started finds a supervisor ready, as a rule; one that has run a step to a clean end waits for the next;
//! a step is started by `posix_spawn`, on either side, and nothing of a failed start is left. Closing ends every supervisor.
//! Called by: `host`, which has one of these for all its jobs.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{self, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior},
};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    HostCgroup, Mark, Output, Pid, Plan, Running, StartError, Surroundings,
    cgroup::{JobCgroup, StepCgroup},
    link::{self, Link},
    lookup, orphans,
    pump::Pump,
    starting::{Hold, Place, Refusal, answer, nonsense},
    wire::{self, Told},
};

/// Most supervisors that wait for a step; those of a burst beyond it end.
const IDLE_MAX: usize = 16;
/// How many supervisors may turn out to be gone or retired before a start fails.
const TRIES_MAX: usize = 4;
/// How long closing waits for the last supervisor's end.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The supervisors of one host. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Supervisors {
    pool: Arc<Pool>,
    /// What the steps of this handle share, when jobs have limits.
    job: Option<Arc<JobCgroup>>,
    /// Refills and reaps; owned by the handles, and so not by the pool that it serves.
    _keeper: Arc<Keeper>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    program: PathBuf,
    surroundings: Surroundings,
    /// Cgroups turned out to be of no use here, and no limit needs them.
    without_cgroup: AtomicBool,
    waiting: Mutex<Waiting>,
    /// Tells the keeper that nobody waits any more.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    links: Vec<Arc<Link>>,
    closed: bool,
}

#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Supervisors {
    /// Supervisors that are this very program, started again, whose `main` calls [`supervise_if_asked`](crate::supervise_if_asked).
    ///
    /// # Errors
    ///
    /// When the system refuses what a host needs.
    ///
    /// # Panics
    ///
    /// Outside the context of a tokio runtime with its I/O and time drivers.
    pub fn new(surroundings: Surroundings) -> io::Result<Supervisors> {
        // The link itself and not where it leads: it works when the file was replaced or removed.
        Supervisors::of_program("/proc/self/exe".into(), surroundings)
    }

    /// Supervisors that are `program`, which calls [`supervise_if_asked`](crate::supervise_if_asked) in its `main`.
    ///
    /// # Errors
    ///
    /// As [`Supervisors::new`].
    ///
    /// # Panics
    ///
    /// As [`Supervisors::new`].
    pub fn of_program(program: PathBuf, surroundings: Surroundings) -> io::Result<Supervisors> {
        // Who loses his supervisor becomes our child.
        set_child_subreaper(Some(getpid()))?;
        let pool = Arc::new(Pool {
            program,
            surroundings,
            without_cgroup: AtomicBool::new(false),
            waiting: Mutex::default(),
            taken: Notify::new(),
        });
        let ends = signal(SignalKind::child())?;
        // Owned by the value that is returned here, and its clones.
        let keeper = tokio::spawn(keep(Arc::downgrade(&pool), ends));
        pool.taken.notify_one();
        Ok(Supervisors {
            pool,
            job: None,
            _keeper: Arc::new(Keeper(keeper)),
        })
    }

    /// A handle for one job: what is started by it shares the limits of a job.
    ///
    /// # Errors
    ///
    /// When a limit cannot be put in force.
    pub fn for_job(&self) -> io::Result<Supervisors> {
        let job = match &self.pool.surroundings.cgroup {
            Some(cgroup) => cgroup.job()?,
            None => None,
        };
        Ok(Supervisors {
            job: job.map(Arc::new),
            ..self.clone()
        })
    }

    /// Starts the step in a group of its own, with the null device as its input, and reads both its outputs into `output`.
    ///
    /// Dropping the future leaves nothing running.
    ///
    /// # Errors
    ///
    /// What is wrong with the plan, or what the system said; nothing is running then.
    pub async fn start(&self, plan: Plan, output: Arc<dyn Output>) -> Result<Running, StartError> {
        StartError::check_for_nul(&plan)?;
        let path = lookup::program_of(&plan)?;
        // The supervisor is somewhere else. An empty directory stays one, and cannot be entered.
        let work_dir = path::absolute(&plan.work_dir).unwrap_or_default();
        let mark = self.pool.surroundings.mark.as_ref().map(Mark::variable);
        let encoded = wire::encode_plan(&plan, &path, &work_dir, mark);
        let begun = self.begin(&encoded, output).await;
        begun.map_err(|refusal| refusal.of(plan, &path))
    }

    async fn begin(&self, plan: &[u8], output: Arc<dyn Output>) -> Result<Running, Refusal> {
        let (out, out_of_step) = pipe().map_err(Refusal::Host)?;
        let (err, err_of_step) = pipe().map_err(Refusal::Host)?;
        let pump = Pump::new(out, err, output).map_err(Refusal::Host)?;
        let mut group = self.step_cgroup().map_err(Refusal::Host)?;
        for _ in 0..TRIES_MAX {
            let link = self.pool.take().map_err(Refusal::Host)?;
            // Until the step is somebody's, nobody but us lets go of its supervisor.
            let hold = Hold(&link);
            let number = link.next_step();
            let mut packets = wire::start(number, plan);
            let last = packets.pop().unwrap_or_default();
            let sent = async {
                for packet in &packets {
                    link.send(packet, &[]).await?;
                }
                let mut descriptors = vec![out_of_step.as_fd(), err_of_step.as_fd()];
                descriptors.extend(group.as_ref().map(StepCgroup::as_fd));
                link.send(&last, &descriptors).await
            };
            let sent: io::Result<()> = sent.await;
            if let Err(system) = sent {
                if system.kind() == io::ErrorKind::BrokenPipe
                    || system.kind() == io::ErrorKind::ConnectionReset
                {
                    continue; // it ended while it waited
                }
                return Err(Refusal::Host(system));
            }
            match answer(&link).await {
                Some(Told::Started { pid }) => {
                    let pid = Pid::from_raw(pid).ok_or_else(|| Refusal::Host(nonsense()))?;
                    std::mem::forget(hold);
                    let place = Place {
                        group,
                        job: self.job.clone(),
                    };
                    let pool = Arc::clone(&self.pool);
                    return Ok(Running::drive(pool, link, number, pid, pump, place));
                }
                Some(Told::Failed { errno }) => {
                    std::mem::forget(hold);
                    self.pool.give_back(link);
                    return Err(Refusal::Program(io::Error::from_raw_os_error(errno)));
                }
                Some(Told::NotJoined { errno }) => {
                    std::mem::forget(hold);
                    self.pool.give_back(link);
                    if self.job.is_some() {
                        return Err(Refusal::Host(unlimited(errno)));
                    }
                    self.pool.without_cgroup.store(true, Ordering::Relaxed);
                    group = None;
                }
                Some(Told::Retired) => {}
                // It was killed; who knows whether the step had begun.
                Some(_) | None => {
                    orphans::take_over(&link, None).await;
                }
            }
        }
        Err(Refusal::Host(nonsense()))
    }

    /// A cgroup for one step, where that is possible; where limits need it, there is no other way.
    fn step_cgroup(&self) -> io::Result<Option<StepCgroup>> {
        let Some(cgroup) = self.pool.cgroup() else {
            return Ok(None);
        };
        match cgroup.step(self.job.as_deref()) {
            Ok(step) => Ok(Some(step)),
            Err(error) if self.job.is_some() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Ends all that wait, and those that run a step with their step. Returns when all supervisors are gone, or after a second.
    pub async fn close(&self) {
        let idle = {
            let mut waiting = self.pool.waiting();
            waiting.closed = true;
            std::mem::take(&mut waiting.links)
        };
        drop(idle);
        let give_up = Instant::now() + CLOSING_TIME;
        let mut pause = Duration::from_millis(1);
        while link::reap_dead() > 0 && Instant::now() < give_up {
            sleep(pause).await;
            pause *= 2;
        }
        if let Some(cgroup) = &self.pool.surroundings.cgroup {
            cgroup.close();
        }
    }
}

fn unlimited(errno: i32) -> io::Error {
    let system = Errno::from_raw_os_error(errno);
    io::Error::other(format!(
        "it cannot be put where the job's limits are in force: {system}"
    ))
}

/// A pipe whose ends nobody inherits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

impl Pool {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cgroup(&self) -> Option<&HostCgroup> {
        let wanted = self.surroundings.cgroup.as_ref();
        wanted.filter(|_| !self.without_cgroup.load(Ordering::Relaxed))
    }

    /// The one that waited last, or a new one.
    fn take(&self) -> io::Result<Arc<Link>> {
        stephost_fault::point!("pool.take", fails: Err(nonsense()));
        let found = {
            let mut waiting = self.waiting();
            let found = loop {
                match waiting.links.pop() {
                    Some(link) if link.is_fresh() => break Some(link),
                    Some(_) => {} // it ended; dropped
                    None => break None,
                }
            };
            if waiting.links.is_empty() {
                self.taken.notify_one();
            }
            found
        };
        match found {
            Some(link) => Ok(link),
            None => Ok(Arc::new(self.start_supervisor()?)),
        }
    }

    fn start_supervisor(&self) -> io::Result<Link> {
        let cgroup = self.cgroup().map(|cgroup| &*cgroup.id().path);
        Link::start(&self.program, cgroup)
    }

    /// Takes back a supervisor whose step is over and left nobody.
    pub(crate) fn give_back(&self, link: Arc<Link>) {
        let mut waiting = self.waiting();
        if waiting.closed || waiting.links.len() >= IDLE_MAX {
            link.hang_up();
        } else {
            waiting.links.push(link);
        }
    }

    /// Sees to it that one waits.
    fn refill(&self) {
        let lacks = {
            let waiting = self.waiting();
            waiting.links.is_empty() && !waiting.closed
        };
        // Failing that, the next start tries again and says why.
        if lacks && let Ok(link) = self.start_supervisor() {
            let mut waiting = self.waiting();
            if !waiting.closed {
                // First in is last out: those that have run a step are warm.
                waiting.links.insert(0, Arc::new(link));
            }
        }
    }
}

/// Refills the pool and reaps supervisors, for as long as there is a pool.
async fn keep(pool: Weak<Pool>, mut ends: Signal) {
    loop {
        let Some(strong) = pool.upgrade() else { return };
        let taken = {
            let taken = strong.taken.notified();
            select! {
                () = taken => true,
                _ = ends.recv() => false,
            }
        };
        if taken {
            strong.refill();
        }
        link::reap_dead();
        if let Some(cgroup) = &strong.surroundings.cgroup {
            cgroup.remove_late();
        }
        // Not while a sweep counts them.
        if let Ok(_sweeping) = orphans::SWEEPING.try_lock() {
            orphans::reap_dead();
        }
    }
}

/// Keeps other processes of the same user from looking into this one. Called once, after the engine of the sandbox was made: that one opens
/// files of its own process that nobody may open any more afterwards.
///
/// # Errors
///
/// What the system says.
pub fn hide_memory() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
