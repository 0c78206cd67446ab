//! Walks the tree of a job's functions and runs its leaves.
//!
//! Owns the order of things: which environment, inputs and names a step sees, what becomes of its outputs
//! and exports, when the walk ends (contract 5, 3.6, 3.7). This is the only recursion over steps, bounded by
//! [`DEPTH_MAX`]. Promises: nothing is loaded before it is reached; a stop that arrives between two steps
//! keeps the second from starting; every error names the steps it passed through, outer to inner.
//!
//! Never knows about gRPC or ids, never decides when a job must stop: it obeys [`StopLevel`]. Called by
//! `jobs::driver`. Leaves: [`exec`] uses `process`; [`builtin`] uses `sandbox`, and by way of [`programs`]
//! `process`.

mod background;
mod builtin;
pub(crate) mod containment;
mod environment;
mod exec;
mod fetch;
mod functions;
mod outputs;
mod programs;
mod progress;
pub(crate) mod room;
mod scope;
pub(crate) mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stephost_expr::{ExpressionError, Value};
use stephost_fault::point;
use stephost_job::{Ending, StopReason};
use stephost_joblog::Stream;
use stephost_process::{Leftovers, Supervisors};
use stephost_steps::{
    Body, Call, Composite, Env, Function, Name, Outputs as DeclaredOutputs, Spec, Step, Strictness,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::clock::Stopwatch;
use crate::config::Background;
use crate::logfile::LogWriter;
use crate::observe::metrics::{self, Ended, StepKind};
use crate::observe::{TRACEPARENT, TraceContext, spans};

pub(crate) use builtin::spec_of_signature;
pub(crate) use environment::{Environment, name_fault};
pub(crate) use fetch::LocalFiles;
pub(crate) use functions::Functions;
pub(crate) use progress::Walk;

use scope::StepScope;
use workspace::Workspace;

/// Deepest nesting of functions. Deeper ones are a function that calls itself.
pub(crate) const DEPTH_MAX: usize = 64;

/// Most bytes of all inputs of one step together, evaluated. Values grow from step to step, and every one of
/// them is held in memory.
pub(crate) const INPUT_BYTES_MAX: usize = 16 << 20;

/// How hard a job is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopLevel {
    /// Not at all.
    None,
    /// Politely; the kill follows at `kill_at`.
    Polite {
        /// Who asked.
        reason: StopReason,
        /// When patience ends.
        kill_at: Instant,
    },
    /// At once.
    Kill {
        /// Who asked first.
        reason: StopReason,
    },
}

impl StopLevel {
    /// How a step ends that was interrupted.
    fn ended(self) -> Ended {
        match self {
            StopLevel::Polite {
                reason: StopReason::Timeout,
                ..
            }
            | StopLevel::Kill {
                reason: StopReason::Timeout,
            } => Ended::Timeout,
            StopLevel::None | StopLevel::Polite { .. } | StopLevel::Kill { .. } => Ended::Cancelled,
        }
    }

    /// When half the time of a polite stop that was just asked for is over; that of the step itself, if it has one, may end earlier.
    fn half_way(self, own_end: Option<Instant>) -> Option<Instant> {
        let StopLevel::Polite { kill_at, .. } = self else {
            return None;
        };
        let now = Instant::now();
        let end = own_end.map_or(kill_at, |own_end| own_end.min(kill_at));
        Some(now + end.saturating_duration_since(now) / 2)
    }
}

/// Waits for the next level. Who has not ended when a polite stop is `half` over is asked once more, by `insist`.
async fn next_level(
    stop: &mut watch::Receiver<StopLevel>,
    half: Option<Instant>,
    insist: impl FnOnce(),
) -> Result<(), watch::error::RecvError> {
    let mut changed = std::pin::pin!(stop.changed());
    if let Some(half) = half {
        if let Ok(changed) = tokio::time::timeout_at(half, &mut changed).await {
            return changed;
        }
        insist();
    }
    changed.await
}

/// What every step of one job shares.
pub(crate) struct JobContext {
    pub(crate) log: Arc<LogWriter>,
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) functions: Arc<Functions>,
    /// Who sees native programs to their end.
    pub(crate) supervisors: Supervisors,
    /// How definitions are read that the job loads while it runs.
    pub(crate) strictness: Strictness,
    pub(crate) work_dir: PathBuf,
    /// Job variables as an object of strings; of file variables the path.
    pub(crate) variables: Value,
    pub(crate) environment: Environment,
    pub(crate) grace: Duration,
    /// Whether error texts may quote lines that a step wrote (CI_STEPS_DEBUG).
    pub(crate) quote_lines: bool,
    pub(crate) stop: watch::Receiver<StopLevel>,
    /// What becomes of processes that outlive their step.
    pub(crate) background: Background,
    /// Those of them that are kept; the job's end is theirs.
    pub(crate) leftovers: Mutex<Vec<Leftovers>>,
    /// Whose trace the job is part of, if its sender said so.
    pub(crate) trace: Option<TraceContext>,
    /// Who looks on, if somebody does.
    pub(crate) watcher: Option<watch::Sender<Walk>>,
}

