//! What a sandboxed step costs, against floors of the same run: `cargo xtask bench sandbox [--json]`.
//!
//! The floor of a step is wasmtime alone with the same component ([`floor`]). The floor of a native step is a
//! spawn of `/bin/true`. Measurements that are compared alternate, so that a busy machine disturbs both alike;
//! read the ratios first.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that does not work has nothing to say"
)]

mod floor;

use std::fs;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stephost_policy::Limits;
use stephost_sandbox::{
    Builtin, Call, Channel, Context, GuestEnding, Log, Sandbox, SandboxConfig, Stop, StopLevel,
    StopReason, Value,
};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::floor::Floor;
use stephost_bench::figure::{Figure, as_f64, median, micros, worst};

/// Rounds of a comparison, and steps in one round.
const ROUNDS: usize = 25;
const STEPS: usize = 200;
/// Spawns in one round. They are a hundred times dearer.
const SPAWNS: usize = 8;
/// Steps for a rate.
const MANY_STEPS: usize = 40_000;
/// Guests that wait at the same time.
const SUSPENDED: usize = 200;
/// Stops of each kind.
const STOPS: usize = 60;

fn main() -> ExitCode {
    stephost_bench::print("sandbox", || Bench::new().figures())
}

struct Bench {
    /// What the host's own runtime is for a job.
    runtime: Runtime,
    sandbox: Sandbox,
    hello: Builtin,
    misbehave: Builtin,
}

const KILL: StopLevel = StopLevel::Kill {
    reason: StopReason::Cancelled,
};
const POLITE: StopLevel = StopLevel::Polite {
    reason: StopReason::Cancelled,
    kill_at: None,
};

impl Bench {
    fn new() -> Bench {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let bench = Bench {
            runtime,
            sandbox: Sandbox::new(SandboxConfig::default()).unwrap(),
            hello: built("hello"),
            misbehave: built("test/misbehave"),
        };
        for builtin in [&bench.hello, &bench.misbehave] {
            let (sandbox, builtin) = (bench.sandbox.clone(), builtin.clone());
            bench.in_a_task(async move {
                sandbox.describe(&builtin).await.unwrap();
            });
        }
        bench
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.comparison();
        for in_flight in [1, 2, 16, 200] {
            figures.extend(self.rate(in_flight));
        }
        figures.push(Figure::new(
            "memory of a guest that waits",
            self.suspended(),
            "KiB",
        ));
        for (guest, how, level) in [
            ("that computes", "spin", KILL),
            ("that calls the host all the time", "spin-calling", KILL),
            ("that waits in the host", "wait", KILL),
            ("that is polite", "wait-politely", POLITE),
        ] {
            let stops: Vec<f64> = (0..STOPS).map(|_| self.stop(how, level)).collect();
            let name = format!("stopping a guest {guest}");
            figures.push(Figure::new(format!("{name}, worst"), worst(&stops), "us"));
            figures.push(Figure::new(name, median(stops), "us").at_most(2000.0));
        }
        figures
    }

    fn comparison(&self) -> Vec<Figure> {
        let floor = Arc::new(Floor::new(self.hello.wasm()));
        let (mut bare, mut host) = (Vec::new(), Vec::new());
        let (mut spawned, mut panicked) = (Vec::new(), Vec::new());
        let hello = || (self.hello.clone(), greet());
        let panic = || (self.misbehave.clone(), call("panic", Arc::new(Silence)));
        for _ in 0..ROUNDS {
            let floor = Arc::clone(&floor);
            bare.extend(self.in_a_task(async move { floor.times(STEPS).await }));
            host.extend(self.times(STEPS, hello));
            panicked.extend(self.times(STEPS / 10, panic));
            spawned.extend((0..SPAWNS).map(|_| spawn()));
        }
        let (bare, host) = (median(bare), median(host));
        let (spawned, panicked) = (median(spawned), median(panicked));
        vec![
            Figure::new("step, bare wasmtime", bare, "us"),
            Figure::new("step in the host", host, "us"),
            Figure::new("… / bare wasmtime", host / bare, "x").at_most(1.5),
            Figure::new("spawn of /bin/true", spawned, "us"),
            Figure::new("… / step in the host", spawned / host, "x").at_least(30.0),
            Figure::new("step that panics", panicked, "us"),
        ]
    }

