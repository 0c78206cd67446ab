//! The second layer of containment: cgroups of version 2, where the host may make some.
//!
//! ```text
//! the host's own cgroup ── stephost-ID ─┬─ host          the host itself, only where limits need that
//!                                       ├─ step-N        one step's processes
//!                                       └─ job-N         limits that all steps of a job share
//!                                            └─ step-N
//! ```
//!
//! Promises: whoever a step starts is born in its cgroup, and a kill of that reaches processes of other users too, which no signal of ours
//! does. A limit that was asked for is in force, or nothing starts. What cannot be removed yet is removed later, and at the end at the latest.
//! Never: assumes a mount point; keeps a host without limits from running (it goes on without this layer); replaces the supervisor:
//! a process of the same user may move itself to another cgroup, and is still its supervisor's.
//!
//! A cgroup that gives controllers to its children may hold no processes, so for limits the host moves itself down first. Nobody
//! else is ever moved: a move waits for the whole machine (ten milliseconds), being born somewhere costs nothing.
//! Called by `pool` and `running`; the supervisor's side is `supervisor::group`.

mod place;
mod removal;
mod sys;
mod unusable;

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use self::place::CgroupPlace;
use rustix::{
    fs::{Access, AtFlags, Mode, OFlags, accessat, fstat, fstatfs, mkdirat, openat},
    io::{Errno, read, write},
};

pub use self::unusable::CgroupUnusable;
pub(crate) use self::{
    removal::{children, remove},
    sys::{NotBorn, spawn_into},
};

/// What `statfs` says of the file system (magic.h).
pub(crate) const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// Where the host lives when it had to leave its own cgroup.
const HOST: &str = "host";
/// Largest file of numbers and words that is read.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// What all programs of one job may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobLimits {
    /// Bytes of memory, swap included; beyond them the kernel kills.
    pub memory_bytes: Option<u64>,
    /// How many processes and threads; beyond them no more can be started.
    pub processes: Option<u64>,
}

impl JobLimits {
    fn is_none(self) -> bool {
        self == JobLimits::default()
    }

    fn controllers(self) -> impl Iterator<Item = &'static str> {
        let memory = self.memory_bytes.map(|_| "memory");
        memory.into_iter().chain(self.processes.map(|_| "pids"))
    }

    /// The files of a cgroup that hold these limits. What is not counted as memory must not grow instead of it.
    fn files(self) -> Vec<(&'static str, u64)> {
        let memory = self.memory_bytes.map(|bytes| ("memory.max", bytes));
        let processes = self.processes.map(|count| ("pids.max", count));
        memory.into_iter().chain(processes).collect()
    }
}

/// A cgroup as the kernel knows it: nobody else ever has this inode number before the machine starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupId {
    /// Where it is.
    pub path: PathBuf,
    /// The file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// The cgroup of one host, below the one that it was started in. Dropping the last handle removes it.
#[derive(Debug, Clone)]
pub struct HostCgroup(Arc<Host>);

#[derive(Debug)]
struct Host {
    /// The cgroup that the host was started in.
    base: OwnedFd,
    name: CString,
    dir: Arc<OwnedFd>,
    id: CgroupId,
    limits: JobLimits,
    /// The host has moved itself down.
    moved: bool,
    /// Controllers that were given to the children of `base`.
    given: Vec<&'static str>,
    numbers: AtomicU64,
    /// Those that could not be removed, because somebody in them does not die.
    busy: Mutex<Vec<Busy>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Busy {
    parent: Arc<OwnedFd>,
    name: CString,
}

impl HostCgroup {
    /// Whether a host with these limits gains something by one. Who may signal every process does not without limits, and each
    /// step would pay for it with the time of half a start.
    pub fn is_of_use(limits: JobLimits) -> bool {
        !limits.is_none() || !signals_everybody()
    }

    /// Makes one with this name. Looks at everything that steps will need.
    ///
    /// # Errors
    ///
    /// Why there is none, in a sentence for the operator. Nothing is left then.
    pub fn make(name: &str, limits: JobLimits) -> Result<HostCgroup, CgroupUnusable> {
        let base_path = match CgroupPlace::own() {
            CgroupPlace::NotMounted => return Err(CgroupUnusable::NotMounted),
            CgroupPlace::OutOfSight => return Err(CgroupUnusable::OutOfSight),
            CgroupPlace::At(path) => path,
        };
        HostCgroup::make_below(&base_path, name, limits)
    }

