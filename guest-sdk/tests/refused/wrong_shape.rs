//! Functions that the host could not call.
use stephost_sdk::prelude::*;

/// Takes nothing
#[step]
fn nothing() -> Result<(), Failure> {
    Ok(())
}

/// Takes the step first
#[step]
fn owned(_: (), step: Step) -> Result<(), Failure> {
    Ok(())
}

/// Cannot fail
#[step]
fn sure(_: (), step: &Step) {}

/// Waits in the wrong way
#[step]
async fn later(_: (), step: &Step) -> Result<(), Failure> {
    Ok(())
}

/// Is not one function but many
#[step]
fn many<T>(_: T, step: &Step) -> Result<(), Failure> {
    Ok(())
}

fn main() {}
