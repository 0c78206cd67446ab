//! The system calls that `std` does not have: job objects, a completion port, the console, and a start that puts the program into its job before
//! its first instruction.
//!
//! The only unsafe code of the crate on Windows; each block says why it is sound. Takes no decision.
//! Called by `supervisor`, and by `link` and `orphans` in the host.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; each block says why it is sound"
)]

use std::{
    ffi::{OsString, c_void},
    io, mem,
    os::windows::{
        ffi::OsStringExt,
        io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle},
    },
    path::PathBuf,
    ptr,
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{
        DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE,
        SetHandleInformation, WAIT_OBJECT_0,
    },
    System::{
        Console::{
            CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler,
        },
        Diagnostics::Debug::{
            SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX, SetErrorMode,
        },
        IO::{CreateIoCompletionPort, GetQueuedCompletionStatus, PostQueuedCompletionStatus},
        JobObjects::{
            AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
            JOBOBJECT_ASSOCIATE_COMPLETION_PORT, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
            JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS,
            JobObjectAssociateCompletionPortInformation, JobObjectBasicAccountingInformation,
            JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation,
            QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
        },
        SystemInformation::GetSystemDirectoryW,
        Threading::{
            CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DeleteProcThreadAttributeList,
            EXTENDED_STARTUPINFO_PRESENT, GetCurrentProcess, GetExitCodeProcess, INFINITE,
            InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST, OpenProcess,
            PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION,
            PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW, STARTF_USESTDHANDLES,
            STARTUPINFOEXW, UpdateProcThreadAttribute, WaitForSingleObject,
        },
    },
};

use crate::command_line::Launch;

/// The exit code of whoever was killed by us: what a shell says of a process that SIGKILL ended.
pub(crate) const KILL_CODE: u32 = 137;
/// Most members of a job that are listed.
const LIST_MAX: usize = 1024;
/// Longest path of a program that is asked for.
const PATH_UNITS_MAX: usize = 1024;
/// Windows counts a program's time in these.
const NANOSECONDS_PER_TICK: u64 = 100;

