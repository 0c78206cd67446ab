//! The bridge to a collector of traces and logs: spans and lines of the operator's log become OTLP, sent over gRPC.
//!
//! ```text
//! spans  ──▶ tracing-opentelemetry ──▶ queue ──▶ sender ──▶ collector
//! events ──▶ appender ───────────────▶   │
//!                                        └─ full: counted, told once
//! ```
//!
//! Promises: whoever opens a span or writes a line never waits for a collector, and holds no more than [`queue`] has
//! room for; nothing is read from the environment (the SDK's own readers are given their answers here, and the usual
//! exporter, which cannot be told not to read `OTEL_EXPORTER_OTLP_HEADERS`, is not used). Names that leave the host are
//! those of [`names`]. Started by `cli`, for the daemon alone; without it nothing of this costs anything.

mod names;
mod queue;
mod sender;

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanLimits};
use tonic::transport::Endpoint;
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, filter_fn};

use super::TraceContext;
use super::panics::Incident;
use queue::Queue;

pub(crate) use sender::{Exporter, Sending};

/// Whether spans go anywhere but into the operator's log.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether they do.
pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// What turns spans and events into records, and what sends these once it is started.
pub(super) fn bridge(collector: Endpoint) -> (Exporter, Vec<super::Layer>) {
    let (queue, records) = Queue::new();
    let spans = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().build())
        // A client that does not sample its trace does not want our part of it either.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_span_limits(SpanLimits::default())
        .with_span_processor(queue.clone())
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(spans.tracer(names::SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(
            filter_fn(|it| it.is_span() && is_ours(it)).with_max_level_hint(LevelFilter::INFO),
        );
    let logs = SdkLoggerProvider::builder()
        .with_resource(Resource::builder_empty().build())
        .with_log_processor(queue.clone())
        .build();
    let logs = OpenTelemetryTracingBridge::new(&logs).with_filter(
        filter_fn(|it| it.is_event() && is_ours(it)).with_max_level_hint(LevelFilter::INFO),
    );
    ON.store(true, Ordering::Relaxed);
    let exporter = Exporter::new(collector, queue, records);
    (exporter, vec![spans.boxed(), logs.boxed()])
}

/// What this program says itself. What the way to the collector says must not go that way.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::INFO && (target == "audit" || target.starts_with("stephost"))
}

/// Makes `span` part of a client's trace. It must not have been entered yet.
pub(super) fn adopt(span: &Span, client: &TraceContext) {
    // The same grammar, so it is one; if not, the trace goes on without it.
    let state = client
        .state()
        .parse()
        .unwrap_or_else(|_| TraceState::default());
    let parent = SpanContext::new(
        TraceId::from(client.trace()),
        SpanId::from(client.span()),
        TraceFlags::new(client.flags()),
        true,
        state,
    );
    // Nobody takes spans, or this one: then there is no trace to be part of.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Where the running span is in which trace; `None` when spans are not sent.
pub(super) fn current() -> Option<TraceContext> {
    if !is_on() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    let (trace, id) = (span.trace_id(), span.span_id());
    TraceContext::new(
        u128::from_be_bytes(trace.to_bytes()),
        u64::from_be_bytes(id.to_bytes()),
        span.trace_flags().to_u8(),
        &span.trace_state().header(),
    )
}

/// Notes a panic in the running span: its number, and not its text, which may hold what a job works on.
pub(super) fn panicked(incident: &Incident) {
    if is_on() {
        let attributes = vec![
            KeyValue::new("exception.type", "panic"),
            KeyValue::new("exception.message", incident.to_string()),
        ];
        Span::current().add_event(names::EXCEPTION, attributes);
    }
}
