//! One append-only file per job: what its steps print, masked and stamped.
//!
//! A thin shell around [`stephost_joblog::JobLog`]: it owns the file, the clock and the end record. Promises:
//! an offset counts stored bytes; bytes below the published length never change; the length grows only by
//! whole stamped lines, so that a first read carries a whole header; followers never hold up the writer
//! (they read the file, see [`follow`]); the end is said explicitly, so that a writer that vanished is an
//! error for every follower and never a clean end (design D4).
//!
//! The file has no name: nothing is left behind when the host is killed, and it stays readable until the
//! last follower is gone. (On Windows it has one, and goes with the last who has it open.) Bounded by
//! [`LOG_BYTES_MAX`]; what does not fit, or does not fit on the disk, is counted and named in the log as soon as a
//! line can be written again. Those who outlived their step have a smaller room of their own
//! ([`BACKGROUND_BYTES_MAX`]). Never blocks on a reader.

pub(crate) mod follow;

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use stephost_fault::point;
use stephost_joblog::{BackgroundId, JobLog, LogOffset, SECRETS_BYTES_MAX, Secrets, Stream};
use tokio::sync::watch;

use crate::lodging::Lodging;
use crate::observe::metrics;
use crate::{clock, files};

/// Longest stored log in bytes. Later output is dropped and counted.
pub(crate) const LOG_BYTES_MAX: u64 = 1 << 30;

/// Most stored bytes of all processes together that outlived their steps. What comes after it is dropped and counted, so that
/// no runaway server takes the room of the steps.
pub(crate) const BACKGROUND_BYTES_MAX: u64 = 16 << 20;

/// Room kept for the line that says how much was dropped.
const NOTICE_BYTES_MAX: u64 = 4 * 1024;

/// Masked variables and sensitive values of a job are longer than its log can hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "masked and sensitive values of {bytes} bytes are more than the {} MiB that a job's log can hide",
    SECRETS_BYTES_MAX >> 20
)]
pub(crate) struct TooMuchToHide {
    bytes: usize,
}

impl TooMuchToHide {
    /// Whether a log can hide these.
    pub(crate) fn check(secrets: &Secrets) -> Result<(), TooMuchToHide> {
        let bytes = secrets.bytes();
        if bytes > SECRETS_BYTES_MAX {
            return Err(TooMuchToHide { bytes });
        }
        Ok(())
    }
}

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
    stored: Arc<Stored>,
    writer: Mutex<Writer>,
    progress: watch::Sender<Progress>,
}

/// The file of a log.
#[derive(Debug)]
struct Stored {
    file: File,
    /// After the file.
    _lodging: Lodging,
}

/// The reading end of a job's log.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    stored: Arc<Stored>,
    progress: watch::Receiver<Progress>,
}

impl LogReader {
    /// How much is stored.
    pub(crate) fn stored(&self) -> LogOffset {
        LogOffset::START.advance(self.progress.borrow().bytes)
    }
}

