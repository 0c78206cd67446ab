//! Who may connect to a pipe, as Windows wants it written down.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; each block says why it is sound"
)]

use std::ffi::{OsStr, c_void};
use std::{io, ptr};

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;

/// Lets one user and the system connect to a pipe, and nobody else.
#[derive(Debug)]
pub(super) struct Guard(*mut c_void);

// SAFETY: what it points to is its own, and nobody changes it after it was made.
unsafe impl Send for Guard {}
// SAFETY: the same.
unsafe impl Sync for Guard {}

impl Guard {
    /// For the user with this number.
    pub(super) fn for_user(number: &str) -> io::Result<Guard> {
        // Nothing is inherited (P); all rights for the user and for the system (SY), which is root here.
        let text = format!("D:P(A;;GA;;;{number})(A;;GA;;;SY)\0");
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a zero; the place for the descriptor lives for the time of the call; its size may be left out.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                units.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        if made == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Guard(descriptor))
    }

    /// Makes a place of a pipe under this guard.
    pub(super) fn create(
        &self,
        options: &ServerOptions,
        name: &OsStr,
    ) -> io::Result<NamedPipeServer> {
        let mut attributes = SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        };
        // SAFETY: it points to such a structure, which lives for the time of the call, as does the descriptor in it.
        unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: the call that made it wants it freed so, and it is not used any more.
        unsafe { LocalFree(self.0) };
    }
}
