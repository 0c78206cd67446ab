//! `run FILE.wasm`: one component, once, in the sandbox, as the author of a builtin wants to see it.
//!
//! The component gets a log and nothing else: no environment, no job variables. What it writes as output goes
//! to stdout; its diagnostics, and what it left, go to stderr. Nothing is masked: the inputs are on the
//! command line already. An interrupt asks the step to stop, a second one ends it.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, ensure};
use stephost_policy::Limits;
use stephost_sandbox::{
    Builtin, Call, Channel, Context, GuestEnding, Log, Parameter, Sandbox, SandboxConfig,
    Signature, Stop, StopLevel, StopReason, Value, ValueType,
};
use tokio::sync::watch;

use super::source;
use crate::cli::exit::{self, Failure};
use crate::cli::visible::visible;
use crate::clock::{self, Stopwatch};

/// Runs the component in `file`.
pub(super) fn run(file: &Path, inputs: &[String], grace: Duration) -> Result<u8, Failure> {
    let wasm = source::read_component(file).map_err(Failure::bad_input)?;
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
    let terminal = Arc::new(Terminal::default());
    let call = Call {
        programs: None,
        arguments,
        context: Context {
            work_dir: work_dir.to_string_lossy().into_owned(),
            grace,
            began_at: began_at.unwrap_or_default(),
            ..Context::default()
        },
        log: Arc::clone(&terminal) as Arc<dyn Log>,
        limits: Limits::shipped(),
    };
    let (levels, level) = watch::channel(StopLevel::None);
    let ending = tokio::select! {
        ending = sandbox.run(&builtin, call, Stop(level)) => ending,
        never = interrupts(&levels, grace) => match never {},
    };
    // That nobody reads it does not change how it ended.
    let _ = io::stderr().write_all(told(&ending, &signature).as_bytes());
    match (code(&ending), terminal.lost()) {
        (exit::FINE, Some(error)) => Err(error)
            .context("the step succeeded, but its log is not whole: writing it")
            .map_err(Failure::cannot_create),
        (code, _) => Ok(code),
    }
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

/// How it ended, in lines.
fn told(ending: &GuestEnding, signature: &Signature) -> String {
    let mut lines = Vec::new();
    match ending {
        GuestEnding::Success { outputs, exports } => {
            for (name, value) in outputs {
                let declared = signature.outputs.iter().find(|known| known.name == *name);
                lines.push(if declared.is_some_and(|output| output.sensitive) {
                    format!("output {name} is sensitive")
                } else {
                    format!("output {name} = {}", serde_json::Value::from(value.clone()))
                });
            }
            let exports = exports.iter();
            lines.extend(exports.map(|(name, value)| format!("export {name}={value}")));
        }
        GuestEnding::Trap(trap) => {
            lines.push(format!("error: the step broke: {}", trap.message));
            let frames = trap.frames.iter();
            lines.extend(frames.map(|frame| format!("    in {frame}")));
        }
        _ => lines.push(format!("error: the step {}", words(ending))),
    }
    // All of it is what a guest says.
    lines
        .iter()
        .map(|line| format!("{}\n", visible(line)))
        .collect()
}

fn code(ending: &GuestEnding) -> u8 {
    match ending {
        GuestEnding::Success { .. } => exit::FINE,
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

/// An ending as the end of a sentence about the step, in one line.
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
            let frames = trap.frames.iter().map(|frame| format!(", in {frame}"));
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

/// The streams of this program. That a reader went away changes nothing.
#[derive(Default)]
struct Terminal {
    /// Why something is not where it should be.
    lost: Mutex<Option<io::Error>>,
}

impl Terminal {
    fn lost(&self) -> Option<io::Error> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.take()
    }
}

impl Log for Terminal {
    fn write(&self, channel: Channel, bytes: &[u8]) {
        let written = match channel {
            Channel::Output => io::stdout()
                .write_all(bytes)
                .and_then(|()| io::stdout().flush()),
            Channel::Diagnostics => io::stderr().write_all(bytes),
        };
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert(error);
        }
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
    fn what_a_guest_says_does_not_act_on_the_terminal() {
        let ended = GuestEnding::Success {
            outputs: vec![("text".to_owned(), Value::Text("\u{202E}x".to_owned()))],
            exports: vec![("A".to_owned(), "\u{1b}[2J\nerror: forged".to_owned())],
        };
        let lines = "output text = \"\\u{202e}x\"\nexport A=\\u{1b}[2J\\nerror: forged\n";
        assert_eq!(told(&ended, &signature()), lines);
        let failed = GuestEnding::Failed {
            message: "\u{9b}2J".to_owned(),
            exit_code: None,
        };
        let line = "error: the step failed: \\u{9b}2J\n";
        assert_eq!(told(&failed, &signature()), line);
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
        for (ending, expected) in table {
            assert_eq!(code(&ending), expected, "{ending:?}");
        }
    }
}
