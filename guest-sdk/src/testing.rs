//! Testing a builtin natively, in microseconds and without a Wasm toolchain.
//!
//! ```
//! # use stephost_sdk::{Call, Failure, Function, Outcome, Signature, log};
//! # struct Hello;
//! # impl Function for Hello {
//! #     fn describe() -> Signature { Signature::new("") }
//! #     fn run(call: &mut Call) -> Result<Outcome, Failure> {
//! #         log::line(format!("Hello, {}!", call.text("name")?))?;
//! #         Ok(Outcome::empty())
//! #     }
//! # }
//! use stephost_sdk::testing::Stage;
//!
//! let report = Stage::new().run::<Hello>([("name", "Ada".into())]);
//! assert_eq!(report.output, "Hello, Ada!\n");
//! ```

use crate::control::Stop;
use crate::host::{Programs, Props, set, set_programs};
use crate::process::{Command, Ending, Exit, Signal, StartError};
use crate::{Argument, Failure, Function, Outcome, Value, entry};

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
    /// What it wrote to the diagnostics.
    pub diagnostics: String,
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

    /// Asks the step to stop from its first moment on.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Stage {
        self.props.stop = Some(stop);
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

    /// Runs `F` on this stage, on the calling thread.
    pub fn run<F: Function>(
        self,
        arguments: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Report {
        let arguments = arguments.into_iter().map(|(name, value)| Argument {
            name: name.to_owned(),
            value,
        });
        let (before, programs_before) = (set(self.props), set_programs(self.programs));
        let result = entry::run::<F>(arguments.collect());
        let (after, programs_after) = (set(before), set_programs(programs_before));
        Report {
            result,
            output: String::from_utf8_lossy(&after.output).into_owned(),
            diagnostics: String::from_utf8_lossy(&after.diagnostics).into_owned(),
            programs: programs_after.started,
        }
    }
}
