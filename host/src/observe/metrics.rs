//! What the host counts for its operator, all of it: one typed registry of the process.
//!
//! Whoever does a thing says so here, in one call at one place; docs/metrics.md tells operators what it means, and a test
//! holds both to each other. Promises: counting never waits for a reader, and costs an atomic step or two where nobody
//! reads; labels are words of ours alone, so that the number of series is known before a job runs, and every one of
//! them stands at zero from the start: what jumps from nothing to one is no increase to who watches. Never holds an id, or a
//! name that a job chose. Read by `server::metrics`, which shows [`text`].

mod machine;

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use stephost_job::{Ending, Kind};
use stephost_policy::{Capability, Denial, LimitName};
use stephost_sandbox::TrapKind;

/// What calls of unknown names are counted as: a client chooses these.
pub(crate) const UNKNOWN_CALL: &str = "unknown";

/// Where in a call a panic may be.
const PLACES_OF_A_CALL: [&str; 3] = ["call", "body", "break"];
/// Where in a job, or nowhere that is known.
const PLACES_OF_A_JOB: [&str; 3] = ["driver", "walk", "task"];

/// From a step that does nothing to a long build.
const SECONDS: [f64; 12] = [
    0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 7200.0,
];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// How a job or a step ended, in the words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Success,
    StepFailure,
    Internal,
    Cancelled,
    Timeout,
}

impl Ended {
    const ALL: [Ended; 5] = [
        Ended::Success,
        Ended::StepFailure,
        Ended::Internal,
        Ended::Cancelled,
        Ended::Timeout,
    ];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Ended::Success => "success",
            Ended::StepFailure => "step_failure",
            Ended::Internal => "internal",
            Ended::Cancelled => "cancelled",
            Ended::Timeout => "timeout",
        }
    }
}

impl From<&Ending> for Ended {
    fn from(ending: &Ending) -> Ended {
        match ending.kind() {
            None => Ended::Success,
            Some(Kind::StepFailure) => Ended::StepFailure,
            Some(Kind::Internal) => Ended::Internal,
            Some(Kind::Cancelled) => Ended::Cancelled,
            Some(Kind::Timeout) => Ended::Timeout,
        }
    }
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    Exec,
    Builtin,
}

impl StepKind {
    const ALL: [StepKind; 2] = [StepKind::Exec, StepKind::Builtin];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StepKind::Exec => "exec",
            StepKind::Builtin => "builtin",
        }
    }
}

/// Why processes were killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Killed {
    /// They had been asked to end.
    Stop,
    /// They outlived their step or their job.
    Outlived,
    /// Their job used more memory than it may; the kernel did it.
    Memory,
}

impl Killed {
    const ALL: [Killed; 3] = [Killed::Stop, Killed::Outlived, Killed::Memory];

    fn as_str(self) -> &'static str {
        match self {
            Killed::Stop => "stop",
            Killed::Outlived => "outlived",
            Killed::Memory => "memory",
        }
    }
}

