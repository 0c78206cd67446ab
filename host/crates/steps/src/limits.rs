//! Every bound of this crate, each with its reason.
//!
//! A text comes from a client or from a repository; its size decides nothing but its own refusal.

/// Longest step text in bytes. Source: design D3.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most nodes (scalars, keys, arrays, objects) in one text. A job of 2 000 steps has about 20 000; at this bound
/// a debug build still answers in well under a second.
pub const NODES_MAX: usize = 100_000;

/// Deepest nesting of arrays and objects. Everything that recurses over a tree relies on it.
pub const DEPTH_MAX: usize = 64;

/// Most nodes that aliases may add. Hand-written files share a few lines of `env`; bombs multiply.
pub const ALIASED_NODES_MAX: usize = 10_000;

/// Most bytes of text that aliases may add, so that few nodes with long texts are no bomb either.
pub const ALIASED_BYTES_MAX: usize = 1024 * 1024;

/// Most warnings kept for one text: they go to a job log, and a generated text could hold a typo per line.
pub const WARNINGS_MAX: usize = 50;

/// Longest message of an error, in bytes, without its place. With [`SOURCE_NAME_BYTES_MAX`] and two numbers an error
/// line stays below 400 bytes, which leaves room for prefixes below the 512 bytes a client gets.
pub const MESSAGE_BYTES_MAX: usize = 250;

/// Longest source name shown in an error, in bytes.
pub const SOURCE_NAME_BYTES_MAX: usize = 120;

/// Most characters of foreign text quoted at once.
pub const QUOTED_CHARS_MAX: usize = 40;

/// Longest reference in bytes: longer than any path or URL that a system accepts.
pub const REFERENCE_BYTES_MAX: usize = 4096;

/// Most characters of a reference shown in a message: it is what a person looks for, and images have long names.
pub const REFERENCE_SHOWN_CHARS_MAX: usize = 100;

/// Most errors, and most warnings, that a check tells of one file: who reads them mends a few at a time.
pub const FINDINGS_MAX: usize = 50;

/// Most files that a check reads because references lead to them.
pub const FOLLOWED_FILES_MAX: usize = 256;

/// Most bytes of such files together: every text is held until its findings are shown.
pub const FOLLOWED_BYTES_MAX: usize = 64 * 1024 * 1024;
