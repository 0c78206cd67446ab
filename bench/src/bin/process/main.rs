//! What containment is worth and what it costs: `cargo xtask bench process [--runs N] [--json]`.
//!
//! Worth: of the kinds of processes of the tests' zoo, who survives a plain kill, a kill of the group with a delay, and ours;
//! and `N` runs of a random lot of them, stopped at a random moment in a random way. Cost: from the stop to the moment
//! when nobody is left, and a start against a bare one of the same run. The supervisors are those of the built host.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that does not work has nothing to say"
)]

mod survivors;
mod zoo;

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use stephost_bench::figure::{Figure, median, micros, percentile};
use stephost_process::{Output, Plan, Stream, Supervisors, Surroundings};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Random runs, unless the caller says otherwise.
const RUNS: usize = 50;
/// Stops of each size, and the sizes.
const STOPS: usize = 100;
const SIZES: [usize; 3] = [1, 10, 200];
/// Rounds of a comparison, and starts in one round.
const ROUNDS: usize = 20;
const STARTS: usize = 25;
/// What a large host has in memory.
const BALLAST_BYTES: usize = 1 << 30;
const PAGE_BYTES: usize = 4096;

fn main() -> ExitCode {
    stephost_bench::print_runs("process", Some(RUNS), |runs| {
        let bench = Bench::new();
        let mut figures = survivors::of_each_kind(&bench);
        figures.extend(survivors::of_random_runs(&bench, runs));
        figures.extend(bench.stops());
        figures.extend(bench.starts());
        figures
    })
}

/// A host, as far as processes are concerned.
struct Bench {
    runtime: Runtime,
    supervisors: Supervisors,
}

/// Waits for a first byte.
#[derive(Default)]
struct Heard(Notify);

impl Output for Heard {
    fn write(&self, _: Stream, _: &[u8]) {
        self.0.notify_one();
    }

    fn write_late(&self, _: Stream, _: &[u8]) {}
}

fn plan(program: &str, args: &[&str]) -> Plan {
    Plan {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        work_dir: "/".into(),
    }
}

impl Bench {
    fn new() -> Bench {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let program = std::env::var_os("STEPHOST_BIN").expect("`cargo xtask bench` names the host");
        // No cgroup: what everybody has, whatever his machine lets him do.
        let supervisors = runtime
            .block_on(async { Supervisors::of_program(program.into(), Surroundings::default()) })
            .unwrap();
        Bench {
            runtime,
            supervisors,
        }
    }

    /// Works as the host does: in a task, not on the thread that blocks on it.
    fn in_a_task<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime
            .block_on(async { tokio::spawn(work).await.unwrap() })
    }

    /// From the stop to empty, when nobody does what he is asked to.
    fn stops(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for size in SIZES {
            let times: Vec<f64> = (0..STOPS).map(|_| self.stop(size)).collect();
            let noun = if size == 1 { "process" } else { "processes" };
            let name = format!("stop to empty, {size} {noun}");
            figures.push(Figure::new(name, median(times.clone()), "ms"));
            let p99 = Figure::new("…, p99", percentile(times, 99), "ms");
            figures.push(if size == 200 { p99.at_most(100.0) } else { p99 });
        }
        figures
    }

    fn stop(&self, size: usize) -> f64 {
        let supervisors = self.supervisors.clone();
        // The shell is one of them.
        let script = format!(
            "trap '' TERM; i=1; while [ $i -lt {size} ]; do sleep 15 & i=$((i + 1)); done; echo up; exec sleep 15"
        );
        self.in_a_task(async move {
            let heard = Arc::new(Heard::default());
            let plan = plan("sh", &["-c", &script]);
            let running = supervisors.start(plan, heard.clone()).await.unwrap();
            heard.0.notified().await;
            let stopper = running.stopper();
            let since = Instant::now();
            stopper.terminate();
            stopper.kill();
            let report = running.ended().await;
            let took = micros(since.elapsed()) / 1e3;
            assert!(report.killed && !report.trace.leaked(), "{report:?}");
            took
        })
    }

    /// A step of `/bin/true` against a bare start of it, also in a host with a gigabyte in memory.
    fn starts(&self) -> Vec<Figure> {
        let (step, bare) = self.compared();
        let mut ballast = vec![0_u8; BALLAST_BYTES];
        for page in ballast.chunks_mut(PAGE_BYTES) {
            page[0] = 1;
        }
        let (large_step, large_bare) = self.compared();
        drop(black_box(ballast));
        vec![
            Figure::new("spawn and wait of /bin/true", bare, "us"),
            Figure::new("step of /bin/true", step, "us"),
            Figure::new("… / spawn and wait", step / bare, "x"),
            Figure::new("spawn and wait with 1 GiB resident", large_bare, "us"),
            Figure::new("step with 1 GiB resident", large_step, "us"),
            // A host that forks takes a hundred times as long.
            Figure::new("… / without", large_step / step, "x").at_most(2.0),
        ]
    }

    /// Microseconds of a step, and of a bare start.
    fn compared(&self) -> (f64, f64) {
        let (mut steps, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for _ in 0..STARTS {
                let supervisors = self.supervisors.clone();
                steps.push(self.in_a_task(async move {
                    let since = Instant::now();
                    let heard = Arc::new(Heard::default());
                    let running = supervisors.start(plan("/bin/true", &[]), heard).await;
                    let report = running.unwrap().ended().await;
                    assert!(report.exit.is_success(), "{report:?}");
                    micros(since.elapsed())
                }));
                bare.push(spawn());
            }
        }
        (median(steps), median(bare))
    }
}

/// Microseconds from spawn to wait.
fn spawn() -> f64 {
    let since = Instant::now();
    let status = Command::new("/bin/true")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    micros(since.elapsed())
}
