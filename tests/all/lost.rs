//! A host dies, and the next one answers for its jobs (docs/operating.md, "When the host dies").

use std::path::PathBuf;

use stephost_tests::Kills;

/// How many hosts the short form kills.
const ROUNDS: usize = 6;

/// `STEPHOST_KILLS=1000 STEPHOST_SEED=7` is the long form.
#[test]
fn a_host_that_is_killed_at_any_moment_leaves_nothing_but_truthful_answers() {
    let given = |name| std::env::var_os(name)?.to_str()?.parse::<u64>().ok();
    let rounds = given("STEPHOST_KILLS").map_or(ROUNDS, |rounds| {
        usize::try_from(rounds).expect("a number of rounds")
    });
    let kills = Kills {
        zoo: PathBuf::from(env!("CARGO_BIN_EXE_zoo")),
        rounds,
        seed: given("STEPHOST_SEED").unwrap_or(1),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    // Each round has a patience of its own.
    let tally = runtime.block_on(kills.run());
    eprintln!("seed {}: {tally:?}", kills.seed);
    assert_eq!(tally.rounds, rounds);
}
