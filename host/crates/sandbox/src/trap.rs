//! From an error of wasmtime to the ending of a guest. Every way out of a guest other than returning is named
//! here.
//!
//! | what wasmtime says | ending |
//! |---|---|
//! | [`Killed`] | `Cancelled { killed: true }` |
//! | [`LimitHit`], or one of wasmtime's own limit messages | `Limit` |
//! | no free slot in the pool | `Busy` |
//! | a bug in wasmtime, the host out of memory, an error of a type of its own from a host function | `HostFault` |
//! | `unreachable` after a note of the panic hook | `Trap`: `panic: TEXT at PLACE` |
//! | `unreachable` without one | `Trap`: `abort` |
//! | the stack's end, by the native stack or by the guest's own | `Trap`: `stack overflow` |
//! | any other trap, and data that breaks the component model (these errors are words, not types) | `Trap` with wasmtime's words |

use std::ops::Range;
use std::str::Utf8Error;

use rustc_demangle::demangle;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace, WasmtimeBug};

use crate::GuestEnding;
use crate::ending::{HostFault, Trap, TrapKind, plain};
use crate::guest::{Guest, Killed};
use crate::limits::{LimitHit, hit_in_message};

/// Frames in a report. The cause is among the first.
const FRAMES_SHOWN_MAX: usize = 20;

/// Longest name of a frame: generic names grow without end.
const FRAME_BYTES_MAX: usize = 256;

/// Addresses that are reached by going below zero. A wild access there is a stack that grew too far: guests
/// of Rust have their stack at the bottom of memory, so that nothing of theirs is overwritten.
const BELOW_ZERO: Range<u64> = (4 << 30) - (16 << 20)..4 << 30;

/// What the panic hook of a guest said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    message: String,
    location: String,
}

impl Note {
    pub(crate) fn new(message: &str, location: &str) -> Note {
        Note {
            message: plain(message),
            location: plain(location),
        }
    }

    fn text(&self) -> String {
        let Note { message, location } = self;
        if location.is_empty() {
            format!("panic: {message}")
        } else {
            format!("panic: {message} at {location}")
        }
    }
}

/// Names the ending behind `error`.
pub(crate) fn ending(error: &wasmtime::Error, guest: &Guest) -> GuestEnding {
    if error.is::<Killed>() {
        return GuestEnding::Cancelled { killed: true };
    }
    if let Some(hit) = error.downcast_ref::<LimitHit>() {
        return limit(hit, error);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return GuestEnding::Busy;
    }
    if error.is::<WasmtimeBug>() || error.is::<wasmtime::OutOfMemory>() {
        return host_fault("the sandbox could not go on with the guest", error);
    }
    let cause = error.root_cause().to_string();
    if let Some(hit) = hit_in_message(&cause, &guest.limits) {
        return limit(&hit, error);
    }
    let (kind, message) = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap_text(*trap, error, guest.note.as_ref()),
        None if is_words(error) => (TrapKind::InvalidValue, plain(&cause)),
        // Its text may name what is the host's own business.
        None => {
            return host_fault("a host function failed while it served the guest", error);
        }
    };
    GuestEnding::Trap(Trap {
        kind,
        message,
        frames: frames(error),
    })
}

fn limit(hit: &LimitHit, error: &wasmtime::Error) -> GuestEnding {
    match hit.ending() {
        GuestEnding::Limit { which, message, .. } => GuestEnding::Limit {
            which,
            message,
            frames: frames(error),
        },
        other => other,
    }
}

fn host_fault(message: &str, error: &wasmtime::Error) -> GuestEnding {
    GuestEnding::HostFault(HostFault {
        detail: plain(&format!("{error:#}")),
        frames: frames(error),
        ..HostFault::new(message)
    })
}

/// Whether wasmtime itself complains about what the guest passed. It does so in words, text that is not UTF-8
/// apart; what fails in a host function fails with a type.
fn is_words(error: &wasmtime::Error) -> bool {
    error.is::<String>() || error.is::<&'static str>() || error.is::<Utf8Error>()
}

fn trap_text(
    trap: wasmtime::Trap,
    error: &wasmtime::Error,
    note: Option<&Note>,
) -> (TrapKind, String) {
    use wasmtime::Trap as T;

    match (trap, note) {
        // A panic ends in `unreachable`; a note before anything else is a hook that broke, and the trap is
        // what happened.
        (T::UnreachableCodeReached, Some(note)) => (TrapKind::Panic, note.text()),
        (T::UnreachableCodeReached, None) => (TrapKind::Unreachable, "abort".to_owned()),
        (T::StackOverflow, _) => stack_overflow(),
        (T::MemoryOutOfBounds, _) if error.chain().any(|link| is_below_zero(&link.to_string())) => {
            stack_overflow()
        }
        (other, _) => {
            let text = other.to_string();
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
            (kind(other), text.to_owned())
        }
    }
}

