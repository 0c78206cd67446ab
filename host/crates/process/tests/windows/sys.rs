//! What `std` cannot ask: who the parent of a process is, whether a stranger has ended; and how to end one.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; each block says why it is sound"
)]

use std::{
    mem,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{INVALID_HANDLE_VALUE, WAIT_OBJECT_0},
    System::{
        Diagnostics::ToolHelp::{
            CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW,
            TH32CS_SNAPPROCESS,
        },
        Threading::{
            OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
            WaitForSingleObject,
        },
    },
};

/// A live process, whoever's child it is. Its number is its own while this lives.
pub(crate) struct Witness {
    pid: u32,
    process: OwnedHandle,
}

impl Witness {
    /// Somebody who lives, by the text of his number.
    pub(crate) fn of(pid: &str) -> Witness {
        let pid = pid.trim().parse().expect("the number of a process");
        // SAFETY: nothing is borrowed.
        let process = unsafe { OpenProcess(PROCESS_SYNCHRONIZE | PROCESS_TERMINATE, 0, pid) };
        assert!(!process.is_null(), "{pid} is gone already");
        // SAFETY: it was just opened, and nobody else has seen it.
        let process = unsafe { OwnedHandle::from_raw_handle(process) };
        Witness { pid, process }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let milliseconds = u32::try_from(limit.as_millis()).expect("a short time");
        // SAFETY: the handle is open for the time of the call.
        let answer = unsafe { WaitForSingleObject(self.process.as_raw_handle(), milliseconds) };
        answer == WAIT_OBJECT_0
    }

    pub(crate) fn assert_lives(&self) {
        assert!(!self.ends_within(Duration::ZERO), "{} is dead", self.pid);
    }

    pub(crate) fn assert_dies(&self) {
        let ended = self.ends_within(super::recorder::GUARD);
        assert!(ended, "{} is alive", self.pid);
    }

    /// Ends it from outside.
    pub(crate) fn put_down(&self) {
        // SAFETY: the handle is open for the time of the call.
        let ended = unsafe { TerminateProcess(self.process.as_raw_handle(), 1) };
        assert_ne!(ended, 0);
    }

    /// Who started it.
    pub(crate) fn parent(&self) -> Witness {
        // SAFETY: nothing is borrowed.
        let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
        assert_ne!(snapshot, INVALID_HANDLE_VALUE);
        // SAFETY: it was just made, and nobody else has seen it.
        let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
        let mut entry = PROCESSENTRY32W {
            dwSize: u32::try_from(mem::size_of::<PROCESSENTRY32W>()).expect("a small structure"),
            ..PROCESSENTRY32W::default()
        };
        // SAFETY: the handle is open and the entry, which knows its size, lives for the time of the call.
        let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) };
        while more != 0 {
            if entry.th32ProcessID == self.pid {
                return Witness::of(&entry.th32ParentProcessID.to_string());
            }
            // SAFETY: as above.
            more = unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) };
        }
        panic!("{} is not listed", self.pid);
    }
}
