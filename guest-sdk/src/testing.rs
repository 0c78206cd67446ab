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
use crate::host::{Props, set};
use crate::{Argument, Failure, Function, Outcome, Value, entry};

/// What the host of a test answers with.
#[derive(Debug, Default)]
pub struct Stage {
    props: Props,
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

    /// Runs `F` on this stage, on the calling thread.
    pub fn run<F: Function>(
        self,
        arguments: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Report {
        let arguments = arguments.into_iter().map(|(name, value)| Argument {
            name: name.to_owned(),
            value,
        });
        let before = set(self.props);
        let result = entry::run::<F>(arguments.collect());
        let after = set(before);
        Report {
            result,
            output: String::from_utf8_lossy(&after.output).into_owned(),
            diagnostics: String::from_utf8_lossy(&after.diagnostics).into_owned(),
        }
    }
}