/// The function that a job is, and what it is called with.
pub(crate) struct Entry {
    pub(crate) function: Arc<Function>,
    /// What its log calls it.
    pub(crate) name: String,
    /// Directory of its definition; where the job works when it has none.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) inputs: BTreeMap<Name, Value>,
}

impl Entry {
    /// A text without a file of its own.
    pub(crate) fn text(function: Function) -> Entry {
        Entry {
            function: Arc::new(function),
            name: "job".to_owned(),
            dir: None,
            inputs: BTreeMap::new(),
        }
    }
}

/// How the walk ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the steps came to by themselves.
    pub(crate) ending: Ending,
    /// A step was signalled before it ended, or was not started, because of a stop.
    pub(crate) interrupted: bool,
}

/// Values of a function's outputs.
type Outputs = BTreeMap<Name, Value>;

/// Why the walk goes no further.
#[derive(Debug)]
struct Halt {
    ending: Ending,
    interrupted: bool,
}

impl Halt {
    /// A step failed by itself.
    fn failed(message: impl Into<String>) -> Halt {
        let ending = Ending::Failed {
            message: message.into(),
            exit_status: None,
        };
        Halt {
            ending,
            interrupted: false,
        }
    }

    /// An expression of `part` cannot be evaluated.
    fn expression(part: &str, error: &ExpressionError) -> Halt {
        Halt::failed(format!("{part}: {error}"))
    }

    /// Somebody asked the job to stop before the step began.
    fn not_started() -> Halt {
        let ending = Ending::Cancelled {
            message: "not started".to_owned(),
        };
        Halt {
            ending,
            interrupted: true,
        }
    }

    fn within(self, step: &Name) -> Halt {
        Halt {
            ending: self.ending.within(step.as_str()),
            interrupted: self.interrupted,
        }
    }
}

/// One function being run: what it is and what it sees.
struct Frame<'a> {
    function: &'a Function,
    /// Name of the step that runs it.
    name: &'a str,
    /// Directory of its definition.
    dir: &'a Path,
    inputs: BTreeMap<Name, Value>,
    environment: Environment,
    depth: usize,
}

impl JobContext {
    /// Runs the job's function to its end.
    pub(crate) async fn run(&self, entry: &Entry) -> Outcome {
        let ended = match entry.function.spec.check_inputs(entry.inputs.clone()) {
            Ok(inputs) => {
                let frame = Frame {
                    function: &entry.function,
                    name: &entry.name,
                    dir: entry.dir.as_deref().unwrap_or(&self.work_dir),
                    inputs,
                    environment: self.environment.clone(),
                    depth: 0,
                };
                self.function(frame).await
            }
            Err(error) => Err(Halt::failed(error.to_string())),
        };
        match ended {
            Ok(outputs) => {
                self.produced(outputs);
                Outcome {
                    ending: Ending::Success,
                    interrupted: false,
                }
            }
            Err(halt) => Outcome {
                ending: halt.ending,
                interrupted: halt.interrupted,
            },
        }
    }

    fn function<'a>(&'a self, frame: Frame<'a>) -> BoxFuture<'a, Result<Outputs, Halt>> {
        Box::pin(async move {
            point!("walk.entered", waits);
            self.hide(frame.inputs.values())?;
            let outputs = match &frame.function.definition.body {
                Body::Exec(program) => {
                    self.leaf(frame.name, StepKind::Exec, self.exec(&frame, program))
                        .await?
                }
                Body::Run(composite) => self.composite(&frame, composite).await?,
            };
            self.hide(outputs.values())?;
            Ok(outputs)
        })
    }

