//! Testing a step natively, in microseconds and without a Wasm toolchain.
//!
//! A [`Stage`] plays the host. It answers by a script and records what the step does; time on it passes at
//! once. What it leaves to the real host: limits other than the log's, and checking types before a step runs.
//!
//! ```
//! use stephost_sdk::prelude::*;
//! use stephost_sdk::testing::{Stage, inputs};
//! use std::time::Duration;
//!
//! #[derive(Inputs)]
//! struct Input {
//!     /// Who is waited for
//!     name: String,
//! }
//!
//! /// Waits for somebody
//! #[step]
//! fn wait(input: Input, step: &Step) -> Result<(), Failure> {
//!     while step.sleep(Duration::from_secs(60)).is_none() {
//!         say!("Where is {}?", input.name);
//!     }
//!     Err(Failure::exit(3, "nobody came"))
//! }
//!
//! let report = Stage::new()
//!     .stop_after_waits(2, Stop::Cancelled)
//!     .run::<wait>(inputs! { name: "Ada" });
//! assert_eq!(report.failed(), &Failure::exit(3, "nobody came"));
//! assert_eq!(report.output, "Where is Ada?\nWhere is Ada?\n");
//! assert_eq!(report.waited, Duration::from_secs(120));
//! ```

use std::time::{Duration, SystemTime};

use crate::control::Stop;
use crate::host::{Programs, Props, set, set_programs};
use crate::process::{Command, Ending, Exit, Signal, StartError};
use crate::{Argument, Failure, Function, Outcome, Signature, Value, entry};

pub use crate::inputs;

/// Writes the inputs of a test: `inputs! { name: "Ada", times: 3 }`.
#[macro_export]
macro_rules! inputs {
    ($($name:ident: $value:expr),* $(,)?) => {
        ::std::vec::Vec::<(&'static str, $crate::Value)>::from([
            $((::core::stringify!($name), $crate::Value::from($value))),*
        ])
    };
}

/// Returns what the host gets to know about a step before it runs.
#[must_use]
pub fn describe<F: Function>() -> Signature {
    entry::describe::<F>()
}

/// What the host of a test answers with.
#[derive(Debug, Default)]
pub struct Stage {
    props: Props,
    programs: Programs,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Report {
    /// What the step returned.
    pub result: Result<Outcome, Failure>,
    /// What it wrote to the output.
    pub output: String,
    /// What it wrote to the diagnostics, one line like `warn: careful path=/tmp` for each structured one.
    pub diagnostics: String,
    /// How long it waited in all.
    pub waited: Duration,
    /// Which sensitive inputs it opened, each time it did.
    pub revealed: Vec<String>,
    /// The programs it started, in order.
    pub programs: Vec<Command>,
}

impl Stage {
    /// An empty context, and nobody wants the step to stop.
    #[must_use]
    pub fn new() -> Stage {
        Stage::default()
    }

