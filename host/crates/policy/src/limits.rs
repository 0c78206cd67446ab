//! How much of everything one run of a builtin may use.
//!
//! Plain data: each number stands for one run of one builtin, from its fresh store to the last byte of its
//! outputs. Nothing here is shared between two runs, so one step cannot use up what belongs to another.

mod amount;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use amount::Amount;
pub(crate) use amount::{AmountError, Written};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The limits of one run of a builtin.
///
/// Every limit is inclusive: reaching it is allowed, going beyond it ends the run as a failed step that
/// names the limit (design D2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the run.
    pub memory_bytes_max: u64,
    /// Time from start to end, waiting included; `None` leaves the time to the job's own timeout.
    pub wall_max: Option<Duration>,
    /// Time spent inside the guest; waiting, for a stop or a program, is free. `None` leaves it to the wall.
    pub cpu_max: Option<Duration>,
    /// Bytes written to the job log, counted before masking and stamping.
    pub log_bytes_max: u64,
    /// Bytes of all outputs and exports together, names and values.
    pub outputs_bytes_max: u64,
    /// Bytes that one call of a host function may copy into the host.
    pub host_call_bytes_max: u64,
    /// Linear memories in the store.
    pub memories_max: usize,
    /// Tables in the store.
    pub tables_max: usize,
    /// Elements, summed over all tables of the run.
    pub table_elements_max: u64,
    /// Core instances in the store.
    pub instances_max: usize,
    /// Handles that the guest holds at one time: programs, secrets, and whatever else the host keeps for it.
    pub handles_max: usize,
}

impl Limits {
    /// The limits of a shipped builtin for which nobody wrote others.
    ///
    /// Generous for honest work, and finite: with every slot of the sandbox at its limit the host still has a
    /// known worst case.
    pub const fn shipped() -> Limits {
        Limits {
            // A component from our SDK starts with 1.1 MiB: the rest is for the step's own data.
            memory_bytes_max: 64 * MIB,
            // The usual default of a whole CI job: no single builtin needs more.
            wall_max: Some(Duration::from_secs(60 * 60)),
            // An honest builtin computes for seconds; one that computes this long holds up its neighbours.
            cpu_max: Some(Duration::from_secs(20 * 60)),
            // As much as the stored log of a whole job may hold; less would cut output that others keep.
            log_bytes_max: GIB,
            // The limit of a request's steps text: whatever a builtin gives must fit where it came from.
            outputs_bytes_max: 4 * MIB,
            // Twice the outputs, so that the outputs limit is the one that speaks; wasmtime's own default
            // of 128 MiB would let one call cost the host twice a builtin's whole memory.
            host_call_bytes_max: 8 * MIB,
            // A component from our SDK has one memory, two tables and three core instances. The rest is
            // room for components that were composed; the engine's own default is 10 000 of each.
            memories_max: 4,
            tables_max: 8,
            // 0.8 MB at eight bytes each, so that tables cannot become a second memory beside the limited one.
            table_elements_max: 100_000,
            instances_max: 16,
            // A handful is in use at a time; each costs the host an entry in a table and what it stands for.
            handles_max: 512,
        }
    }

    /// Returns the value of one limit.
    pub fn amount(&self, name: LimitName) -> Amount {
        let count = |count: usize| Amount::Count(u64::try_from(count).unwrap_or(u64::MAX));
        match name {
            LimitName::Memory => Amount::Bytes(self.memory_bytes_max),
            LimitName::Wall => Amount::Time(self.wall_max),
            LimitName::Cpu => Amount::Time(self.cpu_max),
            LimitName::Log => Amount::Bytes(self.log_bytes_max),
            LimitName::Outputs => Amount::Bytes(self.outputs_bytes_max),
            LimitName::HostCall => Amount::Bytes(self.host_call_bytes_max),
            LimitName::Memories => count(self.memories_max),
            LimitName::Tables => count(self.tables_max),
            LimitName::TableElements => Amount::Count(self.table_elements_max),
            LimitName::Instances => count(self.instances_max),
            LimitName::Handles => count(self.handles_max),
        }
    }

