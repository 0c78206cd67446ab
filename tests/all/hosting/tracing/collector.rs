//! A collector of traces and logs, on this machine, in the test's hands.

use std::collections::HashMap;
use std::path::Path;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

/// What it does with what it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Takes,
    /// Answers this to every call.
    Refuses(Code),
    /// Answers nothing.
    Stalls,
}

/// What was sent to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) resources: Vec<Resource>,
    /// Calls that came, whatever became of them.
    pub(super) calls: usize,
}

pub(super) struct Collector {
    /// As `--otlp` takes it.
    pub(super) address: String,
    sent: watch::Receiver<Sent>,
}

#[derive(Clone)]
struct Service {
    manner: Manner,
    sent: watch::Sender<Sent>,
}

impl Collector {
    /// One at a free port.
    pub(super) async fn start(manner: Manner) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it has one");
        let (service, sent) = Service::new(manner);
        let server = service.server();
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Collector {
            address: format!("http://{address}"),
            sent,
        }
    }

    /// One at a socket.
    pub(super) fn start_at(socket: &Path) -> Collector {
        let listener = UnixListener::bind(socket).expect("a socket can be made");
        let (service, sent) = Service::new(Manner::Takes);
        let server = service.server();
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Collector {
            address: format!("unix://{}", socket.display()),
            sent,
        }
    }

    /// Waits for what was sent to be so.
    pub(super) async fn until(&mut self, reached: impl Fn(&Sent) -> bool) -> Sent {
        let sent = self.sent.wait_for(|sent| reached(sent)).await;
        sent.expect("the collector is there").clone()
    }

    /// Waits for the end of this many jobs: their spans are the last of each.
    pub(super) async fn jobs(&mut self, count: usize) -> Sent {
        let are_jobs = |sent: &Sent| named(sent, "job").count() >= count;
        self.until(are_jobs).await
    }
}

impl Service {
    fn new(manner: Manner) -> (Service, watch::Receiver<Sent>) {
        let (sent, seen) = watch::channel(Sent::default());
        (Service { manner, sent }, seen)
    }

    fn server(self) -> tonic::transport::server::Router {
        Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(LogsServiceServer::new(self))
    }

    async fn answer<T: Default>(
        &self,
        take: impl FnOnce(&mut Sent),
    ) -> Result<Response<T>, Status> {
        self.sent.send_modify(|sent| sent.calls += 1);
        match self.manner {
            Manner::Takes => {
                self.sent.send_modify(take);
                Ok(Response::new(T::default()))
            }
            Manner::Refuses(code) => Err(Status::new(code, "\u{1b}[31mno\nand no")),
            Manner::Stalls => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.answer(|sent| {
            for group in request.into_inner().resource_spans {
                sent.resources.extend(group.resource);
                let scopes = group.scope_spans.into_iter();
                sent.spans.extend(scopes.flat_map(|scope| scope.spans));
            }
        })
        .await
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.answer(|sent| {
            for group in request.into_inner().resource_logs {
                sent.resources.extend(group.resource);
                let scopes = group.scope_logs.into_iter();
                sent.logs.extend(scopes.flat_map(|scope| scope.log_records));
            }
        })
        .await
    }
}

pub(super) fn named<'a>(sent: &'a Sent, name: &'a str) -> impl Iterator<Item = &'a Span> {
    sent.spans.iter().filter(move |span| span.name == name)
}

/// An attribute as text; empty when there is none.
pub(super) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    let value = attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// The spans as a tree, one a line, each with what it says of itself. Numbers of processes are left out.
pub(super) fn tree(sent: &Sent) -> String {
    let mut children: HashMap<&[u8], Vec<&Span>> = HashMap::new();
    let mut spans: Vec<&Span> = sent.spans.iter().collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    for &span in &spans {
        children.entry(&span.parent_span_id).or_default().push(span);
    }
    let mut text = String::new();
    let is_known = |id: &[u8]| spans.iter().any(|span| span.span_id == id);
    for root in spans.iter().filter(|span| !is_known(&span.parent_span_id)) {
        draw(root, &children, 0, &mut text);
    }
    text
}

fn draw(span: &Span, children: &HashMap<&[u8], Vec<&Span>>, depth: usize, text: &mut String) {
    let mut attributes: Vec<String> = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key != "process.pid")
        .map(|at| format!("{}={}", at.key, attribute(&span.attributes, &at.key)))
        .collect();
    attributes.sort();
    for event in &span.events {
        attributes.push(format!("!{}", event.name));
    }
    let line = format!(
        "{}{}: {}",
        "  ".repeat(depth),
        span.name,
        attributes.join(" ")
    );
    text.push_str(&line);
    text.push('\n');
    for child in children.get(span.span_id.as_slice()).into_iter().flatten() {
        draw(child, children, depth + 1, text);
    }
}
