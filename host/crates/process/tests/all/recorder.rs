//! What tests on every system need: an output that can be waited for, and a bound for waiting.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{future::Future, sync::Mutex, time::Duration};

use stephost_process::{Output, Stream};
use tokio::{sync::Notify, time::timeout};

/// No test waits longer than this for anything.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// Keeps what a step writes.
#[derive(Default)]
pub(crate) struct Recorder {
    out: Mutex<Vec<u8>>,
    err: Mutex<Vec<u8>>,
    late: Mutex<Vec<u8>>,
    written: Notify,
}

impl Recorder {
    pub(crate) fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.of(stream).lock().unwrap().clone()
    }

    pub(crate) fn text(&self, stream: Stream) -> String {
        String::from_utf8(self.bytes(stream)).expect("tests write UTF-8")
    }

    pub(crate) fn out(&self) -> String {
        self.text(Stream::Out)
    }

    /// What was written on both streams by those who outlived their step.
    pub(crate) fn late(&self) -> String {
        String::from_utf8(self.late.lock().unwrap().clone()).expect("tests write UTF-8")
    }

    /// Waits until those who outlived their step have written `text`.
    pub(crate) async fn hears_late(&self, text: &str) {
        within(&format!("late {text:?}"), async {
            loop {
                let written = self.written.notified();
                if self.late().contains(text) {
                    return;
                }
                written.await;
            }
        })
        .await
    }

    /// Waits for a whole line on stdout that begins with `start`; returns the rest of it.
    pub(crate) async fn line(&self, start: &str) -> String {
        let line = |out: &str| {
            let complete = out.rfind('\n').map_or("", |end| &out[..end]);
            let line = complete.lines().find(|line| line.starts_with(start));
            line.map(|line| line[start.len()..].to_owned())
        };
        within(&format!("line {start:?}"), self.until(line)).await
    }

    /// Waits until `found` finds something in what was written to stdout.
    pub(crate) async fn until<T>(&self, found: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let written = self.written.notified();
            if let Some(found) = found(&self.out()) {
                return found;
            }
            written.await;
        }
    }

    fn of(&self, stream: Stream) -> &Mutex<Vec<u8>> {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

impl Output for Recorder {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        self.of(stream).lock().unwrap().extend_from_slice(bytes);
        self.written.notify_waiters();
    }

    fn write_late(&self, _: Stream, bytes: &[u8]) {
        self.late.lock().unwrap().extend_from_slice(bytes);
        self.written.notify_waiters();
    }
}

/// Waits for `what`, which must not take long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(GUARD, future)
        .await
        .unwrap_or_else(|_| panic!("waited {GUARD:?} for {what}"))
}
