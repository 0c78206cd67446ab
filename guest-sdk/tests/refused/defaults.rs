//! Defaults that are none.
use stephost_sdk::prelude::*;

#[derive(Inputs)]
struct WrongType {
    #[input(default = "many")]
    times: u8,
}

#[derive(Inputs)]
struct Twice {
    #[input(default = 1)]
    times: Option<u8>,
}

#[derive(Inputs)]
struct Bare {
    #[input(default)]
    times: u8,
}

fn main() {}
