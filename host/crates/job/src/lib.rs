//! The life of a job, as values.
//!
//! Owns the states of a job and how it moves between them ([`step`]), every way a job or a step can end with
//! the one text a client may read about it ([`Ending`]), the times of a stop ([`wake_at`],
//! [`close_answers_by`]), and what counts as a job's id ([`JobId`]).
//!
//! Promises: pure and total. No clock, no task, no lock, no input or output; time comes in as [`At`], work
//! goes out as [`Effect`]. Every text for a client is one line of at most [`MESSAGE_BYTES_MAX`] bytes.
//! Never does: translate to the wire (that is `host::server`) or to a runner's reasons (`client`).
//! Called by: `host::jobs` and its driver, `host::run`, `host::server`.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

mod deadline;
mod ending;
mod id;
mod state;

pub use deadline::{At, CLOSE_MARGIN, GRACE_DEFAULT, close_answers_by, wake_at};
pub use ending::{Ending, Kind, MESSAGE_BYTES_MAX};
pub use id::{JOB_ID_BYTES_MAX, JobId, JobIdError};
pub use state::{Effect, Event, State, StopReason, step};
