//! Every way a guest can end. Called by: `run` in the host, which turns it into the ending of a step (design
//! D2).

use stephost_policy::LimitName;

use crate::Value;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum GuestEnding {
    /// It did what it was asked for.
    Success {
        /// Outputs, each name once.
        outputs: Vec<(String, Value)>,
        /// Environment variables for later steps, each name once.
        exports: Vec<(String, String)>,
    },
    /// It ran, and its answer is "failed"; or what it returned breaks the rules for values.
    Failed {
        /// What went wrong, in the guest's words.
        message: String,
        /// The number it gave.
        exit_code: Option<i32>,
    },
    /// It cannot use an input.
    InvalidInput {
        /// Which one.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// It needs something the policy refused.
    Denied {
        /// What kind of thing.
        capability: String,
        /// Which one.
        target: String,
        /// The reason code.
        code: String,
    },
    /// It ended because of a stop.
    Cancelled {
        /// False when it ended by its own will after it was asked, or never began.
        killed: bool,
    },
    /// It used up something.
    Limit {
        /// What.
        which: LimitName,
        /// The limit, in words.
        message: String,
        /// Where it was, as in [`Trap::frames`]; empty where nobody looked.
        frames: Vec<String>,
    },
    /// The guest broke: a panic, an abort, a wild access.
    Trap(Trap),
    /// The host broke while it served the guest. Says nothing about the guest.
    HostFault(HostFault),
    /// The component imports something the sandbox does not have, or exports no step.
    Link {
        /// The interface.
        missing: String,
        /// What the linker said.
        message: String,
    },
    /// The bytes are no component that this engine runs.
    NotAComponent {
        /// What the compiler said.
        message: String,
    },
    /// Every slot is taken. Nothing was started.
    Busy,
}

/// What is known about a host that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFault {
    /// Where, in words a client may read.
    pub message: String,
    /// The whole chain of causes, for the operator alone. Empty after a panic, whose text the panic hook has.
    pub detail: String,
    /// Where the guest was, as in [`Trap::frames`].
    pub frames: Vec<String>,
}

impl HostFault {
    pub(crate) fn new(message: impl Into<String>) -> HostFault {
        HostFault {
            message: message.into(),
            detail: String::new(),
            frames: Vec::new(),
        }
    }
}

/// What is known about a guest that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// What kind of thing it did.
    pub kind: TrapKind,
    /// One plain line: `panic: TEXT at FILE:LINE:COLUMN`, `abort`, `stack overflow`, `out of bounds memory
    /// access` …
    pub message: String,
    /// Where it was, innermost first: readable names, without the panic machinery, repeats as `name (17
    /// times)`.
    pub frames: Vec<String>,
}

/// What a guest that broke did, in words that are stable: metrics rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// It panicked, and its panic hook said so.
    Panic,
    /// It reached what it must not, without a word: an abort.
    Unreachable,
    /// It used up its stack.
    StackOverflow,
    /// It reached beyond its memory or a table.
    OutOfBounds,
    /// A division by zero, or a number that does not fit.
    Arithmetic,
    /// It called through a pointer to no function of that type.
    IndirectCall,
    /// It passed what the component model does not allow.
    InvalidValue,
    /// Anything else.
    Other,
}

impl TrapKind {
    /// Every kind.
    pub const ALL: [TrapKind; 8] = [
        TrapKind::Panic,
        TrapKind::Unreachable,
        TrapKind::StackOverflow,
        TrapKind::OutOfBounds,
        TrapKind::Arithmetic,
        TrapKind::IndirectCall,
        TrapKind::InvalidValue,
        TrapKind::Other,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TrapKind::Panic => "panic",
            TrapKind::Unreachable => "unreachable",
            TrapKind::StackOverflow => "stack_overflow",
            TrapKind::OutOfBounds => "out_of_bounds",
            TrapKind::Arithmetic => "arithmetic",
            TrapKind::IndirectCall => "indirect_call",
            TrapKind::InvalidValue => "invalid_value",
            TrapKind::Other => "other",
        }
    }
}

/// Longest text taken from a guest into an ending. Job endings show 512 bytes; the rest is for a report.
pub(crate) const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Cuts a text of a guest to [`TEXT_BYTES_MAX`] and makes it one line.
pub(crate) fn plain(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    cut.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_guest_is_one_short_line() {
        assert_eq!(plain("two\nlines\x1b[31m"), "two lines [31m");
        let long = plain(&"ä".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.len(), TEXT_BYTES_MAX);
        assert!(
            plain(&format!("x{long}")).len() < TEXT_BYTES_MAX,
            "cut at the boundary of a character"
        );
    }
}
