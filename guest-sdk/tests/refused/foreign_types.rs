//! Types that no value becomes.
use std::time::Duration;
use stephost_sdk::prelude::*;

#[derive(Inputs)]
struct Input {
    wait: Duration,
}

#[derive(Outputs)]
struct Output {
    took: Duration,
}

fn main() {}
