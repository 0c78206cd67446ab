//! All secrets in one automaton (after Aho and Corasick) that reads a stream byte by byte and forgets
//! nothing that matters.
//!
//! A state stands for the longest end of the stream that is the beginning of a secret. Two numbers per state
//! answer all questions: how many of the last bytes are the longest secret that ends here, and how many of
//! them may still become one. States that may become nothing are the root, so that "nothing is pending" is
//! one comparison. Seventeen bytes per state and never more states than bytes in the set, plus one.

use std::sync::Arc;

/// A state.
pub(super) type StateId = u32;

/// The state in which nothing is pending.
pub(super) const ROOT: StateId = 0;

pub(super) struct Automaton {
    /// In order of depth, the children of one state side by side; one more at the end, for its `children`.
    states: Vec<State>,
    /// The byte that leads into a state from its parent.
    labels: Vec<u8>,
    /// The children of the root.
    first: Box<[StateId; 256]>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// The first child; the children end where those of the next state begin.
    children: StateId,
    /// The state of the next shorter end of the stream.
    shorter: StateId,
    /// Length of the longest secret that ends here, 0 if none does.
    hidden: u32,
    /// Length of the longest end of the stream that may still become a secret.
    pending: u32,
}

impl Automaton {
    /// `texts` are sorted, no two are equal, none is empty.
    pub(super) fn new(texts: &[Arc<[u8]>]) -> Automaton {
        let mut states = Vec::new();
        let mut labels = vec![0];
        // The texts that begin with what a state stands for are neighbours: `spans[state]`.
        let all = 0..texts.len();
        let mut spans = vec![all];
        let mut parents = vec![ROOT];
        let (mut depth, mut depth_ends_at) = (0, 1);
        while states.len() < spans.len() {
            let state = states.len();
            if state == depth_ends_at {
                depth += 1;
                depth_ends_at = spans.len();
            }
            let mut span = spans[state].clone();
            let children = id(spans.len());
            // The text that ends here is the first of its neighbours.
            let ends = texts
                .get(span.start)
                .is_some_and(|text| text.len() == depth);
            span.start += usize::from(ends);
            while span.start < span.end {
                let label = texts[span.start][depth];
                let same = texts[span.clone()].partition_point(|text| text[depth] == label);
                spans.push(span.start..span.start + same);
                parents.push(id(state));
                labels.push(label);
                span.start += same;
            }
            let becomes_more = spans.len() > children as usize;
            states.push(State {
                children,
                shorter: ROOT,
                hidden: if ends { id(depth) } else { 0 },
                pending: if becomes_more { id(depth) } else { 0 },
            });
        }
        states.push(State {
            children: id(spans.len()),
            ..State::default()
        });

        let mut automaton = Automaton {
            states,
            labels,
            first: Box::new([ROOT; 256]),
        };
        for child in automaton.children(ROOT) {
            automaton.first[usize::from(automaton.labels[child])] = id(child);
        }
        // Shorter states come first, so each finds those that it needs done.
        for (state, &parent) in parents.iter().enumerate().skip(1) {
            if parent != ROOT {
                let shorter = automaton.states[parent as usize].shorter;
                automaton.states[state].shorter = automaton.walk(shorter, automaton.labels[state]);
            }
            let State {
                hidden, pending, ..
            } = automaton.states[automaton.states[state].shorter as usize];
            let own = &mut automaton.states[state];
            own.hidden = own.hidden.max(hidden);
            own.pending = own.pending.max(pending);
        }
        automaton
    }

    /// Reads one byte. Returns the new state and how many of the last bytes must be hidden.
    #[inline]
    pub(super) fn step(&self, state: StateId, byte: u8) -> (StateId, u32) {
        let next = self.walk(state, byte);
        let State {
            hidden, pending, ..
        } = self.states[next as usize];
        (if pending == 0 { ROOT } else { next }, hidden)
    }

    /// How many of the last bytes may still become a secret.
    #[inline]
    pub(super) fn pending(&self, state: StateId) -> u32 {
        self.states[state as usize].pending
    }

    #[inline]
    fn walk(&self, mut state: StateId, byte: u8) -> StateId {
        while state != ROOT {
            let children = self.children(state);
            let labels = &self.labels[children.clone()];
            let found = match labels {
                [] => None,
                [only] => (*only == byte).then_some(0),
                labels => labels.binary_search(&byte).ok(),
            };
            if let Some(found) = found {
                return id(children.start + found);
            }
            state = self.states[state as usize].shorter;
        }
        self.first[usize::from(byte)]
    }

    #[inline]
    fn children(&self, state: StateId) -> std::ops::Range<usize> {
        let state = state as usize;
        self.states[state].children as usize..self.states[state + 1].children as usize
    }
}

#[inline]
fn id(index: usize) -> StateId {
    StateId::try_from(index).expect("secrets come in requests of some MiB, far less than 4 GiB")
}
