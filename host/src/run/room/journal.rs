//! What a host writes down about its jobs, for the host that comes after it: which there are, and how far they came.
//!
//! ```text
//! 5d41402a {"began":{"job":7,"id":"…","at":1700000000000}}
//! 7d793037 {"ended":{"job":7,"at":1700000002000,"how":{"failed":{"exit_status":3}}}}
//! 1b6453d8 {"closed":{"job":7}}
//! ```
//!
//! One file in the host's room, a line an event behind its checksum. It is appended to, and written anew beside itself
//! and renamed when most of it is about jobs that were closed: its size is bounded by the jobs there are.
//!
//! Promises: a line that a death cut, or that anybody changed, is seen and harms no other line; an event is in the file
//! before a client can hear of it; a journal that cannot be written is told once and fails no job. The crash of the
//! whole machine may lose what was not on the disk yet: nothing is synced for a job, and no process of one is left then.
//! Never written: what steps said, variables, environment. Never believed: what is read was in reach of steps.
//! Called by `jobs`, which writes, and the janitor, which reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use flate2::Crc;
use serde::{Deserialize, Serialize};
use stephost_job::{Ending, JobId};

use super::place::{Ledger, Place};
use crate::clock;
use crate::observe::panics::Incident;

/// The file, in the room.
pub(super) const NAME: &str = "jobs.journal";
/// What becomes it when it is written anew.
pub(super) const FRESH: &str = "jobs.journal.new";
/// Longest file that is read; of a longer one the end.
const BYTES_MAX: u64 = 8 << 20;
/// Most jobs that are taken over from dead hosts; of more in one journal the last.
pub(crate) const JOBS_MAX: usize = 10_000;
/// Bytes about closed jobs that are not worth writing it anew.
const SLACK_BYTES: u64 = 64 << 10;
/// The end of the year 9999: no later moment can be sent.
const AT_MAX_MS: u64 = 253_402_300_799_999;

/// How a job came to its end, without what anybody said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum How {
    Success,
    Failed {
        exit_status: Option<i32>,
    },
    Denied,
    Limit,
    Internal,
    Cancelled,
    TimedOut,
    /// The host broke while it worked for the job.
    Broken {
        /// Its number.
        incident: String,
    },
    /// The host died before the job was over.
    Lost,
}

impl From<&Ending> for How {
    fn from(ending: &Ending) -> How {
        match ending {
            Ending::Success => How::Success,
            Ending::Failed { exit_status, .. } => How::Failed {
                exit_status: *exit_status,
            },
            Ending::Denied { .. } => How::Denied,
            Ending::Limit { .. } => How::Limit,
            Ending::Internal { .. } => How::Internal,
            Ending::Cancelled { .. } => How::Cancelled,
            Ending::TimedOut { .. } => How::TimedOut,
        }
    }
}

/// A job of a dead host that nobody had closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) id: JobId,
    pub(crate) began: SystemTime,
    /// When and how it ended, if its host saw that.
    pub(crate) ended: Option<(SystemTime, How)>,
}

/// What a journal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// The oldest first.
    pub(super) left: Vec<Left>,
    /// Lines that are none.
    pub(super) skipped: usize,
}

/// One event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line<'a> {
    Began {
        job: u64,
        id: Cow<'a, str>,
        at: u64,
    },
    Ended {
        job: u64,
        at: u64,
        how: Cow<'a, How>,
    },
    Closed {
        job: u64,
    },
}

impl Line<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        // Of numbers and texts: it can be written.
        let json = serde_json::to_string(self).unwrap_or_default();
        // Writing to a Vec cannot fail.
        let _ = writeln!(text, "{:08x} {json}", checksum(json.as_bytes()));
    }

    fn read(line: &[u8]) -> Option<Line<'_>> {
        let (sum, json) = line.split_at_checked("00000000 ".len())?;
        let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
        let sum = u32::from_str_radix(sum, 16).ok()?;
        if sum != checksum(json) {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The journal of a host that lives.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<Pages>);

#[derive(Debug)]
struct Pages {
    ledger: Ledger,
    bytes: u64,
    /// Size at which it is written anew.
    bytes_max: u64,
    /// Those that nobody has closed, by their numbers.
    jobs: BTreeMap<u64, Written>,
    next: u64,
    /// Whether the last line may have no end.
    torn: bool,
    /// Whether the operator knows that it cannot be written.
    told: bool,
}

/// What is written about a job.
#[derive(Debug)]
struct Written {
    id: JobId,
    began: u64,
    ended: Option<(u64, How)>,
}

impl Journal {
    /// An empty one in this room.
    ///
    /// # Errors
    ///
    /// When there can be none.
    pub(super) fn create(room: &Arc<Place>) -> io::Result<Journal> {
        let ledger = Ledger::create(room)?;
        Ok(Journal(Mutex::new(Pages {
            ledger,
            bytes: 0,
            bytes_max: SLACK_BYTES,
            jobs: BTreeMap::new(),
            next: 0,
            torn: false,
            told: false,
        })))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // What a panic could have left is one line too few.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn begin(&mut self, id: &JobId, began: u64) -> u64 {
        let job = self.next;
        self.next += 1;
        let line = Line::Began {
            job,
            id: id.as_str().into(),
            at: began,
        };
        self.append(&line);
        let written = Written {
            id: id.clone(),
            began,
            ended: None,
        };
        self.jobs.insert(job, written);
        job
    }

