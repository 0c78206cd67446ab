//! What waits for the collector, bounded in number and bytes.
//!
//! Promises: [`Queue::push`] never waits; what finds no room is counted and gone. Filled by the SDK, in whatever thread a
//! span ends or a line is written; emptied by [`super::sender`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span as SdkSpan, SpanData, SpanProcessor};
use prost::Message as _;
use tokio::sync::mpsc;

use super::names;

/// Most records that wait.
const RECORDS_MAX: usize = 8 * 1024;
/// Most bytes of them together, as they are sent.
const BYTES_MAX: usize = 8 << 20;

/// One thing to be sent.
#[derive(Debug)]
pub(super) enum Record {
    /// A span that has ended.
    Span(Span),
    /// A line of the operator's log.
    Log(LogRecord),
}

impl Record {
    /// How many bytes it takes on the wire.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Record::Span(span) => span.encoded_len(),
            Record::Log(log) => log.encoded_len(),
        }
    }
}

/// The end of the queue that is filled. Clones fill the same.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    records: mpsc::Sender<Record>,
    counts: Arc<Counts>,
}

/// What the two ends know of each other.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bytes that wait.
    bytes: AtomicUsize,
    /// Records that were taken and are neither delivered nor lost.
    pending: AtomicU64,
    /// Records that nobody will ever see.
    lost: AtomicU64,
}

impl Counts {
    /// A record has left the queue; it is still pending.
    pub(super) fn taken(&self, record: &Record) {
        self.bytes.fetch_sub(record.bytes(), Ordering::Relaxed);
    }

    /// `sent` records are done with; the collector has refused `refused` of them.
    pub(super) fn settled(&self, sent: u64, refused: u64) {
        self.pending.fetch_sub(sent, Ordering::Relaxed);
        self.lost.fetch_add(refused, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The same if nothing is sent any more.
    pub(super) fn lost_at_the_end(&self) -> u64 {
        self.lost() + self.pending.load(Ordering::Relaxed)
    }
}

impl Queue {
    pub(super) fn new() -> (Queue, mpsc::Receiver<Record>) {
        let (sender, receiver) = mpsc::channel(RECORDS_MAX);
        let queue = Queue {
            records: sender,
            counts: Arc::default(),
        };
        (queue, receiver)
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn push(&self, record: Record) {
        let Counts {
            bytes,
            pending,
            lost,
        } = &*self.counts;
        let length = record.bytes();
        let waiting = bytes.fetch_add(length, Ordering::Relaxed);
        pending.fetch_add(1, Ordering::Relaxed);
        // Closed means that the host is about to end.
        if waiting + length > BYTES_MAX || self.records.try_send(record).is_err() {
            bytes.fetch_sub(length, Ordering::Relaxed);
            pending.fetch_sub(1, Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut SdkSpan, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.push(Record::Span(names::span(span.into())));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl LogProcessor for Queue {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        self.push(Record::Log(names::log((&*record).into(), record.target())));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: usize) -> Record {
        Record::Log(LogRecord {
            severity_text: "x".repeat(bytes),
            ..LogRecord::default()
        })
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (queue, mut records) = Queue::new();
        let counts = queue.counts();
        for _ in 0..RECORDS_MAX + 3 {
            queue.push(log(1));
        }
        assert_eq!(counts.lost(), 3);
        let first = records.try_recv().unwrap();
        counts.taken(&first);
        counts.settled(1, 0);
        queue.push(log(1));
        assert_eq!(counts.lost(), 3, "there was room again");
        assert_eq!(counts.lost_at_the_end(), 3 + RECORDS_MAX as u64);
    }

    #[test]
    fn a_few_large_records_fill_it_too() {
        let (queue, _records) = Queue::new();
        for _ in 0..9 {
            queue.push(log(1 << 20));
        }
        assert_eq!(
            queue.counts().lost(),
            2,
            "headers make eight of them too many"
        );
        queue.push(log(1000));
        assert_eq!(queue.counts().lost(), 2);
    }
}