/// Makes an empty log there that hides `secrets`.
///
/// # Errors
///
/// When the file cannot be made, for instance on a full disk.
pub(crate) fn create(
    lodging: Lodging,
    secrets: Secrets,
) -> io::Result<(Arc<LogWriter>, LogReader)> {
    let stored = Arc::new(Stored {
        file: tempfile::tempfile_in(lodging.path())?,
        _lodging: lodging,
    });
    let progress = watch::Sender::new(Progress {
        bytes: 0,
        end: None,
    });
    let reader = LogReader {
        stored: Arc::clone(&stored),
        progress: progress.subscribe(),
    };
    let writer = Writer {
        core: JobLog::new(secrets),
        ready: Vec::new(),
        bytes: 0,
        dropped: 0,
        background_bytes: 0,
        background_dropped: 0,
        background_bytes_max: BACKGROUND_BYTES_MAX,
        bytes_max: LOG_BYTES_MAX,
        ending: false,
        ended: false,
    };
    let writer = LogWriter {
        stored,
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
    /// Of those in the background: stored, and too much.
    background_bytes: u64,
    background_dropped: u64,
    background_bytes_max: u64,
    bytes_max: u64,
    /// Nothing comes after what is ready now.
    ending: bool,
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
        point!("log.write");
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
            point!("log.line");
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

    /// From here on, processes may speak that outlived this step.
    pub(crate) fn begin_background(&self, step: &str) -> BackgroundId {
        self.lock().core.begin_background(step)
    }

    /// Appends what such a process printed, marked as such.
    pub(crate) fn write_background(&self, id: BackgroundId, stream: Stream, bytes: &[u8]) {
        self.with(|writer| {
            writer.speak(|core, ready| {
                core.push_background(id, stream, bytes, clock::wall(), ready);
            });
        });
    }

    /// Says that nobody of this step is left who could.
    pub(crate) fn end_background(&self, id: BackgroundId) {
        self.with(|writer| {
            writer.speak(|core, ready| core.end_background(id, clock::wall(), ready));
        });
    }

    /// How much is stored. What comes later in the log comes after it.
    pub(crate) fn stored(&self) -> LogOffset {
        LogOffset::START.advance(self.lock().bytes)
    }

    /// Hides `more` from now on.
    ///
    /// # Errors
    ///
    /// When that would be more than a log can hide; nothing has changed then.
    pub(crate) fn add_secrets(&self, more: Vec<Vec<u8>>) -> Result<(), TooMuchToHide> {
        if more.is_empty() {
            return Ok(());
        }
        let mut fits = Ok(());
        self.with(|writer| {
            // What is hidden already does not count again.
            let secrets = writer.core.secrets().with(more);
            fits = TooMuchToHide::check(&secrets);
            if fits.is_ok() {
                writer.core.hide(secrets);
            }
        });
        fits
    }

    /// Returns `text` with every secret of this log hidden.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.lock().core.secrets().mask_text(text)
    }

    /// Says that nothing follows. The first end counts.
    pub(crate) fn end(&self, end: End) {
        point!("log.end");
        self.with(|writer| {
            writer.core.flush(clock::wall(), &mut writer.ready);
            writer.speak(|core, ready| core.finish(clock::wall(), ready));
            let missing = writer.background_dropped;
            if missing > 0 {
                writer.note_background(&format!(
                    "[{missing} bytes of background processes were not stored]"
                ));
            }
            writer.ending = true;
        });
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
        if writer.store(&self.stored.file) {
            let bytes = writer.bytes;
            self.progress.send_modify(|progress| progress.bytes = bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writer> {
        // A panic while the lock was held leaves at worst a line unwritten: `bytes` moves last.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a test makes the disk a full one.
fn full() -> bool {
    point!("log.store", fails: true);
    false
}

impl Writer {
    /// Lets those in the background speak, as long as there is room for them.
    fn speak(&mut self, say: impl FnOnce(&mut JobLog, &mut Vec<u8>)) {
        let before = self.ready.len();
        say(&mut self.core, &mut self.ready);
        let said = (self.ready.len() - before) as u64;
        if said == 0 {
            return;
        }
        if self.background_dropped == 0 && self.background_bytes + said <= self.background_bytes_max
        {
            self.background_bytes += said;
            return;
        }
        self.ready.truncate(before);
        metrics::not_logged(said);
        if self.background_dropped == 0 {
            self.note_background("[what background processes write from here on is not stored]");
        }
        self.background_dropped += said;
    }

    fn note_background(&mut self, text: &str) {
        self.core
            .note_background(text, clock::wall(), &mut self.ready);
    }

    /// Moves ready lines to the file. Returns whether the stored length grew.
    fn store(&mut self, file: &File) -> bool {
        let before = self.bytes;
        // The room kept for the last notice is only used by it.
        let room = self.bytes_max - NOTICE_BYTES_MAX;
        if self.dropped > 0 && !self.ready.is_empty() {
            self.store_notice(file, room);
        }
        let fits = self.bytes + (self.ready.len() as u64) <= room && !full();
        // Written at a place of our own counting: a failed write leaves bytes that the next one covers.
        if fits && self.dropped == 0 && files::write_all_at(file, &self.ready, self.bytes).is_ok() {
            self.bytes += self.ready.len() as u64;
        } else {
            self.dropped += self.ready.len() as u64;
            metrics::not_logged(self.ready.len() as u64);
        }
        self.ready.clear();
        if self.ending && self.dropped > 0 {
            self.store_notice(file, self.bytes_max);
        }
        metrics::logged(self.bytes - before);
        self.bytes > before
    }

    /// Tries to say how much is missing, within `room`; after success the log goes on.
    fn store_notice(&mut self, file: &File, room: u64) {
        if self.bytes + NOTICE_BYTES_MAX > room {
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
        if files::write_all_at(file, &notice, self.bytes).is_ok() {
            self.bytes += notice.len() as u64;
            self.dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use futures_util::StreamExt as _;

    use super::*;

    fn log(secrets: &[&str]) -> (Arc<LogWriter>, LogReader, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let secrets = secrets.iter().map(|secret| secret.as_bytes().to_vec());
        let lodging = Lodging::at(dir.path().to_owned());
        let (writer, reader) = create(lodging, Secrets::new(secrets)).unwrap();
        (writer, reader, dir)
    }

    async fn read(reader: &LogReader, offset: i64) -> Result<Vec<u8>, String> {
        let offset = LogOffset::try_from(offset).unwrap();
        let mut pieces = std::pin::pin!(reader.follow(offset));
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await {
            read.extend(piece.map_err(|error| error.to_string())?);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn every_offset_gives_the_rest_of_the_same_bytes() {
        let (writer, reader, _dir) = log(&[]);
        writer.write(Stream::Out, b"one\n\ntwo");
        writer.line(Stream::Err, "host");
        writer.end(End::Complete);
        let whole = read(&reader, 0).await.unwrap();
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 4);
        for offset in 0..=whole.len() {
            let rest = read(&reader, i64::try_from(offset).unwrap()).await.unwrap();
            assert_eq!(rest, whole[offset..], "from {offset}");
        }
        assert_eq!(read(&reader, 1 << 40).await.unwrap(), b"", "past the end");
    }

    #[tokio::test]
    async fn a_writer_that_vanishes_is_an_error_and_never_a_clean_end() {
        let (writer, reader, _dir) = log(&[]);
        writer.write(Stream::Out, b"the last line\n");
        drop(writer);
        let error = read(&reader, 0).await.unwrap_err();
        assert!(error.contains("without its end record"), "{error}");
    }

    #[tokio::test]
    async fn a_broken_log_gives_its_bytes_and_then_the_incident() {
        let (writer, reader, _dir) = log(&[]);
        writer.write(Stream::Out, b"before\n");
        writer.end(End::Broken("internal error (incident 7)".to_owned()));
        let mut pieces = std::pin::pin!(reader.follow(LogOffset::START));
        assert!(pieces.next().await.unwrap().unwrap().ends_with(b"before\n"));
        let error = pieces.next().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "internal error (incident 7)");
        assert!(pieces.next().await.is_none(), "an error is the end");
    }

    #[tokio::test]
    async fn nothing_is_written_after_the_end() {
        let (writer, reader, _dir) = log(&["secret"]);
        writer.write(Stream::Out, b"a secret\n");
        writer.end(End::Complete);
        writer.end(End::Broken("too late".to_owned()));
        writer.write(Stream::Out, b"late\n");
        let whole = read(&reader, 0).await.unwrap();
        assert!(whole.ends_with(b"a [MASKED]\n"));
        assert_eq!(writer.masked("the secret"), "the [MASKED]");
    }

    fn writer(bytes_max: u64) -> Writer {
        Writer {
            core: JobLog::new(Secrets::new([])),
            ready: Vec::new(),
            bytes: 0,
            dropped: 0,
            background_bytes: 0,
            background_dropped: 0,
            background_bytes_max: BACKGROUND_BYTES_MAX,
            bytes_max,
            ending: false,
            ended: false,
        }
    }

    /// A file that cannot be written stands for a full disk, the same one opened again for one with room.
    #[test]
    fn what_cannot_be_stored_is_counted_and_named_when_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, b"").unwrap();
        let full = File::open(&path).unwrap();
        let room = File::options().write(true).open(&path).unwrap();
        let mut writer = writer(LOG_BYTES_MAX);
        writer.ready = b"lost\n".to_vec();
        assert!(
            !writer.store(&full),
            "a file that cannot be written stores nothing"
        );
        writer.ready = b"kept\n".to_vec();
        assert!(writer.store(&room));
        let stored = std::fs::read_to_string(&path).unwrap();
        assert!(
            stored.contains("[5 bytes of log could not be stored]\n"),
            "{stored}"
        );
        assert!(stored.ends_with("kept\n"), "{stored}");
        assert_eq!(stored.len() as u64, writer.bytes);
    }

    #[tokio::test]
    async fn a_runaway_in_the_background_has_a_room_of_its_own_and_the_steps_keep_theirs() {
        let (writer, reader, _dir) = log(&[]);
        writer.lock().background_bytes_max = 1000;
        let runaway = writer.begin_background("server");
        writer.write(Stream::Err, b"half a ");
        for _ in 0..100 {
            writer.write_background(runaway, Stream::Out, &[b'x'; 99]);
            writer.write_background(runaway, Stream::Out, b"\n");
        }
        writer.write(Stream::Err, b"line\n");
        writer.end_background(runaway);
        writer.end(End::Complete);
        let stored = String::from_utf8(read(&reader, 0).await.unwrap()).unwrap();
        let lines: Vec<&str> = stored.lines().map(|line| &line[28..]).collect();
        let line = format!("01O [background server] {}", "x".repeat(99));
        assert_eq!(lines[..6], [line.as_str(); 6]);
        assert_eq!(
            lines[6..],
            [
                "01E [what background processes write from here on is not stored]",
                "00E half a line",
                "01E [14288 bytes of background processes were not stored]",
            ]
        );
    }

    #[test]
    fn a_log_that_reached_its_limit_says_at_its_end_what_is_missing() {
        let file = tempfile::tempfile().unwrap();
        let mut writer = writer(2 * NOTICE_BYTES_MAX);
        for _ in 0..100 {
            writer.ready = vec![b'x'; 1000];
            writer.store(&file);
        }
        assert_eq!(writer.bytes, 4000);
        writer.ending = true;
        assert!(writer.store(&file));
        let mut stored = vec![0; usize::try_from(writer.bytes).unwrap()];
        file.read_exact_at(&mut stored, 0).unwrap();
        let stored = String::from_utf8(stored).unwrap();
        assert!(
            stored.ends_with("[96000 bytes of log could not be stored]\n"),
            "{}",
            &stored[4000..]
        );
        assert!(writer.bytes <= writer.bytes_max);
    }
}
