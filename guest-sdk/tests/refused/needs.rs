//! Needs that no policy could grant.
use stephost_sdk::prelude::*;

/// Wants the network
#[step(needs(net = ["https://example.com"]))]
fn network(_: (), _step: &Step) -> Result<(), Failure> {
    Ok(())
}

/// Wants to set every variable
#[step(needs(exports = ["*"]))]
fn everything(_: (), _step: &Step) -> Result<(), Failure> {
    Ok(())
}

/// Wants a relative program
#[step(needs(process = ["bin/tool"]))]
fn relative(_: (), _step: &Step) -> Result<(), Failure> {
    Ok(())
}

fn main() {}
