//! A step that fails in its own way.
use stephost_sdk::prelude::*;

/// Fails with a number
#[step]
fn number(_: (), _step: &Step) -> Result<(), i32> {
    Err(3)
}

fn main() {}
