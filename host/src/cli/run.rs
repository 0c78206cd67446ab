//! `run WHAT`: steps on this machine, with the engine and the policy of a host and without a server.
//!
//! Owns what the arguments mean for each kind of thing that can be run, and the order of what is shown: what differs
//! from CI, the log, outputs, and last the card of a failure. The log goes out as the steps wrote it; everything that
//! this command says by itself is on stderr. With `--json` the log is on stderr too, and stdout has one document.
//!
//! ```text
//! argument ─ source ─► function ─ inputs ──┐
//!                 └──► gitlab_ci ─ job ────┴► engine ─► screen (live)
//!                 └──► component                 └────► report (last)
//! ```

mod component;
mod engine;
mod gitlab_ci;
mod inputs;
mod report;
mod screen;
mod source;

pub(super) use component::words;
pub(super) use source::read_component;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Stderr, Stdout, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use stephost_expr::Value;
use stephost_process::JobLimits;
use stephost_steps::{Function, LoadError, LocalReference, Parsed, Strictness, limits, load_local};

use super::exit::{self, Failure};
use super::visible::visible;
use super::{Answers, policy, print};
use crate::config;
use crate::jobs::{Jobs, RefusedJob, RunError, Submission, Variable, Work};
use crate::observe::{self, OperatorLog, PanicBudget};
use crate::run::{Entry, Functions, LocalFiles, name_fault, room};
use engine::{Ended, Stops};
use screen::Screen;
use source::Source;

/// How long what runs may take to end after an interrupt.
const GRACE_DEFAULT: &str = "10s";

/// Longest time that `after_script` may take. As runners have it.
const AFTER_SCRIPT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Below the options of `--help`.
pub(super) const HELP: &str = "\
Examples:
  stephost run ./greet -i name=you
  stephost run .gitlab-ci.yml#build --var TARGET=release

Exit codes: 0 fine, 1 a step failed, 2 wrong arguments, 4 denied by the policy,
65 a bad file, 70 internal, 73 something cannot be written, 130 interrupted.";

#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// A function's file or directory, FILE#JOB, FILE.wasm, - for stdin
    #[arg(value_name = "WHAT")]
    what: OsString,
    /// An input; a text as it is, everything else as JSON
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// A job variable; it comes before those of the file
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Hide the value of this job variable in the log
    #[arg(long = "mask", value_name = "NAME")]
    masked: Vec<String>,
    /// An environment variable of the steps, beside ours
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// Work in DIR [default: here, or where the CI file is]
    #[arg(short = 'C', value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Stop after this time
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    timeout: Option<Duration>,
    /// Time to end in, once asked to
    #[arg(long, value_name = "DURATION", default_value = GRACE_DEFAULT, value_parser = config::duration)]
    grace: Duration,
    /// Print one JSON document; the log goes to stderr
    #[arg(long)]
    json: bool,
    /// End with the exit status of the failed step
    #[arg(long)]
    propagate_exit: bool,
}

/// What is common to everything that runs as a job.
struct Settings {
    what: String,
    variables: Vec<(String, String)>,
    masked: BTreeSet<String>,
    environment: BTreeMap<String, String>,
    timeout: Option<Duration>,
    grace: Duration,
}

/// A job that can start.
struct Task {
    entry: Entry,
    /// What runs after it, whatever its end.
    after: Option<Arc<Function>>,
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    warnings: Vec<String>,
    differs: Vec<String>,
}

/// Runs what the arguments name.
pub(super) fn run(arguments: RunArguments) -> Result<u8, Failure> {
    let source = Source::of(&arguments.what).map_err(Failure::bad_input)?;
    if let Source::Component(file) = &source {
        only_inputs(&arguments).map_err(Failure::usage)?;
        return component::run(file, &arguments.inputs, arguments.grace);
    }
    let settings = settings(&arguments).map_err(Failure::usage)?;
    let task = match source {
        Source::Component(_) => return Err(Failure::internal(anyhow!("a component is no job"))),
        Source::Function(reference) => function(&reference, &settings, &arguments)?,
        Source::Stdin => stdin(&settings, &arguments)?,
        Source::Job { file, job } => ci_job(&file, job.as_deref(), &settings, &arguments)?,
    };
    observe::start(OperatorLog::OF_A_PERSON, PanicBudget::OFF, None)
        .context("listening for panics")
        .map_err(Failure::internal)?;
    // For jobs of dead hosts nobody asks this program; they stay for one that is asked.
    drop(super::tidy_up());
    let runtime = super::serve::runtime()?;
    let code = runtime.block_on(running(task, &settings, &arguments));
    super::serve::end(runtime);
    code
}