/// Turns the answer of a call into an error.
fn check(answer: windows_sys::core::BOOL) -> io::Result<()> {
    if answer == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn raw(handle: &impl AsHandle) -> HANDLE {
    handle.as_handle().as_raw_handle()
}

/// Takes a handle that a call has made for us.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made by a call that answered with it, and nobody else has seen it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Length of a plain C structure, as the system takes it.
fn size_of<T>() -> u32 {
    u32::try_from(mem::size_of::<T>()).unwrap_or(u32::MAX)
}

/// A job object: a set of processes that nobody leaves. Closing the last handle kills them.
#[derive(Debug)]
pub(crate) struct Job(OwnedHandle);

/// What the system counts for a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accounting {
    /// Processes that live.
    pub(crate) active: u32,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Job {
    /// Makes an empty job whose members die with its last handle, and cannot leave it.
    pub(crate) fn new() -> io::Result<Job> {
        // SAFETY: both pointers may be null: default access, no name.
        let job = Job(owned(unsafe {
            CreateJobObjectW(ptr::null(), ptr::null())
        })?);
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // No BREAKAWAY_OK of either kind: programs that ask for it would get it.
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        job.set(JobObjectExtendedLimitInformation, &limits)?;
        Ok(job)
    }

    /// Puts a process into it.
    pub(crate) fn assign(&self, process: &impl AsHandle) -> io::Result<()> {
        // SAFETY: both handles are open for the time of the call.
        check(unsafe { AssignProcessToJobObject(raw(&self.0), raw(process)) })
    }

    /// Lets the port know of every change, as far as the system does not lose one.
    pub(crate) fn report_to(&self, port: &Port) -> io::Result<()> {
        let association = JOBOBJECT_ASSOCIATE_COMPLETION_PORT {
            CompletionKey: ptr::null_mut(),
            CompletionPort: raw(&port.0),
        };
        self.set(JobObjectAssociateCompletionPortInformation, &association)
    }

    /// Kills all members.
    pub(crate) fn terminate(&self) {
        // Fails for no job of ours. That everybody is dead shows in the accounting.
        // SAFETY: the handle is open for the time of the call.
        let _ = unsafe { TerminateJobObject(raw(&self.0), KILL_CODE) };
    }

    /// What the system counts.
    pub(crate) fn accounting(&self) -> io::Result<Accounting> {
        let counted: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION =
            self.query(JobObjectBasicAccountingInformation)?;
        Ok(Accounting {
            active: counted.ActiveProcesses,
            user: ticks(counted.TotalUserTime),
            system: ticks(counted.TotalKernelTime),
        })
    }

    /// The most memory that one process of it had, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let limits: io::Result<JOBOBJECT_EXTENDED_LIMIT_INFORMATION> =
            self.query(JobObjectExtendedLimitInformation);
        limits.map_or(0, |limits| {
            u64::try_from(limits.PeakProcessMemoryUsed / 1024).unwrap_or(u64::MAX)
        })
    }

    /// Who lives in it, as far as the list has room.
    pub(crate) fn members(&self) -> Vec<u32> {
        #[repr(C)]
        struct List {
            assigned: u32,
            listed: u32,
            pids: [usize; LIST_MAX],
        }
        let mut list = List {
            assigned: 0,
            listed: 0,
            pids: [0; LIST_MAX],
        };
        // A longer list is cut, which the call says by failing; what it has is there all the same.
        // SAFETY: the structure is as the system lays it out, with room for more ids, and lives for the time of the call.
        let _ = unsafe {
            QueryInformationJobObject(
                raw(&self.0),
                JobObjectBasicProcessIdList,
                (&raw mut list).cast(),
                size_of::<List>(),
                ptr::null_mut(),
            )
        };
        let listed = usize::try_from(list.listed).unwrap_or(0).min(LIST_MAX);
        let pids = list.pids.iter().take(listed);
        pids.filter_map(|&pid| u32::try_from(pid).ok()).collect()
    }

    fn set<T>(&self, class: JOBOBJECTINFOCLASS, value: &T) -> io::Result<()> {
        // SAFETY: callers pass the structure that belongs to the class; it lives for the time of the call.
        check(unsafe {
            SetInformationJobObject(
                raw(&self.0),
                class,
                ptr::from_ref(value).cast(),
                size_of::<T>(),
            )
        })
    }

    fn query<T: Default>(&self, class: JOBOBJECTINFOCLASS) -> io::Result<T> {
        let mut value = T::default();
        // SAFETY: callers ask for the plain C structure that belongs to the class; it lives for the time of the call.
        check(unsafe {
            QueryInformationJobObject(
                raw(&self.0),
                class,
                (&raw mut value).cast(),
                size_of::<T>(),
                ptr::null_mut(),
            )
        })?;
        Ok(value)
    }
}

fn ticks(count: i64) -> Duration {
    let nanoseconds = u64::try_from(count)
        .unwrap_or(0)
        .saturating_mul(NANOSECONDS_PER_TICK);
    Duration::from_nanos(nanoseconds)
}

/// Where a job says that something has changed, and anybody else too. What it was is not kept: whoever waits looks for himself.
#[derive(Debug)]
pub(crate) struct Port(OwnedHandle);

impl Port {
    pub(crate) fn new() -> io::Result<Port> {
        // SAFETY: without a file this makes a new port; nothing is borrowed.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, 1) };
        Ok(Port(owned(port)?))
    }

    /// Wakes whoever waits, or will.
    pub(crate) fn wake(&self) {
        // Fails when memory is out; whoever waits looks again soon.
        // SAFETY: the handle is open; there is no structure that anybody would read.
        let _ = unsafe { PostQueuedCompletionStatus(raw(&self.0), 0, 0, ptr::null()) };
    }

