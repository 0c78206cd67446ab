//! From a submission to a job that can start: parse, check, make directories, log and files.
//!
//! Promises: an error leaves nothing behind, and says what is wrong in a sentence for the sender. Nothing of
//! the job runs here. Called by the registry between reservation and start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stephost_expr::{Map, Value};
use stephost_fault::point;
use stephost_job::{GRACE_DEFAULT, JobId};
use stephost_joblog::{Secrets, Stream};
use stephost_steps::{DocumentError, Parsed, Strictness};
use tokio::sync::watch;

use super::Hosting;
use crate::config;
use crate::files;
use crate::logfile::{self, LogReader, LogWriter, TooMuchToHide};
use crate::observe::{TRACEPARENT, TRACESTATE, TraceContext, panics, spans};
use crate::run::workspace::Workspace;
use crate::run::{Entry, Environment, Functions, JobContext, StopLevel, Walk};

/// Variable that sets how much a step logs (contract 7.5).
const LOG_LEVEL: &str = "CI_STEPS_LOG_LEVEL";
const LOG_LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];
/// Variable that lets error texts quote what steps wrote.
const DEBUG: &str = "CI_STEPS_DEBUG";
/// Largest text in bytes that is parsed on the caller's own thread: well under a millisecond of work.
const SMALL_TEXT_BYTES_MAX: usize = 4 * 1024;

/// A CI variable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) file: bool,
    pub(crate) masked: bool,
}

/// What a job runs.
pub(crate) enum Work {
    /// A text from the wire, not looked at yet.
    Text(String),
    /// A function that was read already. Everything that it calls is read strictly, as it was (design D6).
    Call(Entry),
}

/// A job as its sender describes it; the id is valid, the rest is not looked at yet.
pub(crate) struct Submission {
    pub(crate) id: JobId,
    pub(crate) work: Work,
    /// Where the job works; the host's directory when `None`.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    /// Whose trace it is part of, if its sender said so.
    pub(crate) trace: Option<TraceContext>,
    /// Sees where the job is and what it came to, if somebody wants to know.
    pub(crate) watcher: Option<watch::Sender<Walk>>,
}

impl Submission {
    /// Whether making the job takes less time than handing it to another thread.
    fn is_small(&self) -> bool {
        let text = match &self.work {
            Work::Text(text) => text.len(),
            Work::Call(_) => 0,
        };
        text <= SMALL_TEXT_BYTES_MAX && !self.variables.iter().any(|variable| variable.file)
    }
}

