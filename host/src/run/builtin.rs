//! A leaf that is a function of the host: a Wasm component in the sandbox, by name.
//!
//! Owns the translation between steps and guests: the policy is asked first, inputs are checked against what the
//! guest describes, it runs with its grant and nothing else, its ending becomes an [`Ending`], stops are handed on.
//! Every refusal is one line of the audit trail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use stephost_expr::{Template, Value};
use stephost_fault::point;
use stephost_job::{Ending, StopReason};
use stephost_joblog::Stream;
use stephost_policy::{Denial, Grant};
use stephost_sandbox as sandbox;
use stephost_steps::{Name, Outputs as DeclaredOutputs, Parameter, Spec, ValueType};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::environment::name_fault;
use super::functions::NoGrant;
use super::programs::StepPrograms;
use super::scope::StepScope;
use super::{Environment, Halt, JobContext, Outputs, StopLevel, next_level};
use crate::clock;
use crate::logfile::LogWriter;
use crate::observe::{metrics, spans};

/// What a `script:` item calls, and the input that takes its text.
const SCRIPT: &str = "script";

/// What a guest prints goes into the job's log.
struct GuestOutput(Arc<LogWriter>);

impl sandbox::Log for GuestOutput {
    fn write(&self, channel: sandbox::Channel, bytes: &[u8]) {
        let stream = match channel {
            sandbox::Channel::Output => Stream::Out,
            sandbox::Channel::Diagnostics => Stream::Err,
        };
        self.0.write(stream, bytes);
    }

    fn revealed(&self, name: &str) {
        tracing::info!(input = name, "a builtin opened a sensitive input");
    }
}

impl JobContext {
    /// Runs a `script:` item: the builtin of that name, with the item's text. Expressions in the text see files that
    /// are the item's own; what is written to its export file counts.
    pub(super) async fn script(
        &self,
        step: &str,
        text: &Template,
        scope: &StepScope,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        let files = self.files();
        let mut scope = scope.clone();
        scope.files(&files);
        let text = text.evaluate_text(&scope).map_err(|error| {
            Halt::failed(format!("failed to load: expand input {SCRIPT}: {error}"))
        })?;
        files.check()?;
        let builtin = self.functions.find(SCRIPT)?;
        spans::calls(&format_args!("builtin://{SCRIPT}"));
        let grant = self.grant(step, &builtin)?;
        let mut spec = self.spec_of(&builtin).await?;
        // An item declares nothing, so its text may hold what is sensitive, and is as sensitive as that.
        for input in spec.inputs.values_mut() {
            input.sensitive = text.is_sensitive();
        }
        let inputs = BTreeMap::from([(name(SCRIPT)?, text)]);
        self.call(step, &builtin, &grant, &spec, inputs, environment)
            .await?;
        self.read_exports(&files.export, environment)?;
        Ok(Outputs::new())
    }

    pub(super) async fn builtin(
        &self,
        step: &str,
        builtin: &sandbox::Builtin,
        inputs: BTreeMap<Name, Value>,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        spans::calls(&format_args!("builtin://{}", builtin.name()));
        let grant = self.grant(step, builtin)?;
        point!("guest.granted", waits, fails: Err(super::injected()));
        let spec = self.spec_of(builtin).await?;
        point!("guest.described", waits);
        self.call(step, builtin, &grant, &spec, inputs, environment)
            .await
    }

    /// What the policy lets a builtin have, before anything of it runs.
    fn grant(&self, step: &str, builtin: &sandbox::Builtin) -> Result<Grant, Halt> {
        self.functions
            .grant(builtin)
            .map_err(|refusal| match refusal {
                NoGrant::Denied(denial) => self.refused(step, &denial),
                NoGrant::Manifest(error) => self.told(Ending::Failed {
                    message: format!("exec: the builtin cannot be used: {error}"),
                    exit_status: None,
                }),
            })
    }

    /// A refusal, told to the operator and to who reads the log.
    fn refused(&self, step: &str, denial: &Denial) -> Halt {
        audit(step, denial);
        self.explain(denial);
        self.told(denied(denial))
    }

    /// An ending that the log has heard of.
    fn told(&self, ending: Ending) -> Halt {
        self.log.line(Stream::Err, &ending.message());
        Halt {
            ending,
            interrupted: false,
        }
    }

