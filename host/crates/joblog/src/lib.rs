//! The bytes of a job log, from what a step printed to what is stored: mask, then split into lines, then
//! stamp each line with time and stream.
//!
//! ```text
//! step ──bytes──► Masker (one per stream) ──► Stamper (lines, 8 KiB pieces, headers) ──► ready to append
//! ```
//!
//! Promises: whatever the borders between writes, the stored text is the same (times and piece borders
//! aside); no secret is stored; what background processes of earlier steps say is marked ([`BackgroundId`]); a reader that undoes the stamps gets both streams back, byte for byte
//! (contract 5.7). What waits is bounded: per stream less than the longest secret, and one line of 8 KiB.
//! Never does: read a clock, touch a file, know a job. Time comes in, bytes go out.
//! Called by: `host::logfile` (the shell around [`JobLog`]) and whoever shows a text to a client
//! ([`Secrets::mask_text`]).
//!
//! Masking protects against accidents. It finds the exact bytes of a secret, line breaks inside included;
//! it does not find a secret whose line breaks became CR LF on a terminal, or one that a step encoded.

#![forbid(unsafe_code)]

mod background;
mod lines;
mod mask;
mod offset;
mod secrets;
mod stamp;
mod unstamp;

pub use background::BackgroundId;
pub use lines::JobLog;
pub use mask::{MASK, Masker};
pub use offset::{LogOffset, NegativeOffset};
pub use secrets::{SECRETS_BYTES_MAX, Secrets};
pub use stamp::{HEADER_BYTES, LINE_BYTES_MAX, Stamper, Stream};
pub use unstamp::Unstamper;
