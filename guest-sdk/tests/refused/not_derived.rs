//! Structs without their derives.
use stephost_sdk::prelude::*;

struct Input;
struct Output;

/// Forgot the derives
#[step]
fn plain(_input: Input, _step: &Step) -> Result<Output, Failure> {
    Ok(Output)
}

fn main() {}
