//! Programs that a builtin runs: the other half of the sandbox's [`sandbox::Programs`], by way of `process`.
//!
//! Owns the programs of one step from their start to their end, and their files.
//!
//! Promises: only what is granted starts; a path under which a granted name was found is as good as the name. A program
//! gets the step's environment and what its builtin changed, the job's directory, and nothing on its input; it writes
//! into the job's log. It ends with its step: politely when the step is asked to stop, at once when the step is killed
//! or its builtin has ended, and [`StepPrograms::finish`] waits until it has. What it leaves in the background on
//! purpose outlives the builtin's step as that of an exec step does. Each start, and each refusal, is one line of the audit trail.
//!
//! Never: judges an ending (that is the builtin's work), or logs an argument or a variable.

mod signal;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse, FusedFuture as _, ready};
use stephost_joblog::Stream;
use stephost_policy::{Denial, Grant};
use stephost_process::{Leftovers, Plan, Report, StartError, Stopper, Supervisors};
use stephost_sandbox as sandbox;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::Span;

use super::background::{self, StepOutput};
use super::builtin::audit;
use super::environment::name_fault;
use super::workspace::{ProgramFile, Workspace};
use super::{Environment, JobContext, StopLevel, containment};
use crate::logfile::LogWriter;
use crate::observe::{panics, spans};

/// Refusals of one step that are kept to explain its ending. The audit trail has them all.
const DENIALS_MAX: usize = 32;

/// The programs of one step.
pub(super) struct StepPrograms {
    step: Arc<Step>,
}

/// What the programs of a step share.
struct Step {
    name: String,
    grant: Grant,
    environment: Environment,
    work_dir: PathBuf,
    log: Arc<LogWriter>,
    /// Weak, so that a guest that nobody could end does not keep a job's files.
    workspace: Weak<Workspace>,
    supervisors: Supervisors,
    stop: watch::Receiver<StopLevel>,
    /// Where programs are watched: guests have a runtime that does not read pipes.
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many were started; numbers them.
    started: u64,
    /// Those that run, for a stop.
    running: BTreeMap<u64, Stopper>,
    /// Those whose builtin has let go of them. They were killed, and are about to end.
    abandoned: Vec<Ending>,
    leftovers: Vec<Leftovers>,
    /// Where granted names were found.
    found: BTreeSet<String>,
    denials: Vec<Denial>,
}

/// The end of a program, and the files that go with it.
struct Ending {
    /// Caught, so that nobody polls it again after a panic.
    report: Fuse<BoxFuture<'static, std::thread::Result<Report>>>,
    /// Its own, for what is said of it.
    span: Span,
    _files: Vec<ProgramFile>,
}

impl StepPrograms {
    pub(super) fn new(
        context: &JobContext,
        name: &str,
        environment: &Environment,
        grant: &Grant,
    ) -> StepPrograms {
        StepPrograms {
            step: Arc::new(Step {
                name: name.to_owned(),
                grant: grant.clone(),
                environment: environment.clone(),
                work_dir: context.work_dir.clone(),
                log: Arc::clone(&context.log),
                workspace: Arc::downgrade(&context.workspace),
                supervisors: context.supervisors.clone(),
                stop: context.stop.clone(),
                runtime: Handle::current(),
                state: Mutex::default(),
            }),
        }
    }

    /// What is given to the guest.
    pub(super) fn capability(&self) -> Arc<dyn sandbox::Programs> {
        Arc::new(Capability(Arc::clone(&self.step)))
    }

    /// Whether any program was started.
    pub(super) fn ran_any(&self) -> bool {
        self.step.state().started > 0
    }

    /// What was refused.
    pub(super) fn denials(&self) -> Vec<Denial> {
        self.step.state().denials.clone()
    }

    /// Hands a stop to those that run. Those that start later ask for it themselves.
    pub(super) fn stop(&self, level: StopLevel) {
        for stopper in self.step.state().running.values() {
            pass(level, stopper);
        }
    }

    /// Asks those that run once more to end.
    pub(super) fn insist(&self) {
        for stopper in self.step.state().running.values() {
            stopper.insist();
        }
    }

