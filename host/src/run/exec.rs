//! A leaf that is a native program (contract 5.1, 5.2): expand, start, obey stops, read what it left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stephost_fault::point;
use stephost_job::Ending;
use stephost_joblog::Stream;
use stephost_process::{Exit, Mechanism, Plan, Report, Stopper};
use stephost_steps::{Env, Exec, Outputs as DeclaredOutputs, Spec};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::background::{self, StepOutput};
use super::scope::StepScope;
use super::workspace::{WorkFile, Workspace};
use super::{
    Environment, Frame, Halt, JobContext, Outputs, StopLevel, containment, evaluate_env,
    next_level, outputs,
};
use crate::observe::spans;

/// How the kernel kills.
const KILL: i32 = 9;

/// A program and where it runs, expanded.
struct Command {
    /// Program and arguments; at least the program.
    argv: Vec<String>,
    work_dir: PathBuf,
    environment: Environment,
    /// Patience of the function itself, when shorter than the job's.
    cancel_timeout: Option<Duration>,
}

/// The files of one step.
#[derive(Debug)]
pub(super) struct StepFiles {
    pub(super) output: WorkFile,
    pub(super) export: WorkFile,
}

impl StepFiles {
    /// Whether every file that an expression asked for could be made.
    pub(super) fn check(&self) -> Result<(), Halt> {
        let checked = self.output.check().and_then(|()| self.export.check());
        checked
            .map_err(|error| Halt::failed(format!("creating the step's files: {}", error.kind())))
    }
}

impl JobContext {
    pub(super) async fn exec(&self, frame: &Frame<'_>, exec: &Exec) -> Result<Outputs, Halt> {
        self.check_not_stopped()?;
        point!("exec.begun", waits, fails: Err(super::injected()));
        self.started(frame.name);
        let files = self.files();
        let mut scope = self.scope(frame);
        scope.files(&files);
        let environment = self.own_environment(frame, &mut scope)?;
        let command = self.expand(exec, &scope, environment)?;
        point!("exec.expanded", waits, fails: Err(super::injected()));
        files.check()?;
        self.program(frame.name, command).await?;
        let outputs = self.read_outputs(&files.output, &frame.function.spec)?;
        point!("exec.outputs", waits, fails: Err(super::injected()));
        self.read_exports(&files.export, &frame.environment)?;
        point!("exec.exports", waits, fails: Err(super::injected()));
        Ok(outputs)
    }

    /// The files a step writes outputs and exports to, empty.
    pub(super) fn files(&self) -> Arc<StepFiles> {
        Arc::new(StepFiles {
            output: Workspace::file(&self.workspace),
            export: Workspace::file(&self.workspace),
        })
    }

    fn own_environment(
        &self,
        frame: &Frame<'_>,
        scope: &mut StepScope,
    ) -> Result<Environment, Halt> {
        let env: &Env = &frame.function.definition.env;
        let environment = frame
            .environment
            .with(evaluate_env(env, scope, "expand step env")?);
        scope.environment(&environment);
        Ok(environment)
    }

    fn expand(
        &self,
        exec: &Exec,
        scope: &StepScope,
        environment: Environment,
    ) -> Result<Command, Halt> {
        let expand = |template: &stephost_expr::Template| -> Result<String, Halt> {
            let value = template
                .evaluate_text(scope)
                .map_err(|error| Halt::expression("exec", &error))?;
            Ok(value.to_text())
        };
        let argv = exec
            .command
            .iter()
            .map(expand)
            .collect::<Result<Vec<_>, _>>()?;
        let work_dir = match &exec.work_dir {
            // A relative directory is one below the job's.
            Some(template) => self.work_dir.join(expand(template)?),
            None => self.work_dir.clone(),
        };
        Ok(Command {
            argv,
            work_dir,
            environment,
            cancel_timeout: exec.cancel_timeout,
        })
    }

    /// Runs a program to its end.
    async fn program(&self, name: &str, command: Command) -> Result<(), Halt> {
        let Command {
            argv,
            work_dir,
            environment,
            cancel_timeout,
        } = command;
        let mut argv = argv.into_iter().map(Into::into);
        let plan = Plan {
            program: argv.next().unwrap_or_default(),
            args: argv.collect(),
            env: self.traced(&environment).for_process(),
            work_dir,
        };
        let span = spans::process(&Span::current());
        let report = self
            .supervised(name, plan, cancel_timeout)
            .instrument(span)
            .await?;
        self.judge(name, report).await
    }

