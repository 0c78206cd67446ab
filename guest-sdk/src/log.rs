//! Writing to the job log.
//!
//! A step has a log budget. The first write beyond it is cut and answers [`Full`]; a step that writes again
//! is ended.

use crate::host;

pub use crate::bindings::stephost::step::log::{Channel, Full, Level};

/// Writes one line to the output.
///
/// # Errors
/// [`Full`] when the log budget is spent.
pub fn line(text: impl AsRef<str>) -> Result<(), Full> {
    let text = text.as_ref();
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'\n');
    host::write(Channel::Output, &bytes)
}

/// Writes raw bytes; a line ends where they contain a line feed.
///
/// # Errors
/// [`Full`] when the log budget is spent.
pub fn write(to: Channel, bytes: &[u8]) -> Result<(), Full> {
    host::write(to, bytes)
}

/// Writes one structured line to the diagnostics.
///
/// # Errors
/// [`Full`] when the log budget is spent.
pub fn emit(level: Level, message: &str, fields: &[(&str, &str)]) -> Result<(), Full> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    host::emit(level, message, &fields)
}
