//! How much of everything one run of a builtin may use.
//!
//! Plain data: each number stands for one run of one builtin, from its fresh store to the last byte of its
//! outputs. Nothing here is shared between two runs, so one step cannot use up what belongs to another.

use std::fmt;
use std::time::Duration;

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

    /// Returns the value of one limit as a person writes it: `64 MiB`, `1 h`, `16`, `none`.
    pub fn text(&self, name: LimitName) -> String {
        match name {
            LimitName::Memory => bytes_text(self.memory_bytes_max),
            LimitName::Wall => self
                .wall_max
                .map_or_else(|| "none".to_owned(), duration_text),
            LimitName::Cpu => self
                .cpu_max
                .map_or_else(|| "none".to_owned(), duration_text),
            LimitName::Log => bytes_text(self.log_bytes_max),
            LimitName::Outputs => bytes_text(self.outputs_bytes_max),
            LimitName::HostCall => bytes_text(self.host_call_bytes_max),
            LimitName::Memories => self.memories_max.to_string(),
            LimitName::Tables => self.tables_max.to_string(),
            LimitName::TableElements => self.table_elements_max.to_string(),
            LimitName::Instances => self.instances_max.to_string(),
            LimitName::Handles => self.handles_max.to_string(),
        }
    }
}

/// Which limit; its text is the word for it in messages, in the policy file and in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The largest unit that divides `bytes`, so that no digit of a limit is lost in its text.
fn bytes_text(bytes: u64) -> String {
    let units = [(GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")];
    match units
        .into_iter()
        .find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size))
    {
        Some((size, unit)) => format!("{} {unit}", bytes / size),
        None => format!("{bytes} bytes"),
    }
}

fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    match units
        .into_iter()
        .find(|(size, _)| nanos > 0 && nanos.is_multiple_of(*size))
    {
        Some((size, unit)) => format!("{} {unit}", nanos / size),
        None => format!("{nanos} ns"),
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
    fn a_value_is_shown_without_losing_a_digit() {
        let table = [
            (0, "0 bytes"),
            (1, "1 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1025, "1025 bytes"),
            (1536, "1536 bytes"),
            (3 * MIB, "3 MiB"),
            (2048 * MIB, "2 GiB"),
            (u64::MAX, "18446744073709551615 bytes"),
        ];
        for (bytes, text) in table {
            assert_eq!(bytes_text(bytes), text, "{bytes} bytes");
        }
        let table = [
            (Duration::ZERO, "0 ns"),
            (Duration::from_millis(1500), "1500 ms"),
            (Duration::from_secs(90), "90 s"),
            (Duration::from_secs(900), "15 min"),
            (Duration::from_secs(7200), "2 h"),
            (Duration::from_nanos(1_000_001), "1000001 ns"),
        ];
        for (duration, text) in table {
            assert_eq!(duration_text(duration), text, "{duration:?}");
        }
    }

    #[test]
    fn a_missing_wall_limit_is_shown_as_none() {
        let limits = Limits {
            wall_max: None,
            ..Limits::shipped()
        };
        assert_eq!(limits.text(LimitName::Wall), "none");
    }
}
