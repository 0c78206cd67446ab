//! `stephost:step/process`: programs, through the [`Programs`] of the run's [`crate::Call`].
//!
//! Every program that a guest started is in its store, and goes with it: whoever ends the guest, ends them.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};

use crate::bindings::stephost::step::process::{self as wit, Host, HostChild};
use crate::bindings::stephost::step::types::Denial;
use crate::guest::Guest;
use crate::programs::{
    CHILDREN_MAX, Command, Exit, FILES_BYTES_MAX, File, Program, ProgramEnding, Programs,
    STARTS_MAX, STRINGS_BYTES_MAX, StartError,
};

/// The name under which components import this, up to the version.
pub(crate) const INTERFACE: &str = "stephost:step/process@";

/// A program that a guest holds.
#[expect(
    unreachable_pub,
    reason = "the generated code re-exports it under a private name"
)]
pub struct Child {
    program: Box<dyn Program>,
    exit: Option<Exit>,
}

/// The programs of one guest.
#[derive(Default)]
pub(crate) struct Children {
    /// None for a guest that was not given any: it cannot even be instantiated if it imports this interface, but its
    /// `describe` can.
    programs: Option<Arc<dyn Programs>>,
    held: ResourceTable,
    held_count: usize,
    started_count: usize,
}

impl Children {
    pub(crate) fn new(programs: Option<Arc<dyn Programs>>) -> Children {
        Children {
            programs,
            ..Children::default()
        }
    }
}

impl Host for Guest {
    async fn start(
        &mut self,
        command: wit::Command,
    ) -> wasmtime::Result<Result<Resource<Child>, wit::StartError>> {
        let children = &mut self.children;
        let Some(programs) = children.programs.clone() else {
            return Ok(Err(not_given(command.program)));
        };
        if let Some(fault) = children.bound().or_else(|| excess(&command)) {
            return Ok(Err(wit::StartError::Failed(fault)));
        }
        children.started_count += 1;
        match programs.start(raise(command)).await {
            Ok(program) => {
                children.held_count += 1;
                let child = Child {
                    program,
                    exit: None,
                };
                Ok(Ok(children.held.push(child)?))
            }
            Err(error) => Ok(Err(lower_error(error))),
        }
    }

    async fn which(&mut self, programs: Vec<String>) -> wasmtime::Result<Option<String>> {
        match self.children.programs.clone() {
            Some(given) => Ok(given.which(&programs).await),
            None => Ok(None),
        }
    }
}

impl HostChild for Guest {
    async fn wait(&mut self, child: Resource<Child>) -> wasmtime::Result<wit::Exit> {
        let child = self.children.held.get_mut(&child)?;
        let exit = match &child.exit {
            Some(exit) => exit.clone(),
            None => child.exit.insert(child.program.wait().await).clone(),
        };
        Ok(lower(exit))
    }

    fn stop(&mut self, child: Resource<Child>) -> wasmtime::Result<()> {
        let child = self.children.held.get(&child)?;
        if child.exit.is_none() {
            child.program.stop();
        }
        Ok(())
    }

    fn drop(&mut self, child: Resource<Child>) -> wasmtime::Result<()> {
        self.children.held.delete(child)?;
        self.children.held_count -= 1;
        Ok(())
    }
}

impl Children {
    /// Says which bound keeps the guest from one more program.
    fn bound(&self) -> Option<String> {
        if self.held_count >= CHILDREN_MAX {
            return Some(format!("a step may hold {CHILDREN_MAX} programs at a time"));
        }
        (self.started_count >= STARTS_MAX)
            .then(|| format!("a step may start {STARTS_MAX} programs"))
    }
}

/// Says what of a command is too large.
fn excess(command: &wit::Command) -> Option<String> {
    let arguments = command.arguments.iter().map(String::len);
    let variables = command
        .environment
        .iter()
        .map(|variable| variable.name.len() + variable.value.as_ref().map_or(0, String::len));
    if arguments.chain(variables).sum::<usize>() > STRINGS_BYTES_MAX {
        return Some(format!(
            "arguments and variables may have {} MiB together",
            STRINGS_BYTES_MAX >> 20
        ));
    }
    let files = command.files.iter().map(|file| file.content.len());
    (files.sum::<usize>() > FILES_BYTES_MAX).then(|| {
        format!(
            "the files of a program may have {} MiB together",
            FILES_BYTES_MAX >> 20
        )
    })
}

fn not_given(program: String) -> wit::StartError {
    wit::StartError::Denied(Denial {
        capability: "process".to_owned(),
        target: program,
        code: "no-grant".to_owned(),
    })
}

fn raise(command: wit::Command) -> Command {
    let wit::Command {
        program,
        arguments,
        environment,
        files,
    } = command;
    Command {
        program,
        arguments,
        environment: environment
            .into_iter()
            .map(|wit::Variable { name, value }| (name, value))
            .collect(),
        files: files
            .into_iter()
            .map(|file| File {
                argument: usize::try_from(file.argument).unwrap_or(usize::MAX),
                name: file.name,
                content: file.content,
            })
            .collect(),
    }
}

fn lower_error(error: StartError) -> wit::StartError {
    match error {
        StartError::NotFound => wit::StartError::NotFound,
        StartError::Denied {
            capability,
            target,
            code,
        } => wit::StartError::Denied(Denial {
            capability,
            target,
            code,
        }),
        StartError::Stopping => wit::StartError::Stopping,
        StartError::Failed(text) => wit::StartError::Failed(text),
    }
}

fn lower(exit: Exit) -> wit::Exit {
    let ending = match exit.ending {
        ProgramEnding::Code(code) => wit::Ending::Code(code),
        ProgramEnding::Signal { name, text } => wit::Ending::Signal(wit::Signal { name, text }),
    };
    wit::Exit {
        ending,
        background: exit.background,
    }
}
