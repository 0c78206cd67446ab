//! What jobs cost in the built host: `cargo xtask bench host [--json]`. The rows of design section 6 that a host of
//! today can have; each goal is the one that stands there.
//!
//! A runner's client on the host's socket measures, on the same machine, so its own work is in every figure. Rows that
//! are compared alternate.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that does not work has nothing to say"
)]

mod floor;
mod running;

use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stephost_bench::figure::{Figure, as_f64, median, micros};
use stephost_client::{Client, Follow, Request, State};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::running::Host;

/// Starts of a host.
const STARTS: usize = 15;
/// Rounds of a comparison, and jobs or spawns in one round.
const ROUNDS: usize = 20;
const JOBS: usize = 25;
/// Most that a job may cost, in spawns: the design's 1.2 ms and 0.6 ms are those of a machine whose spawn takes 0.53 ms, and
/// scale with it.
const EXEC_JOB_MAX: f64 = 2.26;
const BUILTIN_JOB_MAX: f64 = 1.13;
/// Steps of a long job.
const STEPS: usize = 100;
/// Jobs for a rate, and how many of them at once.
const MANY_JOBS: usize = 2_000;
const IN_FLIGHT: usize = 16;
/// Jobs that run at the same time.
const RUNNING: usize = 200;
/// Bytes of a line, and of a log.
const LINE: usize = 80;
const LOG: usize = 160_000_000;
/// Lines that are written at once.
const BLOCK: usize = 800;
/// Times that a log is measured.
const LOGS: usize = 3;
/// Grace of a job that is closed while it runs.
const GRACE: Duration = Duration::from_millis(100);
/// Closes of such jobs.
const CLOSES: usize = 20;

/// Argument by which this program is the writer of a log.
const WRITE: &str = "--write-log";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(WRITE) {
        return write_log();
    }
    stephost_bench::print("host", || Bench::new().figures())
}

