//! What the thread that asks has computed so far, as Windows counts it: in steps of its own clock, which are some 16 ms.
//!
//! A limit of computing time is thus kept to two such steps.

#![expect(
    unsafe_code,
    reason = "no library has this clock; the block says why it is sound"
)]

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{GetCurrentThread, GetThreadTimes};

/// Windows counts a thread's time in these.
const NANOSECONDS_PER_TICK: u64 = 100;

/// Nanoseconds that this thread has had of a processor.
pub(crate) fn thread_nanos() -> u64 {
    let [mut created, mut ended, mut system, mut user] = [FILETIME::default(); 4];
    // SAFETY: the handle is a constant that means this thread; the four places live for the time of the call.
    let told = unsafe {
        GetThreadTimes(
            GetCurrentThread(),
            &raw mut created,
            &raw mut ended,
            &raw mut system,
            &raw mut user,
        )
    };
    debug_assert_ne!(told, 0, "a thread may ask for its own time");
    let ticks = |time: FILETIME| {
        (u64::from(time.dwHighDateTime) << 32).saturating_add(u64::from(time.dwLowDateTime))
    };
    ticks(system)
        .saturating_add(ticks(user))
        .saturating_mul(NANOSECONDS_PER_TICK)
}
