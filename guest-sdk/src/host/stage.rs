//! The host of a native test: one [`Props`] per thread, which answers and records.

mod process;

use std::cell::RefCell;

use crate::control::Stop;
use crate::log::{Channel, Full, Level};

pub use process::Child;
pub(crate) use process::{Programs, set_programs, start, which};

/// What the stage answers with, and what was said on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Props {
    pub(crate) work_dir: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) job_variables: Vec<(String, String)>,
    pub(crate) stop: Option<Stop>,
    pub(crate) output: Vec<u8>,
    pub(crate) diagnostics: Vec<u8>,
}

thread_local! {
    static STAGE: RefCell<Props> = RefCell::new(Props::default());
}

/// Sets the stage and returns what stood there.
pub(crate) fn set(props: Props) -> Props {
    STAGE.replace(props)
}

pub(crate) fn write(to: Channel, bytes: &[u8]) -> Result<(), Full> {
    STAGE.with_borrow_mut(|props| match to {
        Channel::Output => props.output.extend_from_slice(bytes),
        Channel::Diagnostics => props.diagnostics.extend_from_slice(bytes),
    });
    Ok(())
}

pub(crate) fn emit(level: Level, message: &str, fields: &[(String, String)]) -> Result<(), Full> {
    let fields: String = fields
        .iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    write(
        Channel::Diagnostics,
        format!("{level:?} {message}{fields}\n").as_bytes(),
    )
}

pub(crate) fn stop_requested() -> Option<Stop> {
    STAGE.with_borrow(|props| props.stop)
}

/// Time on the stage passes at once.
pub(crate) fn wait(_millis: u64) -> Option<Stop> {
    stop_requested()
}

pub(crate) fn grace_left() -> Option<u64> {
    stop_requested().map(|_| grace_millis())
}

pub(crate) fn work_dir() -> String {
    STAGE.with_borrow(|props| props.work_dir.clone())
}

pub(crate) fn environment() -> Vec<(String, String)> {
    STAGE.with_borrow(|props| props.environment.clone())
}

pub(crate) fn job_variables() -> Vec<(String, String)> {
    STAGE.with_borrow(|props| props.job_variables.clone())
}

/// The grace period that runners use when they name none.
pub(crate) fn grace_millis() -> u64 {
    30_000
}
