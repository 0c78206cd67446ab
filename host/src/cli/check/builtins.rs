//! What the shipped builtins take and give, asked of themselves.
//!
//! Promises: a builtin is compiled when a function calls it and not before; one that cannot be asked is a builtin of
//! which nothing is known. Called by: `check`.

use std::cell::OnceCell;

use stephost_sandbox::{Builtin, Sandbox, SandboxConfig};
use stephost_steps::{Builtins, Spec};
use tokio::runtime::Runtime;

use crate::run::spec_of;

/// The shipped builtins.
#[derive(Default)]
pub(super) struct Shipped {
    engine: OnceCell<Option<(Runtime, Sandbox)>>,
}

impl Shipped {
    fn engine(&self) -> Option<&(Runtime, Sandbox)> {
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            let config = SandboxConfig {
                slots_max: 1,
                threads: 1,
            };
            Some((runtime, Sandbox::new(config).ok()?))
        };
        self.engine.get_or_init(start).as_ref()
    }
}

impl Builtins for Shipped {
    fn names(&self) -> Vec<&str> {
        let shipped = stephost_builtins::shipped();
        shipped.iter().map(|builtin| builtin.name).collect()
    }

    fn spec(&self, name: &str) -> Option<Spec> {
        let shipped = stephost_builtins::shipped();
        let builtin = shipped.iter().find(|builtin| builtin.name == name)?;
        let (runtime, sandbox) = self.engine()?;
        let builtin = Builtin::new(builtin.name, builtin.wasm);
        let signature = runtime.block_on(sandbox.describe(&builtin)).ok()?;
        spec_of(&signature)
    }
}
