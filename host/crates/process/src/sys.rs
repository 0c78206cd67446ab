//! The system calls that neither `std` nor `rustix` has: spawning with everything reset, waiting with resource usage, signals
//! as a descriptor, and the attributes that a child inherits.
//!
//! The only unsafe code of the crate; each block says why it is sound. Holds no state and takes no decision.
//! Called by the supervisor, which has one thread.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; each block says why it is sound"
)]

use std::{
    ffi::{CStr, c_char, c_int},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use rustix::process::Pid;

use crate::{Exit, Usage};

/// Signal numbers that Linux has.
const SIGNALS: std::ops::RangeInclusive<c_int> = 1..=64;

/// What a look for dead children shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    /// This child is dead.
    Child { pid: i32, exit: Exit, usage: Usage },
    /// There are children, and none of those asked for is dead.
    Nobody,
    /// There is no such child, dead or alive.
    NoChild,
}

/// Shows a dead child without reaping it.
pub(crate) fn peek_at_any() -> Dead {
    // SAFETY: zero is a valid value of both plain C structures.
    let (mut info, mut usage) = unsafe {
        (
            MaybeUninit::<libc::siginfo_t>::zeroed().assume_init(),
            MaybeUninit::<libc::rusage>::zeroed().assume_init(),
        )
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one `siginfo_t` and one `rusage`, to which both pointers lead for the time of the call. The
    // raw call, because the C library's has no place for the usage.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_ALL,
            0,
            &raw mut info,
            options,
            &raw mut usage,
        )
    };
    if answer != 0 {
        return Dead::NoChild;
    }
    // SAFETY: after a successful waitid these fields are the ones of a child's end, or zero if there was none.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Dead::Nobody;
    }
    let exit = match info.si_code {
        libc::CLD_KILLED => Exit::Signal(status),
        libc::CLD_DUMPED => Exit::Dumped(status),
        _ => Exit::Code(status),
    };
    Dead::Child {
        pid,
        exit,
        usage: usage_of(&usage),
    }
}

/// Reaps `child`, or any child if `None`, if it is dead.
pub(crate) fn reap(child: Option<i32>) -> Dead {
    // SAFETY: zero is a valid value of this plain C structure.
    let mut usage = unsafe { MaybeUninit::<libc::rusage>::zeroed().assume_init() };
    let mut status = 0;
    // SAFETY: both pointers lead to variables that live for the time of the call.
    let answer = unsafe {
        libc::wait4(
            child.unwrap_or(-1),
            &raw mut status,
            libc::WNOHANG,
            &raw mut usage,
        )
    };
    match answer {
        0 => Dead::Nobody,
        pid if pid > 0 => Dead::Child {
            pid,
            exit: exit_of(status),
            usage: usage_of(&usage),
        },
        _ => Dead::NoChild,
    }
}

fn exit_of(status: c_int) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if libc::WCOREDUMP(status) {
        Exit::Dumped(libc::WTERMSIG(status))
    } else {
        Exit::Signal(libc::WTERMSIG(status))
    }
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let time = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        peak_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or_default(),
    }
}