/// A component has a log and nothing else.
fn only_inputs(arguments: &RunArguments) -> anyhow::Result<()> {
    let given = [
        ("--var", !arguments.variables.is_empty()),
        ("--mask", !arguments.masked.is_empty()),
        ("--env", !arguments.environment.is_empty()),
        ("-C", arguments.directory.is_some()),
        ("--timeout", arguments.timeout.is_some()),
        ("--json", arguments.json),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!(
            "{flag} does nothing for a component: it gets its inputs and a log, and nothing else"
        ),
        None => Ok(()),
    }
}

fn settings(arguments: &RunArguments) -> anyhow::Result<Settings> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for given in &arguments.variables {
        let (name, value) = inputs::assignment(given, "variable")?;
        ensure!(
            variables.iter().all(|(known, _)| known != name),
            "the variable {name:?} is given twice"
        );
        variables.push((name.to_owned(), value.to_owned()));
    }
    let mut environment = BTreeMap::new();
    for given in &arguments.environment {
        let (name, value) = inputs::assignment(given, "environment variable")?;
        if let Some(fault) = name_fault(name) {
            bail!("{fault}");
        }
        ensure!(
            environment
                .insert(name.to_owned(), value.to_owned())
                .is_none(),
            "the environment variable {name:?} is given twice"
        );
    }
    Ok(Settings {
        what: arguments.what.to_string_lossy().into_owned(),
        variables,
        masked: arguments.masked.iter().cloned().collect(),
        environment,
        // Zero is what people write who mean no limit.
        timeout: arguments.timeout.filter(|timeout| !timeout.is_zero()),
        grace: arguments.grace,
    })
}

/// A variable that is to be hidden and is not there hides nothing, which nobody means.
fn check_masked(settings: &Settings, variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    match settings
        .masked
        .iter()
        .find(|name| !variables.contains_key(*name))
    {
        Some(name) => Err(Failure::usage(anyhow!(
            "--mask names {name:?}, which is no job variable"
        ))),
        None => Ok(()),
    }
}

fn directory(arguments: &RunArguments, own: &Path) -> Result<PathBuf, Failure> {
    source::work_dir(arguments.directory.as_deref(), own).map_err(Failure::usage)
}

// ---- functions ----

fn function(
    reference: &LocalReference,
    settings: &Settings,
    arguments: &RunArguments,
) -> Result<Task, Failure> {
    let here = source::work_dir(None, Path::new("")).map_err(Failure::usage)?;
    let loaded =
        load_local(reference, &here, &LocalFiles, Strictness::Strict).map_err(|error| {
            let ci_file = Path::new(&reference.dir).join(source::CI_FILE);
            Failure::bad_input(match error {
                LoadError::NotFound { .. } if ci_file.is_file() => anyhow!(
                    "{error}; for a job of {} write {}#JOB",
                    source::CI_FILE,
                    ci_file.display()
                ),
                LoadError::Document(error) => {
                    let file = visible(error.source_name());
                    anyhow!("{error}; `stephost check {file}` shows it in its lines")
                }
                error => error.into(),
            })
        })?;
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    let name = source::function_name(&loaded.dir);
    call(
        &loaded.function,
        &name,
        Some(loaded.dir),
        warnings,
        settings,
        arguments,
    )
}

fn stdin(settings: &Settings, arguments: &RunArguments) -> Result<Task, Failure> {
    let text = source::read_stdin(limits::TEXT_BYTES_MAX).map_err(Failure::bad_input)?;
    let Parsed { function, warnings } =
        stephost_steps::parse("stdin", &text, Strictness::Strict).map_err(Failure::bad_input)?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    call(
        &Arc::new(function),
        "stdin",
        None,
        warnings,
        settings,
        arguments,
    )
}