    /// Waits for a change, at most for `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(INFINITE - 1);
        let (mut message, mut key, mut about) = (0, 0, ptr::null_mut());
        // What it says is not read: the accounting has the last word.
        // SAFETY: the three places live for the time of the call.
        let _ = unsafe {
            GetQueuedCompletionStatus(
                raw(&self.0),
                &raw mut message,
                &raw mut key,
                &raw mut about,
                milliseconds,
            )
        };
    }
}

/// Gives `of` a handle of the same thing, and returns its number there.
pub(crate) fn give_handle(handle: &impl AsHandle, of: &impl AsHandle) -> io::Result<u64> {
    let mut number = ptr::null_mut();
    // SAFETY: all three handles are open for the time of the call, and the place for the new one lives as long.
    check(unsafe {
        DuplicateHandle(
            GetCurrentProcess(),
            raw(handle),
            raw(of),
            &raw mut number,
            0,
            0,
            DUPLICATE_SAME_ACCESS,
        )
    })?;
    Ok(number.addr() as u64)
}

/// Takes a handle that the host has given us; `None` for a number that is none.
pub(crate) fn take_handle(number: u64) -> Option<OwnedHandle> {
    let number = usize::try_from(number).ok().filter(|&number| number != 0)?;
    let handle: RawHandle = ptr::without_provenance_mut(number);
    // SAFETY: the host made it for us (`give_handle`) and sends each number once, so this is its only owner.
    Some(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: OwnedHandle,
    pub(crate) pid: u32,
}

/// Starts a program in `job`, in our console, with three handles and no other. It is a member of the job before its first instruction.
pub(crate) fn spawn(
    launch: &Launch,
    job: &Job,
    standard: [BorrowedHandle<'_>; 3],
) -> io::Result<Started> {
    for handle in standard {
        // SAFETY: the handle is open for the time of the call.
        check(unsafe {
            SetHandleInformation(raw(&handle), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)
        })?;
    }
    let handles = standard.map(|handle| raw(&handle));
    let jobs = [raw(&job.0)];
    let mut attributes = Attributes::new(2)?;
    attributes.set(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
    attributes.set(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &handles)?;
    let mut startup = STARTUPINFOEXW::default();
    startup.StartupInfo.cb = size_of::<STARTUPINFOEXW>();
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    [
        startup.StartupInfo.hStdInput,
        startup.StartupInfo.hStdOutput,
        startup.StartupInfo.hStdError,
    ] = handles;
    startup.lpAttributeList = attributes.list();
    let mut command_line = launch.command_line.clone();
    let mut started = PROCESS_INFORMATION::default();
    // SAFETY: all four texts end with a zero (the environment with two), which `Launch` promises; the command line is ours to be
    // written to; the attributes and what they point to live until after the call.
    check(unsafe {
        CreateProcessW(
            launch.application.as_ptr(),
            command_line.as_mut_ptr(),
            ptr::null(),
            ptr::null(),
            1,
            EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT,
            launch.environment.as_ptr().cast(),
            launch.work_dir.as_ptr(),
            (&raw const startup).cast(),
            &raw mut started,
        )
    })?;
    drop(owned(started.hThread));
    Ok(Started {
        process: owned(started.hProcess)?,
        pid: started.dwProcessId,
    })
}

/// A list of attributes of a process to come.
struct Attributes {
    /// The list itself, which the system lays out; as numbers so that it is aligned.
    room: Vec<usize>,
}

impl Attributes {
    fn new(count: u32) -> io::Result<Attributes> {
        let mut bytes = 0;
        // This one only says how much room it takes, and fails.
        // SAFETY: without a list only the size is written.
        let _ =
            unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), count, 0, &raw mut bytes) };
        let mut room = vec![0_usize; bytes.div_ceil(mem::size_of::<usize>())];
        // SAFETY: the list has the room that was just asked for.
        check(unsafe {
            InitializeProcThreadAttributeList(room.as_mut_ptr().cast(), count, 0, &raw mut bytes)
        })?;
        Ok(Attributes { room })
    }

    fn list(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.room.as_mut_ptr().cast()
    }

    /// Sets one; `handles` must live as long as the list is used.
    fn set(&mut self, attribute: u32, handles: &[HANDLE]) -> io::Result<()> {
        // SAFETY: the list was initialised; the handles are read when the list is used, until when the caller keeps them.
        check(unsafe {
            UpdateProcThreadAttribute(
                self.list(),
                0,
                attribute as usize,
                handles.as_ptr().cast::<c_void>(),
                mem::size_of_val(handles),
                ptr::null_mut(),
                ptr::null(),
            )
        })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the list was initialised, and is not used any more.
        unsafe { DeleteProcThreadAttributeList(self.list()) }
    }
}

