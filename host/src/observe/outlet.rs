//! Where the lines of the operator's log leave the host.
//!
//! Promises: a reader that does not keep up is waited for, [`PATIENCE`] altogether, and [`REGAINED`] more for each line that he
//! took at once; what is lost then is counted, and named in the log as soon as it takes lines again; a line that was begun
//! is ended before the next one; no fault of the reader's (he is gone, his disk is full) becomes one of the host's. Nothing
//! waits in the host for a better moment but the rest of one line: what a host said before it was killed is with the kernel.
//!
//! Not promised on Windows, which does not say whether a pipe has room: a reader that does not read holds up whoever says
//! something. Nor for a terminal that somebody stopped in the middle of a line.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::log::LogFormat;
use super::metrics;
use crate::clock::Stopwatch;
use crate::files;

/// Longest patience with a reader: longer than a busy machine lets one wait for its turn, shorter than a stop may take.
const PATIENCE: Duration = Duration::from_millis(250);
/// What a line that did not have to wait gives back of it.
const REGAINED: Duration = Duration::from_millis(1);

/// The way out of the lines of one log.
pub(super) struct Outlet<W>(Mutex<Lines<W>>);

struct Lines<W> {
    to: W,
    format: LogFormat,
    /// Of a line that was begun.
    rest: Vec<u8>,
    /// How many nobody has been told of.
    lost: u64,
    /// How long the reader may still be waited for.
    patience: Duration,
}

impl<W: Write + files::Open> Outlet<W> {
    /// A log of lines in this shape.
    pub(super) fn new(to: W, format: LogFormat) -> Outlet<W> {
        Outlet(Mutex::new(Lines {
            to,
            format,
            rest: Vec::new(),
            lost: 0,
            patience: PATIENCE,
        }))
    }