    /// Tells who reads the log what would help.
    fn explain(&self, denial: &Denial) {
        self.log
            .line(Stream::Err, &format!("help: {}", denial.help()));
    }

    async fn spec_of(&self, builtin: &sandbox::Builtin) -> Result<Spec, Halt> {
        match self.functions.sandbox().describe(builtin).await {
            Ok(signature) => spec(&signature),
            Err(ending) => {
                let halt = self.ending(ending, Told::default()).err();
                Err(halt.unwrap_or_else(no_signature))
            }
        }
    }

    async fn call(
        &self,
        step: &str,
        builtin: &sandbox::Builtin,
        grant: &Grant,
        spec: &Spec,
        inputs: BTreeMap<Name, Value>,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        let sandbox = self.functions.sandbox();
        let inputs = checked(spec, inputs)?;
        self.hide(inputs.values())?;
        self.started(step);
        // Before the guest's own span is entered: what it sees is the step's place in the trace.
        let seen = self.traced(environment);
        let programs = StepPrograms::new(self, step, &seen, grant);
        let call = sandbox::Call {
            arguments: inputs
                .iter()
                .map(|(name, value)| (name.to_string(), sandbox::Value::from(value.to_json())))
                .collect(),
            context: self.guest_context(&seen, grant),
            log: Arc::new(GuestOutput(Arc::clone(&self.log))),
            limits: grant.limits.clone(),
            programs: Some(programs.capability()),
        };
        point!("guest.called", waits);
        let (levels, level) = watch::channel(sandbox::StopLevel::None);
        let span = spans::guest(builtin.name());
        let ending = {
            let guest = sandbox.run(builtin, call, sandbox::Stop(level));
            let mut guest = std::pin::pin!(guest.instrument(span.clone()));
            tokio::select! {
                ending = &mut guest => ending,
                () = self.pass_stops_to_guest(&levels, &programs) => guest.await,
            }
        };
        let told = Told {
            ran_programs: programs.ran_any(),
            denials: programs.denials(),
        };
        for leftovers in programs.finish().await {
            self.outlived(step, leftovers).await;
        }
        point!("guest.ended", waits);
        self.log.flush();
        let ended = self.ending(ending, told);
        spans::guest_ended(&span, self.how(&ended));
        let (outputs, exports) = ended?;
        let exports = exported(exports)?;
        // All or none: a step that failed has exported nothing.
        for name in exports.keys() {
            if let Err(denial) = grant.export(name) {
                return Err(self.refused(step, &denial));
            }
        }
        environment.export(exports);
        let outputs = named(outputs)?;
        spec.check_outputs(outputs)
            .map_err(|error| Halt::failed(format!("exec: {error}")))
    }