    /// Returns the value of one limit as a person writes it: `64 MiB`, `1 h`, `16`, `none`.
    pub fn text(&self, name: LimitName) -> String {
        self.amount(name).to_string()
    }

    /// Puts `chosen` in place of what was here.
    pub(crate) fn replace(&mut self, chosen: &ChosenLimits) {
        for (name, amount) in &chosen.0 {
            self.set(*name, *amount);
        }
    }

    /// Takes of each limit the smaller of what is here and what `chosen` says.
    pub(crate) fn lower_to(&mut self, chosen: &ChosenLimits) {
        for (name, amount) in &chosen.0 {
            if self.amount(*name).exceeds(*amount) {
                self.set(*name, *amount);
            }
        }
    }

    fn set(&mut self, name: LimitName, amount: Amount) {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        match (name, amount) {
            (LimitName::Memory, Amount::Bytes(bytes)) => self.memory_bytes_max = bytes,
            (LimitName::Wall, Amount::Time(time)) => self.wall_max = time,
            (LimitName::Cpu, Amount::Time(time)) => self.cpu_max = time,
            (LimitName::Log, Amount::Bytes(bytes)) => self.log_bytes_max = bytes,
            (LimitName::Outputs, Amount::Bytes(bytes)) => self.outputs_bytes_max = bytes,
            (LimitName::HostCall, Amount::Bytes(bytes)) => self.host_call_bytes_max = bytes,
            (LimitName::Memories, Amount::Count(number)) => self.memories_max = count(number),
            (LimitName::Tables, Amount::Count(number)) => self.tables_max = count(number),
            (LimitName::TableElements, Amount::Count(number)) => self.table_elements_max = number,
            (LimitName::Instances, Amount::Count(number)) => self.instances_max = count(number),
            (LimitName::Handles, Amount::Count(number)) => self.handles_max = count(number),
            // `ChosenLimits` holds only amounts of the limit's own unit, and is the only caller's source.
            (_, Amount::Bytes(_) | Amount::Time(_) | Amount::Count(_)) => {}
        }
    }
}

/// Limits that somebody wrote down; those that are not named here are somebody else's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChosenLimits(BTreeMap<LimitName, Amount>);

impl ChosenLimits {
    /// Reads one limit from its written form and keeps it.
    pub(crate) fn choose(
        &mut self,
        name: LimitName,
        written: Written<'_>,
    ) -> Result<Amount, AmountError> {
        let amount = Amount::parse(name, written)?;
        self.0.insert(name, amount);
        Ok(amount)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LimitName, Amount)> {
        self.0.iter().map(|(name, amount)| (*name, *amount))
    }

    pub(crate) fn get(&self, name: LimitName) -> Option<Amount> {
        self.0.get(&name).copied()
    }
}

/// Which limit; its text is the word for it in messages, in the policy file and in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// [`Limits::memory_bytes_max`], `memory`.
    Memory,
    /// [`Limits::wall_max`], `wall`.
    Wall,
    /// [`Limits::cpu_max`], `cpu`.
    Cpu,
    /// [`Limits::log_bytes_max`], `log`.
    Log,
    /// [`Limits::outputs_bytes_max`], `outputs`.
    Outputs,
    /// [`Limits::host_call_bytes_max`], `host-call`.
    HostCall,
    /// [`Limits::memories_max`], `memories`.
    Memories,
    /// [`Limits::tables_max`], `tables`.
    Tables,
    /// [`Limits::table_elements_max`], `table-elements`.
    TableElements,
    /// [`Limits::instances_max`], `instances`.
    Instances,
    /// [`Limits::handles_max`], `handles`.
    Handles,
}

impl LimitName {
    /// Every limit, in the order in which they are shown.
    pub const ALL: [LimitName; 11] = [
        LimitName::Memory,
        LimitName::Wall,
        LimitName::Cpu,
        LimitName::Log,
        LimitName::Outputs,
        LimitName::HostCall,
        LimitName::Memories,
        LimitName::Tables,
        LimitName::TableElements,
        LimitName::Instances,
        LimitName::Handles,
    ];