/// What is counted.
struct Metrics {
    registry: Registry,
    jobs_running: Gauge,
    jobs: Counters<1>,
    job_duration: Histogram,
    steps: Counters<2>,
    step_duration: Family<Labels<1>, Histogram>,
    traps: Counters<1>,
    limits: Counters<1>,
    denials: Counters<1>,
    killed: Counters<1>,
    survivors: Counter,
    rpcs: Counters<2>,
    panics: Counters<2>,
    log_bytes: Counter,
    log_dropped_bytes: Counter,
    operator_lines_lost: Counter,
    followers: Gauge,
    serving: Gauge,
    draining: Gauge,
    reload_successful: Gauge,
    reload_at: Gauge<f64, AtomicU64>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// Counters of every word that there is, at zero.
fn of_words(label: &'static str, words: impl IntoIterator<Item = &'static str>) -> Counters<1> {
    let counters = Counters::<1>::default();
    for word in words {
        drop(counters.get_or_create(&[(label, word)]));
    }
    counters
}

impl Metrics {
    fn new() -> Metrics {
        let steps = Counters::<2>::default();
        let step_duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        for kind in StepKind::ALL.map(StepKind::as_str) {
            drop(step_duration.get_or_create(&[("kind", kind)]));
            for result in Ended::ALL.map(Ended::as_str) {
                drop(steps.get_or_create(&[("kind", kind), ("result", result)]));
            }
        }
        let panics = Counters::<2>::default();
        for place in PLACES_OF_A_JOB {
            drop(panics.get_or_create(&[("rpc", ""), ("where", place)]));
        }
        let mut metrics = Metrics {
            registry: Registry::with_prefix("stephost"),
            jobs_running: Gauge::default(),
            jobs: of_words("result", Ended::ALL.map(Ended::as_str)),
            job_duration: histogram(),
            steps,
            step_duration,
            traps: of_words("trap", TrapKind::ALL.map(TrapKind::as_str)),
            limits: of_words("limit", LimitName::ALL.map(LimitName::as_str)),
            denials: of_words("capability", Capability::ALL.map(Capability::as_str)),
            killed: of_words("reason", Killed::ALL.map(Killed::as_str)),
            survivors: Counter::default(),
            rpcs: Counters::default(),
            panics,
            log_bytes: Counter::default(),
            log_dropped_bytes: Counter::default(),
            operator_lines_lost: Counter::default(),
            followers: Gauge::default(),
            serving: Gauge::default(),
            draining: Gauge::default(),
            reload_successful: Gauge::default(),
            reload_at: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("jobs_running", "Jobs that are not over", &self.jobs_running);
        gauge("followers", "Open log streams", &self.followers);
        gauge("serving", "Whether new jobs are taken", &self.serving);
        gauge(
            "draining",
            "Whether the host waits for its last jobs",
            &self.draining,
        );
        gauge(
            "config_last_reload_successful",
            "Whether the policy could be read when it was last looked at",
            &self.reload_successful,
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "When the policy was last read, since 1970",
            Unit::Seconds,
            self.reload_at.clone(),
        );
        let mut counters = |name: &str, help: &str, counters: &Counters<1>| {
            registry.register(name, help, counters.clone());
        };
        counters("jobs", "Jobs that are over, by how they ended", &self.jobs);
        counters(
            "traps",
            "Builtins that broke, by what they did",
            &self.traps,
        );
        counters(
            "limits",
            "Builtins that used more than they may, by what",
            &self.limits,
        );
        counters(
            "denials",
            "What the policy refused to builtins",
            &self.denials,
        );
        counters(
            "processes_killed",
            "Native processes that were killed, by why",
            &self.killed,
        );
        let mut counters = |name: &str, help: &str, counters: &Counters<2>| {
            registry.register(name, help, counters.clone());
        };
        counters(
            "steps",
            "Steps that are over, by what they are and how they ended",
            &self.steps,
        );
        counters("rpc", "Calls that are over, by their gRPC code", &self.rpcs);
        counters(
            "panics",
            "Panics of the host, by the call and the place",
            &self.panics,
        );
        registry.register(
            "process_survivors",
            "Native processes that could not be killed",
            self.survivors.clone(),
        );
        registry.register_with_unit(
            "job_duration",
            "How long jobs took, from Run to their end",
            Unit::Seconds,
            self.job_duration.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "How long steps took, by what they are",
            Unit::Seconds,
            self.step_duration.clone(),
        );
        registry.register_with_unit(
            "log",
            "What was stored in logs of jobs",
            Unit::Bytes,
            self.log_bytes.clone(),
        );
        registry.register_with_unit(
            "log_dropped",
            "What logs of jobs had no room for",
            Unit::Bytes,
            self.log_dropped_bytes.clone(),
        );
        registry.register(
            "operator_log_lost_lines",
            "Lines of the host's own log that could not be written",
            self.operator_lines_lost.clone(),
        );
        registry.register_collector(Box::new(machine::Machine));
    }
}

/// Makes every counter.
pub(super) fn begin() {
    LazyLock::force(&METRICS);
}

/// All of it, as OpenMetrics text.
pub(crate) fn text() -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &METRICS.registry);
    text
}

/// Makes the series of every call that there is.
pub(crate) fn know_calls(calls: impl IntoIterator<Item = &'static str>, codes: &[&'static str]) {
    for call in calls.into_iter().chain([UNKNOWN_CALL]) {
        for code in codes {
            drop(
                METRICS
                    .rpcs
                    .get_or_create(&[("method", call), ("code", *code)]),
            );
        }
        for place in PLACES_OF_A_CALL {
            drop(
                METRICS
                    .panics
                    .get_or_create(&[("rpc", call), ("where", place)]),
            );
        }
    }
}

/// A job that is not over. It is when this is dropped.
#[derive(Debug)]
pub(crate) struct RunningJob(());

impl RunningJob {
    /// A job begins.
    pub(crate) fn new() -> RunningJob {
        METRICS.jobs_running.inc();
        RunningJob(())
    }

    /// It has come to its end.
    pub(crate) fn ended(self, how: Ended, after: Duration) {
        METRICS
            .jobs
            .get_or_create(&[("result", how.as_str())])
            .inc();
        METRICS.job_duration.observe(after.as_secs_f64());
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        METRICS.jobs_running.dec();
    }
}

