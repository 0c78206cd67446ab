//! How many panics a host survives: a bug that strikes again and again is better met by a fresh process.
//!
//! The [budget](PanicBudget) is a number of panics within a time. [`Spending`] counts, as a pure value: times come from
//! outside, since the host's start. The thin shell around it is one for the process, because the panic hook is:
//! [`panicked`] is the hook's, [`worn_out`] is waited for by whoever ends the host then. What follows, patience with the
//! jobs that run and the exit code, is theirs (`server`, `cli`).

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Stopwatch;

/// Unless told otherwise: more than an unlucky minute, fewer than a service that panics at every job.
const PANICS_MAX: u32 = 5;
const WITHIN: Duration = Duration::from_secs(10 * 60);
/// Moments that are remembered, and thus the largest number.
const PANICS_LIMIT: u32 = 10_000;

/// How many panics within which time are too many; none are without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanicBudget(Option<Allowance>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    /// The last of these is the one too many.
    panics: u32,
    within: Duration,
}

impl PanicBudget {
    /// Whatever happens, the host goes on.
    pub(crate) const OFF: PanicBudget = PanicBudget(None);
}

impl Default for PanicBudget {
    fn default() -> PanicBudget {
        PanicBudget(Some(Allowance {
            panics: PANICS_MAX,
            within: WITHIN,
        }))
    }
}

impl fmt::Display for PanicBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(Allowance { panics, within }) => {
                let within = jiff::SignedDuration::try_from(within).unwrap_or_default();
                // Without the blanks between its parts: it is one word.
                write!(f, "{panics}/{}", format!("{within:#}").replace(' ', ""))
            }
        }
    }
}

impl FromStr for PanicBudget {
    type Err = String;

    /// Reads `5/10m`, `off` and `0`.
    fn from_str(text: &str) -> Result<PanicBudget, String> {
        let usage = || "use a number and a duration like 5/10m, or off".to_owned();
        if matches!(text, "off" | "0") {
            return Ok(PanicBudget::OFF);
        }
        let (panics, within) = text.split_once('/').ok_or_else(usage)?;
        let panics: u32 = panics.parse().map_err(|_| usage())?;
        let within: jiff::SignedDuration = within.parse().map_err(|_| usage())?;
        let within = Duration::try_from(within).map_err(|_| usage())?;
        match panics {
            // A host that may not panic once is one that was not told so by accident.
            0 => Err(format!("{}; 0 panics end every host", usage())),
            1..=PANICS_LIMIT if !within.is_zero() => {
                Ok(PanicBudget(Some(Allowance { panics, within })))
            }
            1..=PANICS_LIMIT => Err(usage()),
            _ => Err(format!("no more than {PANICS_LIMIT} panics are counted")),
        }
    }
}

/// The panics of a host, against its budget.
#[derive(Debug)]
struct Spending {
    budget: PanicBudget,
    /// When the last panics were, since the start; fewer than the budget has.
    recent: VecDeque<Duration>,
}

impl Spending {
    fn new(budget: PanicBudget) -> Spending {
        Spending {
            budget,
            recent: VecDeque::new(),
        }
    }

    /// Takes note of a panic; returns whether it was one too many.
    fn panicked(&mut self, at: Duration) -> bool {
        let Some(Allowance { panics, within }) = self.budget.0 else {
            return false;
        };
        self.recent
            .retain(|earlier| at.saturating_sub(*earlier) < within);
        self.recent.push_back(at);
        if self.recent.len() < panics as usize {
            return false;
        }
        self.recent.clear();
        true
    }
}

/// The spending of this process.
struct Ledger {
    zero: Stopwatch,
    spending: Mutex<Spending>,
    /// Never goes back to false.
    worn_out: watch::Sender<bool>,
}

static LEDGER: LazyLock<Ledger> = LazyLock::new(|| Ledger {
    zero: Stopwatch::start(),
    spending: Mutex::new(Spending::new(PanicBudget::OFF)),
    worn_out: watch::Sender::new(false),
});