    /// Waits for the end of those that the guest has left, who are killed. The guest must have ended.
    ///
    /// Returns what lives on.
    pub(super) async fn finish(self) -> Vec<Leftovers> {
        // A guest that could not be ended still holds its programs; they end with it, or here.
        self.stop_at_once();
        let abandoned = std::mem::take(&mut self.step.state().abandoned);
        for mut ending in abandoned {
            let report = (&mut ending.report)
                .await
                .unwrap_or_else(|panic| resume_unwind(panic));
            ending.span.in_scope(|| self.step.settle(report));
        }
        std::mem::take(&mut self.step.state().leftovers)
    }

    fn stop_at_once(&self) {
        for stopper in self.step.state().running.values() {
            stopper.kill();
        }
    }
}

fn pass(level: StopLevel, stopper: &Stopper) {
    match level {
        StopLevel::None => {}
        StopLevel::Polite { .. } => stopper.terminate(),
        StopLevel::Kill { .. } => stopper.kill(),
    }
}

/// The handle that a guest's store holds.
struct Capability(Arc<Step>);

impl sandbox::Programs for Capability {
    fn start(
        &self,
        command: sandbox::Command,
    ) -> sandbox::Answer<'_, Result<Box<dyn sandbox::Program>, sandbox::StartError>> {
        Box::pin(async {
            let started = Step::start(&self.0, command).await;
            started.map(|program| Box::new(program) as _)
        })
    }

    fn which<'a>(&'a self, programs: &'a [String]) -> sandbox::Answer<'a, Option<String>> {
        Box::pin(ready(self.0.which(programs)))
    }
}

impl Step {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(
        step: &Arc<Step>,
        command: sandbox::Command,
    ) -> Result<Started, sandbox::StartError> {
        if *step.stop.borrow() != StopLevel::None {
            return Err(sandbox::StartError::Stopping);
        }
        step.check(&command.program)?;
        let program = command.program.clone();
        let started = step.spawn(command).await;
        let refused = started.as_ref().err();
        // The trail has the name of the program, which the builtin chose, and nothing that may be a secret.
        tracing::info!(
            target: "audit",
            {
                step.name = %step.name,
                process.program = ?program,
                process.pid = started.as_ref().ok().map(|(running, _)| running.pid().as_raw_pid()),
                error = refused.map(tracing::field::debug),
            },
            "a builtin starts a program"
        );
        let (running, files) = started?;
        let span = spans::process(&Span::current());
        spans::process_started(&span, running.pid());
        let stopper = running.stopper();
        let id = {
            let mut state = step.state();
            state.started += 1;
            let id = state.started;
            state.running.insert(id, stopper.clone());
            id
        };
        // One that came between the first look and now found nobody to stop.
        pass(*step.stop.borrow(), &stopper);
        Ok(Started {
            step: Arc::clone(step),
            id,
            stopper,
            ending: Some(Ending {
                report: AssertUnwindSafe(running.ended())
                    .catch_unwind()
                    .boxed()
                    .fuse(),
                span,
                _files: files,
            }),
        })
    }

    /// Asks the grant.
    fn check(&self, program: &str) -> Result<(), sandbox::StartError> {
        let Err(denial) = self.grant.program(program) else {
            return Ok(());
        };
        let mut state = self.state();
        if state.found.contains(program) {
            return Ok(());
        }
        audit(&self.name, &denial);
        let error = sandbox::StartError::Denied {
            capability: denial.capability().as_str().to_owned(),
            target: denial.target().to_owned(),
            code: denial.code().as_str().to_owned(),
        };
        if state.denials.len() < DENIALS_MAX {
            state.denials.push(denial);
        }
        Err(error)
    }

    async fn spawn(
        &self,
        command: sandbox::Command,
    ) -> Result<(stephost_process::Running, Vec<ProgramFile>), sandbox::StartError> {
        let sandbox::Command {
            program,
            arguments,
            environment,
            files,
        } = command;
        let mut args: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let files = self.write(files, &mut args)?;
        let plan = Plan {
            program: program.into(),
            args,
            env: self.environment(environment)?,
            work_dir: self.work_dir.clone(),
        };
        let output = Arc::new(StepOutput::new(&self.log, &self.name));
        let supervisors = self.supervisors.clone();
        // Whoever stops waiting leaves nothing: the task ends by itself, and what it started is dropped.
        let started = self
            .runtime
            .spawn(async move { supervisors.start(plan, output).await });
        match started.await {
            Ok(Ok(running)) => Ok((running, files)),
            Ok(Err(StartError::ProgramNotFound { .. } | StartError::NoSuchFile { .. })) => {
                Err(sandbox::StartError::NotFound)
            }
            Ok(Err(error)) => Err(sandbox::StartError::Failed(error.to_string())),
            Err(failure) if failure.is_panic() => panics::resume(failure),
            Err(_) => Err(sandbox::StartError::Stopping),
        }
    }

