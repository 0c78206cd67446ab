//! Limits of jobs: in force, told apart from other ends, and shared by nobody but the steps of one job.
//!
//! They need the controllers of cgroup version 2 and a place that is the daemon's own. A machine without is said, and the test is then none; that
//! the daemon refuses to start there is tested in `layers`.

use std::path::Path;

use rustix::process::Signal;
use stephost_tests::{Client, JobStatus, State, block_on, installed_program, text_of};
use tokio::process::Command;

use super::daemon::Place;
use super::{Running, read, request, spawn, text};

/// A daemon whose jobs are limited.
struct Limited {
    place: Place,
    daemon: Running,
    client: Client,
}

impl Limited {
    /// Starts one, in `cgroup` if that is given; `None`, and said so, where it cannot limit.
    async fn start(limits: &[&str], cgroup: Option<&Path>) -> Option<Limited> {
        let place = Place::new();
        let socket = place.path("s");
        let arguments = [&["--socket", text(&socket)], limits].concat();
        let mut daemon = match cgroup {
            None => place.serve(&arguments),
            Some(cgroup) => {
                let join = format!(
                    "echo $$ > {}/cgroup.procs && exec \"$0\" serve \"$@\"",
                    cgroup.display()
                );
                let mut shell = Command::new("/bin/sh");
                shell
                    .arg("-c")
                    .arg(join)
                    .arg(installed_program())
                    .args(&arguments);
                shell
                    .env("NOTIFY_SOCKET", place.path("notify"))
                    .env("TMPDIR", place.dir.path());
                spawn(&mut shell)
            }
        };
        tokio::select! {
            () = place.told("READY=1") => {}
            status = daemon.child.wait() => {
                let said = read(&mut daemon.stderr).await;
                assert_eq!(status.expect("a child can be waited for").code(), Some(78), "{said}");
                eprintln!("skipped: {said}");
                return None;
            }
        }
        let client = place.client("s").await;
        Some(Limited {
            place,
            daemon,
            client,
        })
    }

    async fn run(&self, id: &str, command: &str) -> (JobStatus, String) {
        let steps = format!("{{}}\n---\nexec: {{command: {command}}}\n");
        let mut log = Vec::new();
        let ended = self
            .client
            .run_and_follow(request(id, &steps), |piece| log.extend_from_slice(piece))
            .await
            .expect("it runs");
        (ended, text_of(&log))
    }

    /// Ends it, and returns its log.
    async fn ended(mut self) -> String {
        self.daemon.signal(Signal::TERM);
        let log = read(&mut self.daemon.stderr).await;
        assert_eq!(self.daemon.ended().await.code(), Some(0), "{log}");
        let left = stephost_tests::rooms_in(self.place.dir.path());
        assert!(left.is_empty(), "{left:?}");
        log
    }
}

const MEMORY: &str = "killed by the kernel: the job used more than its memory limit of 64 MiB";

#[test]
fn a_job_that_uses_more_memory_than_it_may_is_killed_and_says_why() {
    block_on(async {
        let Some(limited) = Limited::start(&["--job-memory-max", "64 MiB"], None).await else {
            return;
        };
        check_memory(&limited).await;
        let log = limited.ended().await;
        for words in ["process.memory_kills=1", "limit.memory_bytes=67108864"] {
            assert!(log.contains(words), "{words} in {log}");
        }
    });
}

async fn check_memory(limited: &Limited) {
    let (ended, log) = limited.run("leader", "[tail, /dev/zero]").await;
    assert_eq!(ended.state, State::Failure);
    assert_eq!(ended.message, format!("exec: {MEMORY}: exit status 137"));
    assert!(log.contains(&format!("step host: {MEMORY}\n")), "{log}");

    let child = "[sh, -c, 'tail /dev/zero; echo \"tail ended with $?\"; exit 3']";
    let (ended, log) = limited.run("child", child).await;
    assert_eq!(ended.message, "exec: exit status 3");
    assert!(log.contains("tail ended with 137\n"), "{log}");
    assert!(log.contains(&format!("step host: {MEMORY}\n")), "{log}");

    let (ended, log) = limited.run("modest", "[echo, fine]").await;
    assert_eq!(ended.state, State::Success, "{log}");
    assert!(
        !log.contains("step host"),
        "what others did is theirs: {log}"
    );

    let killed = "[sh, -c, 'kill -9 $$']";
    let (ended, log) = limited.run("killed", killed).await;
    assert_eq!(ended.message, "exec: signal: killed", "{log}");
}

#[test]
fn a_job_that_wants_more_processes_than_it_may_have_says_so_and_others_have_theirs() {
    block_on(async {
        let Some(limited) = Limited::start(&["--job-processes-max", "20"], None).await else {
            return;
        };
        let greedy = "[sh, -c, 'i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i + 1)); done; wait']";
        let nineteen = "[sh, -c, 'i=0; while [ $i -lt 19 ]; do sleep 0.1 & i=$((i + 1)); done; wait; echo all']";
        let one = limited.run("greedy", greedy);
        let other = limited.run("nineteen", nineteen);
        let ((ended, log), (fine, all)) = tokio::join!(one, other);
        assert_eq!(ended.state, State::Failure);
        assert!(
            log.contains("step host: the job wanted more than its limit of 20 processes"),
            "{log}"
        );
        assert_eq!(fine.state, State::Success, "{all}");
        assert!(all.contains("all\n") && !all.contains("step host"), "{all}");
        let log = limited.ended().await;
        assert!(log.contains("limit.processes=20"), "{log}");
    });
}

/// As systemd gives it with `Delegate=yes`: the daemon has to leave it to its children.
#[test]
fn limits_hold_in_a_cgroup_that_was_given_to_the_daemon_alone() {
    let Some(own) = crate::layers::own_cgroup() else {
        eprintln!("skipped: cgroup version 2 is not mounted");
        return;
    };
    let cgroup = own.join(format!("stephost-test-limits-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir(&cgroup) {
        eprintln!(
            "skipped: no cgroup can be made in {}: {error}",
            own.display()
        );
        return;
    }
    let done = std::panic::catch_unwind(|| {
        block_on(async {
            let limits = ["--job-memory-max", "64 MiB", "--job-processes-max", "20"];
            let Some(limited) = Limited::start(&limits, Some(&cgroup)).await else {
                return;
            };
            check_memory(&limited).await;
            limited.ended().await;
            let left = std::fs::read_dir(&cgroup).expect("it is there").flatten();
            let dirs = left.filter(|entry| entry.path().is_dir());
            assert_eq!(dirs.count(), 0, "it takes its own away");
        });
    });
    let removed = std::fs::remove_dir(&cgroup);
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
    removed.expect("nobody is in it");
}
