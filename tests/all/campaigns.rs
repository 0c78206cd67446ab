//! Campaigns at a small size: the same code as `cargo xtask campaign`, in seconds.

use stephost_tests::block_on;
use stephost_tests::campaign::Report;
use stephost_tests::campaign::panics::{self, Exactness};

/// What is tried here is always the same; a campaign chooses by chance.
const SEED: u64 = 20_261_125;

fn is_met(report: &Report) {
    println!("{report}");
    assert!(report.is_met(), "\n{report}");
}

#[test]
fn three_hundred_panics_harm_nobody_but_those_they_hit() {
    is_met(&block_on(panics::run(SEED, 300, Exactness::SHORT)));
}