/// What a step does whose log is measured: lines, many at once.
fn write_log() -> ExitCode {
    let mut block = Vec::with_capacity(LINE * BLOCK);
    for _ in 0..BLOCK {
        block.extend(std::iter::repeat_n(b'x', LINE - 1));
        block.push(b'\n');
    }
    let mut out = std::io::stdout();
    for _ in 0..LOG / block.len() {
        if out.write_all(&block).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Seconds that a log took.
struct Log {
    /// Until all followers had read it.
    read: f64,
    /// The job that wrote it.
    job: f64,
}

struct Bench {
    runtime: Runtime,
    jobs: Arc<AtomicUsize>,
}

const TRUE: &str = "{}\n---\nexec: {command: [/bin/true]}\n";
const BUILTIN: &str = "{}\n---\nrun: [{name: it, func: 'builtin://hello'}]\n";

impl Bench {
    fn new() -> Bench {
        Bench {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            jobs: Arc::default(),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.start();
        figures.extend(self.jobs());
        figures.extend(self.rate());
        figures.extend(self.steps());
        figures.extend(self.logs());
        figures.extend(self.many_running());
        figures.extend(self.many_closed());
        figures.extend(self.close());
        figures
    }

    fn start(&self) -> Vec<Figure> {
        let mut starts = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..STARTS {
            let since = Instant::now();
            let host = Host::start();
            self.runtime.block_on(async {
                let answer = host.client().await.status("nobody").await;
                answer.expect_err("there is no job yet");
            });
            starts.push(micros(since.elapsed()) / 1e3);
            memory.push(host.memory());
        }
        vec![
            Figure::new("start to the first answer", median(starts), "ms").at_most(10.0),
            Figure::new("resident memory at rest", median(memory), "MiB").at_most(21.0),
        ]
    }

    /// One at a time, Run to Close.
    fn jobs(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let (mut execs, mut builtins, mut spawns) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for _ in 0..JOBS {
                execs.push(self.time_of(&client, TRUE));
                builtins.push(self.time_of(&client, BUILTIN));
                spawns.push(floor::spawn("/bin/true", &[]));
            }
        }
        let (exec, builtin, spawn) = (median(execs), median(builtins), median(spawns));
        vec![
            Figure::new("spawn of /bin/true", spawn, "us"),
            Figure::new("job of one exec step", exec, "us"),
            Figure::new("… / spawn of /bin/true", exec / spawn, "x").at_most(EXEC_JOB_MAX),
            Figure::new("job of one builtin step", builtin, "us"),
            Figure::new("… / spawn of /bin/true", builtin / spawn, "x").at_most(BUILTIN_JOB_MAX),
        ]
    }

    fn time_of(&self, client: &Client, steps: &'static str) -> f64 {
        let (client, request) = (client.clone(), self.request(steps));
        self.in_a_task(async move {
            let since = Instant::now();
            run(&client, request).await;
            micros(since.elapsed())
        })
    }

    fn rate(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let before = host.processor_time();
        let since = Instant::now();
        let requests: Vec<Vec<Request>> = (0..IN_FLIGHT)
            .map(|_| {
                (0..MANY_JOBS / IN_FLIGHT)
                    .map(|_| self.request(TRUE))
                    .collect()
            })
            .collect();
        self.in_a_task(async move {
            let mut lanes = JoinSet::new();
            for lane in requests {
                let client = client.clone();
                lanes.spawn(async move {
                    for request in lane {
                        run(&client, request).await;
                    }
                });
            }
            while let Some(lane) = lanes.join_next().await {
                lane.unwrap();
            }
        });
        let took = since.elapsed();
        let cpu = host.processor_time() - before;
        let jobs = as_f64(MANY_JOBS);
        vec![
            Figure::new(
                format!("jobs of one exec step, {IN_FLIGHT} at once"),
                jobs / took.as_secs_f64(),
                "/s",
            ),
            Figure::new("…, processor time of each", micros(cpu) / jobs, "us").at_most(1100.0),
        ]
    }

    /// Steps within a long job, against the spawn of what they run.
    fn steps(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let dir = host.dir().join("true");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("func.yml"), TRUE).unwrap();
        let exec = repeated("func: ./true");
        let script = repeated("script: ':'");
        let builtin = repeated("func: 'builtin://hello'");
        let (mut execs, mut scripts, mut builtins) = (Vec::new(), Vec::new(), Vec::new());
        let (mut spawns, mut shells) = (Vec::new(), Vec::new());
        let shell = ["/bin/bash", "/usr/bin/bash", "/bin/sh"]
            .into_iter()
            .find(|shell| std::path::Path::new(shell).exists())
            .unwrap();
        for _ in 0..ROUNDS / 2 {
            for (steps, times) in [
                (&exec, &mut execs),
                (&script, &mut scripts),
                (&builtin, &mut builtins),
            ] {
                let mut request = self.request(steps);
                request.build_dir = host.dir().display().to_string();
                let client = client.clone();
                times.push(self.in_a_task(async move {
                    let since = Instant::now();
                    run(&client, request).await;
                    micros(since.elapsed()) / as_f64(STEPS)
                }));
            }
            spawns.extend((0..JOBS).map(|_| floor::spawn("/bin/true", &[])));
            shells.extend((0..JOBS).map(|_| floor::spawn(shell, &["-c", ":"])));
        }
        let (exec, script, builtin) = (median(execs), median(scripts), median(builtins));
        let (spawn, shell) = (median(spawns), median(shells));
        vec![
            Figure::new("exec step in a long job", exec, "us"),
            Figure::new("… / spawn of /bin/true", exec / spawn, "x").at_most(1.3),
            Figure::new("script step in a long job", script, "us"),
            Figure::new("… / spawn of its shell", script / shell, "x").at_most(1.5),
            Figure::new("builtin step in a long job", builtin, "us"),
        ]
    }

    fn logs(&self) -> Vec<Figure> {
        let program = std::env::current_exe().unwrap();
        let (mut floors, mut alone, mut one, mut eight) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..LOGS {
            let mut writer = Command::new(&program);
            writer.arg(WRITE);
            floors.push(floor::megabytes_per_second(&mut writer, LOG));
            for (followers, rows) in [(0, &mut alone), (1, &mut one), (8, &mut eight)] {
                rows.push(self.log(&program.display().to_string(), followers));
            }
        }
        let megabytes = LOG as f64 / 1e6;
        let floor = median(floors);
        let job = |rows: &[Log]| median(rows.iter().map(|log| log.job).collect());
        let slowed = job(&eight) / job(&alone);
        let read = |rows: Vec<Log>| median(rows.into_iter().map(|log| log.read).collect());
        let (one, eight) = (read(one), read(eight));
        vec![
            Figure::new("log through pipe, file and socket", floor, "MB/s"),
            Figure::new("log of a job, one follower", megabytes / one, "MB/s").at_least(8.0 * 42.0),
            Figure::new("… / pipe, file and socket", megabytes / one / floor, "x").at_least(0.6),
            Figure::new(
                "log of a job, eight followers all together",
                8.0 * megabytes / eight,
                "MB/s",
            )
            .at_least(8.0 * 51.0),
            Figure::new(
                "log of a job, its time with eight followers / with none",
                slowed,
                "x",
            )
            .at_most(1.2),
        ]
    }

    /// A job that writes a log, with so many followers.
    fn log(&self, program: &str, followers: usize) -> Log {
        let host = Host::start();
        let steps = format!("{{}}\n---\nexec: {{command: ['{program}', '{WRITE}']}}\n");
        let mut request = self.request(&steps);
        request.variables.push(stephost_client::Variable {
            key: "TOKEN".to_owned(),
            value: "a-value-that-is-masked".to_owned(),
            masked: true,
            ..stephost_client::Variable::default()
        });
        let id = request.id.clone();
        let clients: Vec<Client> = (0..=followers)
            .map(|_| self.runtime.block_on(host.client()))
            .collect();
        self.in_a_task(async move {
            let since = Instant::now();
            let (own, others) = clients.split_first().unwrap();
            own.run(request).await.unwrap();
            let mut following = JoinSet::new();
            for client in others {
                let (client, id) = (client.clone(), id.clone());
                following.spawn(async move {
                    let mut log = client.follow(&id, 0);
                    let mut bytes = 0;
                    while let Some(piece) = log.next().await.unwrap() {
                        bytes += piece.len();
                    }
                    assert!(bytes > LOG, "{bytes}");
                });
            }
            while let Some(follower) = following.join_next().await {
                follower.unwrap();
            }
            let read = since.elapsed().as_secs_f64();
            // Behind everything that was written: without followers this waits for the job.
            let mut end = own.follow(&id, u64::try_from(i64::MAX).unwrap());
            while end.next().await.unwrap().is_some() {}
            let status = own.status(&id).await.unwrap();
            let job = status.wall_time().unwrap().as_secs_f64();
            own.close(&id).await.unwrap();
            Log { read, job }
        })
    }

    fn many_running(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let sleep = "{}\n---\nexec: {command: [/bin/sh, -c, 'echo up; exec sleep 1000']}\n";
        let requests: Vec<Request> = (0..RUNNING).map(|_| self.request(sleep)).collect();
        let ids: Vec<String> = requests.iter().map(|request| request.id.clone()).collect();
        {
            let client = client.clone();
            let ids = ids.clone();
            self.in_a_task(async move {
                for request in requests {
                    client.run(request).await.unwrap();
                }
                for id in &ids {
                    let mut log = client.follow(id, 0);
                    up(&mut log).await;
                }
            });
        }
        let name = format!("{RUNNING} jobs running");
        let figures = vec![
            Figure::new(format!("{name}, memory"), host.memory(), "MiB").at_most(45.0),
            Figure::new("…, threads", host.threads(), "").at_most(12.0),
            Figure::new("…, descriptors", host.descriptors(), "").at_most(1600.0),
        ];
        self.in_a_task(async move {
            for id in &ids {
                client.cancel(id).await.unwrap();
            }
            for id in &ids {
                client.close(id).await.unwrap();
            }
        });
        figures
    }

    fn many_closed(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let round = |jobs: usize| {
            for _ in 0..jobs {
                self.time_of(&client, TRUE);
            }
        };
        // What is made once is made by now.
        round(RUNNING);
        let (memory, descriptors) = (host.memory(), host.descriptors());
        round(MANY_JOBS);
        let name = format!("{MANY_JOBS} jobs closed");
        vec![
            Figure::new(format!("{name}, growth"), host.memory() - memory, "MiB").at_most(0.5),
            Figure::new("…, descriptors", host.descriptors() - descriptors, "").at_most(0.0),
        ]
    }

    /// Close of a job whose step left a child that ignores the polite signal.
    fn close(&self) -> Vec<Figure> {
        let host = Host::start();
        let client = self.runtime.block_on(host.client());
        let stubborn = "{}\n---\nexec: {command: [/bin/sh, -c, \"trap '' TERM; sleep 1000 & echo up; wait\"]}\n";
        let mut times = Vec::new();
        for _ in 0..CLOSES {
            let mut request = self.request(stubborn);
            request.grace = Some(GRACE);
            let client = client.clone();
            times.push(self.in_a_task(async move {
                let id = request.id.clone();
                client.run(request).await.unwrap();
                let mut log = client.follow(&id, 0);
                up(&mut log).await;
                let since = Instant::now();
                client.close(&id).await.unwrap();
                micros(since.elapsed().saturating_sub(GRACE)) / 1e3
            }));
        }
        let name = "close of a job with a grandchild, after its grace";
        vec![Figure::new(name, median(times), "ms").at_most(50.0)]
    }

    fn request(&self, steps: &str) -> Request {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        Request {
            id: format!("bench-{number}"),
            steps: steps.to_owned(),
            ..Request::default()
        }
    }

    /// Runs as a runner does: in a task, not on the thread that blocks on it.
    fn in_a_task<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime
            .block_on(async { tokio::spawn(work).await.unwrap() })
    }
}

fn repeated(step: &str) -> String {
    let steps: String = (0..STEPS)
        .map(|number| format!("- {{name: s{number}, {step}}}\n"))
        .collect();
    format!("{{}}\n---\nrun:\n{steps}")
}

/// Waits until a step has said that it is up. The line before is the host's, and may come before the step has begun.
async fn up(log: &mut Follow) {
    let mut said = Vec::new();
    while !said.ends_with(b"up\n") {
        said.extend_from_slice(&log.next().await.unwrap().expect("it says so"));
    }
}

/// Run to Close, the log read to its end.
async fn run(client: &Client, request: Request) {
    let status = client.run_and_follow(request, |_| {}).await.unwrap();
    assert_eq!(status.state, State::Success, "{}", status.message);
}
