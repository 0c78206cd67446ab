//! What is said of the processes of a step once they are over: to the operator with every field, to the job's log in one line,
//! and there only when something had to be killed.
//!
//! Called by `exec`, `programs` and `background` at a step's end, by `jobs::driver` at the job's.

use std::time::Duration;

use stephost_policy::Amount;
use stephost_process::{Report, Trace};

use crate::observe::metrics::{self, Killed};

/// Most survivors that are named in the job's log.
const NAMED_MAX: usize = 3;

/// Tells the operator how a program ended.
pub(super) fn record(step: &str, report: &Report) {
    let trace = &report.trace;
    let usage = trace.usage.unwrap_or_default();
    tracing::info!(
        step.name = %step,
        process.ended = %report.exit,
        process.signalled = report.signalled,
        process.terminated_after_ms = trace.terminated_after.map(milliseconds),
        process.killed_after_ms = trace.killed_after.map(milliseconds),
        process.killed = trace.killed_processes,
        process.left_by = %trace.mechanism,
        process.cgroup = trace.cgroup,
        process.memory_kills = trace.limits_reached.memory_kills,
        process.kept = report.leftovers.as_ref().map_or(0, stephost_process::Leftovers::processes),
        process.leaked = trace.leaked(),
        process.user_ms = milliseconds(usage.user),
        process.system_ms = milliseconds(usage.system),
        process.peak_rss_kib = usage.peak_rss_kib,
        "a native program ended"
    );
    killed(trace);
    reached(step, trace);
    leaked(step, trace);
}

/// As a number, which a longer integer is not to who writes logs.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tells the operator who outlived a step and was killed at its end.
pub(super) fn record_killed(step: &str, trace: &Trace) {
    tracing::info!(
        step.name = %step,
        process.killed = trace.killed_processes,
        process.left_by = %trace.mechanism,
        process.leaked = trace.leaked(),
        "killed what a step left running"
    );
    killed(trace);
    leaked(step, trace);
}

/// Tells the operator who was kept until the job's end, and what became of them.
pub(crate) fn record_kept(job: &str, trace: &Trace) {
    tracing::info!(
        job.id = %job,
        process.killed = trace.killed_processes,
        process.left_by = %trace.mechanism,
        process.cgroup = trace.cgroup,
        process.leaked = trace.leaked(),
        "killed what a step left running"
    );
    killed(trace);
    reached(job, trace);
    leaked(job, trace);
}

fn killed(trace: &Trace) {
    let why = match trace.terminated_after {
        Some(_) => Killed::Stop,
        None => Killed::Outlived,
    };
    metrics::killed(why, trace.killed_processes as u64);
}

fn reached(whose: &str, trace: &Trace) {
    let reached = &trace.limits_reached;
    if reached.memory_kills > 0 {
        metrics::killed(Killed::Memory, reached.memory_kills);
        tracing::warn!(
            %whose,
            process.memory_kills = reached.memory_kills,
            limit.memory_bytes = reached.limits.memory_bytes,
            "the kernel killed for memory"
        );
    }
    if reached.processes_refused > 0 {
        tracing::warn!(
            %whose,
            process.refused = reached.processes_refused,
            limit.processes = reached.limits.processes,
            "a job wanted more processes than it may have"
        );
    }
}

/// Why the kernel killed, if it did because of the job's own limit.
pub(super) fn out_of_memory(trace: &Trace) -> Option<String> {
    let limit = trace.limits_reached.limits.memory_bytes?;
    (trace.limits_reached.memory_kills > 0).then(|| {
        let limit = Amount::Bytes(limit);
        format!("killed by the kernel: the job used more than its memory limit of {limit}")
    })
}

/// Why a program could not start others, if that was the job's own limit.
fn out_of_processes(trace: &Trace) -> Option<String> {
    let limit = trace.limits_reached.limits.processes?;
    (trace.limits_reached.processes_refused > 0)
        .then(|| format!("the job wanted more than its limit of {limit} processes"))
}

fn leaked(whose: &str, trace: &Trace) {
    metrics::survived(trace.survivors.len() as u64);
    for survivor in &trace.survivors {
        tracing::error!(%whose, process.pid = survivor.pid, "a process could not be killed: {survivor}");
    }
}

/// The line for the job's log; `None` when nobody had to be killed and no limit was reached.
pub(crate) fn line(trace: &Trace) -> Option<String> {
    let killed = match trace.killed_processes {
        0 => None,
        1 => Some("killed 1 process".to_owned()),
        count => Some(format!("killed {count} processes")),
    };
    let killed = killed.map(|killed| match trace.terminated_after {
        Some(_) => format!("{killed} that had not ended when asked to"),
        None => killed,
    });
    let survivors = (!trace.survivors.is_empty()).then(|| {
        let named: Vec<String> = trace
            .survivors
            .iter()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        let more = match trace.survivors.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        format!("could not kill {}{more}", named.join(", "))
    });
    let limits = out_of_memory(trace)
        .into_iter()
        .chain(out_of_processes(trace));
    let parts: Vec<String> = limits.chain(killed).chain(survivors).collect();
    (!parts.is_empty()).then(|| format!("step host: {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use stephost_process::{JobLimits, LimitsReached, Survivor};

    use super::*;

    #[test]
    fn a_line_is_written_only_when_somebody_had_to_be_killed() {
        let survivor = |pid| Survivor {
            pid,
            name: "sudo\u{1b}[2J".to_owned(),
            state: b'S',
            uid: 0,
            refused: true,
            waits_in: String::new(),
        };
        let quiet = Trace::default();
        let asked = Trace {
            terminated_after: Some(Duration::from_secs(1)),
            ..Trace::default()
        };
        let table = [
            (quiet.clone(), None),
            (asked.clone(), None),
            (
                Trace {
                    killed_processes: 1,
                    ..quiet.clone()
                },
                Some("step host: killed 1 process"),
            ),
            (
                Trace {
                    killed_processes: 3,
                    ..asked
                },
                Some("step host: killed 3 processes that had not ended when asked to"),
            ),
            (
                Trace {
                    killed_processes: 2,
                    survivors: vec![survivor(7)],
                    ..quiet.clone()
                },
                Some(
                    "step host: killed 2 processes; could not kill sudo\\u{1b}[2J (pid 7, state S, user 0: we may not signal it)",
                ),
            ),
        ];
        let reached = LimitsReached {
            limits: JobLimits {
                memory_bytes: Some(64 << 20),
                processes: Some(20),
            },
            ..LimitsReached::default()
        };
        let limited = |memory_kills, processes_refused| Trace {
            limits_reached: LimitsReached {
                memory_kills,
                processes_refused,
                ..reached
            },
            ..quiet.clone()
        };
        let limits = [
            (limited(0, 0), None),
            (
                limited(2, 0),
                Some(
                    "step host: killed by the kernel: the job used more than its memory limit of 64 MiB",
                ),
            ),
            (
                limited(0, 7),
                Some("step host: the job wanted more than its limit of 20 processes"),
            ),
        ];
        for (trace, expected) in table.into_iter().chain(limits) {
            assert_eq!(line(&trace).as_deref(), expected, "{trace:?}");
        }
        let many = Trace {
            survivors: (0..5).map(survivor).collect(),
            ..quiet
        };
        assert!(line(&many).is_some_and(|line| line.ends_with(" and 2 more")));
    }
}
