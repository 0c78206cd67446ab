//! `run FILE.wasm`: one component, once, in the sandbox, as the author of a builtin wants to see it.
//!
//! The component gets a log and nothing else: no environment, no job variables. What it writes as output goes
//! to stdout; its diagnostics, and what it left, go to stderr. Nothing is masked: the inputs are on the
//! command line already. An interrupt asks the step to stop, a second one ends it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, ensure};
use stephost_policy::Limits;
use stephost_sandbox::{
    Builtin, Call, Channel, Context, GuestEnding, Log, Parameter, Sandbox, SandboxConfig,
    Signature, Stop, StopLevel, StopReason, Value, ValueType,
};
use tokio::sync::watch;

use crate::cli::exit::{self, Failure};
use crate::clock::{self, Stopwatch};
use crate::config;

/// Runs the component in `file`.
pub(super) fn run(file: &Path, inputs: &[String], grace: Duration) -> Result<u8, Failure> {
    let wasm = config::component_file(file).map_err(Failure::bad_input)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(Failure::internal)?;
    runtime.block_on(running(file, wasm, inputs, grace))
}

async fn running(
    file: &Path,
    wasm: Arc<[u8]>,
    inputs: &[String],
    grace: Duration,
) -> Result<u8, Failure> {
    let sandbox = Sandbox::new(SandboxConfig {
        slots_max: 1,
        threads: 1,
    })
    .context("starting the sandbox")
    .map_err(Failure::internal)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let builtin = Builtin::new(&name, wasm);
    let signature = match sandbox.describe(&builtin).await {
        Ok(signature) => signature,
        Err(ending) => {
            let error = anyhow!("{}: {}", file.display(), words(&ending));
            return Err(Failure::bad_input(error));
        }
    };
    let arguments = arguments(&signature, inputs).map_err(Failure::usage)?;
    let work_dir = std::env::current_dir().unwrap_or_default();
    let began_at = clock::wall().duration_since(SystemTime::UNIX_EPOCH);
    let call = Call {
        programs: None,
        arguments,
        context: Context {
            work_dir: work_dir.to_string_lossy().into_owned(),
            grace,
            began_at: began_at.unwrap_or_default(),
            ..Context::default()
        },
        log: Arc::new(Terminal),
        limits: Limits::shipped(),
    };
    let (levels, level) = watch::channel(StopLevel::None);
    let ending = tokio::select! {
        ending = sandbox.run(&builtin, call, Stop(level)) => ending,
        never = interrupts(&levels, grace) => match never {},
    };
    Ok(told(&ending, &signature))
}

/// Passes interrupts on, for as long as it is asked to.
async fn interrupts(
    levels: &watch::Sender<StopLevel>,
    grace: Duration,
) -> std::convert::Infallible {
    let reason = StopReason::Cancelled;
    let asked = async || {
        if tokio::signal::ctrl_c().await.is_err() {
            // Then an interrupt ends the whole program, as it always does.
            std::future::pending::<()>().await;
        }
    };
    asked().await;
    let kill_at = Stopwatch::start().deadline(grace);
    levels.send_replace(StopLevel::Polite {
        reason,
        kill_at: kill_at.map(tokio::time::Instant::into_std),
    });
    let _either = tokio::time::timeout(grace, asked()).await;
    levels.send_replace(StopLevel::Kill { reason });
    std::future::pending().await
}

/// Reads `NAME=VALUE` by the declared types, and finds what is missing.
fn arguments(signature: &Signature, inputs: &[String]) -> anyhow::Result<Vec<(String, Value)>> {
    let mut arguments: Vec<(String, Value)> = Vec::new();
    for input in inputs {
        let (name, text) = input
            .split_once('=')
            .with_context(|| format!("the input {input:?} is not NAME=VALUE"))?;
        let declared = signature.inputs.iter().find(|known| known.name == name);
        let declared = declared.with_context(|| {
            let names: Vec<&str> = signature.inputs.iter().map(|known| &*known.name).collect();
            format!(
                "the step takes no input `{name}`; it takes: {}",
                names.join(", ")
            )
        })?;
        ensure!(
            arguments.iter().all(|(given, _)| given != name),
            "the input `{name}` is given twice"
        );
        arguments.push((name.to_owned(), value(declared, text)?));
    }
    for input in signature
        .inputs
        .iter()
        .filter(|input| input.default.is_none())
    {
        ensure!(
            arguments.iter().any(|(given, _)| *given == input.name),
            "the input `{}` is missing: {}",
            input.name,
            input.doc
        );
    }
    Ok(arguments)
}

fn value(declared: &Parameter, text: &str) -> anyhow::Result<Value> {
    if declared.ty == ValueType::Text {
        return Ok(Value::Text(text.to_owned()));
    }
    let name = &declared.name;
    let json: serde_json::Value = serde_json::from_str(text)
        .with_context(|| format!("the input `{name}` is not text and is read as JSON"))?;
    let value = Value::from(json);
    ensure!(
        declared.ty.admits(&value),
        "the input `{name}` takes {}, and {text} is something else",
        match declared.ty {
            ValueType::Text => "text",
            ValueType::Number => "a number",
            ValueType::Boolean => "true or false",
            ValueType::Object => "an object",
            ValueType::Array => "an array",
        }
    );
    Ok(value)
}

