//! What the builtins of this host take and give, asked of themselves.
//!
//! Promises: a component is read and compiled when a function calls it and not before; one that cannot be asked is a
//! builtin of which nothing is known. Nothing runs. Called by: `check`.

use stephost_sandbox::Builtin;
use stephost_steps::{Builtins, Spec};

use super::super::inspect;
use crate::config::{self, BuiltinsError, OwnBuiltin};
use crate::run::spec_of_signature;

/// The shipped builtins, and those that lie beside the program.
pub(super) struct Host {
    own: Vec<OwnBuiltin>,
}

impl Host {
    /// Finds out which ones there are.
    ///
    /// # Errors
    ///
    /// When what lies beside the program cannot be used.
    pub(super) fn new() -> Result<Host, BuiltinsError> {
        let own = config::own_builtins()?;
        Ok(Host { own })
    }

    fn component(&self, name: &str) -> Option<Builtin> {
        let mut shipped = stephost_builtins::shipped().iter();
        if let Some(shipped) = shipped.find(|shipped| shipped.name == name) {
            return Some(Builtin::new(name, shipped.wasm));
        }
        let own = self.own.iter().find(|own| own.name == name)?;
        let wasm = config::component_file(&own.path).ok()?;
        Some(Builtin::new(name, wasm))
    }
}

impl Builtins for Host {
    fn names(&self) -> Vec<&str> {
        let shipped = stephost_builtins::shipped().iter();
        let shipped = shipped.map(|shipped| shipped.name);
        let own = self.own.iter().map(|own| own.name.as_str());
        shipped.chain(own).collect()
    }

    fn spec(&self, name: &str) -> Option<Spec> {
        let signature = inspect::describe(&self.component(name)?).ok()?.ok()?;
        spec_of_signature(&signature)
    }
}