/// Gives every signal its default action, blocks all of them, and returns a descriptor that is readable after a child's end.
///
/// Whoever is blocked is not ended by a step that signals its parent; KILL and STOP cannot be blocked.
///
/// # Errors
///
/// What the system says.
pub(crate) fn take_signals() -> io::Result<OwnedFd> {
    for signal in SIGNALS {
        // SAFETY: the default action is no code of ours. Signals that may not be changed give an error and stay.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut all = MaybeUninit::uninit();
    let mut children = MaybeUninit::uninit();
    // SAFETY: `sigfillset` and `sigemptyset` initialise the sets before anything reads them; the mask is that of the only thread.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigemptyset(children.as_mut_ptr());
        libc::sigaddset(children.as_mut_ptr(), libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(
            -1,
            children.as_ptr(),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        );
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Closes every descriptor from 3 on, whoever forgot to mark it.
pub(crate) fn close_inherited() {
    // SAFETY: called first of all in the supervisor, when nothing in this process owns a descriptor but the standard three.
    // An older kernel (before 5.9) refuses, and what was not marked stays open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, c_int::MAX, 0) };
}

/// What [`spawn`] starts. Strings end with a zero byte, lists with a null pointer.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) arguments: &'a [*const c_char],
    pub(crate) environment: &'a [*const c_char],
    pub(crate) work_dir: &'a CStr,
    /// Input, output, diagnostics.
    pub(crate) standard: [BorrowedFd<'a>; 3],
}

/// Starts a program as the leader of a new group, with no signal blocked.
///
/// # Errors
///
/// What the system says; nothing was started then.
pub(crate) fn spawn(program: &Program<'_>) -> io::Result<Pid> {
    assert!(
        program.arguments.last() == Some(&ptr::null())
            && program.environment.last() == Some(&ptr::null()),
        "lists end with a null pointer"
    );
    let check = |answer: c_int| match answer {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    };
    let mut actions = FileActions::new()?;
    let mut attributes = Attributes::new()?;
    let mut none = MaybeUninit::uninit();
    let mut pid = 0;
    let flags = libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK;
    // SAFETY: both objects were initialised by their constructors, the set by `sigemptyset`; the strings and lists are borrowed for the whole
    // call and end as the type says (the lists were looked at above). The C library copies what it keeps.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        for (number, descriptor) in (0..).zip(program.standard) {
            check(libc::posix_spawn_file_actions_adddup2(
                &raw mut actions.0,
                descriptor.as_raw_fd(),
                number,
            ))?;
        }
        check(libc::posix_spawn_file_actions_addchdir_np(
            &raw mut actions.0,
            program.work_dir.as_ptr(),
        ))?;
        check(libc::posix_spawnattr_setpgroup(&raw mut attributes.0, 0))?;
        check(libc::posix_spawnattr_setsigmask(
            &raw mut attributes.0,
            none.as_ptr(),
        ))?;
        check(libc::posix_spawnattr_setflags(
            &raw mut attributes.0,
            i16::try_from(flags).unwrap_or_default(),
        ))?;
        check(libc::posix_spawn(
            &raw mut pid,
            program.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            program.arguments.as_ptr().cast::<*mut c_char>(),
            program.environment.as_ptr().cast::<*mut c_char>(),
        ))?;
    }
    Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<FileActions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the object is only taken as initialised after the C library has done so.
        unsafe {
            match libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) {
                0 => Ok(FileActions(actions.assume_init())),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the object is only taken as initialised after the C library has done so.
        unsafe {
            match libc::posix_spawnattr_init(attributes.as_mut_ptr()) {
                0 => Ok(Attributes(attributes.assume_init())),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// How the kernel schedules this process and its input and output; a child inherits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheduling {
    policy: c_int,
    priority: c_int,
    io_priority: libc::c_long,
}

/// Reads how this process is scheduled.
pub(crate) fn scheduling() -> Scheduling {
    // SAFETY: zero is a valid value of this plain C structure.
    let mut parameter = unsafe { MaybeUninit::<libc::sched_param>::zeroed().assume_init() };
    // The raw calls: musl refuses the wrapped ones.
    // SAFETY: the kernel writes one `sched_param`, to which the pointer leads for the time of the call; the others only return a number.
    let (policy, io_priority) = unsafe {
        libc::syscall(libc::SYS_sched_getparam, 0, &raw mut parameter);
        (
            libc::syscall(libc::SYS_sched_getscheduler, 0),
            libc::syscall(libc::SYS_ioprio_get, 1, 0),
        )
    };
    Scheduling {
        policy: c_int::try_from(policy).unwrap_or(-1),
        priority: parameter.sched_priority,
        io_priority,
    }
}

/// Which signals are blocked and which ignored, one bit each; a child inherits both.
pub(crate) fn signal_state() -> (u64, u64) {
    let (mut blocked, mut ignored) = (0, 0);
    let mut mask = MaybeUninit::uninit();
    // SAFETY: with no new mask the call only writes the old one, before anything reads it.
    let mask = unsafe {
        libc::sigemptyset(mask.as_mut_ptr());
        libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr());
        mask.assume_init()
    };
    for signal in SIGNALS {
        let bit = 1 << (signal - 1);
        // SAFETY: `mask` is initialised; zero is a valid value of `sigaction`, and with no new action the call only writes the old one.
        let (is_blocked, action) = unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
            (
                libc::sigismember(&raw const mask, signal),
                action.assume_init().sa_sigaction,
            )
        };
        if is_blocked == 1 {
            blocked |= bit;
        }
        if action == libc::SIG_IGN {
            ignored |= bit;
        }
    }
    (blocked, ignored)
}