/// Tells how it ended; returns the exit code.
fn told(ending: &GuestEnding, signature: &Signature) -> u8 {
    if let GuestEnding::Success { outputs, exports } = ending {
        for (name, value) in outputs {
            let declared = signature.outputs.iter().find(|known| known.name == *name);
            if declared.is_some_and(|output| output.sensitive) {
                eprintln!("output {name} is sensitive");
            } else {
                eprintln!("output {name} = {}", serde_json::Value::from(value.clone()));
            }
        }
        for (name, value) in exports {
            eprintln!("export {name}={value}");
        }
        return exit::FINE;
    }
    eprintln!("error: the step {}", words(ending));
    match ending {
        GuestEnding::Cancelled { .. } => exit::INTERRUPTED,
        GuestEnding::HostFault { .. } => exit::INTERNAL,
        GuestEnding::Failed {
            exit_code: Some(code),
            ..
        } => match u8::try_from(*code) {
            // A failure is never told as a success.
            Ok(0) | Err(_) => exit::STEP_FAILED,
            Ok(code) => code,
        },
        _ => exit::STEP_FAILED,
    }
}

/// An ending as the end of a sentence about the step.
pub(in crate::cli) fn words(ending: &GuestEnding) -> String {
    match ending {
        GuestEnding::Success { .. } => "succeeded".to_owned(),
        GuestEnding::Failed {
            message,
            exit_code: Some(code),
        } => format!("failed: {message}: exit status {code}"),
        GuestEnding::Failed { message, .. } => format!("failed: {message}"),
        GuestEnding::InvalidInput { name, message } => {
            format!("cannot use its input `{name}`: {message}")
        }
        GuestEnding::Denied {
            capability, target, ..
        } => format!("was denied {capability} of {target}"),
        GuestEnding::Cancelled { killed: false } => "was stopped".to_owned(),
        GuestEnding::Cancelled { killed: true } => "was killed".to_owned(),
        GuestEnding::Limit { message, .. } => format!("was ended: {message}"),
        GuestEnding::Trap(trap) => {
            let frames = trap.frames.iter().map(|frame| format!("\n    in {frame}"));
            format!("broke: {}{}", trap.message, frames.collect::<String>())
        }
        GuestEnding::HostFault(fault) if fault.detail.is_empty() => {
            format!("was lost: {}", fault.message)
        }
        GuestEnding::HostFault(fault) => format!("was lost: {}: {}", fault.message, fault.detail),
        GuestEnding::Link { missing, message } => {
            format!("does not fit this host ({missing}): {message}")
        }
        GuestEnding::NotAComponent { message } => format!("is not a component: {message}"),
        GuestEnding::Busy => "found no free slot".to_owned(),
    }
}

/// The streams of this program. That one is closed changes nothing.
struct Terminal;

impl Log for Terminal {
    fn write(&self, channel: Channel, bytes: &[u8]) {
        let _closed = match channel {
            Channel::Output => std::io::stdout().write_all(bytes),
            Channel::Diagnostics => std::io::stderr().write_all(bytes),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let parameter = |name: &str, ty, default| Parameter {
            name: name.to_owned(),
            ty,
            default,
            sensitive: false,
            doc: "Which one".to_owned(),
        };
        Signature {
            summary: String::new(),
            inputs: vec![
                parameter("who", ValueType::Text, None),
                parameter("times", ValueType::Number, Some(Value::Number(1.0))),
                parameter("tags", ValueType::Array, Some(Value::Null)),
            ],
            outputs: Vec::new(),
        }
    }

    fn read(inputs: &[&str]) -> Result<Vec<(String, Value)>, String> {
        let inputs: Vec<String> = inputs.iter().map(|input| (*input).to_owned()).collect();
        arguments(&signature(), &inputs).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn inputs_are_read_by_their_declared_types() {
        let given = read(&["who=7=8", "times=3", "tags=[\"a\"]"]).unwrap();
        let expected = [
            ("who", Value::Text("7=8".to_owned())),
            ("times", Value::Number(3.0)),
            ("tags", Value::Json(serde_json::json!(["a"]))),
        ];
        assert_eq!(
            given,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn an_input_that_does_not_fit_says_why() {
        let table: [(&[&str], &str); 6] = [
            (&[], "the input `who` is missing: Which one"),
            (&["who"], "the input \"who\" is not NAME=VALUE"),
            (
                &["how=x"],
                "the step takes no input `how`; it takes: who, times, tags",
            ),
            (&["who=a", "who=b"], "the input `who` is given twice"),
            (
                &["who=a", "times=x"],
                "the input `times` is not text and is read as JSON",
            ),
            (
                &["who=a", "times=[]"],
                "the input `times` takes a number, and [] is something else",
            ),
        ];
        for (inputs, message) in table {
            let error = read(inputs).expect_err(message);
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_exit_code_is_the_steps_own_where_it_can_be() {
        let failed = |exit_code| GuestEnding::Failed {
            message: String::new(),
            exit_code,
        };
        let table = [
            (failed(Some(3)), 3),
            (failed(Some(0)), 1),
            (failed(Some(300)), 1),
            (failed(None), 1),
            (GuestEnding::Cancelled { killed: true }, 130),
            (GuestEnding::Busy, 1),
        ];
        for (ending, code) in table {
            assert_eq!(told(&ending, &signature()), code, "{ending:?}");
        }
    }
}
