//! Replaces secrets in a stream of bytes, whatever the borders of the writes.
//!
//! Promises, in the words of the whole stream: every byte of every occurrence of every secret is hidden,
//! occurrences that overlap share one [`MASK`], occurrences that only touch have one each; nothing else
//! changes. A byte waits only while it may be the beginning of a secret, so a prompt is never held up by
//! chance. What waits is shorter than the longest secret. Cost per byte does not depend on the stream's
//! past: no text is scanned twice.
//!
//! How: [`Index`] has a filter that skips text in which no secret can begin, and an automaton that reads
//! the rest byte by byte. While the automaton is at its root nothing is pending, and the filter takes over.

mod automaton;
mod filter;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::secrets::Secrets;
use automaton::{Automaton, ROOT, StateId};
use filter::Filter;

/// What stands for a secret.
pub const MASK: &[u8] = b"[MASKED]";

/// Largest part of a write that is looked at in one go. Bounds the list of marks; a pipe read is not larger.
const PART_BYTES_MAX: usize = 256 * 1024;

/// What a set of secrets needs to be found.
pub(crate) struct Index {
    filter: Filter,
    automaton: Automaton,
}

impl Index {
    /// `texts` are sorted, no two are equal, none is empty.
    pub(crate) fn new(texts: &[Arc<[u8]>]) -> Index {
        Index {
            filter: Filter::new(texts),
            automaton: Automaton::new(texts),
        }
    }
}

/// Hides secrets in one stream.
pub struct Masker {
    secrets: Secrets,
    /// What the automaton knows about the bytes so far. At the root nothing is pending.
    state: StateId,
    /// Bytes that wait: they may be the beginning of a secret.
    held: VecDeque<u8>,
    /// Position in the stream of the first byte of `held`.
    held_from: u64,
    /// Parts of the stream that are hidden and reach to `held_from` or behind it, in order, disjoint.
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy)]
struct Mark {
    from: u64,
    to: u64,
    /// Its [`MASK`] is out; the rest of it only has to vanish.
    shown: bool,
}

impl Masker {
    /// A masker at the beginning of a stream.
    pub fn new(secrets: &Secrets) -> Masker {
        Masker {
            secrets: secrets.clone(),
            state: ROOT,
            held: VecDeque::new(),
            held_from: 0,
            marks: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the stream and appends to `out` what can be shown.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.secrets.is_empty() && self.held.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        for part in chunk.chunks(PART_BYTES_MAX) {
            self.scan(part);
            self.show(part, out);
        }
    }

    /// Takes the next bytes of the stream. Gives them back when they can be shown as they are, which is nearly always
    /// and costs no copy; else appends to `out` what can be shown, and gives that.
    pub(crate) fn filter<'a>(&mut self, chunk: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        if self.secrets.is_empty() && self.held.is_empty() {
            return chunk;
        }
        if self.held.is_empty() && chunk.len() <= PART_BYTES_MAX {
            self.scan(chunk);
            if self.marks.is_empty() && self.secrets.index().automaton.pending(self.state) == 0 {
                self.held_from += chunk.len() as u64;
                return chunk;
            }
            self.show(chunk, out);
        } else {
            self.push(chunk, out);
        }
        out
    }

    /// Ends the stream: what waited was no secret and is appended to `out`. The masker is as good as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.state = ROOT;
        self.show(&[], out);
    }

    /// Hides `secrets` from now on, in the bytes that wait too. What is out stays out.
    pub fn replace(&mut self, secrets: &Secrets) {
        self.secrets = secrets.clone();
        self.state = ROOT;
        let known = std::mem::take(&mut self.marks);
        let held = std::mem::take(&mut self.held);
        let automaton = &secrets.index().automaton;
        for (at, &byte) in (self.held_from..).zip(&held) {
            let (state, hidden) = automaton.step(self.state, byte);
            self.state = state;
            if hidden > 0 {
                add_mark(&mut self.marks, at + 1 - u64::from(hidden), at + 1);
            }
        }
        self.held = held;
        let mut all: Vec<Mark> = known.into_iter().chain(self.marks.drain(..)).collect();
        all.sort_by_key(|mark| mark.from);
        for mark in all {
            match self.marks.back_mut() {
                // A mark that is out began before all that waits, so it is the first, never this one.
                Some(last) if mark.from < last.to => last.to = last.to.max(mark.to),
                Some(_) | None => self.marks.push_back(mark),
            }
        }
    }

    /// Moves the automaton over `part` and notes what must be hidden.
    fn scan(&mut self, part: &[u8]) {
        let Index { filter, automaton } = self.secrets.index();
        let part_from = self.held_from + self.held.len() as u64;
        let mut at = 0;
        while at < part.len() {
            // The automaton reads on until all suspicious places are behind it: to ask the filter again
            // among them would find the same gram again.
            let mut read_until = at;
            if self.state == ROOT {
                at = filter.next_suspect(part, at);
                read_until = at + filter.suspicion_bytes();
            }
            for &byte in &part[at..] {
                let (state, hidden) = automaton.step(self.state, byte);
                at += 1;
                self.state = state;
                if hidden > 0 {
                    let to = part_from + at as u64;
                    add_mark(&mut self.marks, to - u64::from(hidden), to);
                }
                if state == ROOT && at >= read_until {
                    break;
                }
            }
        }
    }

    /// Appends to `out` what is decided about the held bytes and `part` behind them, and holds the rest.
    fn show(&mut self, part: &[u8], out: &mut Vec<u8>) {
        let part_from = self.held_from + self.held.len() as u64;
        let pending = self.secrets.index().automaton.pending(self.state);
        let until = part_from + part.len() as u64 - u64::from(pending);

        let mut from = self.held_from;
        while let Some(mark) = self.marks.front_mut()
            && mark.from < until
        {
            copy(
                &self.held,
                part,
                from - self.held_from..mark.from.saturating_sub(self.held_from),
                out,
            );
            if !mark.shown {
                out.extend_from_slice(MASK);
                mark.shown = true;
            }
            from = mark.to.min(until);
            if mark.to > until {
                break;
            }
            self.marks.pop_front();
        }
        copy(
            &self.held,
            part,
            from - self.held_from..until - self.held_from,
            out,
        );

        let gone = usize::try_from(until - self.held_from).unwrap_or(usize::MAX);
        let gone_of_held = gone.min(self.held.len());
        self.held.drain(..gone_of_held);
        self.held.extend(&part[gone - gone_of_held..]);
        self.held_from = until;
    }
}

/// Notes a hidden part. Parts come ordered by their end, so only the last ones can overlap it.
fn add_mark(marks: &mut VecDeque<Mark>, from: u64, to: u64) {
    let mut mark = Mark {
        from,
        to,
        shown: false,
    };
    while let Some(last) = marks.back()
        && mark.from < last.to
    {
        mark.from = mark.from.min(last.from);
        mark.shown |= last.shown;
        marks.pop_back();
    }
    marks.push_back(mark);
}

/// Appends a range of `held` followed by `part`. An empty or a reversed range is nothing.
fn copy(held: &VecDeque<u8>, part: &[u8], range: std::ops::Range<u64>, out: &mut Vec<u8>) {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    let (from, to) = (at(range.start), at(range.end));
    if from < to.min(held.len()) {
        out.extend(held.range(from..to.min(held.len())));
    }
    let (from, to) = (
        from.saturating_sub(held.len()),
        to.saturating_sub(held.len()),
    );
    if from < to {
        out.extend_from_slice(&part[from..to]);
    }
}

#[cfg(test)]
pub(crate) mod tests;
