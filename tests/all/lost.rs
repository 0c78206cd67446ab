//! A host dies, and the next one answers for its jobs (docs/operating.md, "After a crash").

use std::path::PathBuf;

use stephost_tests::Kills;

/// How many hosts the short form kills.
const ROUNDS: usize = 6;

/// `cargo xtask campaign kills` is the long form.
#[test]
fn a_host_that_is_killed_at_any_moment_leaves_nothing_but_truthful_answers() {
    let kills = Kills {
        zoo: PathBuf::from(env!("CARGO_BIN_EXE_zoo")),
        rounds: ROUNDS,
        seed: 1,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    // Each round has a patience of its own.
    let tally = runtime.block_on(kills.run());
    assert_eq!(tally.rounds, ROUNDS);
}
