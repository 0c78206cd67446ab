//! Sends what waits, in batches, for as long as there is a host.
//!
//! Promises: one task, one batch in hand; a collector that is down, slow or wrong costs a job nothing, and its answers are
//! bounded and never repeated in the log. A batch that could not be delivered for the moment is tried again, ever more
//! rarely; one that was refused is lost. The operator is told when trouble begins, when it is over, and at the end how
//! many records were lost. The end of the host waits for [`Sending::finish`] at most [`FLUSH`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::names;
use super::queue::{Counts, Queue, Record};

/// How long the end of the host waits for what is left.
const FLUSH: Duration = Duration::from_millis(1500);
/// How long a record may wait for others to be sent with it.
const GATHER: Duration = Duration::from_secs(1);
/// Most records of a batch, and most bytes: collectors take 4 MiB.
const BATCH_RECORDS_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Longest time for a connection, and for a call.
const CONNECT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(5);
/// Pauses between two tries: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a trouble that comes and goes is not told again.
const QUIET: Duration = Duration::from_secs(60);
/// Longest answer of a collector, which says next to nothing.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What will send, once there is a runtime.
pub(crate) struct Exporter {
    collector: Endpoint,
    queue: Queue,
    records: mpsc::Receiver<Record>,
}

/// What sends.
pub(crate) struct Sending {
    finish: oneshot::Sender<()>,
    task: JoinHandle<()>,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(super) fn new(
        collector: Endpoint,
        queue: Queue,
        records: mpsc::Receiver<Record>,
    ) -> Exporter {
        Exporter {
            collector,
            queue,
            records,
        }
    }

    /// Starts to send, as the host of this id. Needs a runtime.
    pub(crate) fn start(self, host: &str) -> Sending {
        let channel = self
            .collector
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .connect_lazy();
        let (finish, asked_to_finish) = oneshot::channel();
        let counts = self.queue.counts();
        let sender = Sender {
            traces: TraceServiceClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            logs: LogsServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
            resource: resource(host),
            counts: self.queue.counts(),
            finish: Some(asked_to_finish),
            told: Told::default(),
        };
        Sending {
            finish,
            task: tokio::spawn(sender.run(self.records)),
            counts,
        }
    }
}

impl Sending {
    /// Sends what is left, if that is possible soon, and says what was lost.
    pub(crate) async fn finish(mut self) {
        // A task that is gone sends nothing anyway.
        let _ = self.finish.send(());
        if tokio::time::timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let lost = self.counts.lost_at_the_end();
        if lost > 0 {
            tracing::warn!(lost, "traces or logs did not reach their collector");
        }
    }
}

fn resource(host: &str) -> Resource {
    let attribute = |key: &str, text: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text.to_owned())),
        }),
        ..KeyValue::default()
    };
    Resource {
        attributes: vec![
            attribute("service.name", names::SCOPE),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", host),
        ],
        ..Resource::default()
    }
}

/// The task.
struct Sender {
    traces: TraceServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
    resource: Resource,
    counts: Arc<Counts>,
    /// Taken when it has come.
    finish: Option<oneshot::Receiver<()>>,
    told: Told,
}

/// What the operator knows.
#[derive(Default)]
struct Told {
    /// Of each kind of part, when it was last said that it is not taken.
    trouble: [Trouble; 2],
    lost: bool,
}

#[derive(Default, Clone, Copy)]
struct Trouble {
    /// Said, and not over.
    lasts: bool,
    said_at: Option<Instant>,
}

/// What became of a try.
enum Delivery {
    /// The collector has them, but for so many.
    Taken { refused: u64 },
    /// It never takes them.
    Refused(Code),
    /// It does not take them now.
    Later(Code),
}

impl Sender {
    async fn run(mut self, mut records: mpsc::Receiver<Record>) {
        while let Some(batch) = self.gather(&mut records).await {
            self.deliver(batch).await;
            self.told.loss(&self.counts);
        }
    }