    /// Returns the word for this limit.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitName::Memory => "memory",
            LimitName::Wall => "wall",
            LimitName::Cpu => "cpu",
            LimitName::Log => "log",
            LimitName::Outputs => "outputs",
            LimitName::HostCall => "host-call",
            LimitName::Memories => "memories",
            LimitName::Tables => "tables",
            LimitName::TableElements => "table-elements",
            LimitName::Instances => "instances",
            LimitName::Handles => "handles",
        }
    }

    /// Returns the limit that is called `word`.
    pub(crate) fn from_word(word: &str) -> Option<LimitName> {
        LimitName::ALL
            .into_iter()
            .find(|name| name.as_str() == word)
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_shipped_limits_are_the_documented_ones() {
        let table = [
            (LimitName::Memory, "memory", "64 MiB"),
            (LimitName::Wall, "wall", "1 h"),
            (LimitName::Cpu, "cpu", "20 min"),
            (LimitName::Log, "log", "1 GiB"),
            (LimitName::Outputs, "outputs", "4 MiB"),
            (LimitName::HostCall, "host-call", "8 MiB"),
            (LimitName::Memories, "memories", "4"),
            (LimitName::Tables, "tables", "8"),
            (LimitName::TableElements, "table-elements", "100000"),
            (LimitName::Instances, "instances", "16"),
            (LimitName::Handles, "handles", "512"),
        ];
        assert_eq!(
            LimitName::ALL,
            table.map(|(name, ..)| name),
            "every limit has a row"
        );
        for (name, word, value) in table {
            assert_eq!(name.to_string(), word, "the word for {name:?}");
            assert_eq!(Limits::shipped().text(name), value, "the value of {word}");
        }
    }

    #[test]
    fn no_two_limits_share_a_word() {
        let words: HashSet<&str> = LimitName::ALL.into_iter().map(LimitName::as_str).collect();
        assert_eq!(words.len(), LimitName::ALL.len());
    }

    #[test]
    fn a_missing_wall_limit_is_shown_as_none() {
        let limits = Limits {
            wall_max: None,
            ..Limits::shipped()
        };
        assert_eq!(limits.text(LimitName::Wall), "none");
    }

    #[test]
    fn every_limit_is_replaced_and_lowered_by_its_own_word() {
        for name in LimitName::ALL {
            let written = match Limits::shipped().amount(name) {
                Amount::Bytes(_) => Written::Text("1 KiB"),
                Amount::Time(_) => Written::Text("1 ms"),
                Amount::Count(_) => Written::Integer("1"),
            };
            let mut chosen = ChosenLimits::default();
            let amount = chosen.choose(name, written).unwrap();
            let mut lowered = Limits::shipped();
            lowered.lower_to(&chosen);
            assert_eq!(lowered.amount(name), amount, "{name} is lowered");
            for other in LimitName::ALL.into_iter().filter(|other| *other != name) {
                assert_eq!(
                    lowered.amount(other),
                    Limits::shipped().amount(other),
                    "{name} leaves {other} alone"
                );
            }
            let mut nothing = Limits::shipped();
            nothing.replace(&chosen);
            assert_eq!(nothing, lowered, "{name} is replaced");
        }
    }

    #[test]
    fn lowering_never_raises_and_none_is_more_than_every_time() {
        let mut chosen = ChosenLimits::default();
        chosen
            .choose(LimitName::Memory, Written::Text("1 GiB"))
            .unwrap();
        chosen
            .choose(LimitName::Wall, Written::Text("none"))
            .unwrap();
        let mut limits = Limits::shipped();
        limits.lower_to(&chosen);
        assert_eq!(limits, Limits::shipped());
        limits.replace(&chosen);
        assert_eq!(limits.memory_bytes_max, GIB);
        assert_eq!(limits.wall_max, None);
        let mut hour = ChosenLimits::default();
        hour.choose(LimitName::Wall, Written::Text("1h")).unwrap();
        limits.lower_to(&hour);
        assert_eq!(limits.wall_max, Some(Duration::from_secs(3600)));
    }
}
