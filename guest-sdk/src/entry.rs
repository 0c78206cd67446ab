//! The way from an exported Wasm function to a [`Function`]. Called by [`crate::export!`] and by `testing`.

use crate::{Argument, Call, Failure, Function, Outcome, Signature};

/// Answers `describe` for `F`.
pub fn describe<F: Function>() -> Signature {
    report_panics();
    F::describe()
}

/// Answers `run` for `F`.
pub fn run<F: Function>(arguments: Vec<Argument>) -> Result<Outcome, Failure> {
    report_panics();
    F::run(&mut Call::new(F::describe(), arguments))
}

/// Tells the host about a panic before the trap that follows it, which by itself says nothing.
#[cfg(target_arch = "wasm32")]
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without text");
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        crate::host::panicked(message, &location);
    }));
}

/// A native panic is the test runner's business.
#[cfg(not(target_arch = "wasm32"))]
fn report_panics() {}