    /// Keeps sensitive values out of the log from now on. A step whose values cannot be kept out fails.
    fn hide<'a>(&self, values: impl Iterator<Item = &'a Value>) -> Result<(), Halt> {
        let mut texts = Vec::new();
        for value in values.filter(|value| value.is_sensitive()) {
            value.sensitive_texts(&mut texts);
        }
        // A sensitive truth value would hide these words everywhere, and itself nowhere.
        texts.retain(|text| !matches!(text.as_str(), "true" | "false" | "null" | "<null>"));
        self.log
            .add_secrets(texts.into_iter().map(String::into_bytes).collect())
            .map_err(|error| Halt::failed(error.to_string()))
    }

    async fn composite(&self, frame: &Frame<'_>, composite: &Composite) -> Result<Outputs, Halt> {
        let mut scope = self.scope(frame);
        let env = evaluate_env(&frame.function.definition.env, &scope, "expand env")?;
        let environment = frame.environment.with(env);
        scope.environment(&environment);
        for step in &composite.steps {
            self.enter(&step.name);
            let span = spans::step(step.name.as_str());
            let ended = self
                .item(step, frame, &scope, &environment)
                .instrument(span.clone())
                .await;
            spans::step_ended(&span, self.how(&ended));
            let outputs = ended.map_err(|halt| halt.within(&step.name))?;
            self.leave();
            scope.record(&step.name, outputs);
            // Exports of the step are visible from here on.
            scope.environment(&environment);
        }
        composite_outputs(&frame.function.spec, composite, &scope)
    }

    async fn item(
        &self,
        step: &Step,
        frame: &Frame<'_>,
        scope: &StepScope,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        point!("walk.step", waits);
        self.check_not_stopped()?;
        let env = evaluate_env(&step.env, scope, "expand env")?;
        let environment = environment.with(env);
        let inputs = evaluate_inputs(step, scope)?;
        let name = step.name.as_str();
        match &step.call {
            Call::Script(text) => {
                let script = self.script(name, text, scope, &environment);
                self.leaf(name, StepKind::Builtin, script).await
            }
            Call::Action(action) => Err(Halt::failed(fetch::unsupported_action(action))),
            Call::Function(reference) => match self.resolve(reference, frame.dir, scope)? {
                fetch::Target::Function(loaded) => {
                    fetch::name_local(reference);
                    point!("walk.resolved", waits, fails: Err(injected()));
                    if frame.depth + 1 >= DEPTH_MAX {
                        return Err(Halt::failed(format!(
                            "functions are nested deeper than {DEPTH_MAX}; does one call itself?"
                        )));
                    }
                    for warning in &loaded.warnings {
                        self.log.line(Stream::Err, &format!("warning: {warning}"));
                    }
                    let inputs = loaded
                        .function
                        .spec
                        .check_inputs(inputs)
                        .map_err(|error| Halt::failed(error.to_string()))?;
                    self.function(Frame {
                        function: &loaded.function,
                        name,
                        dir: &loaded.dir,
                        inputs,
                        environment,
                        depth: frame.depth + 1,
                    })
                    .await
                }
                fetch::Target::Builtin(builtin) => {
                    let builtin = self.builtin(name, &builtin, inputs, &environment);
                    self.leaf(name, StepKind::Builtin, builtin).await
                }
            },
        }
    }

    /// Counts and times a step that has none of its own.
    async fn leaf(
        &self,
        step: &str,
        kind: StepKind,
        work: impl Future<Output = Result<Outputs, Halt>>,
    ) -> Result<Outputs, Halt> {
        let began = Stopwatch::start();
        let ended = work.await;
        let took = began.at().since_zero();
        let how = self.how(&ended);
        metrics::step_ended(kind, how, took);
        tracing::debug!(
            step.name = step,
            step.kind = kind.as_str(),
            step.result = how.as_str(),
            step.duration_s = took.as_secs_f64(),
            "a step ended"
        );
        ended
    }

    /// The line that a runner's users look for.
    fn started(&self, name: &str) {
        self.log
            .line(Stream::Out, &format!("Running step name={name}"));
        self.output_begins();
    }

    /// How a step ended.
    fn how<T>(&self, ended: &Result<T, Halt>) -> Ended {
        match ended {
            Ok(_) => Ended::Success,
            Err(Halt {
                interrupted: true, ..
            }) => self.stop.borrow().ended(),
            Err(halt) => Ended::from(&halt.ending),
        }
    }

    /// What a program or a guest sees: the same, and whose trace it is part of, unless somebody gave that a value of
    /// their own.
    fn traced(&self, environment: &Environment) -> Environment {
        let Some(trace) = spans::context(self.trace.as_ref()) else {
            return environment.clone();
        };
        let is_given = |name: &str| {
            let variables = self.variables.as_object();
            environment.value(name).is_some()
                || variables.is_some_and(|variables| variables.contains_key(name))
        };
        if is_given(TRACEPARENT) {
            return environment.clone();
        }
        let own = trace.variables().filter(|(name, _)| !is_given(name));
        let own = own.map(|(name, value)| (name.to_owned(), Value::string(value)));
        environment.with(own.collect())
    }

    /// A step must not start once somebody asked the job to stop.
    fn check_not_stopped(&self) -> Result<(), Halt> {
        if *self.stop.borrow() == StopLevel::None {
            return Ok(());
        }
        Err(Halt::not_started())
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow() != StopLevel::None
    }

    fn keep(&self, leftovers: Leftovers) {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(leftovers);
    }

    fn scope(&self, frame: &Frame<'_>) -> StepScope {
        StepScope::new(
            &frame.inputs,
            &self.variables,
            &frame.environment,
            &self.work_dir,
            frame.dir,
        )
    }
}

