//! Machine code that is part of this program; the only `unsafe` of this crate.
//!
//! Loading machine code means running whatever it says, so nothing that was read, received or computed at run
//! time may ever become a [`Code`]. There are two ways to one: the table that the build of `stephost-builtins`
//! embedded, whose entries nobody else can make, and, in tests, this process's own compiler.

#![expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code, only who claims to have made it"
)]

use stephost_builtins::Builtin as Shipped;
use wasmtime::Engine;
use wasmtime::component::Component;

/// What a shipped builtin was compiled to when this program was built.
#[derive(Clone, Copy)]
pub(crate) struct Code(&'static [u8]);

impl Code {
    /// The code that was embedded with `shipped`, if this is a build that has any.
    pub(crate) fn of(shipped: &Shipped) -> Option<Code> {
        shipped.code().map(Code)
    }

    /// What `engine` makes of a component, kept for ever.
    #[cfg(test)]
    pub(crate) fn compiled_by(engine: &Engine, wasm: &[u8]) -> Code {
        let code = engine.precompile_component(wasm).unwrap();
        Code(code.leak())
    }

    /// Loads the code.
    ///
    /// # Errors
    ///
    /// When it was made by another version of wasmtime, with other settings, or for another machine than this.
    pub(crate) fn load(self, engine: &Engine) -> wasmtime::Result<Component> {
        // Needed because: code that was compiled before can only be loaded by trusting it.
        // SAFETY: these bytes are the unchanged output of `Engine::precompile_component`: the build of this very
        // program put them into its read-only data (`Shipped` has no other constructor), or `compiled_by` did
        // just now. Whether they suit this engine and this machine, `deserialize` checks before it uses them.
        unsafe { Component::deserialize(engine, self.0) }
    }
}

/// Makes engines of `config` believe in a machine that has nothing beyond its baseline.
#[cfg(test)]
pub(crate) fn forget_features(config: &mut wasmtime::Config) {
    // Needed because: the features of this machine cannot be taken away otherwise.
    // SAFETY: a machine that is believed to do less than it can is never asked for what it cannot do.
    unsafe { config.detect_host_feature(|_| Some(false)) };
}
