//! A step that does not say what it does.
use stephost_sdk::prelude::*;

#[step]
fn silent(_: (), _step: &Step) -> Result<(), Failure> {
    Ok(())
}

fn main() {}