    /// What a guest may know of its surroundings: variables that it may not read do not exist for it.
    fn guest_context(&self, environment: &Environment, grant: &Grant) -> sandbox::Context {
        let readable = |values: &BTreeMap<String, Value>| -> Vec<(String, String)> {
            let values = values.iter();
            values
                .filter(|(name, _)| grant.environment(name))
                .map(|(name, value)| (name.clone(), value.to_text()))
                .collect()
        };
        // Most builtins read nothing, and a job may have thousands of variables.
        let (environment, job_variables) = if grant.environment.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let variables = self.variables.as_object();
            (
                readable(&environment.flattened()),
                variables.map(readable).unwrap_or_default(),
            )
        };
        sandbox::Context {
            work_dir: self.work_dir.to_string_lossy().into_owned(),
            environment,
            job_variables,
            grace: self.grace,
            began_at: clock::wall()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Hands stops to the guest, then to its programs. Returns after the kill.
    async fn pass_stops_to_guest(
        &self,
        levels: &watch::Sender<sandbox::StopLevel>,
        programs: &StepPrograms,
    ) {
        let reason = |reason| match reason {
            StopReason::Timeout => sandbox::StopReason::Deadline,
            StopReason::Cancel | StopReason::Close => sandbox::StopReason::Cancelled,
        };
        let mut stop = self.stop.clone();
        loop {
            let level = *stop.borrow_and_update();
            match level {
                StopLevel::None => {}
                StopLevel::Polite {
                    reason: why,
                    kill_at,
                } => {
                    levels.send_replace(sandbox::StopLevel::Polite {
                        reason: reason(why),
                        kill_at: Some(kill_at.into_std()),
                    });
                }
                StopLevel::Kill { reason: why } => {
                    levels.send_replace(sandbox::StopLevel::Kill {
                        reason: reason(why),
                    });
                }
            }
            programs.stop(level);
            if matches!(level, StopLevel::Kill { .. }) {
                return;
            }
            let half = level.half_way(None);
            let changed = next_level(&mut stop, half, || programs.insist());
            if changed.await.is_err() {
                levels.send_replace(sandbox::StopLevel::Kill {
                    reason: sandbox::StopReason::Cancelled,
                });
                return;
            }
        }
    }

    /// What a guest's ending means for its step.
    ///
    /// It becomes a line of the log unless programs that the guest ran have told the story.
    #[expect(
        clippy::type_complexity,
        reason = "outputs and exports, as the guest gave them"
    )]
    fn ending(
        &self,
        ending: sandbox::GuestEnding,
        told: Told,
    ) -> Result<(Vec<(String, sandbox::Value)>, Vec<(String, String)>), Halt> {
        use sandbox::GuestEnding as Guest;
        let interrupted = self.stopped();
        let message = |text: String| format!("exec: {text}");
        let ending = match ending {
            Guest::Success { outputs, exports } if !interrupted => return Ok((outputs, exports)),
            Guest::Success { .. } => Ending::Cancelled {
                message: message("stopped".to_owned()),
            },
            Guest::Failed {
                message: text,
                exit_code,
            } => Ending::Failed {
                message: message(text),
                exit_status: exit_code,
            },
            Guest::InvalidInput {
                name,
                message: text,
            } => Ending::Failed {
                message: message(format!("invalid input {name}: {text}")),
                exit_status: None,
            },
            Guest::Cancelled { killed } => {
                let how = if killed {
                    "killed after its grace"
                } else {
                    "stopped"
                };
                Ending::Cancelled {
                    message: message(how.to_owned()),
                }
            }
            Guest::Limit {
                which,
                message: text,
                frames,
            } => {
                metrics::limited(which);
                tracing::warn!(
                    error.kind = "step_failure",
                    policy.limit = %which,
                    frames = ?frames,
                    "a builtin was ended at a limit"
                );
                Ending::Limit {
                    message: message(text),
                }
            }
            Guest::Trap(trap) => {
                metrics::trapped(trap.kind);
                tracing::error!(
                    error.kind = "internal",
                    wasm.trap = %trap.message,
                    wasm.trap_kind = trap.kind.as_str(),
                    frames = ?trap.frames,
                    "a builtin trapped"
                );
                Ending::Internal {
                    message: message(trap.message),
                }
            }
            Guest::HostFault(fault) => {
                tracing::error!(
                    error.kind = "internal",
                    error = fault.message,
                    error.detail = fault.detail,
                    frames = ?fault.frames,
                    "the host broke while it served a builtin"
                );
                Ending::Internal {
                    message: message(fault.message),
                }
            }
            Guest::Denied {
                capability,
                target,
                code,
            } => match told.denial(&capability, &target) {
                Some(denial) => {
                    self.explain(denial);
                    denied(denial)
                }
                // Only its word: nothing that this host refused.
                None => Ending::Denied {
                    message: message(format!(
                        "the builtin says that {capability} of {target:?} was denied to it ({code})"
                    )),
                },
            },
            Guest::Link {
                missing,
                message: text,
            } => Ending::Failed {
                message: message(format!(
                    "the builtin needs {missing}, which is not granted: {text}"
                )),
                exit_status: None,
            },
            Guest::NotAComponent { message: text } => Ending::Failed {
                message: message(format!("the builtin is not a component: {text}")),
                exit_status: None,
            },
            Guest::Busy => Ending::Limit {
                message: message("too many builtins run at once; try again later".to_owned()),
            },
        };
        let spoken =
            told.ran_programs && matches!(ending, Ending::Failed { .. } | Ending::Cancelled { .. });
        if !spoken {
            self.log.line(Stream::Err, &ending.message());
        }
        Err(Halt {
            ending,
            interrupted,
        })
    }
}

