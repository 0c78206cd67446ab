//! Real steps against the real kernel. One binary; `fixture` is shared with the tests that need a process of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod cgroups;
mod endings;
mod fixture;
mod leftovers;
mod output;
mod starting;
mod stopping;
mod supervising;
