//! Campaigns at a small size: the same code as `cargo xtask campaign`, in seconds.

use std::time::Duration;

use stephost_tests::block_on;
use stephost_tests::campaign::panics::{self, Exactness};
use stephost_tests::campaign::{Report, hostile};

/// What is tried here is always the same; a campaign chooses by chance. The kills are in [`lost`](crate::lost).
const SEED: u64 = 20_261_125;

/// What a request may take on a machine that runs all tests at once.
const LOADED: Duration = Duration::from_secs(15);

fn is_met(report: &Report) {
    assert!(report.is_met(), "\n{report}");
}

#[test]
fn three_hundred_panics_harm_nobody_but_those_they_hit() {
    is_met(&block_on(panics::run(SEED, 300, Exactness::SHORT)));
}

#[test]
fn hostile_requests_of_every_kind_are_answered_at_once_and_never_as_internal() {
    is_met(&block_on(hostile::run(SEED, 154, LOADED)));
}
