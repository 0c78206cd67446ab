//! A leaf that is a function of the host: a Wasm component in the sandbox, by name.
//!
//! Owns the table of builtins and the translation between steps and guests: inputs are checked against what
//! the guest describes, its ending becomes an [`Ending`], stops are handed on. Never gives a guest anything
//! that is not in its call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use stephost_expr::Value;
use stephost_job::{Ending, StopReason};
use stephost_joblog::Stream;
use stephost_policy::Limits;
use stephost_sandbox as sandbox;
use stephost_steps::{Name, Outputs as DeclaredOutputs, Parameter, Spec, ValueType};
use tokio::sync::watch;

use super::environment::name_fault;
use super::{Environment, Halt, JobContext, Outputs, StopLevel, script};
use crate::clock;
use crate::logfile::LogWriter;

/// The functions that this host brings along.
pub(crate) struct Functions {
    sandbox: sandbox::Sandbox,
    builtins: BTreeMap<&'static str, Arc<sandbox::Builtin>>,
}

/// One of them.
#[derive(Clone)]
pub(super) enum BuiltinFunction {
    /// Shell text, run natively.
    Script,
    /// A component.
    Component(Arc<sandbox::Builtin>),
}

const SCRIPT: &str = "script";

impl Functions {
    /// The shipped builtins, ready to be compiled on first use.
    ///
    /// # Errors
    ///
    /// When the sandbox cannot be set up on this machine.
    pub(crate) fn shipped() -> Result<Functions, sandbox::SandboxError> {
        let sandbox = sandbox::Sandbox::new(sandbox::SandboxConfig::default())?;
        let builtins = stephost_builtins::shipped()
            .iter()
            .map(|shipped| {
                (
                    shipped.name,
                    Arc::new(sandbox::Builtin::new(shipped.name, shipped.wasm)),
                )
            })
            .collect();
        Ok(Functions { sandbox, builtins })
    }

    pub(super) fn find(&self, name: &str) -> Option<BuiltinFunction> {
        if name == SCRIPT {
            return Some(BuiltinFunction::Script);
        }
        self.builtins
            .get(name)
            .cloned()
            .map(BuiltinFunction::Component)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.builtins.keys().copied().chain([SCRIPT]).collect();
        names.sort_unstable();
        names
    }
}

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
    pub(super) async fn builtin(
        &self,
        step: &str,
        builtin: &BuiltinFunction,
        inputs: BTreeMap<Name, Value>,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        match builtin {
            BuiltinFunction::Script => {
                let inputs = checked(&script::spec(), inputs)?;
                self.started(step);
                let text = inputs
                    .into_values()
                    .next()
                    .unwrap_or_else(|| Value::string(""));
                self.shell(&text, environment).await?;
                Ok(Outputs::new())
            }
            BuiltinFunction::Component(component) => {
                self.component(step, component, inputs, environment).await
            }
        }
    }

    async fn component(
        &self,
        step: &str,
        component: &sandbox::Builtin,
        inputs: BTreeMap<Name, Value>,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        let sandbox = &self.functions.sandbox;
        let signature = match sandbox.describe(component).await {
            Ok(signature) => signature,
            Err(ending) => return Err(self.ending(ending).err().unwrap_or_else(no_signature)),
        };
        let spec = spec(&signature)?;
        let inputs = checked(&spec, inputs)?;
        self.hide(inputs.values());
        self.started(step);
        let call = sandbox::Call {
            arguments: inputs
                .iter()
                .map(|(name, value)| (name.to_string(), sandbox::Value::from(value.to_json())))
                .collect(),
            context: self.guest_context(environment),
            log: Arc::new(GuestOutput(Arc::clone(&self.log))),
            limits: Limits::shipped(),
        };
        let (levels, level) = watch::channel(sandbox::StopLevel::None);
        let ending = {
            let mut guest = std::pin::pin!(sandbox.run(component, call, sandbox::Stop(level)));
            tokio::select! {
                ending = &mut guest => ending,
                () = self.pass_stops_to_guest(&levels) => guest.await,
            }
        };
        self.log.flush();
        let (outputs, exports) = self.ending(ending)?;
        environment.export(exported(exports)?);
        let outputs = named(outputs)?;
        spec.check_outputs(outputs)
            .map_err(|error| Halt::failed(format!("exec: {error}")))
    }

    fn guest_context(&self, environment: &Environment) -> sandbox::Context {
        let texts = |values: &BTreeMap<String, Value>| {
            values
                .iter()
                .map(|(name, value)| (name.clone(), value.to_text()))
                .collect()
        };
        sandbox::Context {
            work_dir: self.work_dir.to_string_lossy().into_owned(),
            environment: texts(&environment.flattened()),
            job_variables: self.variables.as_object().map(texts).unwrap_or_default(),
            grace: self.grace,
            began_at: clock::wall()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Hands stops to the guest. Returns after the kill.
    async fn pass_stops_to_guest(&self, levels: &watch::Sender<sandbox::StopLevel>) {
        let reason = |reason| match reason {
            StopReason::Timeout => sandbox::StopReason::Deadline,
            StopReason::Cancel | StopReason::Close => sandbox::StopReason::Cancelled,
        };
        let mut stop = self.stop.clone();
        loop {
            match *stop.borrow_and_update() {
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
                    return;
                }
            }
            if stop.changed().await.is_err() {
                levels.send_replace(sandbox::StopLevel::Kill {
                    reason: sandbox::StopReason::Cancelled,
                });
                return;
            }
        }
    }

    /// What a guest's ending means for its step.
    #[expect(
        clippy::type_complexity,
        reason = "outputs and exports, as the guest gave them"
    )]
    fn ending(
        &self,
        ending: sandbox::GuestEnding,
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
            Guest::Limit { message: text, .. } => Ending::Limit {
                message: message(text),
            },
            Guest::Trap(trap) => {
                tracing::error!(wasm.trap = %trap.message, frames = ?trap.frames, "a builtin trapped");
                Ending::Internal {
                    message: message(trap.message),
                }
            }
            Guest::HostFault { message: text } => Ending::Internal {
                message: message(text),
            },
            Guest::Denied {
                capability,
                target,
                code,
            } => Ending::Denied {
                message: message(format!("{capability} of {target:?} is denied ({code})")),
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
        // A program has told its own story; of a guest this line is all that a reader of the log learns.
        self.log.line(Stream::Err, &ending.message());
        Err(Halt {
            ending,
            interrupted,
        })
    }
}

fn checked(spec: &Spec, inputs: BTreeMap<Name, Value>) -> Result<BTreeMap<Name, Value>, Halt> {
    spec.check_inputs(inputs)
        .map_err(|error| Halt::failed(error.to_string()))
}

fn no_signature() -> Halt {
    Halt::failed("exec: the builtin does not say what it takes")
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
