//! The host of a component: its imports, under the names the rest of the crate uses.

pub(crate) use crate::bindings::stephost::step::context::{
    environment, grace_millis, job_variables, work_dir,
};
pub(crate) use crate::bindings::stephost::step::control::{
    elapsed_millis, grace_left, now_millis, stop_requested, wait,
};
pub(crate) use crate::bindings::stephost::step::log::{emit, panicked, write};
pub use crate::bindings::stephost::step::process::Child;
pub(crate) use crate::bindings::stephost::step::process::{start, which};
pub(crate) use crate::bindings::stephost::step::secrets::{Secret as Sealed, sealed};