fn stack_overflow() -> (TrapKind, String) {
    (TrapKind::StackOverflow, "stack overflow".to_owned())
}

fn kind(trap: wasmtime::Trap) -> TrapKind {
    use wasmtime::Trap as T;

    match trap {
        T::UnreachableCodeReached => TrapKind::Unreachable,
        T::StackOverflow => TrapKind::StackOverflow,
        T::MemoryOutOfBounds | T::TableOutOfBounds | T::HeapMisaligned => TrapKind::OutOfBounds,
        T::IntegerOverflow | T::IntegerDivisionByZero | T::BadConversionToInteger => {
            TrapKind::Arithmetic
        }
        T::IndirectCallToNull | T::BadSignature => TrapKind::IndirectCall,
        // The type grows with wasmtime, mostly by what is not compiled in.
        _ => TrapKind::Other,
    }
}

/// Reads the address out of `memory fault at wasm address 0x… in linear memory of size 0x…`; the type that
/// knows it is private.
fn is_below_zero(message: &str) -> bool {
    let Some((_, rest)) = message.split_once("memory fault at wasm address 0x") else {
        return false;
    };
    let digits = rest.split(' ').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).is_ok_and(|address| BELOW_ZERO.contains(&address))
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = backtrace
        .frames()
        .iter()
        .map(|frame| frame.func_name().unwrap_or("?"));
    readable(names)
}

/// Makes frames readable: demangled, without the panic machinery on top, repeats collapsed.
fn readable<'a>(raw: impl Iterator<Item = &'a str>) -> Vec<String> {
    // `{:#}` leaves out hashes.
    let names: Vec<String> = raw.map(|name| format!("{:#}", demangle(name))).collect();
    // What lies above the last function of `core::panicking` is how Rust panics, not where.
    let start = names
        .iter()
        .rposition(|name| name.starts_with("core::panicking::"))
        .map_or(0, |at| at + 1);
    let mut shown: Vec<(&str, usize)> = Vec::new();
    for name in &names[start..] {
        match shown.last_mut() {
            Some((last, times)) if last == name => *times += 1,
            _ => shown.push((name, 1)),
        }
    }
    let shown = shown.into_iter().take(FRAMES_SHOWN_MAX);
    shown
        .map(|(name, times)| {
            let name = plain(&name[..name.floor_char_boundary(FRAME_BYTES_MAX)]);
            if times == 1 {
                name
            } else {
                format!("{name} ({times} times)")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_just_below_address_zero_is_the_stack() {
        let table = [
            (
                "memory fault at wasm address 0xffffff80 in linear memory of size 0x110000",
                true,
            ),
            (
                "memory fault at wasm address 0xff000000 in linear memory of size 0x110000",
                true,
            ),
            (
                "memory fault at wasm address 0xfeffffff in linear memory of size 0x110000",
                false,
            ),
            (
                "memory fault at wasm address 0x110000 in linear memory of size 0x110000",
                false,
            ),
            (
                "memory fault at wasm address 0x100000000 in linear memory of size 0x110000",
                false,
            ),
            ("memory fault at wasm address 0x", false),
            ("something else", false),
        ];
        for (message, expected) in table {
            assert_eq!(is_below_zero(message), expected, "{message}");
        }
    }

    #[test]
    fn frames_show_where_and_not_how_rust_panics() {
        let raw = [
            "_RNvNtCs1234_3std9panicking13panic_handler",
            "_RNvNtCs1234_4core9panicking9panic_fmt",
            "_ZN5hello4deep17h0123456789abcdefE",
            "_ZN5hello4deep17h0123456789abcdefE",
            "plain",
        ];
        assert_eq!(
            readable(raw.into_iter()),
            ["hello::deep (2 times)", "plain"]
        );
    }

    #[test]
    fn a_note_is_one_line_with_its_place() {
        assert_eq!(
            Note::new("two\nlines", "src/lib.rs:1:2").text(),
            "panic: two lines at src/lib.rs:1:2"
        );
        assert_eq!(Note::new("nowhere", "").text(), "panic: nowhere");
    }
}
