//! What the ids of a host stand for: the map, and what is taken out of it because nobody came for it.
//!
//! What is broken or lost stays [`KEPT`] long, and [`DEAD_MAX`] of it at most, the oldest goes first: a host of which
//! clients forget the jobs must not grow. Nothing waits for that: an id is looked at when somebody names it, and the
//! rest now and then. Jobs that run or have ended well stay until they are closed.
//! Called by the registry under its lock, with the time: no clock is read here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use stephost_job::JobId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::driver::Job;
use super::tombstone::{KEPT, Tombstone};
use crate::observe::panics::Incident;
use crate::run::room::journal;

/// Most broken and lost jobs that are remembered.
const DEAD_MAX: usize = journal::JOBS_MAX;
/// How often all ids are looked at, at most.
const TIDIED_AFTER: Duration = Duration::from_secs(60);

pub(super) enum Slot {
    /// Somebody makes the job; the receiver sees when that is over.
    Reserved {
        over: watch::Receiver<()>,
        /// A call about it has panicked meanwhile.
        broken: Option<Incident>,
    },
    /// The job.
    Made(Arc<Job>),
    /// What is left of one.
    Tombstone(Arc<Tombstone>),
}

impl Slot {
    /// Since when there has been nothing but an answer of it.
    fn dead_since(&self) -> Option<Instant> {
        match self {
            Slot::Reserved { .. } => None,
            Slot::Made(job) => job.dead_since(),
            Slot::Tombstone(stone) => Some(stone.since()),
        }
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.dead_since()
            .is_some_and(|since| now.saturating_duration_since(since) >= KEPT)
    }

    /// Whether no client of this host is expected to close it.
    pub(super) fn is_inherited(&self) -> bool {
        match self {
            Slot::Reserved { .. } | Slot::Made(_) => false,
            Slot::Tombstone(stone) => stone.is_inherited(),
        }
    }
}

pub(super) struct Slots {
    by_id: HashMap<JobId, Slot>,
    tidied: Instant,
}

impl Slots {
    pub(super) fn new(now: Instant) -> Slots {
        Slots {
            by_id: HashMap::new(),
            tidied: now,
        }
    }

