//! What the host tells its operator: its [log](mod@log), its [figures](metrics), the [spans] in which jobs and their parts
//! run; and [`panics`], who catches them, what is told of them, and [how many](budget) are too many. A daemon may send log
//! and spans to a [`Collector`] besides.
//!
//! Under `steps` there is no log unless a file is named: stderr ends up in the job's log (design D13). Field
//! names are those of the style guide: `job.id`, `rpc.method`, `grpc.code`, `error.kind`, `wasm.trap`. Never
//! logged: values of variables, arguments, environment.

pub(crate) mod budget;
mod collector;
mod context;
mod log;
pub(crate) mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod outlet;
pub(crate) mod panics;
pub(crate) mod spans;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use budget::PanicBudget;
pub(crate) use collector::Collector;
pub(crate) use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub(crate) use log::{LogFormat, LogLevel};

use self::outlet::Outlet;
use crate::files;

/// Where the operator's log goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Destination<'a> {
    Nowhere,
    Stderr,
    File(&'a Path),
    /// Stderr, and nothing but what nobody else tells the person before it: panics, and what the janitor could not do.
    Person,
}

/// The operator's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorLog<'a> {
    pub(crate) to: Destination<'a>,
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
}

impl OperatorLog<'_> {
    /// Of whoever runs steps on a machine of his own.
    pub(crate) const OF_A_PERSON: OperatorLog<'static> = OperatorLog {
        to: Destination::Person,
        format: LogFormat::Text,
        level: LogLevel::Warn,
    };
}

/// What is told of everything that is said.
type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Starts the operator's log, takes what is said for a `collector` too, if there is one, and lets the host panic as often
/// as `budget` says.
///
/// # Errors
///
/// When the log's file cannot be opened.
pub(crate) fn start(
    log: OperatorLog<'_>,
    budget: PanicBudget,
    collector: Option<&Collector>,
) -> io::Result<Observing> {
    let OperatorLog { to, format, level } = log;
    let (observing, mut layers) = Observing::new(collector)?;
    match to {
        Destination::Nowhere => {}
        Destination::Stderr => {
            layers.push(written(io::stderr(), format, level.filter()));
        }
        Destination::Person => {
            let told = Targets::new()
                .with_target("stephost::observe::panics", level.filter())
                .with_target("stephost::run::room::janitor", level.filter());
            layers.push(written(io::stderr(), format, told));
        }
        Destination::File(path) => {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            let file = files::for_us_alone(&mut options).open(path)?;
            layers.push(written(file, format, level.filter()));
        }
    }
    // Without anybody who listens an event and a span cost nothing.
    if !layers.is_empty() {
        tracing_subscriber::registry().with(layers).init();
    }
    // Not in the hook, when a panic is being looked at.
    metrics::begin();
    budget::allow(budget);
    std::panic::set_hook(Box::new(panics::hook));
    Ok(observing)
}

/// What writes lines of this shape to `to`, of what passes `filter`.
fn written(
    to: impl io::Write + files::Open + Send + 'static,
    format: LogFormat,
    filter: impl Filter<Registry> + Send + Sync + 'static,
) -> Layer {
    log::layer(Outlet::new(to, format), format, filter)
}

/// What waits for a collector, if there is one.
pub(crate) struct Observing {
    #[cfg(feature = "otlp")]
    exporter: Option<otlp::Exporter>,
}

/// What is being sent to it.
pub(crate) struct Sending {
    #[cfg(feature = "otlp")]
    task: Option<otlp::Sending>,
}

#[cfg(feature = "otlp")]
impl Observing {
    fn new(collector: Option<&Collector>) -> io::Result<(Observing, Vec<Layer>)> {
        let Some(collector) = collector else {
            return Ok((Observing { exporter: None }, Vec::new()));
        };
        let endpoint = tonic::transport::Endpoint::from_shared(collector.as_str().to_owned());
        let (exporter, layers) = otlp::bridge(endpoint.map_err(io::Error::other)?);
        let exporter = Some(exporter);
        Ok((Observing { exporter }, layers))
    }

    /// Starts to send, as the host of this id. Needs a runtime.
    pub(crate) fn send(self, host: &str) -> Sending {
        Sending {
            task: self.exporter.map(|exporter| exporter.start(host)),
        }
    }
}

#[cfg(feature = "otlp")]
impl Sending {
    /// Sends what is left, if that is possible soon.
    pub(crate) async fn finish(self) {
        if let Some(task) = self.task {
            task.finish().await;
        }
    }
}

#[cfg(not(feature = "otlp"))]
impl Observing {
    #[expect(clippy::unnecessary_wraps, reason = "the same with and without OTLP")]
    fn new(_: Option<&Collector>) -> io::Result<(Observing, Vec<Layer>)> {
        // No address is one in this build.
        Ok((Observing {}, Vec::new()))
    }

    pub(crate) fn send(self, _: &str) -> Sending {
        Sending {}
    }
}

#[cfg(not(feature = "otlp"))]
impl Sending {
    #[expect(clippy::unused_async, reason = "the same with and without OTLP")]
    pub(crate) async fn finish(self) {}
}
