//! The animals of the tests' zoo: started, found, put down.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stephost_process::Plan;

/// One of each.
pub(crate) const KINDS: [&str; 9] = [
    "bg",
    "ignterm",
    "daemon",
    "daemon-clean",
    "stopped",
    "pipehold",
    "pgnest",
    "storm",
    "chain",
];
/// By which those are found whose command line says nothing.
const MARK: &str = "STEPHOST_BENCH_ZOO";
/// Longer than any animal lives.
const PATIENCE: Duration = Duration::from_secs(70);

/// A lot of animals that are found again.
pub(crate) struct Zoo {
    tag: String,
    kinds: Vec<&'static str>,
}

impl Zoo {
    pub(crate) fn new(kinds: Vec<&'static str>) -> Zoo {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tag = format!("zoo-{}-{number}", std::process::id());
        Zoo { tag, kinds }
    }

    /// How it is started; it says one line when all are there.
    pub(crate) fn plan(&self) -> Plan {
        let arguments = std::iter::once(self.tag.as_str()).chain(self.kinds.iter().copied());
        Plan {
            program: program().into(),
            args: arguments.map(Into::into).collect(),
            env: vec![(MARK.into(), self.tag.clone().into())],
            work_dir: "/".into(),
        }
    }

    /// Those who live.
    pub(crate) fn alive(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}", self.tag);
        let has = |process: &std::path::Path, file: &str, word: &str| {
            // Who is gone, or dead, has neither.
            let content = fs::read(process.join(file)).unwrap_or_default();
            content
                .split(|&byte| byte == 0)
                .any(|found| found == word.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|process| {
            let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
            let path = process.path();
            (has(&path, "cmdline", &self.tag) || has(&path, "environ", &mark)).then_some(pid)
        });
        pids.collect()
    }

    /// Kills whoever is left, movers too. They are nobody's but ours: the mark and the tag say so.
    pub(crate) fn put_down(&self) {
        let since = Instant::now();
        loop {
            let left = self.alive();
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{left:?}");
            for pid in left {
                // It may have gone by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        self.put_down();
    }
}

pub(crate) fn program() -> PathBuf {
    std::env::var_os("ZOO_BIN")
        .expect("`cargo xtask bench` names the zoo")
        .into()
}
