//! Who this process belongs to, as Windows numbers users.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; each block says why it is sound"
)]

use std::io;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// More than a user's number takes, with what the system puts before it; as numbers, so that it is aligned.
const ROOM_WORDS: usize = 64;
/// Longest text of a user's number.
const UNITS_MAX: usize = 256;

/// The number of our user, as `S-1-5-…`.
///
/// # Errors
///
/// What the system says.
pub(crate) fn own_user() -> io::Result<String> {
    let mut token = ptr::null_mut();
    // SAFETY: the handle of the process is a constant; the place for the new one lives for the time of the call.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made for us, and nobody else has seen it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut room = [0_u64; ROOM_WORDS];
    let mut used = 0;
    // SAFETY: the room is as large as is said, aligned for the structure, and lives for the time of the call.
    let told = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            room.as_mut_ptr().cast(),
            u32::try_from(size_of_val(&room)).unwrap_or(0),
            &raw mut used,
        )
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has put this structure at the beginning of the room.
    let user = unsafe { room.as_ptr().cast::<TOKEN_USER>().read() };
    let mut text = ptr::null_mut();
    // SAFETY: the number lies in the room, which lives on; the place for the text lives for the time of the call.
    if unsafe { ConvertSidToStringSidW(user.User.Sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has made a text that ends with a zero, which stops the count.
    let units = (0..UNITS_MAX).map_while(|at| match unsafe { text.add(at).read() } {
        0 => None,
        unit => Some(unit),
    });
    let number = String::from_utf16_lossy(&units.collect::<Vec<u16>>());
    // SAFETY: the call has made the text for us to free so, and it is not used any more.
    unsafe { LocalFree(text.cast()) };
    Ok(number)
}
