//! Compiling a builtin while the program is built that will bring it along (design D18).
//!
//! Owns for which machines: every one of the target, so nothing is used that only some of them have. The settings
//! are those of [`crate::engine`], so that a sandbox takes the result. Never used by a running host; called by
//! `stephost-precompile`.

use crate::engine;

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The engine cannot compile for that target.
    #[error("no machine code can be made for the target {target}: {message}")]
    Target {
        /// The target.
        target: String,
        /// What the engine said.
        message: String,
    },
    /// It is no component.
    #[error("not a component: {message}")]
    NotAComponent {
        /// What the engine said.
        message: String,
    },
}

/// Compiles a component for every machine of `target`, a triple as rustc has it.
///
/// # Errors
///
/// [`PrecompileError`].
pub fn precompile(wasm: &[u8], target: &str) -> Result<Vec<u8>, PrecompileError> {
    let engine = engine::compiler(target).map_err(|fault| PrecompileError::Target {
        target: target.to_owned(),
        message: format!("{fault:#}"),
    })?;
    engine
        .precompile_component(wasm)
        .map_err(|fault| PrecompileError::NotAComponent {
            message: format!("{fault:#}"),
        })
}
