//! The host that is measured: starting it, and what the system says about it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stephost_bench::figure::as_f64;
use stephost_client::Client;
use tempfile::TempDir;

/// Clock ticks of `/proc/<pid>/stat` in a second, on every Linux that there is.
const TICKS: f64 = 100.0;

/// A host of its own, in a directory of its own. Ends when it is dropped.
pub(crate) struct Host {
    child: Child,
    dir: TempDir,
}

impl Host {
    /// Starts the host and waits until it says that it listens.
    pub(crate) fn start() -> Host {
        let dir = TempDir::new().unwrap();
        let program = std::env::var_os("STEPHOST_BIN").expect("`cargo xtask bench` names the host");
        let mut child = Command::new(program)
            .args(["steps", "serve", "--socket"])
            .arg(dir.path().join("s"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut marker = String::new();
        let stderr = child.stderr.take().unwrap();
        BufReader::new(stderr).read_line(&mut marker).unwrap();
        assert!(marker.contains("is listening on socket"), "{marker}");
        Host { child, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.dir.path().join("s")).await.unwrap()
    }

    /// Resident memory in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<f64>().unwrap() / 1024.0
    }

    pub(crate) fn threads(&self) -> f64 {
        as_f64(self.proc("task").read_dir().unwrap().count())
    }

    pub(crate) fn descriptors(&self) -> f64 {
        as_f64(self.proc("fd").read_dir().unwrap().count())
    }

    /// Processor time so far, with that of steps that were waited for.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        // Fields 14 to 17: utime, stime, cutime, cstime. The first one here is number 3.
        let ticks = fields.split_whitespace().skip(11).take(4);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap()).sum();
        Duration::from_secs_f64(ticks / TICKS)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
