//! Who survives: of each kind, and of random lots.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use stephost_bench::figure::{Figure, as_f64};
use stephost_process::start_other;

use crate::zoo::{KINDS, Zoo};
use crate::{Bench, Heard};

/// Between the polite signal and the kill.
const DELAY: Duration = Duration::from_millis(300);
/// How long the kernel may take to let go of those who were killed.
const SETTLING: Duration = Duration::from_millis(500);
/// The latest moment of a random stop, counted from the start or from the moment when all are there, and the longest random
/// delay of the kill.
const LATEST_US: u64 = 50_000;
const DELAY_MAX_US: u64 = 30_000;

/// How many of the kinds survive.
pub(crate) fn of_each_kind(bench: &Bench) -> Vec<Figure> {
    let name = |how: &str| format!("kinds of {} that survive {how}", KINDS.len());
    let survived = |how: &dyn Fn(&Zoo)| {
        let kinds = KINDS.iter().filter(|kind| {
            let zoo = Zoo::new(vec![kind]);
            how(&zoo);
            survives(&zoo)
        });
        as_f64(kinds.count())
    };
    vec![
        Figure::new(name("a plain kill"), survived(&plain_kill), ""),
        Figure::new(name("a group kill with a delay"), survived(&group_kill), ""),
        Figure::new(name("ours"), survived(&|zoo| ours(bench, zoo)), "").at_most(0.0),
    ]
}

/// Whether somebody lives who was given time to die.
#[expect(
    clippy::disallowed_methods,
    reason = "a stranger's end is no event for us"
)]
fn survives(zoo: &Zoo) -> bool {
    let since = Instant::now();
    while since.elapsed() < SETTLING {
        if zoo.alive().is_empty() {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    // One that moves may have been missed by one look.
    !zoo.alive().is_empty() || !zoo.alive().is_empty()
}

/// Starts it bare, as the leader of a group, and waits until all are there.
fn start(zoo: &Zoo) -> Child {
    let plan = zoo.plan();
    let mut command = Command::new(plan.program);
    command
        .args(plan.args)
        .env_clear()
        .envs(plan.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    // The supervisors' host takes its own children for orphans, unless it is told whose they are.
    let mut child = start_other(|| command.spawn(), |child| Some(child.id())).unwrap();
    let mut word = [0; 9];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    child
}

fn plain_kill(zoo: &Zoo) {
    let mut child = start(zoo);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What a step host does that knows groups: ask, wait, kill.
#[expect(clippy::disallowed_methods, reason = "the delay is what is measured")]
fn group_kill(zoo: &Zoo) {
    let mut child = start(zoo);
    let group = Pid::from_child(&child);
    for (signal, wait) in [(Signal::TERM, DELAY), (Signal::KILL, Duration::ZERO)] {
        // The leader is not reaped, so the number is its own.
        kill_process_group(group, signal).unwrap();
        thread::sleep(wait);
    }
    child.wait().unwrap();
}

fn ours(bench: &Bench, zoo: &Zoo) {
    let (supervisors, plan) = (bench.supervisors.clone(), zoo.plan());
    bench.in_a_task(async move {
        let heard = Arc::new(Heard::default());
        let running = supervisors.start(plan, heard.clone()).await.unwrap();
        heard.0.notified().await;
        let stopper = running.stopper();
        let mut ended = std::pin::pin!(running.ended());
        stopper.terminate();
        let report = tokio::select! {
            report = &mut ended => report,
            () = tokio::time::sleep(DELAY) => {
                stopper.kill();
                ended.await
            }
        };
        assert!(!report.trace.leaked(), "{report:?}");
    });
}

/// How many of so many runs left somebody: any kinds, stopped at any moment, asked first or killed at once or let go of.
pub(crate) fn of_random_runs(bench: &Bench, runs: usize) -> Vec<Figure> {
    let random = RandomState::new();
    let (mut left, mut processes) = (0, 0);
    for run in 0..runs {
        let draw = |what: &str| random.hash_one((run, what));
        let kinds = KINDS.iter().copied().filter(|kind| match *kind {
            // Two hundred every time would leave little time for the others.
            "storm" => draw(kind) % 8 == 0,
            kind => draw(kind) % 2 == 0,
        });
        let zoo = Zoo::new(kinds.collect());
        let at = Duration::from_micros(draw("at") % LATEST_US);
        let delay = Duration::from_micros(draw("delay") % DELAY_MAX_US);
        let way = draw("way") % 4;
        let all_are_there = draw("there") % 4 != 0;
        let (supervisors, plan) = (bench.supervisors.clone(), zoo.plan());
        let killed = bench.in_a_task(async move {
            let heard = Arc::new(Heard::default());
            let running = supervisors.start(plan, heard.clone()).await.unwrap();
            if all_are_there {
                heard.0.notified().await;
            }
            tokio::time::sleep(at).await;
            let stopper = running.stopper();
            match way {
                0 => stopper.kill(),
                // The owner of the step is gone.
                1 => {
                    drop(running);
                    return None;
                }
                _ => {
                    stopper.terminate();
                    tokio::time::sleep(delay).await;
                    stopper.kill();
                }
            }
            let report = running.ended().await;
            assert!(!report.trace.leaked(), "{report:?}");
            Some(report.trace.killed_processes)
        });
        processes += killed.unwrap_or_default();
        // Whoever is waited for is gone already; who was let go of has a moment.
        let survives = match killed {
            Some(_) => !zoo.alive().is_empty(),
            None => survives(&zoo),
        };
        left += usize::from(survives);
    }
    vec![
        Figure::new(
            format!("random runs of {runs} that left somebody"),
            as_f64(left),
            "",
        )
        .at_most(0.0),
        Figure::new("…, processes killed in them", as_f64(processes), ""),
    ]
}