    /// Runs as jobs do: in a task of the host's runtime, not on the thread that blocks on it.
    fn in_a_task<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime
            .block_on(async { tokio::spawn(work).await.unwrap() })
    }

    /// Microseconds of each of `steps` runs, one after the other.
    fn times(&self, steps: usize, make: impl Fn() -> (Builtin, Call)) -> Vec<f64> {
        let calls: Vec<(Builtin, Call)> = (0..steps).map(|_| make()).collect();
        let sandbox = self.sandbox.clone();
        self.in_a_task(async move {
            let mut times = Vec::with_capacity(calls.len());
            for (builtin, call) in calls {
                let since = Instant::now();
                black_box(sandbox.run(&builtin, call, Stop::never()).await);
                times.push(micros(since.elapsed()));
            }
            times
        })
    }

    /// Steps a second, and processor time of each, with so many in flight.
    fn rate(&self, in_flight: usize) -> [Figure; 2] {
        let (sandbox, builtin) = (self.sandbox.clone(), self.hello.clone());
        let cpu_before = processor_time();
        let since = Instant::now();
        self.in_a_task(async move {
            let mut lanes = JoinSet::new();
            for _ in 0..in_flight {
                let (sandbox, builtin) = (sandbox.clone(), builtin.clone());
                lanes.spawn(async move {
                    for _ in 0..MANY_STEPS / in_flight {
                        let ending = sandbox.run(&builtin, greet(), Stop::never()).await;
                        assert!(matches!(ending, GuestEnding::Success { .. }), "{ending:?}");
                    }
                });
            }
            while let Some(lane) = lanes.join_next().await {
                lane.unwrap();
            }
        });
        let (took, cpu) = (since.elapsed(), processor_time() - cpu_before);
        let steps = as_f64(MANY_STEPS / in_flight * in_flight);
        [
            Figure::new(
                format!("steps, {in_flight} in flight"),
                steps / took.as_secs_f64(),
                "/s",
            ),
            Figure::new("…, processor time of each", micros(cpu) / steps, "us"),
        ]
    }

    /// KiB of resident memory for each of many guests that wait in the host.
    fn suspended(&self) -> f64 {
        let (sandbox, builtin) = (self.sandbox.clone(), self.misbehave.clone());
        self.in_a_task(async move {
            let (sender, level) = watch::channel(StopLevel::None);
            let mut guests = JoinSet::new();
            let before = resident_kib();
            for _ in 0..SUSPENDED {
                let said = Arc::<Said>::default();
                let log = Arc::clone(&said);
                let (sandbox, builtin) = (sandbox.clone(), builtin.clone());
                let stop = Stop(level.clone());
                guests.spawn(async move { sandbox.run(&builtin, call("wait", log), stop).await });
                said.0.notified().await;
            }
            let grown = resident_kib() - before;
            sender.send_replace(POLITE);
            while guests.join_next().await.is_some() {}
            grown / as_f64(SUSPENDED)
        })
    }

    /// Microseconds from a stop to the ending.
    fn stop(&self, how: &'static str, level: StopLevel) -> f64 {
        let (sandbox, builtin) = (self.sandbox.clone(), self.misbehave.clone());
        self.in_a_task(async move {
            let (sender, receiver) = watch::channel(StopLevel::None);
            let said = Arc::<Said>::default();
            let log = Arc::clone(&said);
            let run = tokio::spawn(async move {
                let ending = sandbox.run(&builtin, call(how, log), Stop(receiver)).await;
                assert!(
                    matches!(ending, GuestEnding::Cancelled { .. }),
                    "{ending:?}"
                );
                Instant::now()
            });
            said.0.notified().await;
            // Until it is where it will be.
            tokio::time::sleep(Duration::from_millis(3)).await;
            let since = Instant::now();
            sender.send_replace(level);
            micros(run.await.unwrap().duration_since(since))
        })
    }
}

/// A log that tells when it is written to.
#[derive(Default)]
struct Said(Notify);

impl Log for Said {
    fn write(&self, _channel: Channel, _bytes: &[u8]) {
        self.0.notify_one();
    }
}

/// A log that nobody reads.
struct Silence;

impl Log for Silence {
    fn write(&self, _channel: Channel, bytes: &[u8]) {
        black_box(bytes);
    }
}

fn built(name: &str) -> Builtin {
    let (shipped, for_tests) = (
        stephost_builtins::shipped(),
        stephost_builtins::test_guests(),
    );
    let mut all = shipped.iter().chain(for_tests);
    Builtin::new(name, all.find(|builtin| builtin.name == name).unwrap().wasm)
}

fn greet() -> Call {
    Call {
        arguments: vec![("name".to_owned(), Value::Text("Ada".to_owned()))],
        context: Context::default(),
        log: Arc::new(Silence),
        limits: Limits::shipped(),
        programs: None,
    }
}

fn call(how: &str, log: Arc<dyn Log>) -> Call {
    Call {
        arguments: vec![("how".to_owned(), Value::Text(how.to_owned()))],
        log,
        ..greet()
    }
}

fn spawn() -> f64 {
    let since = Instant::now();
    assert!(Command::new("/bin/true").status().unwrap().success());
    micros(since.elapsed())
}

fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse().unwrap()
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}
