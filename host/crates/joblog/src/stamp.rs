//! Splits the two streams of a job into lines and puts a header before each (contract 5.7).
//!
//! ```text
//! 2026-11-24T18:38:05.123456Z 00O text of a line
//! 2026-11-24T18:38:05.123456Z 00E+text that continues the line above it of the same stream
//! ```
//!
//! Promises: everything that `ready` receives ends with a line end, and every line in it has a header of
//! [`HEADER_BYTES`] bytes and at most [`LINE_BYTES_MAX`] bytes before its line end. Undoing this (drop the
//! headers, and the line end before each `+`) gives the stream back, with a line end added where a step
//! ended without one. Bytes are bytes: nothing is decoded.
//! Memory: one unfinished line per stream. No allocation per line.

mod time;

use std::time::SystemTime;

use time::{TIME_BYTES, Times};

/// Bytes of a header: time, stream, and whether the line begins or goes on.
pub const HEADER_BYTES: usize = 32;

/// Longest stored line in bytes, header included, its line end not. A longer one is stored in pieces, so
/// that neither we nor a reader needs room for a line of any length (contract 5.7).
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// Stream number of everybody in the background; a step has number 0.
const BACKGROUND: &[u8; 2] = b"01";

const _: () = assert!(
    HEADER_BYTES < LINE_BYTES_MAX,
    "a header must leave room for text"
);

/// One of the two streams of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output, `O`.
    Out,
    /// Standard error, `E`.
    Err,
}

impl Stream {
    fn letter(self) -> u8 {
        match self {
            Stream::Out => b'O',
            Stream::Err => b'E',
        }
    }
}

/// Turns what both streams say into stored lines.
#[derive(Debug, Default)]
pub struct Stamper {
    times: Times,
    out: Line,
    err: Line,
}

/// The unfinished line of one stream.
#[derive(Debug, Default)]
struct Line {
    /// Header and text so far; empty between lines. The header tells when the line began.
    unfinished: Vec<u8>,
    /// Whether the next header says that it continues the line before.
    continues: bool,
}

impl Stamper {
    /// A stamper for two streams that have said nothing yet.
    pub fn new() -> Stamper {
        Stamper::default()
    }

    /// Takes one write of a stream and appends to `ready` every line that is finished with it.
    ///
    /// Text behind the last line end waits for the rest of its line. If what waits holds a carriage return it goes
    /// out at once, because it is a progress bar and nobody else would show it.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], now: SystemTime, ready: &mut Vec<u8>) {
        let header = Header::new(self.times.text(now), stream);
        let line = self.line(stream);
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            line.end_with(&bytes[from..=end], &header, ready);
            from = end + 1;
        }
        let rest = &bytes[from..];
        line.add(rest, &header, ready);
        let holds = |bytes: &[u8]| memchr::memchr(b'\r', bytes).is_some();
        // It may have gone out with a full piece. A line that is broken off without a reason that can be seen in it would
        // look like one that ended.
        if holds(rest) && holds(&line.unfinished) {
            line.break_off(ready);
        }
    }

    /// Ends both streams: appends to `ready` what waits for the rest of its line. What comes next begins a
    /// line. A header tells when its line began, so the moment of the end leaves no trace.
    pub fn finish(&mut self, _now: SystemTime, ready: &mut Vec<u8>) {
        for line in [&mut self.out, &mut self.err] {
            if !line.unfinished.is_empty() {
                line.break_off(ready);
            }
            line.continues = false;
        }
    }

    /// Appends one whole line of somebody in the background, in parts. A line of the step that was broken off does
    /// not go on behind it: readers join a continuation to whatever its stream said last.
    pub(crate) fn background_line(
        &mut self,
        stream: Stream,
        parts: &[&[u8]],
        now: SystemTime,
        ready: &mut Vec<u8>,
    ) {
        let mut header = Header::new(self.times.text(now), stream);
        header.0[28..30].copy_from_slice(BACKGROUND);
        ready.extend_from_slice(&header.bytes(false));
        for part in parts {
            ready.extend_from_slice(part);
        }
        ready.push(b'\n');
        let line = self.line(stream);
        line.continues = false;
        if let Some(flag) = line.unfinished.get_mut(HEADER_BYTES - 1) {
            *flag = b' ';
        }
    }

    fn line(&mut self, stream: Stream) -> &mut Line {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

impl Line {
    /// Takes the rest of a line with its line end and appends the line to `ready`.
    fn end_with(&mut self, text: &[u8], header: &Header, ready: &mut Vec<u8>) {
        if self.unfinished.is_empty() && HEADER_BYTES + text.len() <= LINE_BYTES_MAX + 1 {
            // Nearly every line: it comes whole, and nothing has to wait.
            ready.extend_from_slice(&header.bytes(std::mem::take(&mut self.continues)));
            ready.extend_from_slice(text);
            return;
        }
        let (text, _line_end) = text.split_at(text.len() - 1);
        self.add(text, header, ready);
        ready.append(&mut self.unfinished);
        ready.push(b'\n');
    }

    /// Takes text without a line end. It waits; only full pieces are appended to `ready`.
    fn add(&mut self, mut text: &[u8], header: &Header, ready: &mut Vec<u8>) {
        while !text.is_empty() {
            // A full piece goes out only when more arrives: what arrives may be its line end.
            if self.unfinished.len() == LINE_BYTES_MAX {
                self.break_off(ready);
            }
            if self.unfinished.is_empty() {
                self.unfinished
                    .extend_from_slice(&header.bytes(std::mem::take(&mut self.continues)));
            }
            let room = LINE_BYTES_MAX - self.unfinished.len();
            let (fits, rest) = text.split_at(room.min(text.len()));
            self.unfinished.extend_from_slice(fits);
            text = rest;
        }
    }

    /// Appends what waits to `ready` with a line end of our own, which the next header takes back.
    fn break_off(&mut self, ready: &mut Vec<u8>) {
        ready.append(&mut self.unfinished);
        ready.push(b'\n');
        self.continues = true;
    }
}

/// The header of the lines of one write: begun once, finished per line.
struct Header([u8; HEADER_BYTES]);

impl Header {
    fn new(time: &[u8; TIME_BYTES], stream: Stream) -> Header {
        let mut bytes = [b' '; HEADER_BYTES];
        bytes[..TIME_BYTES].copy_from_slice(time);
        // The number tells apart streams that a job multiplexes; the steps have one pair, told apart by letter.
        bytes[28..30].copy_from_slice(b"00");
        bytes[30] = stream.letter();
        Header(bytes)
    }

    fn bytes(&self, continues: bool) -> [u8; HEADER_BYTES] {
        let mut bytes = self.0;
        bytes[HEADER_BYTES - 1] = if continues { b'+' } else { b' ' };
        bytes
    }
}

#[cfg(test)]
pub(crate) mod tests;
