//! Step YAML: from text to definitions, references and loaded functions; and everything that is wrong on the way.
//!
//! Owns the language of contract section 3: two YAML documents (spec, definition) with source positions, the
//! short and long forms of references, what a local reference means, and the checks of inputs and outputs
//! against a spec.
//!
//! Promises: [`parse`] is total. Any bytes give a [`Function`] or one line that says where and what; nothing
//! panics, recurses without a bound, or grows beyond the limits in [`limits`]. A text is never quoted at length.
//!
//! Never does: I/O (files come through [`Files`]), evaluation by itself (callers bring the scope), knowledge of
//! jobs, processes, builtins or the wire.
//!
//! Called by: `host::run` (walks the tree), `host::server` (checks a request), `host::cli` (`run`, `check`).
//!
//! ```text
//! bytes ─ document ─► yaml (marked tree) ─► spec, definition ─► Function
//!                                                  │ reference ─ resolve ─ Files ─► bytes …
//! ```

#![forbid(unsafe_code)]

mod check;
mod code;
mod definition;
mod document;
mod error;
mod fields;
mod name;
mod nearest;
mod place;
mod quoted;
mod reference;
mod resolve;
mod spec;
mod tree;
mod warning;
mod yaml;

pub mod limits;

pub use check::{Builtins, Checked, Checker, Finding, Fix, Outcome, Severity};
pub use code::Code;
pub use definition::{Body, Call, Composite, Definition, Env, Exec, Step};
pub use document::{Function, Parsed, Strictness, parse, read_documents};
pub use error::DocumentError;
pub use name::{Name, NameError};
pub use place::Place;
pub use reference::{
    GitReference, LocalReference, OciReference, OciVersion, Reference, ReferenceError, Shown,
};
pub use resolve::{Callee, FileFault, Files, LoadError, Loaded, load_local, resolve};
pub use spec::{InputError, OutputError, Outputs, Parameter, Spec, ValueType};
pub use tree::Tree;
pub use warning::Warning;
pub use yaml::{Content, Key, Meaning, Node, Scalar};
