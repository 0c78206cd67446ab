//! Writing to the job log: [`say!`](crate::say) for what the step is asked for, [`info!`](crate::info) and its
//! like for what it has to say about its work. The macros never fail; the functions below tell more.
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

/// Writes one line to the output: `say!("Hello, {name}!")`.
///
/// Once the log budget is spent the line is cut, and the step counts as failed; [`log::line`](crate::log::line)
/// tells.
#[macro_export]
macro_rules! say {
    ($format:literal $($arguments:tt)*) => {{
        let _cut = $crate::log::line(::std::format!($format $($arguments)*));
    }};
}

/// What the macros named after levels have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($key:ident = $value:expr,)* $format:literal $($arguments:tt)*) => {{
        let _cut = $crate::log::emit(
            $crate::log::Level::$level,
            &::std::format!($format $($arguments)*),
            &[$((::core::stringify!($key), &*::std::string::ToString::to_string(&$value))),*],
        );
    }};
}

/// Writes a line to the diagnostics, for the author. Fields come first: `trace!(size = 7, "copied {path}")`.
#[macro_export]
macro_rules! trace {
    ($($tokens:tt)+) => {
        $crate::__log!(Trace, $($tokens)+)
    };
}

/// Writes a line to the diagnostics, for the author, when something is odd. Fields come first: `debug!(size = 7, "copied {path}")`.
#[macro_export]
macro_rules! debug {
    ($($tokens:tt)+) => {
        $crate::__log!(Debug, $($tokens)+)
    };
}

/// Writes a line to the diagnostics, for everybody. Fields come first: `info!(size = 7, "copied {path}")`.
#[macro_export]
macro_rules! info {
    ($($tokens:tt)+) => {
        $crate::__log!(Info, $($tokens)+)
    };
}

/// Writes a line to the diagnostics, when something is wrong and the step copes. Fields come first: `warn!(size = 7, "copied {path}")`.
#[macro_export]
macro_rules! warn {
    ($($tokens:tt)+) => {
        $crate::__log!(Warn, $($tokens)+)
    };
}

/// Writes a line to the diagnostics, when something is wrong and the step does not cope. Fields come first: `error!(size = 7, "copied {path}")`.
#[macro_export]
macro_rules! error {
    ($($tokens:tt)+) => {
        $crate::__log!(Error, $($tokens)+)
    };
}
