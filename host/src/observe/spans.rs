//! Spans: what a job and its parts are called while they run, for every line of the operator's log that is written
//! inside, and for a collector of traces.
//!
//! ```text
//! job ─▶ step ─▶ step … ─▶ process
//!                     └──▶ guest ─▶ process
//! ```
//!
//! Declares every field of them. Promises: no value of a variable, an argument or an output is in a field; without a
//! subscriber a span costs one comparison. A span is entered by instrumented futures, never by a guard that is held
//! over an await. Made by `jobs::driver` and `run`, who own what they stand for.

use stephost_job::JobId;
use stephost_process::{Exit, Pid};
use tracing::Span;
use tracing::field::Empty;

use super::TraceContext;
use super::metrics::Ended;
use super::panics::Incident;

/// A job, from its driver's start to its end; in the trace of the client, if that named one.
pub(crate) fn job(id: &JobId, client: Option<&TraceContext>) -> Span {
    let span = tracing::info_span!("job", job.id = %id, job.result = Empty);
    #[cfg(feature = "otlp")]
    if let Some(client) = client {
        super::otlp::adopt(&span, client);
    }
    #[cfg(not(feature = "otlp"))]
    let _ = client;
    span
}

/// A step of a function.
pub(crate) fn step(name: &str) -> Span {
    tracing::info_span!("step", step.name = name, func.ref = Empty, step.result = Empty)
}

/// A native program, inside `parent`.
pub(crate) fn process(parent: &Span) -> Span {
    tracing::info_span!(
        parent: parent,
        "process",
        process.pid = Empty,
        process.exit.code = Empty,
        process.ended = Empty,
    )
}

/// A run of a builtin in the sandbox.
pub(crate) fn guest(builtin: &str) -> Span {
    tracing::info_span!("guest", builtin, guest.result = Empty)
}

/// What the running step turned out to call.
pub(crate) fn calls(reference: &dyn std::fmt::Display) {
    Span::current().record("func.ref", tracing::field::display(reference));
}

/// A native program runs.
pub(crate) fn process_started(span: &Span, pid: Pid) {
    span.record("process.pid", pid.as_raw_pid());
}

/// How a native program ended.
pub(crate) fn process_ended(span: &Span, exit: Exit) {
    match exit {
        Exit::Code(code) => span.record("process.exit.code", code),
        // A signal gives no code.
        Exit::Signal(_) | Exit::Dumped(_) => span,
    }
    .record("process.ended", tracing::field::display(exit));
}

/// How a job ended.
pub(crate) fn job_ended(span: &Span, how: Ended) {
    span.record("job.result", how.as_str());
}

/// How a step ended.
pub(crate) fn step_ended(span: &Span, how: Ended) {
    span.record("step.result", how.as_str());
}

/// How a guest ended.
pub(crate) fn guest_ended(span: &Span, how: Ended) {
    span.record("guest.result", how.as_str());
}

/// Notes a panic in the running span.
pub(super) fn panicked(incident: &Incident) {
    #[cfg(feature = "otlp")]
    super::otlp::panicked(incident);
    #[cfg(not(feature = "otlp"))]
    let _ = incident;
}

/// Where in which trace whoever runs now is, for the programs that it starts: the running span if spans are sent, else
/// the `client`'s own word.
pub(crate) fn context(client: Option<&TraceContext>) -> Option<TraceContext> {
    #[cfg(feature = "otlp")]
    if let Some(own) = super::otlp::current() {
        return Some(own);
    }
    client.cloned()
}

/// Whether spans are sent, so that every step is in a trace.
pub(crate) fn are_sent() -> bool {
    #[cfg(feature = "otlp")]
    let sent = super::otlp::is_on();
    #[cfg(not(feature = "otlp"))]
    let sent = false;
    sent
}
