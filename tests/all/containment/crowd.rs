//! Many at once: storms, chains, shells that make groups of their own, fifty jobs side by side.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use stephost_tests::{Host, step_test};

use super::{alive, built_zoo, exec, nobody, pids, tag, zoo};

/// What a loaded machine may add to a time.
const SLACK: Duration = Duration::from_secs(20);
/// Supervisors that may wait for their next step when all jobs are closed.
const IDLE_MAX: usize = 16;

/// Cancels a job of these kinds again and again.
async fn cancelled(host: &Host, kinds: &str, rounds: usize) {
    for round in 0..rounds {
        let tag = tag(host, &format!("{}-{round}", kinds.replace(' ', "-")));
        let job = host
            .job(&zoo(built_zoo(), &tag, kinds))
            .grace_ms(50)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        job.cancel().await;
        let ended = job.ended().await;
        assert_eq!(alive(host, &tag), nobody(), "{kinds}, round {round}");
        ended.is_cancelled();
    }
}

step_test!(scenario_07_a_storm_of_two_hundred_ends_at_once, |host| {
    cancelled(host, "storm ignterm", 10).await;
});

step_test!(scenario_08_who_moves_on_all_the_time_is_caught, |host| {
    cancelled(host, "chain", 15).await;
    cancelled(host, "chain chain-pg", 15).await;
});

step_test!(
    scenario_09_interactive_shells_and_terminals_end_with_their_step,
    |host| {
        let has = |program: &str| {
            std::env::split_paths("/usr/local/bin:/usr/bin:/bin")
                .any(|directory| directory.join(program).is_file())
        };
        if !has("bash") || !has("script") {
            eprintln!("skipped: there is no bash, or no script(1)");
            return;
        }
        let text = r#"bash -ic "set -m; sleep 16 & sleep 17" </dev/null & script -qc "sleep 18" said & wait"#;
        let job = host.job(&exec(text)).grace_ms(200).start().await;
        let began = Instant::now();
        // They say nothing when they are there, so this is polled.
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            let survivors = host.survivors();
            let there = |command: &str| {
                survivors.iter().any(|line| {
                    line.split_once(' ')
                        .is_some_and(|(_, rest)| rest.trim() == command)
                })
            };
            if there("sleep 16") && there("sleep 17") && there("sleep 18") {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(15), "{survivors:?}");
            tick.tick().await;
        }
        job.cancel().await;
        let ended = job.ended().await;
        assert_eq!(host.survivors(), nobody());
        ended.is_cancelled();
    }
);

/// Dead children, of this process or of one of its own, that nobody has reaped.
fn zombies_of(host: &Host) -> Vec<String> {
    let stats: Vec<(String, String, char)> = fs::read_dir("/proc")
        .expect("there is /proc")
        .flatten()
        .filter_map(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let (pid, rest) = stat.split_once(' ')?;
            let mut fields = rest.rsplit_once(')')?.1.split_whitespace();
            let (state, parent) = (fields.next()?.chars().next()?, fields.next()?);
            Some((pid.to_owned(), parent.to_owned(), state))
        })
        .collect();
    let own = host.pid().to_string();
    let supervisors: Vec<&String> = stats
        .iter()
        .filter(|(_, parent, _)| *parent == own)
        .map(|(pid, _, _)| pid)
        .collect();
    let zombies = stats.iter().filter(|(_, parent, state)| {
        *state == 'Z' && (*parent == own || supervisors.contains(&parent))
    });
    zombies.map(|(pid, ..)| pid.clone()).collect()
}

/// How many descriptors the host has; `None` if only root may know.
fn descriptors(host: &Host) -> Option<usize> {
    let open = fs::read_dir(format!("/proc/{}/fd", host.pid()));
    open.ok().map(Iterator::count)
}

step_test!(
    scenario_23_of_fifty_jobs_every_second_is_cancelled_and_the_others_notice_nothing,
    |host| {
        const KINDS: &str = "bg ignterm daemon daemon-clean stopped pgnest";
        const JOBS: usize = 50;
        host.script("true").run().await.succeeds();
        let before = descriptors(host);
        let leaks = || descriptors(host) > before.map(|count| count + IDLE_MAX);
        let tags: Vec<String> = (0..JOBS)
            .map(|job| tag(host, &format!("of-{job}")))
            .collect();
        let jobs = join_all(tags.iter().map(async |tag| {
            let job = host
                .job(&zoo(built_zoo(), tag, KINDS))
                .grace_ms(300)
                .start()
                .await;
            job.wait_for("zoo ready").await;
            job
        }))
        .await;
        let whole: Vec<_> = tags.iter().map(|tag| pids(tag)).collect();
        // All but the one that ignores everything carry the tag, and so does the one who started them.
        assert!(
            whole
                .iter()
                .all(|zoo| zoo.len() == KINDS.split(' ').count())
        );
        let (cancelled, others): (Vec<_>, Vec<_>) = jobs
            .iter()
            .zip(&tags)
            .enumerate()
            .partition(|(number, _)| number % 2 == 0);
        join_all(cancelled.iter().map(async |(_, (job, tag))| {
            job.cancel().await;
            let ended = job.ended().await;
            assert_eq!(pids(tag).len(), 0, "{tag}");
            ended.is_cancelled();
        }))
        .await;
        for (number, (_, tag)) in &others {
            assert_eq!(pids(tag), whole[*number], "{tag} is untouched");
        }
        join_all(others.iter().map(async |(_, (job, tag))| {
            job.cancel().await;
            job.ended().await.is_cancelled();
            assert_eq!(pids(tag).len(), 0, "{tag}");
        }))
        .await;
        join_all(jobs.iter().map(|job| job.close())).await;
        let settled = Instant::now();
        // The end of a supervisor is no event for us, so this is polled.
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !zombies_of(host).is_empty() || leaks() {
            assert!(
                settled.elapsed() < SLACK,
                "zombies {:?}, {:?} descriptors where {before:?} were",
                zombies_of(host),
                descriptors(host)
            );
            tick.tick().await;
        }
    }
);