/// What happened before a guest ended.
#[derive(Default)]
struct Told {
    /// It ran programs, which have written their own story.
    ran_programs: bool,
    /// What it was refused.
    denials: Vec<Denial>,
}

impl Told {
    /// The refusal that a guest speaks of.
    fn denial(&self, capability: &str, target: &str) -> Option<&Denial> {
        let mut denials = self.denials.iter();
        denials
            .find(|denial| denial.capability().as_str() == capability && denial.target() == target)
    }
}

fn denied(denial: &Denial) -> Ending {
    Ending::Denied {
        message: format!("exec: {denial}"),
    }
}

/// Writes a refusal into the audit trail.
pub(super) fn audit(step: &str, denial: &Denial) {
    metrics::denied(denial);
    tracing::warn!(
        target: "audit",
        {
            step.name = step,
            step.function = denial.function(),
            policy.name = denial.policy(),
            policy.line = denial.rule().map(|rule| rule.line),
            policy.capability = denial.capability().as_str(),
            policy.target = ?denial.target(),
            policy.code = denial.code().as_str(),
        },
        "denied"
    );
}

fn checked(spec: &Spec, inputs: BTreeMap<Name, Value>) -> Result<BTreeMap<Name, Value>, Halt> {
    spec.check_inputs(inputs)
        .map_err(|error| Halt::failed(error.to_string()))
}

fn no_signature() -> Halt {
    Halt::failed("exec: the builtin does not say what it takes")
}

/// What a builtin that describes itself so takes and gives; `None` when a run would refuse it.
pub(crate) fn spec_of_signature(signature: &sandbox::Signature) -> Option<Spec> {
    spec(signature).ok()
}

/// A guest's signature as the spec that YAML functions have.
fn spec(signature: &sandbox::Signature) -> Result<Spec, Halt> {
    let parameters = |list: &[sandbox::Parameter]| {
        list.iter()
            .map(|parameter| {
                let name = name(&parameter.name)?;
                let described = Parameter {
                    ty: match parameter.ty {
                        sandbox::ValueType::Text => ValueType::String,
                        sandbox::ValueType::Number => ValueType::Number,
                        sandbox::ValueType::Boolean => ValueType::Boolean,
                        sandbox::ValueType::Object => ValueType::Struct,
                        sandbox::ValueType::Array => ValueType::Array,
                    },
                    default: parameter.default.clone().map(value),
                    sensitive: parameter.sensitive,
                    description: Some(parameter.doc.clone()),
                };
                Ok((name, described))
            })
            .collect::<Result<BTreeMap<_, _>, Halt>>()
    };
    Ok(Spec {
        inputs: parameters(&signature.inputs)?,
        outputs: DeclaredOutputs::Declared(parameters(&signature.outputs)?),
    })
}

fn value(value: sandbox::Value) -> Value {
    Value::from_json(value.into())
}

fn name(text: &str) -> Result<Name, Halt> {
    Name::parse(text).map_err(|error| {
        Halt::failed(format!(
            "exec: the builtin names a parameter badly: {error}"
        ))
    })
}

fn named(outputs: Vec<(String, sandbox::Value)>) -> Result<Outputs, Halt> {
    outputs
        .into_iter()
        .map(|(key, output)| Ok((name(&key)?, value(output))))
        .collect()
}

fn exported(exports: Vec<(String, String)>) -> Result<BTreeMap<String, Value>, Halt> {
    exports
        .into_iter()
        .map(|(key, text)| match name_fault(&key) {
            Some(fault) => Err(Halt::failed(format!("exec: export: {fault}"))),
            None if text.contains('\0') => Err(Halt::failed(format!(
                "exec: export: the value of {key} contains a NUL byte"
            ))),
            None => Ok((key, Value::string(text))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cross_the_border_of_the_sandbox_unchanged() {
        for json in [
            "null",
            "true",
            "1.5",
            "\"text\"",
            "[1,{\"a\":null}]",
            "{\"a\":[true]}",
        ] {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let there = sandbox::Value::from(Value::from_json(json.clone()).to_json());
            let back = value(there);
            assert_eq!(back, Value::from_json(json));
        }
    }
}
