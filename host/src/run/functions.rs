//! The functions of the host: shipped builtins, an operator's own, and the policy that says what each of them gets.
//!
//! Promises: nothing is compiled, and no component of an operator is read, before a step calls it; one that was read
//! stays as it was, whatever becomes of its file. Never runs anything: that is `builtin`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use stephost_policy::{Grant, Policy};
use stephost_sandbox as sandbox;

use super::Halt;
use crate::config::{self, OwnBuiltin};

/// What `builtin://NAME` can stand for, in one sandbox and under one policy.
pub(crate) struct Functions {
    sandbox: sandbox::Sandbox,
    policy: Policy,
    builtins: Arc<BTreeMap<String, Component>>,
}

/// Where a builtin comes from.
enum Component {
    Shipped(sandbox::Builtin),
    Own {
        path: PathBuf,
        read: OnceLock<sandbox::Builtin>,
    },
}

impl Functions {
    /// The shipped builtins and `own` ones, as far as `policy` lets them.
    ///
    /// # Errors
    ///
    /// When the sandbox cannot be set up on this machine.
    pub(crate) fn new(
        policy: Policy,
        own: Vec<OwnBuiltin>,
    ) -> Result<Functions, sandbox::SandboxError> {
        let sandbox = sandbox::Sandbox::new(sandbox::SandboxConfig::default())?;
        let shipped = stephost_builtins::shipped().iter().map(|shipped| {
            let builtin = sandbox::Builtin::shipped(shipped);
            (shipped.name.to_owned(), Component::Shipped(builtin))
        });
        let own = own.into_iter().map(|OwnBuiltin { name, path }| {
            let read = OnceLock::new();
            (name, Component::Own { path, read })
        });
        Ok(Functions {
            sandbox,
            policy,
            builtins: Arc::new(shipped.chain(own).collect()),
        })
    }

    /// When the sandbox reserves the address space of its slots.
    pub(crate) fn slots(&self) -> sandbox::Slots {
        self.sandbox.slots()
    }

    /// The same functions under another policy: what is compiled stays so.
    pub(crate) fn under(&self, policy: Policy) -> Functions {
        Functions {
            sandbox: self.sandbox.clone(),
            policy,
            builtins: Arc::clone(&self.builtins),
        }
    }

    pub(super) fn sandbox(&self) -> &sandbox::Sandbox {
        &self.sandbox
    }

    /// The builtin of that name.
    pub(super) fn find(&self, name: &str) -> Result<sandbox::Builtin, Halt> {
        match self.builtins.get(name) {
            Some(Component::Shipped(builtin)) => Ok(builtin.clone()),
            Some(Component::Own { path, read }) => match read.get() {
                Some(builtin) => Ok(builtin.clone()),
                None => {
                    // A large one must not hold up other jobs.
                    let wasm = tokio::task::block_in_place(|| config::component_file(path));
                    let wasm: Arc<[u8]> = wasm.map_err(|error| {
                        // The path is the operator's business.
                        tracing::error!(builtin = name, error = &error as &dyn std::error::Error);
                        Halt::failed(format!(
                            "the component of the builtin `{name}` cannot be read; the host's log says why"
                        ))
                    })?;
                    let builtin = || sandbox::Builtin::new(name, wasm);
                    Ok(read.get_or_init(builtin).clone())
                }
            },
            None => {
                let names: Vec<&str> = self.builtins.keys().map(String::as_str).collect();
                Err(Halt::failed(format!(
                    "no builtin function `{name}`; this host has {}",
                    names.join(", ")
                )))
            }
        }
    }

    /// What a run of `builtin` gets.
    pub(super) fn grant(&self, builtin: &sandbox::Builtin) -> Result<Grant, NoGrant> {
        let manifest = builtin.manifest().map_err(NoGrant::Manifest)?;
        let grant = self.policy.resolve(builtin.name(), &manifest.needs);
        grant.map_err(NoGrant::Denied)
    }
}

/// Why a builtin does not run at all.
pub(super) enum NoGrant {
    /// It does not say what it needs in a way that is understood.
    Manifest(sandbox::ManifestError),
    /// The policy has no rule for it.
    Denied(stephost_policy::Denial),
}
