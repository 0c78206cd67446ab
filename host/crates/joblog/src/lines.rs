//! The whole way of a job's output: one masker per stream, one stamper for both, and for those in the background.

use std::time::SystemTime;

use crate::background::{Background, BackgroundId, Stamp};
use crate::mask::Masker;
use crate::secrets::Secrets;
use crate::stamp::{Stamper, Stream};

/// Room that is kept between two writes for masked text. Short secrets make text longer; a single large
/// write must not cost its memory for the rest of the job.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Everything a writer of a job's log needs but the file and the clock.
///
/// What is appended to `ready` consists of whole stored lines, so it can be written in one go.
pub struct JobLog {
    secrets: Secrets,
    out: Masker,
    err: Masker,
    stamper: Stamper,
    background: Background,
    /// Masked and not yet stamped; empty between calls.
    masked: Vec<u8>,
}

impl JobLog {
    /// A log that hides `secrets`.
    pub fn new(secrets: Secrets) -> JobLog {
        JobLog {
            out: Masker::new(&secrets),
            err: Masker::new(&secrets),
            stamper: Stamper::new(),
            background: Background::default(),
            masked: Vec::new(),
            secrets,
        }
    }

    /// Takes one write of a step and appends to `ready` every line that became final.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], now: SystemTime, ready: &mut Vec<u8>) {
        let JobLog {
            out,
            err,
            stamper,
            masked,
            ..
        } = self;
        let masker = match stream {
            Stream::Out => out,
            Stream::Err => err,
        };
        stamper.push(stream, masker.filter(bytes, masked), now, ready);
        masked.clear();
        masked.shrink_to(KEPT_BYTES_MAX);
    }

    /// Ends a step: bytes that may have become a secret and unfinished lines go out. What is pushed next begins
    /// a line. Those in the background have their own end.
    pub fn flush(&mut self, now: SystemTime, ready: &mut Vec<u8>) {
        for (stream, masker) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            masker.finish(&mut self.masked);
            self.stamper.push(stream, &self.masked, now, ready);
            self.masked.clear();
        }
        self.stamper.finish(now, ready);
    }

    /// Ends the log: everything that waits goes out.
    pub fn finish(&mut self, now: SystemTime, ready: &mut Vec<u8>) {
        self.flush(now, ready);
        let (background, mut stamp) = self.background(now, ready);
        background.end_all(&mut stamp);
    }

    /// From here on, processes speak that outlived this step.
    pub fn begin_background(&mut self, step: &str) -> BackgroundId {
        self.background.begin(step, &self.secrets)
    }

    /// Takes one write of a process that outlived its step; appends to `ready` every line that became whole, marked.
    pub fn push_background(
        &mut self,
        id: BackgroundId,
        stream: Stream,
        bytes: &[u8],
        now: SystemTime,
        ready: &mut Vec<u8>,
    ) {
        let (background, mut stamp) = self.background(now, ready);
        background.push(id, stream, bytes, &mut stamp);
    }

    /// Appends a line of the host's own about those in the background. It does not end the line of a step.
    pub fn note_background(&mut self, text: &str, now: SystemTime, ready: &mut Vec<u8>) {
        self.stamper
            .background_line(Stream::Err, &[text.as_bytes()], now, ready);
    }

    /// Ends what the processes of one step say.
    pub fn end_background(&mut self, id: BackgroundId, now: SystemTime, ready: &mut Vec<u8>) {
        let (background, mut stamp) = self.background(now, ready);
        background.end(id, &mut stamp);
    }

    fn background<'a>(
        &'a mut self,
        now: SystemTime,
        ready: &'a mut Vec<u8>,
    ) -> (&'a mut Background, Stamp<'a>) {
        let stamper = &mut self.stamper;
        let stamp = Stamp {
            stamper,
            now,
            ready,
        };
        (&mut self.background, stamp)
    }

    /// Hides these from now on, in what waits too: a set that was made of [`secrets`](JobLog::secrets) by [`Secrets::with`].
    pub fn hide(&mut self, secrets: Secrets) {
        if !secrets.is_same(&self.secrets) {
            self.out.replace(&secrets);
            self.err.replace(&secrets);
            self.background.hide(&secrets);
            self.secrets = secrets;
        }
    }

    /// Returns everything that is hidden.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

#[cfg(test)]
mod tests;