    fn make_below(
        base_path: &Path,
        name: &str,
        limits: JobLimits,
    ) -> Result<HostCgroup, CgroupUnusable> {
        let not_ours = |source: Errno| CgroupUnusable::NotOurs {
            path: base_path.to_owned(),
            source: source.into(),
        };
        let base = directory(rustix::fs::CWD, base_path).map_err(not_ours)?;
        if !is_cgroup2(&base) {
            return Err(CgroupUnusable::NotMounted);
        }
        // Whoever puts a process somewhere must be allowed to take it from where it was.
        accessat(&base, "cgroup.procs", Access::WRITE_OK, AtFlags::EACCESS).map_err(not_ours)?;
        if let Some(controller) = missing(&base, limits) {
            return Err(CgroupUnusable::NoController {
                controller,
                path: base_path.to_owned(),
            });
        }
        let c_name = CString::new(name).map_err(|_| not_ours(Errno::INVAL))?;
        mkdirat(&base, &c_name, Mode::from_raw_mode(0o755)).map_err(not_ours)?;
        // From here on its drop removes it.
        let host = Host::at(base, c_name, base_path.join(name), limits);
        let mut host = host.map_err(not_ours)?;
        if accessat(&host.dir, "cgroup.kill", Access::WRITE_OK, AtFlags::EACCESS).is_err() {
            return Err(CgroupUnusable::NoKill);
        }
        host.make_room_for_limits(base_path)?;
        Ok(HostCgroup(Arc::new(host)))
    }

    /// What tells it from every other.
    pub fn id(&self) -> &CgroupId {
        &self.0.id
    }

    /// What every job gets.
    fn limits(&self) -> JobLimits {
        self.0.limits
    }

    /// The cgroup of a job; `None` without limits, for then its steps need nothing in common.
    ///
    /// # Errors
    ///
    /// When a limit cannot be put in force.
    pub(crate) fn job(&self) -> io::Result<Option<JobCgroup>> {
        let host = &self.0;
        if host.limits.is_none() {
            return Ok(None);
        }
        let (name, dir) = host.child(&host.dir, "job")?;
        // From here on its drop removes it.
        let job = JobCgroup {
            host: self.clone(),
            name,
            dir: Arc::new(dir),
            told: Mutex::default(),
        };
        for (file, value) in host.limits.files() {
            write_file(&job.dir, file, &value.to_string())?;
        }
        if host.limits.memory_bytes.is_some() {
            // There is none on a machine without swap.
            match write_file(&job.dir, "memory.swap.max", "0") {
                Err(Errno::NOENT) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(job))
    }

    /// A step's own cgroup, in that of its job if there is one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn step(&self, job: Option<&JobCgroup>) -> io::Result<StepCgroup> {
        let parent = job.map_or(&self.0.dir, |job| &job.dir);
        let (name, dir) = self.0.child(parent, "step")?;
        Ok(StepCgroup {
            host: self.clone(),
            parent: Arc::clone(parent),
            name,
            dir,
        })
    }

    /// Tries again to remove what somebody lived in.
    pub(crate) fn remove_late(&self) {
        self.0.remove_late();
    }

