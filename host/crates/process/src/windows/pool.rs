//! The supervisors of a host: from a plan to a running step.
//!
//! Promises: every step gets a supervisor of its own, and so a console of its own: one who has used a console may have changed it (its code page, its modes,
//! whether Ctrl-C is heard), so none is used twice. Nothing of a failed start is left. Closing ends every supervisor.
//! Called by: `host`, which has one of these for all its jobs.

use std::{
    env, io, mem,
    path::{self, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    Output, Pid, Plan, Running, StartError, Surroundings,
    command_line::Launch,
    link::{self, Link},
    lookup, orphans,
    pump::Pump,
    starting::{Hold, Place, Refusal, nonsense},
    sys::{self, Job},
    wire::{self, Told},
};

/// How long closing waits for the last supervisor's end, before it is killed.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The supervisors of one host. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Supervisors {
    pool: Arc<Pool>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    program: PathBuf,
    /// What runs batch files.
    shell: PathBuf,
    /// Jobs in which somebody lived when it was looked last.
    jobs: Mutex<Vec<Arc<Job>>>,
}

impl Supervisors {
    /// Supervisors that are this very program, started again, whose `main` calls [`supervise_if_asked`](crate::supervise_if_asked).
    ///
    /// # Errors
    ///
    /// When the system refuses what a host needs.
    pub fn new(surroundings: Surroundings) -> io::Result<Supervisors> {
        Supervisors::of_program(env::current_exe()?, surroundings)
    }

    /// Supervisors that are `program`, which calls [`supervise_if_asked`](crate::supervise_if_asked) in its `main`.
    ///
    /// # Errors
    ///
    /// As [`Supervisors::new`].
    pub fn of_program(program: PathBuf, _: Surroundings) -> io::Result<Supervisors> {
        let pool = Pool {
            program,
            shell: sys::system_directory()?.join("cmd.exe"),
            jobs: Mutex::default(),
        };
        Ok(Supervisors {
            pool: Arc::new(pool),
        })
    }

    /// A handle for one job. Jobs have no limits here.
    ///
    /// # Errors
    ///
    /// None on this system.
    pub fn for_job(&self) -> io::Result<Supervisors> {
        Ok(self.clone())
    }

    /// Whether each step gets a cgroup of its own: not here.
    pub fn have_cgroup(&self) -> bool {
        false
    }

    /// Starts the step in a job of its own, with the null device as its input, and reads both its outputs into `output`.
    ///
    /// Dropping the future leaves nothing running. Needs the context of a tokio runtime with its I/O and time drivers.
    ///
    /// # Errors
    ///
    /// What is wrong with the plan, or what the system said; nothing is running then.
    pub async fn start(&self, plan: Plan, output: Arc<dyn Output>) -> Result<Running, StartError> {
        StartError::check_for_nul(&plan)?;
        let path = lookup::program_of(&plan)?;
        let work_dir = path::absolute(&plan.work_dir).unwrap_or_default();
        let launch = Launch::of(&plan, &path, &work_dir, &self.pool.shell)?;
        let begun = self.begin(&launch, output).await;
        begun.map_err(|refusal| refusal.of(plan, &path))
    }

    async fn begin(&self, launch: &Launch, output: Arc<dyn Output>) -> Result<Running, Refusal> {
        let (out, out_of_step) = link::pipe().await.map_err(Refusal::Host)?;
        let (err, err_of_step) = link::pipe().await.map_err(Refusal::Host)?;
        let pump = Pump::new(out, err, output);
        let link = Link::start(&self.pool.program).await;
        let link = Arc::new(link.map_err(Refusal::Host)?);
        self.pool.note(link.job());
        // Until the step is somebody's, nobody but us lets go of its supervisor.
        let hold = Hold(&link);
        let number = link.next_step();
        let mut start = Vec::new();
        for output in [&out_of_step, &err_of_step] {
            let given = link.give(output).map_err(Refusal::Host)?;
            start.extend(given.to_le_bytes());
        }
        // From here on the supervisor's and the step's are the only ones.
        drop((out_of_step, err_of_step));
        start.extend(launch.encode());
        let packets = wire::start(number, &start);
        let sender = Arc::clone(&link);
        let sent = spawn_blocking(move || sender.send(&packets)).await;
        // A supervisor that was killed has nothing to tell either.
        if let Ok(Ok(())) = sent {
            match link.told().await {
                Some(Told::Started { pid }) => {
                    let pid = Pid::from_raw(pid).ok_or_else(|| Refusal::Host(nonsense()))?;
                    mem::forget(hold);
                    let pool = Arc::clone(&self.pool);
                    return Ok(Running::drive(
                        pool,
                        link,
                        number,
                        pid,
                        pump,
                        Place::default(),
                    ));
                }
                Some(Told::Failed { errno }) => {
                    return Err(Refusal::Program(io::Error::from_raw_os_error(errno)));
                }
                Some(_) | None => {}
            }
        }
        // Who knows whether the step had begun.
        orphans::take_over(&link, None).await;
        Err(Refusal::Host(nonsense()))
    }

    /// Ends all steps that still run. Returns when all supervisors are gone, or after a second.
    pub async fn close(&self) {
        let give_up = Instant::now() + CLOSING_TIME;
        let mut pause = Duration::from_millis(1);
        while self.pool.alive() > 0 {
            if Instant::now() >= give_up {
                for job in &*self.pool.jobs() {
                    job.terminate();
                }
                return;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

impl Pool {
    /// Takes back a supervisor whose step is over: it has ended, or is about to.
    #[expect(clippy::unused_self, reason = "on other systems it is used again")]
    pub(crate) fn give_back(&self, link: Arc<Link>) {
        link.hang_up();
    }

    fn note(&self, job: &Arc<Job>) {
        let mut jobs = self.jobs();
        jobs.retain(is_alive);
        jobs.push(Arc::clone(job));
    }

    fn alive(&self) -> usize {
        let mut jobs = self.jobs();
        jobs.retain(is_alive);
        jobs.len()
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(job: &Arc<Job>) -> bool {
    job.accounting().map_or(true, |counted| counted.active > 0)
}

/// Does nothing here: who may look into a process is decided by its owner's rights, and a host has no better ones.
///
/// # Errors
///
/// None on this system.
pub fn hide_memory() -> io::Result<()> {
    Ok(())
}