    /// What an id stands for.
    pub(super) fn entry(&mut self, id: &JobId, now: Instant) -> Entry<'_, JobId, Slot> {
        if now.saturating_duration_since(self.tidied) >= TIDIED_AFTER {
            self.tidy(now);
        }
        if self.by_id.get(id).is_some_and(|slot| slot.is_expired(now)) {
            self.by_id.remove(id);
        }
        self.by_id.entry(id.clone())
    }

    /// The same, for who changes nothing.
    pub(super) fn get(&mut self, id: &JobId, now: Instant) -> Option<&Slot> {
        match self.entry(id, now) {
            Entry::Occupied(slot) => Some(slot.into_mut()),
            Entry::Vacant(_) => None,
        }
    }

    /// Gives an id its meaning; returns the one before.
    pub(super) fn insert(&mut self, id: JobId, slot: Slot, now: Instant) -> Option<Slot> {
        let before = self.by_id.insert(id, slot);
        if self.by_id.len() > DEAD_MAX {
            self.tidy(now);
        }
        before
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&JobId, &Slot)> {
        self.by_id.iter()
    }

    /// Takes out what is expired, and of the rest that is dead the oldest if there is too much.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.tidied = now;
        self.by_id.retain(|_, slot| !slot.is_expired(now));
        let dead = self.by_id.iter();
        let mut dead: Vec<_> = dead
            .filter_map(|(id, slot)| Some((slot.dead_since()?, id.clone())))
            .collect();
        let too_many = dead.len().saturating_sub(DEAD_MAX);
        if too_many > 0 {
            dead.sort_unstable();
            for (_, id) in dead.drain(..too_many) {
                self.by_id.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::jobs::{Life, LookupError, RunError};
    use crate::run::room::journal::{How, Left};

    fn id(number: usize) -> JobId {
        JobId::parse(&number.to_string()).unwrap()
    }

    fn stone(number: usize, how: Option<How>, now: Instant) -> Arc<Tombstone> {
        let left = Left {
            id: id(number),
            began: SystemTime::UNIX_EPOCH,
            ended: how.map(|how| (SystemTime::UNIX_EPOCH, how)),
        };
        Arc::new(Tombstone::inherited(&left, None, now))
    }

    fn bury(slots: &mut Slots, number: usize, now: Instant) {
        let stone = Slot::Tombstone(stone(number, None, now));
        slots.insert(id(number), stone, now);
    }

    fn ids(slots: &Slots) -> Vec<usize> {
        let ids = slots.iter().map(|(id, _)| id.as_str().parse().unwrap());
        let mut ids: Vec<usize> = ids.collect();
        ids.sort_unstable();
        ids
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_lost_is_remembered_for_ten_minutes_and_its_id_is_free_then() {
        let zero = Instant::now();
        let mut slots = Slots::new(zero);
        bury(&mut slots, 1, zero);
        bury(&mut slots, 2, zero + MS);
        let found = slots.get(&id(1), zero + KEPT - MS);
        assert!(matches!(found, Some(Slot::Tombstone(_))));
        let now = zero + KEPT;
        assert!(slots.get(&id(1), now).is_none(), "at this very moment");
        assert!(matches!(slots.entry(&id(1), now), Entry::Vacant(_)));
        assert_eq!(ids(&slots), [2]);
    }

    #[test]
    fn what_nobody_names_is_forgotten_when_anybody_is_named_or_all_are_listed() {
        let zero = Instant::now();
        let mut slots = Slots::new(zero);
        (0..100).for_each(|number| bury(&mut slots, number, zero));
        assert!(slots.get(&id(1000), zero + KEPT).is_none());
        assert_eq!(ids(&slots), [0; 0]);
        bury(&mut slots, 1, zero + KEPT);
        slots.tidy(zero + KEPT + KEPT);
        assert_eq!(ids(&slots), [0; 0]);
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let zero = Instant::now();
        let mut slots = Slots::new(zero);
        let reserved = Slot::Reserved {
            over: watch::channel(()).1,
            broken: None,
        };
        slots.insert(id(1_000_000), reserved, zero);
        for number in 0..=DEAD_MAX + 1 {
            bury(
                &mut slots,
                number,
                zero + MS * u32::try_from(number).unwrap(),
            );
        }
        let ids = ids(&slots);
        assert_eq!(ids.len(), DEAD_MAX + 1, "who is alive takes nobody's place");
        assert_eq!((ids[0], ids[DEAD_MAX]), (2, 1_000_000));
    }

    /// What is known about a job of a dead host is what its journal says, and the words of its steps are not in there.
    #[test]
    fn each_way_to_be_left_has_its_answers() {
        let failed = |exit_status| How::Failed { exit_status };
        let incident = "0123456789abcdef0123456789abcdef".to_owned();
        let table = [
            (
                None,
                "the step host ended while this job ran: the job is lost",
            ),
            (
                Some(How::Lost),
                "the step host ended while this job ran: the job is lost",
            ),
            (Some(How::Success), ""),
            (
                Some(failed(Some(3))),
                "the step host ended after this job, and what the job said last is lost: exit status 3",
            ),
            (
                Some(How::TimedOut),
                "the step host ended after this job, and what the job said last is lost",
            ),
        ];
        for (how, expected) in table {
            let is_lost = matches!(how, None | Some(How::Lost));
            let stone = stone(1, how.clone(), Instant::now());
            let view = stone.status(&id(1)).unwrap();
            let Life::Done { ending, message } = view.life else {
                panic!("{how:?}: {:?}", view.life);
            };
            assert_eq!(message, expected, "{how:?}");
            assert_eq!(
                How::from(&ending),
                how.filter(|_| !is_lost).unwrap_or(How::Internal)
            );
            let log = stone.without_log(&id(1));
            assert_eq!(matches!(log, LookupError::Lost(_)), is_lost, "{log:?}");
            assert!(matches!(stone.refusal(&id(1)), RunError::OfDeadHost(_)));
        }
        let how = How::Broken {
            incident: incident.clone(),
        };
        let stone = stone(1, Some(how), Instant::now());
        let expected = LookupError::Broken(format!("internal error (incident {incident})"));
        assert_eq!(stone.status(&id(1)), Err(expected.clone()));
        assert_eq!(stone.without_log(&id(1)), expected);
        assert!(matches!(stone.refusal(&id(1)), RunError::Broken(_)));
    }
}