fn call(
    function: &Arc<Function>,
    name: &str,
    dir: Option<PathBuf>,
    warnings: Vec<String>,
    settings: &Settings,
    arguments: &RunArguments,
) -> Result<Task, Failure> {
    let inputs = inputs::typed(&function.spec, &arguments.inputs).map_err(Failure::usage)?;
    let variables: BTreeMap<String, String> = settings.variables.iter().cloned().collect();
    check_masked(settings, &variables)?;
    Ok(Task {
        entry: Entry {
            function: Arc::clone(function),
            name: name.to_owned(),
            dir,
            inputs,
        },
        after: None,
        directory: directory(arguments, Path::new(""))?,
        variables,
        warnings,
        differs: Vec::new(),
    })
}

// ---- jobs of a CI file ----

fn ci_job(
    file: &Path,
    job: Option<&str>,
    settings: &Settings,
    arguments: &RunArguments,
) -> Result<Task, Failure> {
    let source_name = visible(&file.to_string_lossy());
    let text = source::read(file, limits::TEXT_BYTES_MAX).map_err(Failure::bad_input)?;
    let Some(name) = job else {
        let names = gitlab_ci::job_names(&source_name, &text).map_err(Failure::bad_input)?;
        return Err(Failure::usage(anyhow!(
            "which job? write one of: {}",
            names
                .iter()
                .map(|name| visible(&source::with_job(file, name)))
                .collect::<Vec<_>>()
                .join(", ")
        )));
    };
    if !arguments.inputs.is_empty() {
        return Err(Failure::usage(anyhow!(
            "a job takes no inputs; give variables with --var NAME=VALUE"
        )));
    }
    let own = file.parent().unwrap_or(Path::new(""));
    let directory = directory(arguments, own)?;
    let predefined = [
        ("CI", "true".to_owned()),
        ("CI_JOB_NAME", name.to_owned()),
        ("CI_PROJECT_DIR", directory.to_string_lossy().into_owned()),
    ];
    let given = gitlab_ci::Given {
        predefined: &predefined,
        own: &settings.variables,
    };
    let job = gitlab_ci::job(&source_name, &text, name, &given).map_err(Failure::bad_input)?;
    check_masked(settings, &job.variables)?;
    Ok(Task {
        entry: entry(job.function, "job"),
        after: job.after,
        directory,
        variables: job.variables,
        warnings: job.warnings,
        differs: job.differs,
    })
}

/// A function that takes nothing and has no file of its own.
fn entry(function: Arc<Function>, name: &str) -> Entry {
    Entry {
        function,
        name: name.to_owned(),
        dir: None,
        inputs: BTreeMap::<_, Value>::new(),
    }
}

// ---- running ----

async fn running(task: Task, settings: &Settings, arguments: &RunArguments) -> Result<u8, Failure> {
    let policy = match config::policy() {
        Ok(loaded) => loaded.policy,
        Err(error) => return Ok(policy::refused(error)),
    };
    let own_builtins = config::own_builtins().map_err(Failure::config)?;
    let functions = Functions::new(policy, own_builtins)
        .context("starting the sandbox")
        .map_err(Failure::internal)?;
    let (limits, background) = (JobLimits::default(), config::Background::Keep);
    let (jobs, hosting) =
        super::jobs(&room::new_id(), functions, limits, background, Answers::Own)?;
    let differs = task.differs.clone();
    let mut screen = Screen::of_program(arguments.json);
    let ran = show(&jobs, task, settings, &mut screen).await;
    // Also of a job that could not be made.
    super::close(&hosting).await;
    let (ended, signal) = ran?;
    let code = report::code(&ended.ending, arguments.propagate_exit, signal);
    if arguments.json {
        let document = report::document(&settings.what, &ended, &differs, code);
        print(&document)?;
    }
    let last = if ended.ending.is_success() {
        report::outputs(&ended)
    } else {
        report::card(&settings.what, &ended)
    };
    // That nobody reads it does not change how it ended.
    let _ = std::io::stderr().write_all(last.as_bytes());
    match screen.lost() {
        Some(error) if code == exit::FINE => Err(error)
            .context("the job succeeded, but its log is not whole: writing it")
            .map_err(Failure::cannot_create),
        Some(_) | None => Ok(code),
    }
}

