//! Every bound of the language, each with its reason.
//!
//! An expression can be written by anybody who can start a job, so nothing in it may cost more than these allow.
//! Reaching one of them is an ordinary [`ExpressionError`](crate::ExpressionError) that names the limit.

/// Longest text of a template, in bytes. A whole document is not longer than that (design D3).
pub const TEMPLATE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many parentheses, brackets, braces and nested `${{ }}` may be open at once. The parser recurses once per
/// level; a test holds that this many fit on a stack of 512 KiB in a debug build.
pub const NESTING_MAX: usize = 64;

/// How many operations a template compiles to: about one for each value, operator, name and piece of text. Together
/// they take a few MiB at most.
pub const OPERATIONS_MAX: usize = 64 * 1024;

/// How much work one evaluation may do: operations, plus bytes that are produced, compared or searched. A text of
/// [`RESULT_BYTES_MAX`] can be built four times over.
pub const WORK_MAX: u64 = 64 * 1024 * 1024;

/// Longest text that an operation may produce, and largest [`size`](crate::Value::size) of a value that it may
/// build or return, in bytes. The same as for a file of outputs (design D9).
pub const RESULT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many arrays and objects may lie inside each other in a value that an expression builds, walks through or
/// returns. Values are walked recursively, and travel as JSON, whose readers stop at 128.
pub const VALUE_DEPTH_MAX: usize = 100;

/// Longest piece of a name, key or text that an error message repeats, in bytes. A name of the environment fits.
pub const SHOWN_BYTES_MAX: usize = 200;