    /// What is sent together; `None` when the host ends and nothing is left.
    async fn gather(&mut self, records: &mut mpsc::Receiver<Record>) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut full_at = None;
        while batch.has_room() {
            let next = tokio::select! {
                biased;
                () = asked(&mut self.finish) => {
                    // What comes from now on is lost, and what is here is sent without waiting for more.
                    records.close();
                    continue;
                }
                record = records.recv() => record,
                () = at(full_at) => break,
            };
            let Some(record) = next else { break };
            self.counts.taken(&record);
            batch.add(record);
            full_at.get_or_insert_with(|| Instant::now() + GATHER);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Sends a batch, as often as it takes.
    async fn deliver(&mut self, batch: Batch) {
        let mut left: VecDeque<Part> = batch.parts(&self.resource).into();
        let mut pause = PAUSE;
        while let Some(part) = left.front() {
            let count = part.count();
            match self.send(part.clone()).await {
                Delivery::Taken { refused } => {
                    self.counts.settled(count, refused.min(count));
                    self.told.recovery(part, &self.counts);
                }
                Delivery::Refused(code) => {
                    self.counts.settled(count, count);
                    self.told.trouble(part, code);
                }
                Delivery::Later(code) => {
                    self.told.trouble(part, code);
                    if self.finish.is_none() {
                        // The last try was this one; the records are counted as pending.
                        return;
                    }
                    tokio::select! {
                        () = asked(&mut self.finish) => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            }
            left.pop_front();
        }
    }

    async fn send(&mut self, part: Part) -> Delivery {
        // tonic's own limit ends with the head of the answer.
        let sent = tokio::time::timeout(CALL, async {
            match part {
                Part::Spans { request, .. } => {
                    let answer = self.traces.export(request).await?.into_inner();
                    Ok(answer.partial_success.map_or(0, |part| part.rejected_spans))
                }
                Part::Logs { request, .. } => {
                    let answer = self.logs.export(request).await?.into_inner();
                    let refused = answer.partial_success;
                    Ok(refused.map_or(0, |part| part.rejected_log_records))
                }
            }
        });
        match sent.await {
            Ok(Ok(refused)) => Delivery::Taken {
                refused: u64::try_from(refused).unwrap_or(0),
            },
            Ok(Err(status)) => delivery(&status),
            Err(_) => Delivery::Later(Code::DeadlineExceeded),
        }
    }
}

impl Told {
    /// Says it once, and not again soon when it comes and goes.
    fn trouble(&mut self, part: &Part, code: Code) {
        let trouble = &mut self.trouble[part.kind()];
        let lately = trouble.said_at.is_some_and(|at| at.elapsed() < QUIET);
        if !trouble.lasts && !lately {
            trouble.lasts = true;
            trouble.said_at = Some(Instant::now());
            tracing::warn!(signal = part.name(), grpc.code = ?code, "the collector does not take what is sent to it");
        }
    }

    fn recovery(&mut self, part: &Part, counts: &Counts) {
        let trouble = &mut self.trouble[part.kind()];
        if trouble.lasts {
            trouble.lasts = false;
            let lost = counts.lost();
            tracing::info!(
                signal = part.name(),
                lost,
                "the collector takes what is sent to it again"
            );
        }
    }

    fn loss(&mut self, counts: &Counts) {
        let lost = counts.lost();
        if lost > 0 && !self.lost {
            self.lost = true;
            tracing::warn!(
                lost,
                "traces or logs are lost on the way to their collector"
            );
        }
    }
}

/// What the standard says about answers that are errors.
fn delivery(status: &tonic::Status) -> Delivery {
    match status.code() {
        code @ (Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss) => Delivery::Later(code),
        // What the connection says of itself, not the collector.
        code @ Code::Unknown if std::error::Error::source(status).is_some() => {
            Delivery::Later(code)
        }
        code => Delivery::Refused(code),
    }
}

/// Waits until the host ends; for ever once it has been heard.
async fn asked(finish: &mut Option<oneshot::Receiver<()>>) {
    match finish {
        Some(asked) => {
            // An error means that nobody will ask any more, which is the same.
            let _ = asked.await;
            *finish = None;
        }
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// What is sent together.
#[derive(Default)]
struct Batch {
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, record: Record) {
        self.bytes += record.bytes();
        match record {
            Record::Span(span) => self.spans.push(span),
            Record::Log(log) => self.logs.push(log),
        }
    }

    fn has_room(&self) -> bool {
        self.spans.len() + self.logs.len() < BATCH_RECORDS_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.logs.is_empty()
    }

    fn parts(self, resource: &Resource) -> Vec<Part> {
        let scope = || {
            Some(InstrumentationScope {
                name: names::SCOPE.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            })
        };
        let mut parts = Vec::new();
        if !self.spans.is_empty() {
            parts.push(Part::Spans {
                count: self.spans.len() as u64,
                request: ExportTraceServiceRequest {
                    resource_spans: vec![ResourceSpans {
                        resource: Some(resource.clone()),
                        scope_spans: vec![ScopeSpans {
                            scope: scope(),
                            spans: self.spans,
                            ..ScopeSpans::default()
                        }],
                        ..ResourceSpans::default()
                    }],
                },
            });
        }
        if !self.logs.is_empty() {
            parts.push(Part::Logs {
                count: self.logs.len() as u64,
                request: ExportLogsServiceRequest {
                    resource_logs: vec![ResourceLogs {
                        resource: Some(resource.clone()),
                        scope_logs: vec![ScopeLogs {
                            scope: scope(),
                            log_records: self.logs,
                            ..ScopeLogs::default()
                        }],
                        ..ResourceLogs::default()
                    }],
                },
            });
        }
        parts
    }
}

/// One call.
#[derive(Clone)]
enum Part {
    Spans {
        count: u64,
        request: ExportTraceServiceRequest,
    },
    Logs {
        count: u64,
        request: ExportLogsServiceRequest,
    },
}

impl Part {
    fn kind(&self) -> usize {
        match self {
            Part::Spans { .. } => 0,
            Part::Logs { .. } => 1,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Part::Spans { .. } => "traces",
            Part::Logs { .. } => "logs",
        }
    }

    fn count(&self) -> u64 {
        match self {
            Part::Spans { count, .. } | Part::Logs { count, .. } => *count,
        }
    }
}
