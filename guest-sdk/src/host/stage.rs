//! The host of a native test: one [`Props`] per thread, which answers by its script and records.

mod process;

use std::cell::RefCell;
use std::time::Duration;

use crate::control::Stop;
use crate::log::{Channel, Full, Level};
use crate::{Denial, Value};

/// Waits of one step. Time on the stage passes at once, so a step that waits for a stop which nobody scripted
/// would wait for ever.
const WAITS_MAX: usize = 100_000;

/// The grace period that runners use when they name none.
const GRACE: Duration = Duration::from_secs(30);

pub use process::Child;
pub(crate) use process::{Programs, set_programs, start, which};

/// What the stage answers with, and what was said on it.
#[derive(Debug, Clone)]
pub(crate) struct Props {
    pub(crate) work_dir: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) job_variables: Vec<(String, String)>,
    pub(crate) grace: Duration,
    /// The stop that is requested once so many waits have passed.
    pub(crate) stop: Option<(usize, Stop)>,
    /// Since 1970.
    pub(crate) started_at: Duration,
    pub(crate) sealed: Vec<(String, Value)>,
    /// Secrets that stay closed.
    pub(crate) kept_closed: Vec<String>,
    pub(crate) log_bytes_left: usize,
    pub(crate) output: Vec<u8>,
    pub(crate) diagnostics: Vec<u8>,
    /// Waits that have passed.
    pub(crate) waits: Vec<Duration>,
    pub(crate) revealed: Vec<String>,
}

impl Default for Props {
    fn default() -> Props {
        Props {
            work_dir: String::new(),
            environment: Vec::new(),
            job_variables: Vec::new(),
            grace: GRACE,
            stop: None,
            started_at: Duration::ZERO,
            sealed: Vec::new(),
            kept_closed: Vec::new(),
            log_bytes_left: usize::MAX,
            output: Vec::new(),
            diagnostics: Vec::new(),
            waits: Vec::new(),
            revealed: Vec::new(),
        }
    }
}

thread_local! {
    static STAGE: RefCell<Props> = RefCell::new(Props::default());
}

/// Sets the stage and returns what stood there.
pub(crate) fn set(props: Props) -> Props {
    STAGE.replace(props)
}

pub(crate) fn write(to: Channel, bytes: &[u8]) -> Result<(), Full> {
    STAGE.with_borrow_mut(|props| {
        let granted = bytes.len().min(props.log_bytes_left);
        props.log_bytes_left -= granted;
        let log = match to {
            Channel::Output => &mut props.output,
            Channel::Diagnostics => &mut props.diagnostics,
        };
        log.extend_from_slice(&bytes[..granted]);
        if granted < bytes.len() {
            Err(Full::BudgetSpent)
        } else {
            Ok(())
        }
    })
}

/// The host's form of a structured line, without its escapes.
pub(crate) fn emit(level: Level, message: &str, fields: &[(String, String)]) -> Result<(), Full> {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let fields: String = fields
        .iter()
        .map(|(key, value)| format!(" {key}={value}"))
        .collect();
    write(
        Channel::Diagnostics,
        format!("{level}: {message}{fields}\n").as_bytes(),
    )
}

pub(crate) fn stop_requested() -> Option<Stop> {
    STAGE.with_borrow(|props| {
        let (waits, stop) = props.stop?;
        (props.waits.len() >= waits).then_some(stop)
    })
}

/// Time on the stage passes at once.
pub(crate) fn wait(millis: u64) -> Option<Stop> {
    let stop = stop_requested();
    STAGE.with_borrow_mut(|props| {
        assert!(
            props.waits.len() < WAITS_MAX,
            "the step waited {WAITS_MAX} times; `Stage::stop_after_waits` would stop it"
        );
        let passes = if stop.is_some() { 0 } else { millis };
        props.waits.push(Duration::from_millis(passes));
    });
    stop
}

pub(crate) fn elapsed_millis() -> u64 {
    let elapsed = STAGE.with_borrow(|props| props.waits.iter().sum::<Duration>());
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn now_millis() -> u64 {
    let started_at = STAGE.with_borrow(|props| props.started_at);
    let started_at = u64::try_from(started_at.as_millis()).unwrap_or(u64::MAX);
    started_at.saturating_add(elapsed_millis())
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

pub(crate) fn grace_millis() -> u64 {
    let grace = STAGE.with_borrow(|props| props.grace);
    u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)
}

/// A sealed input of the stage.
pub(crate) struct Sealed {
    name: String,
}

/// Finds a sealed input that has a value.
pub(crate) fn sealed(name: &str) -> Option<Sealed> {
    let known = STAGE.with_borrow(|props| props.sealed.iter().any(|(known, _)| known == name));
    known.then(|| Sealed {
        name: name.to_owned(),
    })
}

impl Sealed {
    pub(crate) fn reveal(&self) -> Result<Value, Denial> {
        STAGE.with_borrow_mut(|props| {
            if props.kept_closed.contains(&self.name) {
                return Err(Denial {
                    capability: "reveal".to_owned(),
                    target: self.name.clone(),
                    code: "no-rule".to_owned(),
                });
            }
            props.revealed.push(self.name.clone());
            let found = props.sealed.iter().find(|(known, _)| *known == self.name);
            Ok(found.map_or(Value::Null, |(_, value)| value.clone()))
        })
    }
}
