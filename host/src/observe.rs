//! The operator's log: where it goes; [`panics`], who catches them and what is told of them; [`spans`], inside which
//! jobs and their parts run.
//!
//! Under `steps` there is none unless a file is named: stderr ends up in the job's log (design D13). Field
//! names are those of the style guide: `job.id`, `rpc.method`, `grpc.code`, `error.kind`, `wasm.trap`. Never
//! logged: values of variables, arguments, environment.

mod context;
#[cfg(feature = "otlp")]
mod otlp;
pub(crate) mod panics;
pub(crate) mod spans;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Collector;

pub(crate) use context::{TRACEPARENT, TRACESTATE, TraceContext};

/// Where the operator's log goes.
pub(crate) enum OperatorLog<'a> {
    Nowhere,
    Stderr,
    File(&'a Path),
}

/// Starts the operator's log, and takes what is said for a `collector` too, if there is one.
///
/// # Errors
///
/// When its file cannot be opened, or the collector has no address.
pub(crate) fn start(log: OperatorLog<'_>, collector: Option<&Collector>) -> io::Result<Observing> {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false);
    let lines = match log {
        OperatorLog::Nowhere => None,
        OperatorLog::Stderr => Some(lines.with_writer(io::stderr).boxed()),
        OperatorLog::File(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?;
            Some(lines.with_writer(Mutex::new(file)).boxed())
        }
    };
    let (bridge, observing) = Observing::bridge(collector)?;
    // Without either nobody listens, and a span or a line costs one comparison.
    if lines.is_some() || bridge.is_some() {
        tracing_subscriber::registry()
            .with(bridge)
            .with(lines.map(|lines| lines.with_filter(LevelFilter::INFO)))
            .init();
    }
    std::panic::set_hook(Box::new(panics::hook));
    Ok(observing)
}

type Bridge = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;

/// What is to be sent to a collector, if there is one.
pub(crate) struct Observing {
    #[cfg(feature = "otlp")]
    exporter: Option<otlp::Exporter>,
}

/// What is being sent.
pub(crate) struct Sending {
    #[cfg(feature = "otlp")]
    task: Option<otlp::Sending>,
}

#[cfg(feature = "otlp")]
impl Observing {
    fn bridge(collector: Option<&Collector>) -> io::Result<(Option<Bridge>, Observing)> {
        let Some(collector) = collector else {
            return Ok((None, Observing { exporter: None }));
        };
        let endpoint = tonic::transport::Endpoint::from_shared(collector.as_str().to_owned());
        let (bridge, exporter) = otlp::bridge(endpoint.map_err(io::Error::other)?);
        let exporter = Some(exporter);
        Ok((Some(bridge.boxed()), Observing { exporter }))
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
    fn bridge(_: Option<&Collector>) -> io::Result<(Option<Bridge>, Observing)> {
        // No address passes the configuration of this build.
        Ok((None, Observing {}))
    }

    pub(crate) fn send(self, _: &str) -> Sending {
        Sending {}
    }
}

#[cfg(not(feature = "otlp"))]
impl Sending {
    #[expect(clippy::unused_async, reason = "the same with and without a collector")]
    pub(crate) async fn finish(self) {}
}