/// Waits for a process's end.
pub(crate) fn wait_for(process: &impl AsHandle) {
    // SAFETY: the handle is open for the time of the call.
    let _ = unsafe { WaitForSingleObject(raw(process), INFINITE) };
}

/// How a process ended; `None` while it lives.
pub(crate) fn exit_code(process: &impl AsHandle) -> Option<u32> {
    // Asked first: one that lives has a code too, and it may be anybody's own.
    // SAFETY: the handle is open for the time of the call.
    if unsafe { WaitForSingleObject(raw(process), 0) } != WAIT_OBJECT_0 {
        return None;
    }
    let mut code = 0;
    // SAFETY: as above; the place lives for the time of the call.
    check(unsafe { GetExitCodeProcess(raw(process), &raw mut code) }).ok()?;
    Some(code)
}

/// The file that a process runs; `None` if it is gone or may not be asked.
pub(crate) fn image_of(pid: u32) -> Option<PathBuf> {
    // SAFETY: nothing is borrowed.
    let process = owned(unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) }).ok()?;
    let mut path = [0; PATH_UNITS_MAX];
    let mut length = u32::try_from(PATH_UNITS_MAX).ok()?;
    // SAFETY: the buffer has the room that `length` says, and both live for the time of the call.
    check(unsafe {
        QueryFullProcessImageNameW(raw(&process), 0, path.as_mut_ptr(), &raw mut length)
    })
    .ok()?;
    let units = path.get(..usize::try_from(length).ok()?)?;
    Some(OsString::from_wide(units).into())
}

/// The directory with the system's own programs.
pub(crate) fn system_directory() -> io::Result<PathBuf> {
    let mut path = [0; PATH_UNITS_MAX];
    let room = u32::try_from(PATH_UNITS_MAX).unwrap_or(0);
    // SAFETY: the buffer has that room and lives for the time of the call.
    let length = unsafe { GetSystemDirectoryW(path.as_mut_ptr(), room) };
    match usize::try_from(length)
        .ok()
        .and_then(|length| path.get(..length))
    {
        Some([]) | None => Err(io::Error::last_os_error()),
        Some(units) => Ok(OsString::from_wide(units).into()),
    }
}

/// Makes this process one that hears the keys of its console and outlives them, as nobody does who starts programs there: a program inherits
/// that it ignores Ctrl-C, but no handler. Also: whoever crashes, below us too, ends and opens no window.
pub(crate) fn take_console() -> io::Result<()> {
    extern "system" fn outlive(_: u32) -> windows_sys::core::BOOL {
        1
    }
    // SAFETY: no handler: this only makes the process hear Ctrl-C again, which its parent may have ignored.
    check(unsafe { SetConsoleCtrlHandler(None, 0) })?;
    // SAFETY: the handler lives as long as the program, and touches nothing.
    check(unsafe { SetConsoleCtrlHandler(Some(outlive), 1) })?;
    // SAFETY: a number is set.
    unsafe {
        SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX)
    };
    Ok(())
}

/// A key that a console sends to everybody in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    C,
    Break,
}

/// Presses a key in our console, for everybody in it.
pub(crate) fn press(key: Key) -> io::Result<()> {
    let event = match key {
        Key::C => CTRL_C_EVENT,
        Key::Break => CTRL_BREAK_EVENT,
    };
    // SAFETY: nothing is borrowed. Group 0 is everybody in the console.
    check(unsafe { GenerateConsoleCtrlEvent(event, 0) })
}