/// A step has come to its end.
pub(crate) fn step_ended(kind: StepKind, how: Ended, after: Duration) {
    let kind = ("kind", kind.as_str());
    METRICS
        .steps
        .get_or_create(&[kind, ("result", how.as_str())])
        .inc();
    METRICS
        .step_duration
        .get_or_create(&[kind])
        .observe(after.as_secs_f64());
}

/// A builtin broke.
pub(crate) fn trapped(kind: TrapKind) {
    METRICS
        .traps
        .get_or_create(&[("trap", kind.as_str())])
        .inc();
}

/// A builtin used more than it may.
pub(crate) fn limited(which: LimitName) {
    METRICS
        .limits
        .get_or_create(&[("limit", which.as_str())])
        .inc();
}

/// The policy refused something.
pub(crate) fn denied(denial: &Denial) {
    METRICS
        .denials
        .get_or_create(&[("capability", denial.capability().as_str())])
        .inc();
}

/// So many processes were killed.
pub(crate) fn killed(why: Killed, processes: u64) {
    METRICS
        .killed
        .get_or_create(&[("reason", why.as_str())])
        .inc_by(processes);
}

/// So many could not be.
pub(crate) fn survived(processes: u64) {
    METRICS.survivors.inc_by(processes);
}

/// A call is over.
pub(crate) fn called(call: &'static str, code: &'static str) {
    METRICS
        .rpcs
        .get_or_create(&[("method", call), ("code", code)])
        .inc();
}

/// The host panicked; returns how many panics there were at this place.
pub(super) fn panicked(call: &'static str, place: &'static str) -> u64 {
    METRICS
        .panics
        .get_or_create(&[("rpc", call), ("where", place)])
        .inc()
        + 1
}

/// So many bytes were stored in the log of a job.
pub(crate) fn logged(bytes: u64) {
    METRICS.log_bytes.inc_by(bytes);
}

/// So many were not.
pub(crate) fn not_logged(bytes: u64) {
    METRICS.log_dropped_bytes.inc_by(bytes);
}

/// A line of the host's own log could not be written.
pub(super) fn operator_line_lost() {
    METRICS.operator_lines_lost.inc();
}

/// An open log stream. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Following(());

impl Following {
    /// A log stream begins.
    pub(crate) fn new() -> Following {
        METRICS.followers.inc();
        Following(())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        METRICS.followers.dec();
    }
}

/// New jobs are taken.
pub(crate) fn serving() {
    METRICS.serving.set(1);
}

/// They are not any more.
pub(crate) fn draining() {
    METRICS.serving.set(0);
    METRICS.draining.set(1);
}

/// The policy was read, at this time.
pub(crate) fn reloaded(now: SystemTime) {
    METRICS.reload_successful.set(1);
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    METRICS
        .reload_at
        .set(since.unwrap_or_default().as_secs_f64());
}

/// It could not be.
pub(crate) fn not_reloaded() {
    METRICS.reload_successful.set(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_counted_by_call_and_place() {
        let first = panicked("Nobody", "calls");
        assert_eq!(first, 1);
        assert_eq!(panicked("Nobody", "calls"), 2);
        assert_eq!(panicked("Nobody", "answers"), 1);
    }

    #[test]
    fn a_job_is_running_until_it_has_ended_or_is_lost() {
        // Other tests of this program count no jobs of their own while these two are compared.
        let before = METRICS.jobs_running.get();
        let (one, two) = (RunningJob::new(), RunningJob::new());
        assert!(METRICS.jobs_running.get() >= before + 2);
        let timeouts = METRICS.jobs.get_or_create(&[("result", "timeout")]).get();
        one.ended(Ended::Timeout, Duration::from_secs(3));
        drop(two);
        let counted = METRICS.jobs.get_or_create(&[("result", "timeout")]).get();
        assert_eq!(counted, timeouts + 1);
    }

    #[test]
    fn everything_that_is_counted_by_words_begins_at_zero() {
        know_calls(["Run"], &["OK", "NotFound"]);
        let text = text();
        for line in [
            "stephost_jobs_total{result=\"timeout\"} ",
            "stephost_steps_total{kind=\"exec\",result=\"step_failure\"} ",
            "stephost_traps_total{trap=\"panic\"} ",
            "stephost_limits_total{limit=\"memory\"} ",
            "stephost_denials_total{capability=\"exports\"} ",
            "stephost_processes_killed_total{reason=\"outlived\"} ",
            "stephost_rpc_total{method=\"Run\",code=\"NotFound\"} ",
            "stephost_rpc_total{method=\"unknown\",code=\"OK\"} ",
            "stephost_panics_total{rpc=\"Run\",where=\"body\"} ",
            "stephost_panics_total{rpc=\"\",where=\"walk\"} ",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
