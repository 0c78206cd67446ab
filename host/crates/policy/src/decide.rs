//! The decisions that a running guest meets: may this program be started, this variable be read, be exported?
//!
//! Yes is a look into the grant. Only a no asks why, in the order in which somebody would have to put it right:
//! the component, the ceiling, the rule.

use crate::grant::Grant;
use crate::loader::is_loader;
use crate::names::Names;
use crate::needs::Asked;
use crate::reason::{Capability, Denial, ReasonCode};

impl Grant {
    /// Decides whether the guest may start `program`: a name that the host looks up, or an absolute path,
    /// exactly as it is granted. Whether the host finds it, and what it finds, is another question.
    ///
    /// # Errors
    ///
    /// The denial, if it may not.
    pub fn program(&self, program: &str) -> Result<(), Denial> {
        if self.programs.contains(program) {
            return Ok(());
        }
        // A rule's program that the ceiling leaves out does not load, so what the rule has is not above it.
        let code = if self.rule.programs.contains(program) {
            ReasonCode::NotDeclared
        } else {
            ReasonCode::ProgramNotListed
        };
        Err(self.deny(Capability::Process, program, code))
    }

    /// Decides whether the guest may read the environment variable `name`. One that it may not read does not
    /// exist for it; [`Grant::environment_denial`] says why.
    pub fn environment(&self, name: &str) -> bool {
        self.environment.contains(name)
    }

    /// Why the guest cannot read the environment variable `name`; `None` if it can.
    pub fn environment_denial(&self, name: &str) -> Option<Denial> {
        if self.environment(name) {
            return None;
        }
        let code = if self.rule.environment.contains(name) {
            ReasonCode::NotDeclared
        } else if self.rule.written_environment.contains(name) {
            ReasonCode::AboveCeiling
        } else {
            ReasonCode::EnvNotListed
        };
        Some(self.deny(Capability::Environment, name, code))
    }

    /// Decides whether the guest may set the environment variable `name` for later steps.
    ///
    /// # Errors
    ///
    /// The denial, if it may not.
    pub fn export(&self, name: &str) -> Result<(), Denial> {
        if self.exports.contains(name) {
            return Ok(());
        }
        let code = if self.rule.exports.contains(name) {
            ReasonCode::NotDeclared
        } else if self.rule.written_exports.contains(name) {
            ReasonCode::AboveCeiling
        } else if is_loader(name) {
            ReasonCode::LoaderVariable
        } else {
            ReasonCode::ExportNotListed
        };
        Err(self.deny(Capability::Exports, name, code))
    }

    /// What the component asks for and does not get, in the order process, env, exports. A pattern that is
    /// granted in part is not listed. Empty when the component does not say what it needs.
    pub fn unmet(&self) -> Vec<Denial> {
        let mut unmet = Vec::new();
        if let Asked::Listed(asked) = &self.needs.process {
            unmet.extend(
                asked
                    .iter()
                    .filter_map(|program| self.program(program).err()),
            );
        }
        if let Asked::Listed(asked) = &self.needs.environment {
            let refused = refused(asked, &self.environment);
            unmet.extend(refused.map(|entry| {
                let known = self.environment_denial(&entry);
                known.unwrap_or_else(|| {
                    self.deny(Capability::Environment, &entry, ReasonCode::EnvNotListed)
                })
            }));
        }
        if let Asked::Listed(asked) = &self.needs.exports {
            let refused = refused(asked, &self.exports);
            unmet.extend(refused.map(|entry| {
                let known = self.export(&entry).err();
                known.unwrap_or_else(|| {
                    self.deny(Capability::Exports, &entry, ReasonCode::ExportNotListed)
                })
            }));
        }
        unmet
    }

    fn deny(&self, capability: Capability, target: &str, code: ReasonCode) -> Denial {
        Denial::new(&self.decider, capability, target, code)
    }
}

/// Entries of `asked` of which nothing is left in `granted`.
fn refused(asked: &Names, granted: &Names) -> impl Iterator<Item = String> {
    let entries = asked.one_by_one().into_iter();
    entries.filter_map(|(entry, alone)| granted.intersection(&alone).is_empty().then_some(entry))
}
