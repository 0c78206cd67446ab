//! From a reference to something that can run: local and dynamic references, builtins by name.
//!
//! Promises: a reference is looked at when its step is reached and not before; error texts name the
//! reference as somebody wrote it and no path of the host; definition files are read like everything that a
//! step may have replaced. References to git and OCI are understood and refused with a sentence.

use std::path::Path;

use stephost_steps::{FileFault, Files, Loaded, Reference};

use super::builtin::BuiltinFunction;
use super::scope::StepScope;
use super::workspace::{FileError, read_replaceable};
use super::{Halt, JobContext};

/// Longest chain of dynamic references: each may evaluate to another one.
const DYNAMIC_STEPS_MAX: usize = 8;

/// What a reference stands for.
pub(super) enum Target {
    /// A function loaded from a definition.
    Function(Loaded),
    /// A function of the host.
    Builtin(BuiltinFunction),
}

/// Definition files of this machine.
struct LocalFiles;

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
    pub(super) async fn resolve(
        &self,
        reference: &Reference,
        dir: &Path,
        scope: &StepScope,
    ) -> Result<Target, Halt> {
        let mut reference = reference.clone();
        for _ in 0..DYNAMIC_STEPS_MAX {
            match reference {
                Reference::Dynamic(ref text) => {
                    let value = text
                        .evaluate_text(scope)
                        .map_err(|error| Halt::expression("reference", &error))?;
                    reference = Reference::parse_short(&value.to_text()).map_err(|error| {
                        Halt::failed(format!("reference {}: {error}", text.source()))
                    })?;
                }
                Reference::Local(local) => {
                    let dir = dir.to_owned();
                    let load = move || stephost_steps::load_local(&local, &dir, &LocalFiles);
                    let loaded = tokio::task::spawn_blocking(load).await;
                    let loaded =
                        loaded.map_err(|_| Halt::failed("loading the function was given up"))?;
                    return loaded
                        .map(Target::Function)
                        .map_err(|error| Halt::failed(error.to_string()));
                }
                Reference::Builtin(name) => {
                    return self
                        .functions
                        .find(&name)
                        .map(Target::Builtin)
                        .ok_or_else(|| {
                            Halt::failed(format!(
                                "no builtin function `{name}`; this host has {}",
                                self.functions.names().join(", ")
                            ))
                        });
                }
                Reference::Git(_) => return Err(unsupported(&reference, "git repositories")),
                Reference::Oci(_) => return Err(unsupported(&reference, "OCI images")),
            }
        }
        Err(Halt::failed(format!(
            "the reference evaluates to another one more than {DYNAMIC_STEPS_MAX} times"
        )))
    }
}

fn unsupported(reference: &Reference, source: &str) -> Halt {
    Halt::failed(format!(
        "cannot load `{reference}`: functions from {source} are not supported yet"
    ))
}

/// The sentence for an `action:` item.
pub(super) fn unsupported_action(action: &str) -> String {
    format!(
        "cannot run the action `{action}`: actions need the action-runner function from a git repository, \
         which is not supported yet"
    )
}
