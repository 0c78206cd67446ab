//! The host, as the rest of this crate calls it: the imports of the component, or natively the stage of
//! `testing`.

#[cfg(target_arch = "wasm32")]
mod component;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod stage;

#[cfg(target_arch = "wasm32")]
pub(crate) use component::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use stage::*;

#[cfg(target_arch = "wasm32")]
pub use component::Child;
#[cfg(not(target_arch = "wasm32"))]
pub use stage::Child;
