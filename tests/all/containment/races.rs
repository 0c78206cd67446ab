//! Stops that come at any moment of a step's life.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use stephost_tests::{State, step_test};

use super::{exec, nobody};

/// Far below the sleep that a lost cancel would wait for.
const SLACK: Duration = Duration::from_secs(20);

step_test!(
    scenario_22_a_cancel_at_any_moment_gives_one_end_and_leaves_nobody,
    |host| {
        const LANES: u64 = 8;
        const ROUNDS: u64 = 125;
        // Before the step, while it is spawned, while it runs, when it ends, and after that.
        const LATEST_US: u64 = 12_000;
        let random = RandomState::new();
        let lane = async |lane: u64| {
            let mut cancelled = 0;
            for round in 0..ROUNDS {
                let delay = random.hash_one((lane, round)) % LATEST_US;
                let job = host
                    .job(&exec("setsid sleep 0.002 & sleep 0.004"))
                    .grace_ms(100_000)
                    .start()
                    .await;
                tokio::time::sleep(Duration::from_micros(delay)).await;
                let asked = Instant::now();
                job.cancel().await;
                let ended = job.ended().await;
                assert!(asked.elapsed() < SLACK, "{delay} us: {:?}", asked.elapsed());
                match ended.status.state {
                    State::Success => ended.succeeds(),
                    _ => {
                        cancelled += 1;
                        ended.is_cancelled()
                    }
                };
                let after = job.status().await;
                assert_eq!(
                    after.state, ended.status.state,
                    "{delay} us: an end is final"
                );
                assert_eq!(after.kind, ended.status.kind, "{delay} us");
                job.close().await;
            }
            cancelled
        };
        let cancelled: u64 = join_all((0..LANES).map(lane)).await.into_iter().sum();
        assert_eq!(host.survivors(), nobody());
        assert!(cancelled > 0, "no cancel was in time");
    }
);
