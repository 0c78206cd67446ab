//! Running programs of the machine. A step that calls anything in here imports the interface `process`, and needs
//! its grant: what a program does is not contained by the sandbox.
//!
//! ```
//! use stephost_sdk::process::Command;
//! # use stephost_sdk::Failure;
//! # fn tag(version: &str) -> Result<(), Failure> {
//! Command::new("git")
//!     .args(["tag", version])
//!     .env("GIT_TERMINAL_PROMPT", "0")
//!     .run()?
//!     .check("tagging")?;
//! # Ok(())
//! # }
//! ```
//!
//! Output goes straight to the job log. A stop reaches programs by itself: a step that only waits for one needs
//! no more than to return what came of it.

use crate::{Failure, host};

pub use crate::bindings::stephost::step::process::{
    Command, Ending, Exit, File, Signal, StartError, Variable,
};
pub use crate::host::Child;

impl Command {
    /// A program without arguments. Without a slash it is looked for in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Command {
        Command {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Command {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Command {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds an argument that is the path of a file with this content. The file is gone when the program has ended.
    ///
    /// `name` is how the file's own name should look, for example `script.sh`.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Command {
        self.files.push(File {
            // More arguments than that fit into no call.
            argument: u32::try_from(self.arguments.len()).unwrap_or(u32::MAX),
            name: name.to_owned(),
            content: content.into(),
        });
        self.arg("")
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Command {
        self.environment.push(Variable {
            name: name.into(),
            value: Some(value.into()),
        });
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn envs(self, variables: impl IntoIterator<Item = (String, String)>) -> Command {
        variables
            .into_iter()
            .fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Takes a variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<String>) -> Command {
        self.environment.push(Variable {
            name: name.into(),
            value: None,
        });
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(self) -> Result<Child, StartError> {
        host::start(&self)
    }

    /// Starts the program and waits for its end.
    ///
    /// # Errors
    /// [`StartError`]; nothing ran then.
    pub fn run(self) -> Result<Exit, StartError> {
        Ok(self.start()?.wait())
    }
}

/// Returns the path of the first of these programs that is granted and is an executable file, and may then be started by
/// that path. One without a slash is looked for in
/// `PATH`; of the others only absolute paths are found.
#[must_use]
pub fn which(programs: &[&str]) -> Option<String> {
    let programs: Vec<String> = programs
        .iter()
        .map(|program| (*program).to_owned())
        .collect();
    host::which(&programs)
}

impl Exit {
    /// Returns whether the program exited with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code() == Some(0)
    }

    /// Returns the exit code; none after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self.ending {
            Ending::Code(code) => Some(code),
            Ending::Signal(_) => None,
        }
    }

    /// Returns the name of the signal that ended the program, for example `TERM`.
    #[must_use]
    pub fn signal(&self) -> Option<&str> {
        match &self.ending {
            Ending::Code(_) => None,
            Ending::Signal(signal) => Some(&signal.name),
        }
    }

    /// Makes everything but success a failure that names what was being done.
    ///
    /// # Errors
    /// `DOING: exit status N`, or `DOING: signal: …`.
    pub fn check(&self, doing: &str) -> Result<(), Failure> {
        match &self.ending {
            Ending::Code(0) => Ok(()),
            Ending::Code(code) => Err(Failure::exit(*code, doing)),
            Ending::Signal(signal) => Err(Failure::failed(format!("{doing}: {}", signal.text))),
        }
    }
}

impl StartError {
    /// Makes it a failure that names what was being done.
    #[must_use]
    pub fn failure(self, doing: &str) -> Failure {
        match self {
            StartError::NotFound => Failure::failed(format!("{doing}: the program was not found")),
            StartError::Failed(text) => Failure::failed(format!("{doing}: {text}")),
            StartError::Denied(denial) => Failure::Denied(denial),
            StartError::Stopping => Failure::Cancelled,
        }
    }
}

/// So that `?` ends a step whose program does not start.
impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        error.failure("starting a program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_that_is_no_success_becomes_a_failure_with_its_number() {
        let killed = Ending::Signal(Signal {
            name: "KILL".to_owned(),
            text: "signal: killed".to_owned(),
        });
        let table = [
            (Ending::Code(0), Ok(())),
            (Ending::Code(7), Err(Failure::exit(7, "tagging"))),
            (killed, Err(Failure::failed("tagging: signal: killed"))),
        ];
        for (ending, failure) in table {
            let exit = Exit {
                ending,
                background: false,
            };
            assert_eq!(exit.check("tagging"), failure, "{exit:?}");
            assert_eq!(exit.is_success(), failure.is_ok(), "{exit:?}");
        }
    }

    #[test]
    fn a_file_is_an_argument_in_its_place() {
        let command = Command::new("sh")
            .arg("-x")
            .file("a.sh", "echo a")
            .arg("more");
        assert_eq!(command.arguments, ["-x", "", "more"]);
        assert_eq!(command.files[0].argument, 1);
    }
}
