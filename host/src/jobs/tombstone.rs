//! What is answered about a job of which nothing else is left.
//!
//! A tombstone stands for a job that this host broke before it was one, or for one whose host died. It answers what
//! happened until the job is closed or the tombstone expires, and its id is used for nothing else meanwhile:
//!
//! | | Status | FollowLogs | Run |
//! |---|---|---|---|
//! | the host broke | `Internal`, the incident | the same | refused |
//! | its host died while it ran | failure, kind internal | `Internal` | refused |
//! | its host died after it had ended | its ending, without the step's own words | `DataLoss` | refused |
//!
//! Of a job that the host broke nobody knows the state, so there is no status. That a job is lost is a state: a client
//! that asks again gets an answer on which it can end, and not an error that it might take for a bad connection.
//! Called by the registry. Never: keeps a log, or anything else of the job.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stephost_job::{Ending, JobId};
use tokio::time::Instant;

use super::{JobView, Life, LookupError, RunError};
use crate::clock;
use crate::observe::panics::Incident;
use crate::run::room::journal::{How, Journal, Left, Recorded};

/// How long what was broken or lost is remembered.
pub(super) const KEPT: Duration = Duration::from_secs(10 * 60);

/// What a client reads about a job that ran when its host died.
const LOST: &str = "the step host ended while this job ran: the job is lost";
/// … and about one that had not succeeded before.
const WORDS_LOST: &str = "the step host ended after this job, and what the job said last is lost";

/// A job of which nothing but this is left.
pub(super) struct Tombstone {
    fate: Fate,
    started: Option<SystemTime>,
    ended: SystemTime,
    since: Instant,
    /// Of another host than this one.
    is_inherited: bool,
    pub(super) recorded: Arc<Recorded>,
}

/// What became of it.
enum Fate {
    Broken(Incident),
    Lost,
    Ended(Ending),
}

impl Tombstone {
    /// For a job that this host broke.
    pub(super) fn broken(
        incident: Incident,
        id: &JobId,
        journal: Option<&Arc<Journal>>,
        now: Instant,
    ) -> Tombstone {
        let recorded = Recorded::begin(journal, id);
        recorded.ended(&broken(&incident));
        Tombstone {
            fate: Fate::Broken(incident),
            started: None,
            ended: clock::wall(),
            since: now,
            is_inherited: false,
            recorded,
        }
    }

    /// For a job of a host that died.
    pub(super) fn inherited(
        left: &Left,
        journal: Option<&Arc<Journal>>,
        now: Instant,
    ) -> Tombstone {
        let (ended, fate) = match &left.ended {
            Some((at, how)) => (*at, Fate::of(how)),
            // When it died nobody knows.
            None => (clock::wall(), Fate::Lost),
        };
        Tombstone {
            fate,
            started: Some(left.began),
            ended,
            since: now,
            is_inherited: true,
            recorded: Recorded::inherit(journal, left),
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// How it is listed.
    pub(super) fn view(&self, id: &JobId) -> JobView {
        let life = match &self.fate {
            Fate::Broken(incident) => Life::Broken(incident.to_string()),
            Fate::Lost => done(Ending::Internal {
                message: LOST.to_owned(),
            }),
            Fate::Ended(ending) => done(ending.clone()),
        };
        JobView::over(id, life, self.started, self.ended)
    }

    /// Its status.
    pub(super) fn status(&self, id: &JobId) -> Result<JobView, LookupError> {
        match &self.fate {
            Fate::Broken(incident) => Err(LookupError::broken(incident.clone())),
            Fate::Lost | Fate::Ended(_) => Ok(self.view(id)),
        }
    }

    /// Why there is no log.
    pub(super) fn without_log(&self, id: &JobId) -> LookupError {
        match &self.fate {
            Fate::Broken(incident) => LookupError::broken(incident.clone()),
            Fate::Lost => LookupError::Lost(id.clone()),
            Fate::Ended(_) => LookupError::LogGone(id.clone()),
        }
    }

    /// Why its id cannot be used.
    pub(super) fn refusal(&self, id: &JobId) -> RunError {
        match &self.fate {
            Fate::Broken(_) => RunError::Broken(id.clone()),
            Fate::Lost | Fate::Ended(_) => RunError::OfDeadHost(id.clone()),
        }
    }
}

/// How a job is written down that the host broke.
pub(super) fn broken(incident: &Incident) -> How {
    let incident = incident.number().to_owned();
    How::Broken { incident }
}

fn done(ending: Ending) -> Life {
    let message = ending.message();
    Life::Done { ending, message }
}

impl Fate {
    fn of(how: &How) -> Fate {
        let message = || WORDS_LOST.to_owned();
        Fate::Ended(match how {
            How::Success => Ending::Success,
            How::Failed { exit_status } => Ending::Failed {
                message: message(),
                exit_status: *exit_status,
            },
            How::Denied => Ending::Denied { message: message() },
            How::Limit => Ending::Limit { message: message() },
            How::Internal => Ending::Internal { message: message() },
            How::Cancelled => Ending::Cancelled { message: message() },
            How::TimedOut => Ending::TimedOut { message: message() },
            How::Broken { incident } => {
                // A number that is none was not read.
                return Incident::parse(incident).map_or(Fate::Lost, Fate::Broken);
            }
            How::Lost => return Fate::Lost,
        })
    }
}