    /// Sets the work directory.
    #[must_use]
    pub fn work_dir(mut self, path: &str) -> Stage {
        path.clone_into(&mut self.props.work_dir);
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Stage {
        self.props
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a job variable.
    #[must_use]
    pub fn job_variable(mut self, name: &str, value: &str) -> Stage {
        self.props
            .job_variables
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the time a step gets to finish once it is asked to stop.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Stage {
        self.props.grace = grace;
        self
    }

    /// Sets the date at which the step begins; 1970-01-01 otherwise.
    #[must_use]
    pub fn started_at(mut self, date: SystemTime) -> Stage {
        self.props.started_at = date
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self
    }

    /// Asks the step to stop from its first moment on.
    #[must_use]
    pub fn stop(self, stop: Stop) -> Stage {
        self.stop_after_waits(0, stop)
    }

    /// Asks the step to stop once it has waited so many times; the next wait returns at once.
    #[must_use]
    pub fn stop_after_waits(mut self, waits: usize, stop: Stop) -> Stage {
        self.props.stop = Some((waits, stop));
        self
    }

    /// Cuts the log after so many bytes.
    #[must_use]
    pub fn log_budget(mut self, bytes: usize) -> Stage {
        self.props.log_bytes_left = bytes;
        self
    }

    /// Refuses to open a sensitive input.
    #[must_use]
    pub fn keep_closed(mut self, name: &str) -> Stage {
        self.props.kept_closed.push(name.to_owned());
        self
    }

    /// Puts a program on the stage, under the name or path by which the step may start or find it. It ends with
    /// this code as soon as it is started.
    #[must_use]
    pub fn program(self, name: &str, code: i32) -> Stage {
        self.program_that(name, Ok(Ending::Code(code)))
    }

    /// Puts a program on the stage that is ended by a signal, for example `KILL`.
    #[must_use]
    pub fn program_killed_by(self, name: &str, signal: &str) -> Stage {
        let signal = Signal {
            name: signal.to_owned(),
            text: format!("signal: {signal}"),
        };
        self.program_that(name, Ok(Ending::Signal(signal)))
    }

    /// Puts a program on the stage that is found, but does not start.
    #[must_use]
    pub fn program_that_does_not_start(self, name: &str, error: StartError) -> Stage {
        self.program_that(name, Err(error))
    }

    fn program_that(mut self, name: &str, ends: Result<Ending, StartError>) -> Stage {
        let exit = ends.map(|ending| Exit {
            ending,
            background: false,
        });
        self.programs.known.push((name.to_owned(), exit));
        self
    }

    /// Runs a step on this stage, on the calling thread: `F` is the name of a function with `#[step]`, or a
    /// [`Function`]. Sensitive inputs arrive sealed, as in the host.
    ///
    /// # Panics
    /// When the step declares no input of a given name: the host would not start it.
    #[track_caller]
    pub fn run<F: Function>(
        mut self,
        arguments: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Report {
        let declared = entry::describe::<F>().inputs;
        let mut plain = Vec::new();
        for (name, value) in arguments {
            let Some(input) = declared.iter().find(|input| input.name == name) else {
                let names: Vec<&str> = declared.iter().map(|input| input.name.as_str()).collect();
                panic!("the step takes no input `{name}`; it takes {names:?}");
            };
            let name = name.to_owned();
            match value {
                Value::Null if input.sensitive => {}
                value if input.sensitive => self.props.sealed.push((name, value)),
                value => plain.push(Argument { name, value }),
            }
        }
        let (before, programs_before) = (set(self.props), set_programs(self.programs));
        let result = entry::run::<F>(plain);
        let (after, programs_after) = (set(before), set_programs(programs_before));
        Report {
            result,
            output: String::from_utf8_lossy(&after.output).into_owned(),
            diagnostics: String::from_utf8_lossy(&after.diagnostics).into_owned(),
            waited: after.waits.iter().sum(),
            revealed: after.revealed,
            programs: programs_after.started,
        }
    }
}

impl Report {
    /// Returns what the step left.
    ///
    /// # Panics
    /// When it failed, with its words and its log.
    #[track_caller]
    pub fn succeeded(&self) -> &Outcome {
        match &self.result {
            Ok(outcome) => outcome,
            Err(failure) => panic!("the step {}{}", words(failure), self.log()),
        }
    }

    /// Returns why the step failed.
    ///
    /// # Panics
    /// When it succeeded, with what it left and its log.
    #[track_caller]
    pub fn failed(&self) -> &Failure {
        match &self.result {
            Ok(outcome) => {
                let Outcome { outputs, exports } = outcome;
                let left = format!("outputs: {outputs:?}\nexports: {exports:?}");
                panic!("the step succeeded\n{left}{}", self.log())
            }
            Err(failure) => failure,
        }
    }

    /// Returns an output: `assert_eq!(report.returned("greeting"), "Hello, Ada!")`.
    ///
    /// # Panics
    /// When the step failed or gave no such output.
    #[track_caller]
    pub fn returned(&self, name: &str) -> &Value {
        let outputs = &self.succeeded().outputs;
        let found = outputs.iter().find(|(known, _)| known == name);
        match found {
            Some((_, value)) => value,
            None => panic!("the step gave no output `{name}`; it gave {outputs:?}"),
        }
    }

    /// Returns an exported variable: `assert_eq!(report.exported("WHO"), "Ada")`.
    ///
    /// # Panics
    /// When the step failed or exported no such variable.
    #[track_caller]
    pub fn exported(&self, name: &str) -> &str {
        let exports = &self.succeeded().exports;
        let found = exports.iter().find(|(known, _)| known == name);
        match found {
            Some((_, value)) => value,
            None => panic!("the step exported no `{name}`; it exported {exports:?}"),
        }
    }

    fn log(&self) -> String {
        let Report {
            output,
            diagnostics,
            ..
        } = self;
        format!("\noutput: {output:?}\ndiagnostics: {diagnostics:?}")
    }
}

/// A failure as the end of a sentence about a step.
fn words(failure: &Failure) -> String {
    match failure {
        Failure::Failed(failed) => match failed.exit_code {
            Some(code) => format!("failed: {}: exit status {code}", failed.message),
            None => format!("failed: {}", failed.message),
        },
        Failure::InvalidInput(input) => {
            format!("cannot use its input `{}`: {}", input.name, input.message)
        }
        Failure::Denied(denial) => {
            format!("was denied {} of {}", denial.capability, denial.target)
        }
        Failure::Cancelled => "gave up because it was asked to stop".to_owned(),
    }
}
