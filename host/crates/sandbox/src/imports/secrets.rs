//! `stephost:step/secrets`: sensitive inputs, sealed until the guest asks.
//!
//! A handle is the place of its input in the run's list: it owns nothing, and any number of handles may name
//! one input. They take memory of the host all the same, so their number is a limit
//! of the run, which the store counts.

use wasmtime::bail;
use wasmtime::component::Resource;

use crate::bindings::stephost::step::secrets::{Host, HostSecret};
use crate::bindings::stephost::step::types::{Denial, Value};
use crate::guest::Guest;

/// What a handle names.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the type of a resource"
)]
pub struct Sealed {
    name: String,
    value: Value,
    /// Whether its first opening was told.
    told: bool,
}

impl Sealed {
    pub(crate) fn new(name: String, value: Value) -> Sealed {
        Sealed {
            name,
            value,
            told: false,
        }
    }
}

/// The sensitive inputs of one run.
#[derive(Default)]
pub(crate) struct Vault {
    inputs: Vec<Sealed>,
}

impl Vault {
    pub(crate) fn new(inputs: Vec<Sealed>) -> Vault {
        Vault { inputs }
    }

    fn named(&mut self, handle: &Resource<Sealed>) -> wasmtime::Result<&mut Sealed> {
        let place = usize::try_from(handle.rep()).unwrap_or(usize::MAX);
        match self.inputs.get_mut(place) {
            Some(sealed) => Ok(sealed),
            None => bail!("a handle of no sealed input"),
        }
    }
}

impl Host for Guest {
    fn sealed(&mut self, name: String) -> wasmtime::Result<Option<Resource<Sealed>>> {
        let inputs = &self.vault.inputs;
        let place = inputs.iter().position(|sealed| sealed.name == name);
        let Some(place) = place.and_then(|place| u32::try_from(place).ok()) else {
            return Ok(None);
        };
        Ok(Some(Resource::new_own(place)))
    }
}

impl HostSecret for Guest {
    fn name(&mut self, secret: Resource<Sealed>) -> wasmtime::Result<String> {
        Ok(self.vault.named(&secret)?.name.clone())
    }

    fn reveal(&mut self, secret: Resource<Sealed>) -> wasmtime::Result<Result<Value, Denial>> {
        let sealed = self.vault.named(&secret)?;
        if !std::mem::replace(&mut sealed.told, true) {
            self.log.sink.revealed(&sealed.name);
        }
        Ok(Ok(sealed.value.clone()))
    }

    fn drop(&mut self, _secret: Resource<Sealed>) -> wasmtime::Result<()> {
        Ok(())
    }
}
