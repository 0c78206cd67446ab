//! The expression language of functions: text with `${{ }}` to values.
//!
//! Owns what a step author may write between `${{` and `}}` (contract 4, the newer dialect of design D7), the
//! values this works on ([`Value`]) and the mark on them that says "never show this" ([`Value::sensitive`]).
//!
//! ```text
//! text ──Template::parse──► program ──Template::evaluate(scope)──► Value
//!        lex, parse                    eval, functions              value
//! ```
//!
//! Promises: pure and total. The same text in the same scope gives the same value; no text makes it panic, run
//! long, recurse deep or produce without end: each bound is a constant of [`limits`]. What was made from a
//! sensitive value is sensitive. No message of an [`ExpressionError`] and no `Debug` or `Display` of a value
//! shows sensitive content.
//! Never does: read files, clocks or the environment; decide which names exist (that is the [`Scope`] of the
//! caller); expand the result of an expression a second time.
//! Called by: `steps`, which parses the templates of a definition, and `host::run`, which evaluates them.

#![forbid(unsafe_code)]

mod access;
mod code;
mod error;
mod eval;
mod functions;
mod lex;
pub mod limits;
mod parse;
mod program;
mod template;
mod value;

pub use access::{Access, Segment};
pub use code::Code;
pub use error::{ExpressionError, Fault, Shown};
pub use functions::Function;
pub use template::{Scope, Template};
pub use value::{Data, Kind, Map, Value};