    fn end(&mut self, job: u64, at: u64, how: &How) {
        let Some(written) = self.jobs.get_mut(&job) else {
            return;
        };
        // What broke a job first counts, also against its own end.
        if matches!(written.ended, Some((_, How::Broken { .. }))) {
            return;
        }
        written.ended = Some((at, how.clone()));
        let how = Cow::Borrowed(how);
        self.append(&Line::Ended { job, at, how });
    }

    fn close(&mut self, job: u64) {
        if self.jobs.remove(&job).is_some() {
            self.append(&Line::Closed { job });
        }
    }

    fn append(&mut self, line: &Line<'_>) {
        let mut text = Vec::with_capacity(256);
        if self.torn {
            text.push(b'\n');
        }
        line.write(&mut text);
        let done = self.ledger.append(&text);
        self.torn = done.is_err();
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        let done = done.and_then(|()| self.shorten());
        if let Err(error) = done
            && !std::mem::replace(&mut self.told, true)
        {
            tracing::warn!(%error, "jobs are not written down any more: should the host be killed, the next one will not know all of them");
        }
    }

    /// Writes it anew if most of it is about closed jobs.
    fn shorten(&mut self) -> io::Result<()> {
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let mut text = Vec::new();
        for (&job, written) in &self.jobs {
            let (id, at) = (written.id.as_str().into(), written.began);
            Line::Began { job, id, at }.write(&mut text);
            if let Some((at, how)) = &written.ended {
                let (at, how) = (*at, Cow::Borrowed(how));
                Line::Ended { job, at, how }.write(&mut text);
            }
        }
        let bytes = text.len() as u64;
        // Also when it fails: not again at the very next line.
        self.bytes_max = bytes.saturating_mul(2).saturating_add(SLACK_BYTES);
        self.ledger.replace(&text)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// A job in the journal of its host, if that keeps one. When the last holder lets go of it, the job counts as closed.
#[derive(Debug)]
pub(crate) struct Recorded {
    journal: Option<Arc<Journal>>,
    job: u64,
}

impl Recorded {
    /// A job that begins now.
    pub(crate) fn begin(journal: Option<&Arc<Journal>>, id: &JobId) -> Arc<Recorded> {
        Recorded::begun(journal, id, clock::wall())
    }

    /// A job of an earlier host, as it was left.
    pub(crate) fn inherit(journal: Option<&Arc<Journal>>, left: &Left) -> Arc<Recorded> {
        let recorded = Recorded::begun(journal, &left.id, left.began);
        match &left.ended {
            Some((at, how)) => recorded.end(*at, how),
            None => recorded.ended(&How::Lost),
        }
        recorded
    }

    fn begun(journal: Option<&Arc<Journal>>, id: &JobId, at: SystemTime) -> Arc<Recorded> {
        let job = journal.map_or(0, |journal| journal.pages().begin(id, to_ms(at)));
        let journal = journal.cloned();
        Arc::new(Recorded { journal, job })
    }

    /// The job ended, or its host broke. Said before anybody can hear of it.
    pub(crate) fn ended(&self, how: &How) {
        self.end(clock::wall(), how);
    }

    fn end(&self, at: SystemTime, how: &How) {
        if let Some(journal) = &self.journal {
            journal.pages().end(self.job, to_ms(at), how);
        }
    }

    /// Nobody will ask for it any more.
    pub(crate) fn closed(&self) {
        if let Some(journal) = &self.journal {
            journal.pages().close(self.job);
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.closed();
    }
}

fn to_ms(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).map_or(AT_MAX_MS, |ms| ms.min(AT_MAX_MS))
}

fn from_ms(ms: u64) -> Option<SystemTime> {
    let since = (ms <= AT_MAX_MS).then(|| Duration::from_millis(ms))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// What the journal in this room says, if our user wrote it; nothing when there is none.
pub(super) fn read(room: &Place) -> Read {
    let text = room.read_own(NAME, BYTES_MAX);
    text.map_or_else(Read::default, |text| understand(&text))
}

fn understand(text: &[u8]) -> Read {
    let mut jobs = BTreeMap::new();
    let mut skipped = 0;
    let lines = text.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        if Line::read(line)
            .and_then(|line| apply(line, &mut jobs))
            .is_none()
        {
            skipped += 1;
        }
        if jobs.len() > JOBS_MAX {
            jobs.pop_first();
        }
    }
    let left = jobs.into_values().collect();
    Read { left, skipped }
}

/// Takes a line in; `None` when it says nothing that can be true.
fn apply(line: Line<'_>, jobs: &mut BTreeMap<u64, Left>) -> Option<()> {
    match line {
        Line::Began { job, id, at } => {
            let (id, began) = (JobId::parse(&id).ok()?, from_ms(at)?);
            let ended = None;
            jobs.insert(job, Left { id, began, ended });
        }
        Line::Ended { job, at, how } => {
            let how = how.into_owned();
            if let How::Broken { incident } = &how {
                Incident::parse(incident)?;
            }
            let ended = (from_ms(at)?, how);
            // Of one that was left out because there are so many, nothing is kept.
            if let Some(left) = jobs.get_mut(&job) {
                left.ended = Some(ended);
            }
        }
        Line::Closed { job } => {
            jobs.remove(&job);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