    fn lines(&self) -> MutexGuard<'_, Lines<W>> {
        // What a panic could leave is a line that counts neither as lost nor as written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, W: Write + files::Open + 'a> MakeWriter<'a> for Outlet<W> {
    type Writer = &'a Outlet<W>;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Takes a whole line at once, and never fails.
impl<W: Write + files::Open> Write for &Outlet<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines().say(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + files::Open> Lines<W> {
    fn say(&mut self, line: &[u8]) {
        let is_said = self.end_last() && self.tell_lost() && self.begin(line);
        if !is_said {
            self.lost += 1;
            metrics::operator_line_lost();
        }
    }

    /// Ends the line that was begun, if one was.
    fn end_last(&mut self) -> bool {
        let mut rest = std::mem::take(&mut self.rest);
        let written = self.write(&rest);
        rest.drain(..written);
        self.rest = rest;
        self.rest.is_empty()
    }

    /// Says how many lines are missing, if any are.
    fn tell_lost(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        let notice = self.format.notice(self.lost);
        if !self.begin(notice.as_bytes()) {
            return false;
        }
        self.lost = 0;
        self.rest.is_empty()
    }

    /// Writes a line, or the beginning of one that will be ended. `false` when nothing of it was written.
    fn begin(&mut self, line: &[u8]) -> bool {
        let written = self.write(line);
        if written > 0 {
            self.rest.extend_from_slice(&line[written..]);
        }
        written > 0
    }

    /// Writes as much as the reader takes; returns how much that is.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let before = self.patience;
        let mut written = 0;
        while written < bytes.len() {
            let part = &bytes[written..bytes.len().min(written + files::ROOM_BYTES)];
            if !self.has_room() {
                break;
            }
            match self.to.write(part) {
                Ok(more) if more > 0 => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        if written > 0 && written == bytes.len() && self.patience == before {
            self.patience = PATIENCE.min(before + REGAINED);
        }
        written
    }

    /// Whether a part can be written; waits for that as long as there is patience.
    fn has_room(&mut self) -> bool {
        if files::has_room(&self.to, Duration::ZERO) {
            return true;
        }
        let waiting = Stopwatch::start();
        let has_room = files::has_room(&self.to, self.patience);
        let waited = waiting.at().since_zero();
        self.patience = if has_room {
            self.patience.saturating_sub(waited)
        } else {
            Duration::ZERO
        };
        has_room
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    /// A log, and what is read of it.
    fn log(format: LogFormat) -> (Outlet<File>, File) {
        let (reader, writer) = io::pipe().expect("there are pipes");
        let [reader, writer] =
            [reader.into(), writer.into()].map(|end: std::os::fd::OwnedFd| end.into());
        (Outlet::new(writer, format), reader)
    }

    fn say(log: &Outlet<File>, line: &str) {
        let mut log = log;
        log.write_all(line.as_bytes()).expect("it never fails");
    }

    /// Says such lines until one is lost; returns how many were not.
    fn fill(log: &Outlet<File>, line: &str) -> usize {
        let mut said = 0;
        loop {
            say(log, line);
            if log.lines().lost > 0 {
                return said;
            }
            said += 1;
        }
    }

    fn read(log: Outlet<File>, reader: &mut File) -> String {
        drop(log);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("it is text");
        text
    }

    /// Takes so many bytes out of the pipe.
    fn make_room(reader: &mut File, bytes: usize) -> String {
        let mut taken = vec![0; bytes];
        reader.read_exact(&mut taken).expect("so much is there");
        String::from_utf8(taken).expect("it is text")
    }

    #[test]
    fn what_nobody_reads_is_lost_and_said_to_be_before_the_next_line() {
        for length in [100, files::ROOM_BYTES * 3 + 17] {
            let (log, mut reader) = log(LogFormat::Text);
            let line = format!("{}\n", "x".repeat(length));
            let said = fill(&log, &line);
            assert!(said > 2, "a pipe holds some");
            say(&log, &line);
            say(&log, &line);
            let mut text = make_room(&mut reader, 48 << 10);
            say(&log, "again\n");
            text += &read(log, &mut reader);
            let mut lines = text.lines();
            for _ in 0..said {
                assert_eq!(lines.next().map(str::len), Some(length));
            }
            let notice = lines.next().unwrap();
            assert!(notice.ends_with(" lost=3"), "{notice}");
            assert_eq!(lines.next(), Some("again"));
            assert_eq!(lines.next(), None);
        }
    }

    #[test]
    fn a_reader_that_reads_a_little_at_a_time_is_not_waited_for_at_each_line() {
        let (log, mut reader) = log(LogFormat::Text);
        fill(&log, "x\n");
        assert_eq!(log.lines().patience, Duration::ZERO, "it is used up");
        make_room(&mut reader, files::ROOM_BYTES);
        let line = format!("{}\n", "x".repeat(100));
        fill(&log, &line);
        assert_eq!(log.lines().patience, Duration::ZERO);
        make_room(&mut reader, files::ROOM_BYTES * 2);
        say(&log, &line);
        assert_eq!(log.lines().lost, 0, "there is room");
        assert!(log.lines().patience <= REGAINED * 3);
    }

    #[test]
    fn a_reader_that_has_gone_and_a_full_disk_are_no_fault_of_who_says_something() {
        let (gone, reader) = log(LogFormat::Text);
        drop(reader);
        say(&gone, "a line\n");
        assert_eq!(gone.lines().lost, 1);
        if let Ok(full) = File::options().append(true).open("/dev/full") {
            let full = Outlet::new(full, LogFormat::Text);
            say(&full, "a line\n");
            assert_eq!(full.lines().lost, 1);
        }
    }

    #[test]
    fn a_notice_has_the_shape_of_its_log() {
        let (log, mut reader) = log(LogFormat::Json);
        fill(&log, "{}\n");
        let taken = make_room(&mut reader, 48 << 10);
        say(&log, "{}\n");
        let text = taken + &read(log, &mut reader);
        let mut notices = text.lines().filter(|line| *line != "{}");
        let notice: serde_json::Value = serde_json::from_str(notices.next().unwrap()).unwrap();
        assert_eq!(notices.next(), None);
        assert_eq!(notice["lost"], 1);
        assert_eq!(notice["level"], "WARN");
        assert_eq!(notice["target"], module_path!().trim_end_matches("::tests"));
        let timestamp = notice["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-01-01T00:00:00.000000Z".len());
    }
}