    /// Runs a program to its end, inside its span.
    async fn supervised(
        &self,
        name: &str,
        plan: Plan,
        cancel_timeout: Option<Duration>,
    ) -> Result<Report, Halt> {
        let output = Arc::new(StepOutput::new(&self.log, name));
        let running = tokio::select! {
            started = self.supervisors.start(plan, output) => {
                started.map_err(|error| Halt::failed(format!("exec: {error}")))?
            }
            // A program on a file system that hangs keeps its start waiting.
            () = self.killed() => return Err(Halt::not_started()),
        };
        // A step that is not waited for is killed.
        point!("exec.started", waits, fails: Err(super::injected()));
        spans::process_started(&Span::current(), running.pid());
        let stopper = running.stopper();
        let report = {
            let mut ended = std::pin::pin!(running.ended());
            tokio::select! {
                report = &mut ended => report,
                () = self.pass_stops_on(&stopper, cancel_timeout) => ended.await,
            }
        };
        point!("exec.ended", waits);
        self.log.flush();
        spans::process_ended(&Span::current(), report.exit);
        containment::record(name, &report);
        if let Some(line) = containment::line(&report.trace) {
            self.log.line(Stream::Err, &line);
        }
        Ok(report)
    }

    /// Waits for the kill.
    async fn killed(&self) {
        let mut stop = self.stop.clone();
        let killed = stop.wait_for(|level| matches!(level, StopLevel::Kill { .. }));
        if killed.await.is_err() {
            // The driver is gone, and so is soon whoever waits here.
            std::future::pending().await
        }
    }

    /// Hands stops to the process, first the polite one, then the kill. Returns after the kill.
    async fn pass_stops_on(&self, stopper: &Stopper, cancel_timeout: Option<Duration>) {
        let mut stop = self.stop.clone();
        loop {
            let level = *stop.borrow_and_update();
            let own_patience = match level {
                StopLevel::None => None,
                StopLevel::Polite { .. } => {
                    stopper.terminate();
                    // Bounded by the job's patience, whose end arrives as a kill.
                    cancel_timeout.and_then(|patience| Instant::now().checked_add(patience))
                }
                StopLevel::Kill { .. } => {
                    stopper.kill();
                    return;
                }
            };
            let half = level.half_way(own_patience);
            let changed = next_level(&mut stop, half, || stopper.insist());
            let over = match own_patience {
                Some(at) => tokio::time::timeout_at(at, changed).await,
                None => Ok(changed.await),
            };
            match over {
                Ok(Ok(())) => {}
                // The driver is gone, so nobody waits for this step any more; or its patience has passed.
                Ok(Err(_)) | Err(_) => {
                    stopper.kill();
                    return;
                }
            }
        }
    }

    async fn judge(&self, name: &str, report: Report) -> Result<(), Halt> {
        background::note_if_held(&self.log, &report);
        if let Some(leftovers) = report.leftovers {
            self.outlived(name, leftovers).await;
        }
        let out_of_memory = containment::out_of_memory(&report.trace);
        let is_lost = report.trace.mechanism == Mechanism::Host;
        let ending = match report.exit {
            Exit::LOST if is_lost => Ending::Failed {
                message: "exec: the step's supervisor was killed, and the step with it".to_owned(),
                exit_status: None,
            },
            Exit::Code(0) if !report.signalled => return Ok(()),
            Exit::Code(0) => Ending::Cancelled {
                message: "exec: stopped".to_owned(),
            },
            Exit::Code(code) => Ending::Failed {
                message: "exec".to_owned(),
                exit_status: Some(code),
            },
            Exit::Signal(KILL) if !report.killed && out_of_memory.is_some() => Ending::Failed {
                message: format!("exec: {}", out_of_memory.unwrap_or_default()),
                exit_status: Some(128 + KILL),
            },
            Exit::Signal(_) | Exit::Dumped(_) => Ending::Failed {
                message: format!("exec: {}", report.exit),
                exit_status: None,
            },
        };
        Err(Halt {
            ending,
            interrupted: report.signalled,
        })
    }

    fn read_outputs(&self, file: &WorkFile, spec: &Spec) -> Result<Outputs, Halt> {
        let failed = |fault: String| Halt::failed(format!("output file: {fault}"));
        let content = file.read().map_err(|error| failed(error.to_string()))?;
        match spec.outputs {
            DeclaredOutputs::Delegate => outputs::delegated(&content).map_err(failed),
            DeclaredOutputs::Declared(_) => {
                let found = outputs::outputs(&content, self.quote_lines)
                    .map_err(|error| failed(error.to_string()))?;
                spec.check_outputs(found)
                    .map_err(|error| failed(error.to_string()))
            }
        }
    }

    pub(super) fn read_exports(
        &self,
        file: &WorkFile,
        environment: &Environment,
    ) -> Result<(), Halt> {
        let failed = |fault: String| Halt::failed(format!("export file: {fault}"));
        let content = file.read().map_err(|error| failed(error.to_string()))?;
        let exports = outputs::exports(&content, self.quote_lines)
            .map_err(|error| failed(error.to_string()))?;
        environment.export(exports);
        Ok(())
    }
}
