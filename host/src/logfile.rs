//! One append-only file per job: what its steps print, masked and stamped.
//!
//! A thin shell around [`stephost_joblog::JobLog`]: it owns the file, the clock and the end record. Promises:
//! an offset counts stored bytes; bytes below the published length never change; the length grows only by
//! whole stamped lines, so that a first read carries a whole header; followers never hold up the writer
//! (they read the file, see [`follow`]); the end is said explicitly, so that a writer that vanished is an
//! error for every follower and never a clean end (design D4).
//!
//! The file has no name: nothing is left behind when the host is killed, and it stays readable until the
//! last follower is gone. Bounded by [`LOG_BYTES_MAX`]; what does not fit, or does not fit on the disk, is
//! counted and named in the log as soon as a line can be written again. Never blocks on a reader.

pub(crate) mod follow;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use stephost_joblog::{JobLog, Secrets, Stream};
use tokio::sync::watch;

use crate::clock;

/// Longest stored log in bytes. Later output is dropped and counted.
pub(crate) const LOG_BYTES_MAX: u64 = 1 << 30;

/// Room kept for the line that says how much was dropped.
const NOTICE_BYTES_MAX: u64 = 4 * 1024;

/// How a log ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything the job wrote is there.
    Complete,
    /// The host broke while the job ran; the text names the incident.
    Broken(String),
}

/// What followers wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Stored bytes.
    pub(crate) bytes: u64,
    /// Set once, with the last bytes or after them.
    pub(crate) end: Option<End>,
}

/// The writing end of a job's log. Shared by everything the job runs; writes are serialised inside.
///
/// When the last holder lets go of it without [`LogWriter::end`], followers get an error.
#[derive(Debug)]
pub(crate) struct LogWriter {
    file: Arc<File>,
    writer: Mutex<Writer>,
    progress: watch::Sender<Progress>,
}

/// The reading end of a job's log.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    file: Arc<File>,
    progress: watch::Receiver<Progress>,
}

/// Makes an empty log in `dir` that hides `secrets`.
///
/// # Errors
///
/// When the file cannot be made, for instance on a full disk.
pub(crate) fn create(dir: &Path, secrets: Secrets) -> io::Result<(Arc<LogWriter>, LogReader)> {
    let file = Arc::new(tempfile::tempfile_in(dir)?);
    let progress = watch::Sender::new(Progress {
        bytes: 0,
        end: None,
    });
    let reader = LogReader {
        file: Arc::clone(&file),
        progress: progress.subscribe(),
    };
    let writer = Writer {
        core: JobLog::new(secrets),
        ready: Vec::new(),
        bytes: 0,
        dropped: 0,
        ended: false,
    };
    let writer = LogWriter {
        file,
        writer: Mutex::new(writer),
        progress,
    };
    Ok((Arc::new(writer), reader))
}

struct Writer {
    core: JobLog,
    /// Lines that became final and wait for the file; reused.
    ready: Vec<u8>,
    bytes: u64,
    dropped: u64,
    ended: bool,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("bytes", &self.bytes)
            .field("dropped", &self.dropped)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl LogWriter {
    /// Appends what a step printed on `stream`.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        self.with(|writer| {
            writer
                .core
                .push(stream, bytes, clock::wall(), &mut writer.ready)
        });
    }

    /// Appends a line of the host's own. Line breaks in `text` become spaces.
    pub(crate) fn line(&self, stream: Stream, text: &str) {
        let line = format!("{}\n", text.replace(['\n', '\r'], " "));
        self.with(|writer| {
            // The line must not be glued to a partial line of the step before.
            writer.core.flush(clock::wall(), &mut writer.ready);
            writer
                .core
                .push(stream, line.as_bytes(), clock::wall(), &mut writer.ready);
        });
    }

    /// Lets go what waits for more bytes: a step has ended.
    pub(crate) fn flush(&self) {
        self.with(|writer| writer.core.flush(clock::wall(), &mut writer.ready));
    }

    /// Hides `more` from now on.
    pub(crate) fn add_secrets(&self, more: Vec<Vec<u8>>) {
        if !more.is_empty() {
            self.with(|writer| writer.core.add_secrets(more));
        }
    }

    /// Returns `text` with every secret of this log hidden.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.lock().core.secrets().mask_text(text)
    }

    /// Says that nothing follows. The first end counts.
    pub(crate) fn end(&self, end: End) {
        self.with(|writer| writer.core.flush(clock::wall(), &mut writer.ready));
        self.lock().ended = true;
        self.progress.send_if_modified(|progress| {
            let first = progress.end.is_none();
            if first {
                progress.end = Some(end);
            }
            first
        });
    }

    fn with(&self, change: impl FnOnce(&mut Writer)) {
        let mut writer = self.lock();
        if writer.ended {
            return;
        }
        change(&mut writer);
        if writer.store(&self.file) {
            let bytes = writer.bytes;
            self.progress.send_modify(|progress| progress.bytes = bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writer> {
        // A panic while the lock was held leaves at worst a line unwritten: `bytes` moves last.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Moves ready lines to the file. Returns whether the stored length grew.
    fn store(&mut self, file: &File) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let before = self.bytes;
        if self.dropped > 0 {
            self.store_notice(file);
        }
        let fits = self.bytes + (self.ready.len() as u64) <= LOG_BYTES_MAX - NOTICE_BYTES_MAX;
        // Written at a place of our own counting: a failed write leaves bytes that the next one covers.
        if fits && self.dropped == 0 && file.write_all_at(&self.ready, self.bytes).is_ok() {
            self.bytes += self.ready.len() as u64;
        } else {
            self.dropped += self.ready.len() as u64;
        }
        self.ready.clear();
        self.bytes > before
    }

    /// Tries to say how much is missing; after success the log goes on.
    fn store_notice(&mut self, file: &File) {
        if self.bytes + NOTICE_BYTES_MAX > LOG_BYTES_MAX - NOTICE_BYTES_MAX {
            return;
        }
        let text = format!("[{} bytes of log could not be stored]\n", self.dropped);
        let mut notice = Vec::new();
        stephost_joblog::Stamper::new().push(
            Stream::Err,
            text.as_bytes(),
            clock::wall(),
            &mut notice,
        );
        if file.write_all_at(&notice, self.bytes).is_ok() {
            self.bytes += notice.len() as u64;
            self.dropped = 0;
        }
    }
}