    /// Writes the files of a command and puts their paths into its arguments.
    fn write(
        &self,
        files: Vec<sandbox::File>,
        arguments: &mut [OsString],
    ) -> Result<Vec<ProgramFile>, sandbox::StartError> {
        let failed = sandbox::StartError::Failed;
        let mut written = Vec::with_capacity(files.len());
        for file in files {
            let count = arguments.len();
            let place = arguments.get_mut(file.argument).ok_or_else(|| {
                failed(format!(
                    "a file stands for argument {}, and there are {count}",
                    file.argument
                ))
            })?;
            let file = Workspace::program_file(&self.workspace, &file.name, &file.content)
                .map_err(|error| failed(format!("writing a file for it: {}", error.kind())))?;
            *place = file.path().into();
            written.push(file);
        }
        Ok(written)
    }

    fn environment(
        &self,
        changes: Vec<(String, Option<String>)>,
    ) -> Result<Vec<(OsString, OsString)>, sandbox::StartError> {
        let environment = self.environment.for_process();
        if changes.is_empty() {
            return Ok(environment);
        }
        let mut environment: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        for (name, value) in changes {
            if let Some(fault) = name_fault(&name) {
                return Err(sandbox::StartError::Failed(fault));
            }
            match value {
                Some(value) => {
                    environment.insert(name.into(), value.into());
                }
                None => {
                    environment.remove(&OsString::from(name));
                }
            }
        }
        Ok(environment.into_iter().collect())
    }

    fn which(&self, programs: &[String]) -> Option<String> {
        let path = self
            .environment
            .value("PATH")
            .map(|path| OsString::from(path.to_text()));
        // What is not granted is not there: a guest has no use for it, and learns nothing of the machine.
        let granted = programs
            .iter()
            .filter(|program| self.grant.programs.contains(program));
        let found = granted
            .filter_map(|program| stephost_process::which(program.as_ref(), path.as_deref()))
            .next()
            // A path that is not text cannot be told to a guest.
            .and_then(|path| path.into_os_string().into_string().ok())?;
        self.state().found.insert(found.clone());
        Some(found)
    }

    /// Takes note of an end, and returns what a guest may know of it.
    fn settle(&self, report: Report) -> sandbox::Exit {
        let background = background::note_if_held(&self.log, &report);
        self.log.flush();
        spans::process_ended(&Span::current(), report.exit);
        containment::record(&self.name, &report);
        if let Some(line) = containment::line(&report.trace) {
            self.log.line(Stream::Err, &line);
        }
        self.state().leftovers.extend(report.leftovers);
        sandbox::Exit {
            ending: signal::ending(report.exit),
            background,
        }
    }
}

/// A program that a guest holds.
struct Started {
    step: Arc<Step>,
    id: u64,
    stopper: Stopper,
    /// Until it has ended.
    ending: Option<Ending>,
}

impl sandbox::Program for Started {
    fn wait(&mut self) -> sandbox::Answer<'_, sandbox::Exit> {
        Box::pin(async {
            let Some(ending) = &mut self.ending else {
                // The sandbox does not ask again.
                return std::future::pending().await;
            };
            let report = (&mut ending.report).await;
            let span = ending.span.clone();
            self.ending = None;
            self.step.state().running.remove(&self.id);
            let report = report.unwrap_or_else(|panic| resume_unwind(panic));
            span.in_scope(|| self.step.settle(report))
        })
    }

    fn stop(&self) {
        self.stopper.terminate();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One whose report was taken has nothing left to end.
        if let Some(ending) = self.ending.take()
            && !ending.report.is_terminated()
        {
            self.stopper.kill();
            let mut state = self.step.state();
            state.running.remove(&self.id);
            state.abandoned.push(ending);
        }
    }
}
