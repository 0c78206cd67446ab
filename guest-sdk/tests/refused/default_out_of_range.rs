//! A default that its type does not hold.
use stephost_sdk::prelude::*;

#[derive(Inputs)]
struct Input {
    #[input(default = 256)]
    times: u8,
}

fn main() {}
