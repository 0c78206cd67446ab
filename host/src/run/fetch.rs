//! From a reference to something that can run: local and dynamic references, builtins by name.
//!
//! Promises: a reference is looked at when its step is reached and not before; error texts name the
//! reference as somebody wrote it and no path of the host; definition files are read like everything that a
//! step may have replaced. References to git and OCI are understood and refused with a sentence.

use std::path::Path;

use stephost_sandbox::Builtin;
use stephost_steps::{Callee, FileFault, Files, LoadError, Loaded, Reference, ReferenceError};

use super::scope::StepScope;
use super::workspace::{FileError, read_replaceable};
use super::{Halt, JobContext};
use crate::observe::spans;

/// What a reference stands for.
pub(super) enum Target {
    /// A function loaded from a definition.
    Function(Loaded),
    /// A function of the host.
    Builtin(Builtin),
}

/// Definition files of this machine.
pub(crate) struct LocalFiles;

impl Files for LocalFiles {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
        match read_replaceable(path) {
            Ok(content) => Ok(Some(content)),
            Err(FileError::Gone) => Ok(None),
            Err(error) => Err(FileFault(error.to_string())),
        }
    }
}

impl JobContext {
    pub(super) fn resolve(
        &self,
        reference: &Reference,
        dir: &Path,
        scope: &StepScope,
    ) -> Result<Target, Halt> {
        // Reading and parsing a large definition must not hold up other jobs.
        let callee = tokio::task::block_in_place(|| {
            stephost_steps::resolve(reference, scope, dir, &LocalFiles, self.strictness)
        });
        match callee.map_err(halt)? {
            Callee::Function(loaded) => Ok(Target::Function(loaded)),
            Callee::Builtin(name) => self.functions.find(&name).map(Target::Builtin),
        }
    }
}

/// Names a function of this machine in the step's span, as somebody wrote it. A text with expressions is not named: what
/// it came to may hold values.
pub(super) fn name_local(reference: &Reference) {
    if let Reference::Local(local) = reference {
        spans::calls(&local.dir);
    }
}

/// The other errors name the reference by themselves.
fn halt(error: LoadError) -> Halt {
    match error {
        LoadError::Reference(ReferenceError::Expression(error)) => {
            Halt::expression("reference", &error)
        }
        error => Halt::failed(error.to_string()),
    }
}

/// The sentence for an `action:` item.
pub(super) fn unsupported_action(action: &str) -> String {
    format!(
        "cannot run the action `{action}`: actions need the action-runner function from a git repository, \
         which is not supported yet"
    )
}