/// What a test makes of a step.
#[cfg(feature = "fault")]
fn injected() -> Halt {
    Halt::failed("injected")
}

/// Evaluates the entries of an `env` in the order in which they are written; none sees another.
fn evaluate_env(env: &Env, scope: &StepScope, part: &str) -> Result<BTreeMap<String, Value>, Halt> {
    let mut values = BTreeMap::new();
    for (key, value) in &env.0 {
        let key = key
            .evaluate_text(scope)
            .map_err(|error| Halt::expression(part, &error))?;
        let key = key.as_str().unwrap_or_default().to_owned();
        if let Some(fault) = name_fault(&key) {
            return Err(Halt::failed(format!("{part}: {fault}")));
        }
        let value = value
            .evaluate_text(scope)
            .map_err(|error| Halt::failed(format!("{part}: {key}: {error}")))?;
        values.insert(key, value);
    }
    Ok(values)
}

fn evaluate_inputs(step: &Step, scope: &StepScope) -> Result<BTreeMap<Name, Value>, Halt> {
    let mut inputs = BTreeMap::new();
    let mut bytes = 0_usize;
    for (name, tree) in &step.inputs {
        let failed =
            |fault: String| Halt::failed(format!("failed to load: expand input {name}: {fault}"));
        let value = tree
            .evaluate(scope)
            .map_err(|error| failed(error.to_string()))?;
        bytes = bytes.saturating_add(value.size());
        if bytes > INPUT_BYTES_MAX {
            return Err(failed(format!(
                "the inputs of a step may have {} MiB together",
                INPUT_BYTES_MAX >> 20
            )));
        }
        inputs.insert(name.clone(), value);
    }
    Ok(inputs)
}

fn composite_outputs(
    spec: &Spec,
    composite: &Composite,
    scope: &StepScope,
) -> Result<Outputs, Halt> {
    if let Some(delegate) = &composite.delegate {
        return scope.outputs_of(delegate).cloned().ok_or_else(|| {
            Halt::failed(format!("could not find step `{delegate}` to delegate to"))
        });
    }
    let mut outputs = BTreeMap::new();
    for (name, tree) in &composite.outputs {
        let value = tree
            .evaluate(scope)
            .map_err(|error| Halt::failed(format!("output {name}: {error}")))?;
        outputs.insert(name.clone(), value);
    }
    match &spec.outputs {
        DeclaredOutputs::Declared(_) => spec
            .check_outputs(outputs)
            .map_err(|error| Halt::failed(error.to_string())),
        DeclaredOutputs::Delegate => Ok(outputs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polite(patience: Duration) -> StopLevel {
        StopLevel::Polite {
            reason: StopReason::Cancel,
            kill_at: Instant::now() + patience,
        }
    }

    #[test]
    fn half_way_is_between_the_stop_and_whichever_end_comes_first() {
        let long = Duration::from_secs(1000);
        let now = Instant::now();
        let own_end = now + Duration::from_secs(100);
        let half_way = |own| polite(long).half_way(own).map(|half| half - now);
        let about = |seconds| Some(seconds..seconds + 10);
        for (own, expected) in [(None, about(500)), (Some(own_end), about(50))] {
            let seconds = half_way(own).map(|half| half.as_secs());
            assert!(
                expected
                    .zip(seconds)
                    .is_some_and(|(range, it)| range.contains(&it)),
                "{seconds:?}"
            );
        }
        assert_eq!(StopLevel::None.half_way(Some(own_end)), None);
    }

    #[tokio::test]
    async fn who_has_not_ended_half_way_is_asked_once_more() {
        let (levels, mut level) = watch::channel(StopLevel::None);
        let mut asked = 0;
        let half = Some(Instant::now());
        next_level(&mut level, half, || {
            asked += 1;
            levels.send_replace(polite(Duration::ZERO));
        })
        .await
        .unwrap();
        assert_eq!(asked, 1);

        let later = Some(Instant::now() + Duration::from_secs(1000));
        levels.send_replace(StopLevel::None);
        next_level(&mut level, later, || asked += 1).await.unwrap();
        assert_eq!(asked, 1, "the next level came before");
    }
}
