//! Words that no attribute knows.
use stephost_sdk::prelude::*;

#[derive(Inputs)]
struct Input {
    #[input(secret)]
    token: Secret,
}

#[derive(Outputs)]
struct Output {
    #[output(default = 3)]
    times: u8,
}

#[derive(Inputs)]
enum Choice {
    One,
}

#[derive(Inputs)]
struct Tuple(String);

fn main() {}