/// Runs the job, and what comes after it; how it ended, and by which signal.
async fn show(
    jobs: &Arc<Jobs>,
    task: Task,
    settings: &Settings,
    screen: &mut Screen<Stdout, Stderr>,
) -> Result<(Ended, Option<u8>), Failure> {
    let mut stops = Stops::listen()
        .context("listening for signals")
        .map_err(Failure::internal)?;
    for warning in &task.warnings {
        screen.note(&format!("warning: {warning}"));
    }
    if !task.differs.is_empty() {
        screen.note("differs from CI:");
        for sentence in &task.differs {
            screen.note(&format!("  {}", visible(sentence)));
        }
    }
    let Task {
        entry: main,
        after,
        directory,
        mut variables,
        ..
    } = task;
    let first = submission(main, &directory, &variables, settings)?;
    let ended = engine::run(jobs, first, &settings.what, &stops, screen)
        .await
        .map_err(refused)?;
    // The signal that came after the end stopped nothing.
    let signal = stops.code();
    let told = stops.settle();
    // Who interrupts twice wants to be gone.
    if let Some(after) = after.filter(|_| told < 2) {
        screen.note("after_script:");
        variables.insert("CI_JOB_STATUS".to_owned(), status(&ended).to_owned());
        let mut after = submission(entry(after, "job"), &directory, &variables, settings)?;
        after.timeout = Some(AFTER_SCRIPT_TIMEOUT);
        let after = engine::run(jobs, after, "after_script", &stops, screen)
            .await
            .map_err(refused)?;
        if !after.ending.is_success() {
            // As in CI, what it comes to does not count.
            screen.note(&visible(&format!(
                "warning: after_script: {}",
                after.message
            )));
        }
    }
    Ok((ended, signal))
}

fn submission(
    entry: Entry,
    directory: &Path,
    variables: &BTreeMap<String, String>,
    settings: &Settings,
) -> Result<Submission, Failure> {
    Ok(Submission {
        id: engine::fresh_id().map_err(Failure::internal)?,
        work: Work::Call(entry),
        directory: Some(directory.to_owned()),
        env: settings.environment.clone(),
        variables: variables
            .iter()
            .map(|(key, value)| Variable {
                key: key.clone(),
                value: value.clone(),
                file: false,
                masked: settings.masked.contains(key),
            })
            .collect(),
        timeout: settings.timeout,
        grace: Some(settings.grace),
        trace: None,
        watcher: None,
    })
}

/// What CI calls the end of a job.
fn status(ended: &Ended) -> &'static str {
    use stephost_job::Ending;
    match ended.ending {
        Ending::Success => "success",
        Ending::Cancelled { .. } => "canceled",
        Ending::Failed { .. }
        | Ending::Denied { .. }
        | Ending::Limit { .. }
        | Ending::Internal { .. }
        | Ending::TimedOut { .. } => "failed",
    }
}

fn refused(error: RunError) -> Failure {
    match error {
        // Their texts for clients say the kind of error only; here all of it is said, once.
        RunError::Refused(RefusedJob::Storage { source }) => Failure::cannot_create(
            anyhow::Error::new(source).context("the step host cannot store the job"),
        ),
        RunError::Refused(RefusedJob::Unlimited { source }) => Failure::cannot_create(
            anyhow::Error::new(source)
                .context("the job cannot be limited as this step host demands"),
        ),
        RunError::Refused(RefusedJob::Directory { source }) => {
            Failure::usage(anyhow::Error::new(source).context("the job's directory cannot be used"))
        }
        RunError::Refused(
            RefusedJob::LogLevel { .. } | RefusedJob::Variable(_) | RefusedJob::TooMuchToHide(_),
        ) => Failure::usage(error),
        RunError::Refused(RefusedJob::Steps(_)) => Failure::bad_input(error),
        RunError::Refused(RefusedJob::Broken(_))
        | RunError::Broken(_)
        | RunError::OfDeadHost(_)
        | RunError::Draining => Failure::internal(error),
    }
}