    /// Removes all of it, the host's own places too. Nothing starts in it afterwards.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Host {
    fn at(base: OwnedFd, name: CString, path: PathBuf, limits: JobLimits) -> Result<Host, Errno> {
        let found = directory(&base, &name).and_then(|dir| Ok((fstat(&dir)?, dir)));
        let (stat, dir) = match found {
            Ok(found) => found,
            Err(error) => {
                // It was made a moment ago, and nobody is in it.
                let _ = remove(base.as_fd(), &name);
                return Err(error);
            }
        };
        Ok(Host {
            base,
            name,
            dir: Arc::new(dir),
            id: CgroupId {
                path,
                device: stat.st_dev,
                inode: stat.st_ino,
            },
            limits,
            moved: false,
            given: Vec::new(),
            numbers: AtomicU64::new(1),
            busy: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Lets jobs have the controllers of their limits.
    fn make_room_for_limits(&mut self, base_path: &Path) -> Result<(), CgroupUnusable> {
        if self.limits.is_none() {
            return Ok(());
        }
        let failed = |what: &'static str, path: &Path, source: Errno| CgroupUnusable::System {
            what,
            path: path.to_owned(),
            source: source.into(),
        };
        let given = read_file(&self.base, "cgroup.subtree_control").unwrap_or_default();
        let lacking: Vec<&str> = self
            .limits
            .controllers()
            .filter(|controller| !has_word(&given, controller))
            .collect();
        // Only the root of all cgroups has no type, and only it may hold processes beside children that have controllers.
        let is_root = accessat(&self.base, "cgroup.type", Access::EXISTS, AtFlags::empty())
            == Err(Errno::NOENT);
        if !lacking.is_empty() {
            if !is_root {
                mkdirat(&self.dir, HOST, Mode::from_raw_mode(0o755))
                    .and_then(|()| directory(&self.dir, HOST))
                    .and_then(|dir| write_file(&dir, "cgroup.procs", "0"))
                    .map_err(|error| failed("moving into", &self.id.path.join(HOST), error))?;
                self.moved = true;
            }
            write_file(&self.base, "cgroup.subtree_control", &words("+", &lacking)).map_err(
                |error| match error {
                    Errno::BUSY => CgroupUnusable::OthersThere {
                        path: base_path.to_owned(),
                    },
                    error => failed("giving controllers to the children of", base_path, error),
                },
            )?;
            self.given = lacking;
        }
        let all: Vec<&str> = self.limits.controllers().collect();
        write_file(&self.dir, "cgroup.subtree_control", &words("+", &all)).map_err(|error| {
            failed(
                "giving controllers to the children of",
                &self.id.path,
                error,
            )
        })
    }

    fn child(&self, parent: &OwnedFd, kind: &str) -> io::Result<(CString, OwnedFd)> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("{kind}-{number}")).unwrap_or_default();
        mkdirat(parent, &name, Mode::from_raw_mode(0o755))?;
        match directory(parent, &name) {
            Ok(dir) => Ok((name, dir)),
            Err(error) => {
                // It was made a moment ago, and nobody is in it.
                let _ = remove(parent.as_fd(), &name);
                Err(error.into())
            }
        }
    }

    fn busy(&self) -> MutexGuard<'_, Vec<Busy>> {
        // Changed in single steps, so a panic elsewhere leaves nothing half done.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_or_note(&self, parent: &Arc<OwnedFd>, name: &CString) {
        if remove(parent.as_fd(), name).is_err() {
            self.busy().push(Busy {
                parent: Arc::clone(parent),
                name: name.clone(),
            });
        }
    }

    fn remove_late(&self) {
        // Steps were noted before their job.
        self.busy()
            .retain(|busy| remove(busy.parent.as_fd(), &busy.name).is_err());
    }
}

impl Host {
    fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.remove_late();
        // Everything back as it was, as far as it goes: what stays is for the janitor of the next host.
        let all: Vec<&str> = self.limits.controllers().collect();
        let _ = write_file(&self.dir, "cgroup.subtree_control", &words("-", &all));
        let _ = write_file(
            &self.base,
            "cgroup.subtree_control",
            &words("-", &self.given),
        );
        if self.moved {
            let _ = write_file(&self.base, "cgroup.procs", "0");
        }
        let _ = remove(self.base.as_fd(), &self.name);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.close();
    }
}

/// The cgroup of a job. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct JobCgroup {
    host: HostCgroup,
    name: CString,
    dir: Arc<OwnedFd>,
    /// What was said already of limits that were reached.
    told: Mutex<Counted>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    kills: u64,
    refusals: u64,
}

/// What limits did since somebody asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LimitsReached {
    /// How many processes the kernel killed for memory.
    pub memory_kills: u64,
    /// How many processes could not be started, because there were too many.
    pub processes_refused: u64,
    /// What the limits are.
    pub limits: JobLimits,
}