/// Gives this process its budget; without one it has none. Panics count from here on.
pub(super) fn allow(budget: PanicBudget) {
    let mut spending = LEDGER
        .spending
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *spending = Spending::new(budget);
}

/// Takes note of a panic of this process.
pub(super) fn panicked() {
    let at = LEDGER.zero.at().since_zero();
    let mut spending = LEDGER
        .spending
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let (too_many, budget) = (spending.panicked(at), spending.budget);
    drop(spending);
    if too_many && !LEDGER.worn_out.send_replace(true) {
        tracing::error!(
            panic_budget = %budget,
            "the host has panicked too often: it takes no new jobs, lets the others end, and then ends itself"
        );
    }
}

/// Waits for the panic that was one too many.
pub(crate) async fn worn_out() {
    let mut worn_out = LEDGER.worn_out.subscribe();
    // The sender lives as long as the process.
    let _ = worn_out.wait_for(|worn_out| *worn_out).await;
}

/// Whether there was one.
pub(crate) fn is_worn_out() -> bool {
    *LEDGER.worn_out.borrow()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the panic, from 1, that was one too many, when they come at these seconds.
    fn too_many(budget: &str, seconds: &[u64]) -> Option<usize> {
        let mut spending = Spending::new(budget.parse().unwrap());
        let mut times = seconds.iter();
        let position = times.position(|at| spending.panicked(Duration::from_secs(*at)));
        position.map(|at| at + 1)
    }

    #[test]
    fn the_last_panic_of_the_budget_within_its_time_is_one_too_many() {
        let table: [(&str, &[u64], Option<usize>); 9] = [
            ("1/10s", &[3], Some(1)),
            ("3/10s", &[0, 1], None),
            ("3/10s", &[0, 1, 2], Some(3)),
            ("3/10s", &[0, 9, 9], Some(3)),
            ("3/10s", &[0, 5, 10], None),
            ("3/10s", &[0, 5, 10, 14], Some(4)),
            ("3/10s", &[0, 20, 40, 60, 80, 100], None),
            ("off", &[0; 100], None),
            ("0", &[0; 100], None),
        ];
        for (budget, seconds, expected) in table {
            assert_eq!(too_many(budget, seconds), expected, "{budget} {seconds:?}");
        }
        let mut usual = Spending::new(PanicBudget::default());
        let minute = |minute: u64| Duration::from_secs(minute * 60);
        let last = (0..5).map(|number| usual.panicked(minute(2 * number)));
        assert_eq!(last.last(), Some(true), "5 in 8 minutes");
        let mut spaced = (0..50).map(|number| usual.panicked(minute(100 + 3 * number)));
        assert!(!spaced.any(|too_many| too_many), "4 in 10 minutes");
    }

    #[test]
    fn a_clock_that_stands_still_or_repeats_itself_harms_nothing() {
        assert_eq!(too_many("2/1s", &[5, 5]), Some(2));
        assert_eq!(too_many("2/1s", &[5, 4]), Some(2));
    }

    #[test]
    fn a_budget_reads_as_it_is_written() {
        for (text, shown) in [
            ("5/10m", "5/10m"),
            ("1/90s", "1/1m30s"),
            ("10000/24h", "10000/24h"),
            ("0", "off"),
            ("off", "off"),
        ] {
            let budget: PanicBudget = text.parse().expect(text);
            assert_eq!(budget.to_string(), shown);
            assert_eq!(shown.parse(), Ok(budget));
        }
        assert_eq!(PanicBudget::default().to_string(), "5/10m");
        for text in [
            "", "5", "5/", "/10m", "5/soon", "-1/10m", "0/10m", "5/0s", "5/-1m", "10001/1m",
            "5/10m/2", "none",
        ] {
            let refused: Result<PanicBudget, String> = text.parse();
            assert!(refused.is_err(), "{text}");
        }
    }
}