/// Why a submission cannot become a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedJob {
    /// The YAML is wrong.
    #[error(transparent)]
    Steps(#[from] DocumentError),
    /// The log level is none.
    #[error("variable {LOG_LEVEL} is {found:?}; use one of debug, info, warn, error")]
    LogLevel {
        /// What it is, cut.
        found: String,
    },
    /// The log could not hide what it has to.
    #[error(transparent)]
    TooMuchToHide(#[from] TooMuchToHide),
    /// A variable cannot be one.
    #[error("{0}")]
    Variable(String),
    /// The job's directory cannot be made or entered.
    #[error("the job's directory cannot be used: {}", source.kind())]
    Directory {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A limit of the operator's is not in force, so nothing may run.
    #[error("the job cannot be limited as this step host demands: {}", source.kind())]
    Unlimited {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The host has no room, or may not write.
    #[error("the step host cannot store the job: {}", source.kind())]
    Storage {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The host itself broke.
    #[error("{0}")]
    Broken(String),
}

/// A job that can start.
pub(super) struct Prepared {
    pub(super) id: JobId,
    pub(super) entry: Arc<Entry>,
    pub(super) context: Arc<JobContext>,
    pub(super) writer: Arc<LogWriter>,
    pub(super) reader: LogReader,
    pub(super) stop: watch::Sender<StopLevel>,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
}

/// Makes a job out of a submission.
///
/// # Errors
///
/// [`RefusedJob`]; nothing of the job is left then.
pub(super) async fn prepare(
    submission: Submission,
    functions: Arc<Functions>,
    hosting: Hosting,
) -> Result<Prepared, RefusedJob> {
    if submission.is_small() {
        return prepare_blocking(submission, functions, &hosting);
    }
    // Parsing 4 MiB and writing files must not hold up other jobs' calls.
    let work = panics::carried(move || prepare_blocking(submission, functions, &hosting));
    match tokio::task::spawn_blocking(work).await {
        Ok(prepared) => prepared,
        Err(failure) if failure.is_panic() => panics::resume(failure),
        Err(_) => Err(RefusedJob::Broken(
            "the step host is shutting down".to_owned(),
        )),
    }
}

fn prepare_blocking(
    submission: Submission,
    functions: Arc<Functions>,
    hosting: &Hosting,
) -> Result<Prepared, RefusedJob> {
    let Submission {
        id,
        work,
        directory,
        env,
        variables,
        timeout,
        grace,
        trace,
        watcher,
    } = submission;
    point!("prepare.begun");
    let (entry, strictness, warnings) = match work {
        Work::Text(steps) => {
            let Parsed { function, warnings } =
                stephost_steps::parse("steps", steps.as_bytes(), Strictness::Wire)?;
            (Entry::text(function), Strictness::Wire, warnings)
        }
        Work::Call(entry) => (entry, Strictness::Strict, Vec::new()),
    };
    point!("prepare.parsed");
    check_names(&env, &variables)?;
    let mut root = config::host_environment();
    // The host's own place in some trace is not the job's.
    if trace.is_some() || spans::are_sent() {
        root.remove(TRACEPARENT);
        root.remove(TRACESTATE);
    }
    let level = log_level(&env, &variables, &root)?;
    point!("prepare.checked");
    let work_dir = work_dir(directory.as_deref())?;
    point!("prepare.directory", fails: Err(RefusedJob::Directory { source: injected() }));

    let lodging = hosting.lodging();
    let storage = |source| RefusedJob::Storage { source };
    let secrets = secrets(&variables);
    TooMuchToHide::check(&secrets)?;
    let (writer, reader) = logfile::create(lodging.clone(), secrets).map_err(storage)?;
    point!("prepare.log", fails: Err(storage(injected())));
    let workspace = Workspace::new(lodging);
    point!("prepare.workspace");
    for warning in warnings {
        writer.line(Stream::Err, &format!("warning: {warning}"));
    }

    root.insert(LOG_LEVEL.to_owned(), level.to_owned());
    root.extend(env);
    let quote_lines = is_true(root.get(DEBUG))
        || variables
            .iter()
            .any(|variable| variable.key == DEBUG && is_true(Some(&variable.value)));
    let root = root
        .into_iter()
        .map(|(name, value)| (name, Value::string(value)))
        .collect();

    let supervisors = hosting.supervisors.for_job();
    let supervisors = supervisors.map_err(|source| RefusedJob::Unlimited { source })?;
    let grace = grace.unwrap_or(GRACE_DEFAULT);
    let variables = variable_values(variables, &workspace).map_err(storage)?;
    point!("prepare.variables", fails: Err(storage(injected())));
    let (stop, stop_level) = watch::channel(StopLevel::None);
    let context = JobContext {
        log: Arc::clone(&writer),
        variables,
        workspace: Arc::new(workspace),
        functions,
        supervisors,
        strictness,
        work_dir,
        environment: Environment::new(root),
        grace,
        quote_lines,
        stop: stop_level,
        background: hosting.background,
        leftovers: Mutex::default(),
        trace,
        watcher,
    };
    point!("prepare.context");
    Ok(Prepared {
        id,
        entry: Arc::new(entry),
        context: Arc::new(context),
        writer,
        reader,
        stop,
        timeout,
        grace,
    })
}

/// What a test makes of the system.
#[cfg(feature = "fault")]
fn injected() -> std::io::Error {
    std::io::ErrorKind::StorageFull.into()
}

fn check_names(env: &BTreeMap<String, String>, variables: &[Variable]) -> Result<(), RefusedJob> {
    for (name, value) in env {
        if let Some(fault) = crate::run::name_fault(name) {
            return Err(RefusedJob::Variable(format!("env: {fault}")));
        }
        if value.contains('\0') {
            return Err(RefusedJob::Variable(format!(
                "env: the value of {name} contains a NUL byte"
            )));
        }
    }
    match variables
        .iter()
        .position(|variable| variable.key.is_empty())
    {
        Some(index) => Err(RefusedJob::Variable(format!(
            "job.variables: variable {index} has an empty key"
        ))),
        None => Ok(()),
    }
}

/// The level that counts: a job variable before the request, the request before the host.
fn log_level(
    env: &BTreeMap<String, String>,
    variables: &[Variable],
    host: &BTreeMap<String, String>,
) -> Result<&'static str, RefusedJob> {
    let variable = variables
        .iter()
        .rev()
        .find(|variable| variable.key == LOG_LEVEL);
    let found = variable
        .map(|variable| &variable.value)
        .or_else(|| env.get(LOG_LEVEL))
        .or_else(|| host.get(LOG_LEVEL));
    let Some(found) = found else {
        return Ok("info");
    };
    let wanted = found.trim();
    LOG_LEVELS
        .into_iter()
        .find(|level| level.eq_ignore_ascii_case(wanted))
        .ok_or_else(|| RefusedJob::LogLevel {
            found: found.chars().take(40).collect(),
        })
}

fn is_true(value: Option<&String>) -> bool {
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// The job's directory, absolute, made if it is missing.
fn work_dir(wanted: Option<&Path>) -> Result<PathBuf, RefusedJob> {
    let failed = |source| RefusedJob::Directory { source };
    let own = std::env::current_dir().map_err(failed)?;
    let Some(wanted) = wanted else { return Ok(own) };
    let dir = own.join(wanted);
    files::make_private_dirs(&dir).map_err(failed)?;
    Ok(dir)
}

/// What the log must not show: masked variables; an empty one hides nothing.
fn secrets(variables: &[Variable]) -> Secrets {
    let masked = variables.iter().filter(|variable| variable.masked);
    Secrets::new(masked.map(|variable| variable.value.clone().into_bytes()))
}

/// Variables as expressions see them; of file variables the path. The last of a name wins.
fn variable_values(variables: Vec<Variable>, workspace: &Workspace) -> std::io::Result<Value> {
    let mut last = BTreeMap::new();
    for variable in variables {
        last.insert(variable.key.clone(), variable);
    }
    let mut values = Map::new();
    for (key, variable) in last {
        let value = if variable.file {
            workspace
                .keep(variable.value.as_bytes())?
                .to_string_lossy()
                .into_owned()
        } else {
            variable.value
        };
        values.insert(key, Value::string(value));
    }
    Ok(Value::object(values))
}