impl JobCgroup {
    /// What happened since this was asked the last time.
    pub(crate) fn reached(&self) -> LimitsReached {
        let count = |file: &str, word: &str| number_of(&read_file(&self.dir, file)?, word);
        let now = Counted {
            kills: count("memory.events", "oom_kill").unwrap_or_default(),
            refusals: count("pids.events", "max").unwrap_or_default(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, now);
        LimitsReached {
            memory_kills: now.kills.saturating_sub(before.kills),
            processes_refused: now.refusals.saturating_sub(before.refusals),
            limits: self.host.limits(),
        }
    }
}

impl Drop for JobCgroup {
    fn drop(&mut self) {
        self.host.0.remove_or_note(&self.host.0.dir, &self.name);
    }
}

/// The cgroup of a step. Dropping it removes it, at once if nobody is left in it.
#[derive(Debug)]
pub(crate) struct StepCgroup {
    host: HostCgroup,
    parent: Arc<OwnedFd>,
    name: CString,
    dir: OwnedFd,
}

impl StepCgroup {
    /// What the step's supervisor gets.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Kills everybody in it.
    pub(crate) fn kill(&self) {
        // That it failed shows when it is asked who is left.
        let _ = write_file(&self.dir, "cgroup.kill", "1");
    }

    /// Whether nobody is in it.
    pub(crate) fn is_empty(&self) -> bool {
        is_empty(self.dir.as_fd())
    }

    /// Who is in it, as far as this process has a number for them.
    pub(crate) fn members(&self) -> Vec<i32> {
        members(&self.dir)
    }
}

impl Drop for StepCgroup {
    fn drop(&mut self) {
        self.host.0.remove_or_note(&self.parent, &self.name);
    }
}

/// Whether this process may signal those of every user.
pub fn signals_everybody() -> bool {
    // Who is not told so has no such right.
    rustix::thread::capabilities(None)
        .is_ok_and(|own| own.effective.contains(rustix::thread::CapabilitySet::KILL))
}

/// Whether nobody is in this cgroup, or in one below it.
pub(crate) fn is_empty(dir: BorrowedFd<'_>) -> bool {
    // One that is gone holds nobody.
    read_file(dir, "cgroup.events").is_none_or(|events| number_of(&events, "populated") == Some(0))
}

/// Who is in this cgroup, as far as this process has a number for them.
pub(crate) fn members(dir: impl AsFd) -> Vec<i32> {
    let text = read_file(dir, "cgroup.procs").unwrap_or_default();
    let numbers = text.lines().filter_map(|line| line.parse().ok());
    numbers.filter(|&number| number > 0).collect()
}

/// Whether this is a directory in a tree of cgroups of version 2.
pub(crate) fn is_cgroup2(dir: &OwnedFd) -> bool {
    let kind = fstatfs(dir)
        .ok()
        .and_then(|stat| u64::try_from(stat.f_type).ok());
    kind == Some(CGROUP2_MAGIC)
}

/// Removes a cgroup with those below it, as far as they are empty.
pub(crate) fn remove_path(path: &Path) {
    let parent = path
        .parent()
        .and_then(|parent| directory(rustix::fs::CWD, parent).ok());
    let name = path.file_name().map(|name| CString::new(name.as_bytes()));
    if let (Some(parent), Some(Ok(name))) = (parent, name) {
        // Whoever is in it is somebody else's to end.
        let _ = remove(parent.as_fd(), &name);
    }
}

/// Opens a directory; no link leads to it.
pub(crate) fn directory(parent: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, path, flags, Mode::empty())
}

/// A controller of these limits that the children of `base` cannot have.
fn missing(base: &OwnedFd, limits: JobLimits) -> Option<&'static str> {
    let there = read_file(base, "cgroup.controllers").unwrap_or_default();
    limits
        .controllers()
        .find(|controller| !has_word(&there, controller))
}

/// `+memory +pids`.
fn words(sign: &str, controllers: &[&str]) -> String {
    let signed: Vec<String> = controllers
        .iter()
        .map(|controller| format!("{sign}{controller}"))
        .collect();
    signed.join(" ")
}

fn has_word(text: &str, word: &str) -> bool {
    text.split_ascii_whitespace().any(|found| found == word)
}

/// The number behind a word at the beginning of a line.
fn number_of(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == word).then(|| number.trim().parse().ok())?
    })
}

fn read_file(dir: impl AsFd, name: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while text.len() < FILE_BYTES_MAX {
        match read(&file, &mut chunk) {
            Ok(0) => break,
            Ok(bytes) => text.extend_from_slice(&chunk[..bytes]),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    String::from_utf8(text).ok()
}

/// Writes to a file of the kernel's, in one piece.
pub(crate) fn write_file(dir: impl AsFd, name: &str, text: &str) -> Result<(), Errno> {
    if text.is_empty() {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    loop {
        match write(&file, text.as_bytes()) {
            Err(Errno::INTR) => {}
            written => return written.map(drop),
        }
    }
}
