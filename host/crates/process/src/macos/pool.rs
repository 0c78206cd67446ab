//! The supervisors of a host: from a plan to a running step.
//!
//! Promises: every step gets a supervisor of its own, which nobody uses again. Nothing of a failed start is left. Closing waits for every
//! supervisor that is still there.
//! Called by: `host`, which has one of these for all its jobs.

use std::{
    env, io, mem,
    os::fd::OwnedFd,
    path::{self, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    Output, Pid, Plan, Running, StartError, Surroundings,
    link::Link,
    lookup, orphans,
    pump::Pump,
    starting::{Hold, Place, Refusal, answer, nonsense},
    wire::{self, Told},
};

/// How long closing waits for the last step's end.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The supervisors of one host. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Supervisors {
    pool: Arc<Pool>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    program: PathBuf,
    links: Mutex<Vec<Weak<Link>>>,
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
    /// None on this system.
    pub fn of_program(program: PathBuf, _: Surroundings) -> io::Result<Supervisors> {
        Ok(Supervisors {
            pool: Arc::new(Pool {
                program,
                links: Mutex::default(),
            }),
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

    /// Starts the step in a group of its own, with the null device as its input, and reads both its outputs into `output`.
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
        let encoded = wire::encode_plan(&plan, &path, &work_dir, None);
        let begun = self.begin(&encoded, output).await;
        begun.map_err(|refusal| refusal.of(plan, &path))
    }

    async fn begin(&self, plan: &[u8], output: Arc<dyn Output>) -> Result<Running, Refusal> {
        let (out, out_of_step) = io::pipe().map_err(Refusal::Host)?;
        let (err, err_of_step) = io::pipe().map_err(Refusal::Host)?;
        let pump =
            Pump::new(OwnedFd::from(out), OwnedFd::from(err), output).map_err(Refusal::Host)?;
        let link = Link::start(&self.pool.program, out_of_step, err_of_step);
        let link = Arc::new(link.map_err(Refusal::Host)?);
        self.pool.note(&link);
        // Until the step is somebody's, nobody but us lets go of its supervisor.
        let hold = Hold(&link);
        let number = link.next_step();
        for packet in wire::start(number, plan) {
            link.send(&packet).await.map_err(Refusal::Host)?;
        }
        match answer(&link).await {
            Some(Told::Started { pid }) => {
                link.note_group(pid);
                let pid = Pid::from_raw(pid).ok_or_else(|| Refusal::Host(nonsense()))?;
                mem::forget(hold);
                let pool = Arc::clone(&self.pool);
                Ok(Running::drive(
                    pool,
                    link,
                    number,
                    pid,
                    pump,
                    Place::default(),
                ))
            }
            Some(Told::Failed { errno }) => {
                Err(Refusal::Program(io::Error::from_raw_os_error(errno)))
            }
            Some(_) | None => {
                orphans::take_over(&link, None).await;
                Err(Refusal::Host(nonsense()))
            }
        }
    }

    /// Returns when all steps that still run are let go, or after a second.
    pub async fn close(&self) {
        let give_up = Instant::now() + CLOSING_TIME;
        let mut pause = Duration::from_millis(1);
        while self.pool.alive() > 0 && Instant::now() < give_up {
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

    fn note(&self, link: &Arc<Link>) {
        let mut links = self.links();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    fn alive(&self) -> usize {
        let mut links = self.links();
        links.retain(|link| link.strong_count() > 0);
        links.len()
    }

    fn links(&self) -> MutexGuard<'_, Vec<Weak<Link>>> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does nothing here; on Linux it keeps other processes of the same user from looking into this one.
///
/// # Errors
///
/// None on this system.
pub fn hide_memory() -> io::Result<()> {
    Ok(())
}
