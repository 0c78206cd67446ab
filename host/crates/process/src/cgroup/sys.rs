//! A start into a cgroup: the one thing for which the C library has no call everywhere (`posix_spawnattr_setcgroup_np` is glibc's and young).
//!
//! A process that is born in a cgroup costs what any start costs; one that is moved there waits for every processor of the machine.
//! So this is a `clone3` into the cgroup by the supervisor, which is small and has one thread. Called by `supervisor` only.
#![allow(
    unsafe_code,
    reason = "this call has no safe wrapper; each block says why it is sound"
)]

use std::{
    ffi::c_int,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use rustix::{
    io::Errno,
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

use crate::sys::Program;

/// Names the cgroup of a child that is made (sched.h); it has no place in an `int`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` in its second version, with the cgroup (clone(2)); all of it zero is a plain fork.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Why a program was not started in a cgroup.
#[derive(Debug)]
pub(crate) enum NotBorn {
    /// The cgroup cannot be had; the program was not tried.
    Cgroup(io::Error),
    /// The program.
    Program(io::Error),
}

/// Starts a program as the leader of a new group, with no signal blocked, in the cgroup whose directory `cgroup` is.
///
/// # Errors
///
/// What the system says; nothing was started then.
///
/// # Panics
///
/// When a list does not end with a null pointer.
pub(crate) fn spawn_into(program: &Program<'_>, cgroup: BorrowedFd<'_>) -> Result<Pid, NotBorn> {
    assert!(
        program.arguments.last() == Some(&ptr::null())
            && program.environment.last() == Some(&ptr::null()),
        "lists end with a null pointer"
    );
    let told = SharedNumber::new().map_err(NotBorn::Program)?;
    let number = |number: c_int| u64::try_from(number).unwrap_or_default();
    let mut arguments = CloneArguments {
        // With VFORK we go on when the child has become the program, or has failed to; its memory is a copy all the same.
        flags: CLONE_INTO_CGROUP | number(libc::CLONE_VFORK),
        exit_signal: number(libc::SIGCHLD),
        cgroup: number(cgroup.as_raw_fd()),
        ..CloneArguments::default()
    };
    // SAFETY: the structure lives for the call and its size is given. Without CLONE_VM the child has its own copy of everything, stack
    // included, like after a fork; this process has one thread, so no lock can be held by somebody who is missing in the copy.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<CloneArguments>(),
        )
    };
    if pid == 0 {
        become_program(program, &told);
    }
    if pid < 0 {
        let error = io::Error::last_os_error();
        // At the limit of processes, or out of memory: no start would do better.
        let no_room = matches!(
            Errno::from_io_error(&error),
            Some(Errno::AGAIN | Errno::NOMEM)
        );
        return Err(if no_room {
            NotBorn::Program(error)
        } else {
            NotBorn::Cgroup(error)
        });
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| NotBorn::Program(io::Error::from(io::ErrorKind::InvalidData)))?;
    match told.read() {
        0 => Ok(pid),
        errno => {
            // It has said why, and is about to end.
            while matches!(
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED),
                Err(Errno::INTR)
            ) {}
            Err(NotBorn::Program(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// What the child does. Only system calls: it is a copy of a process in the middle of something.
fn become_program(program: &Program<'_>, told: &SharedNumber) -> ! {
    // SAFETY: each call is a plain system call on descriptors and strings that the parent has made and keeps alive: it sleeps until this
    // process is another program or has ended. The set is initialised before it is used.
    unsafe {
        let mut none = mem::MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        let ready = libc::setpgid(0, 0) == 0
            && (0..)
                .zip(program.standard)
                .all(|(number, descriptor)| libc::dup2(descriptor.as_raw_fd(), number) >= 0)
            && libc::chdir(program.work_dir.as_ptr()) == 0
            && libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) == 0;
        if ready {
            libc::execve(
                program.path.as_ptr(),
                program.arguments.as_ptr(),
                program.environment.as_ptr(),
            );
        }
        told.write(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EINVAL),
        );
        libc::_exit(127)
    }
}

/// A number in memory that parent and child share.
struct SharedNumber(*mut c_int);

impl SharedNumber {
    fn new() -> io::Result<SharedNumber> {
        // SAFETY: a new mapping of its own, at an address that the kernel chooses; it is zero.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<c_int>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(SharedNumber(address.cast()))
    }

    fn write(&self, number: c_int) {
        // SAFETY: mapped by `new`, aligned to a page; the other process sleeps meanwhile.
        unsafe { self.0.write_volatile(number) }
    }

    fn read(&self) -> c_int {
        // SAFETY: as for `write`.
        unsafe { self.0.read_volatile() }
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has the address any more.
        unsafe { libc::munmap(self.0.cast(), size_of::<c_int>()) };
    }
}
