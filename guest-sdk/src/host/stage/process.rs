//! Programs on the stage: none really runs. What a test has put there ends as it was told; what was started is
//! recorded.

use std::cell::RefCell;

use super::stop_requested;
use crate::process::{Command, Exit, StartError};

/// What can be started, and what was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Programs {
    pub(crate) known: Vec<(String, Result<Exit, StartError>)>,
    pub(crate) started: Vec<Command>,
}

thread_local! {
    static PROGRAMS: RefCell<Programs> = RefCell::new(Programs::default());
}

/// Sets the programs and returns what was there.
pub(crate) fn set_programs(programs: Programs) -> Programs {
    PROGRAMS.replace(programs)
}

/// A program of the stage: it has ended before anybody can wait for it.
#[derive(Debug)]
pub struct Child {
    exit: Exit,
}

impl Child {
    /// Waits for the end. Later calls return the same.
    #[must_use]
    pub fn wait(&self) -> Exit {
        self.exit.clone()
    }

    /// Asks the program to end.
    pub fn stop(&self) {}
}

pub(crate) fn start(command: &Command) -> Result<Child, StartError> {
    if stop_requested().is_some() {
        return Err(StartError::Stopping);
    }
    PROGRAMS.with_borrow_mut(|programs| {
        let known = programs
            .known
            .iter()
            .find(|(name, _)| *name == command.program);
        let (_, answer) = known.ok_or(StartError::NotFound)?;
        let exit = answer.clone()?;
        programs.started.push(command.clone());
        Ok(Child { exit })
    })
}

/// What was put on the stage is found under the name it has there.
pub(crate) fn which(programs: &[String]) -> Option<String> {
    PROGRAMS.with_borrow(|stage| {
        let known = |program: &&String| stage.known.iter().any(|(name, _)| name == *program);
        programs.iter().find(known).cloned()
    })
}
