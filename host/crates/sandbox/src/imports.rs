//! The host interfaces a guest may import, one file each. What is not here cannot be linked.

mod context;
mod control;
mod log;
pub(crate) mod process;
pub(crate) mod secrets;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::stephost::step;
use crate::guest::Guest;

/// Interfaces by the names under which components import them, up to the version.
pub(crate) const INTERFACES: &[&str] = &[
    "stephost:step/types@",
    "stephost:step/log@",
    "stephost:step/control@",
    "stephost:step/context@",
    "stephost:step/secrets@",
    process::INTERFACE,
];

/// Makes a linker that has every interface.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    step::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    step::log::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    step::control::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    step::context::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    step::secrets::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    step::process::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// Only types: nothing to call.
impl step::types::Host for Guest {}
