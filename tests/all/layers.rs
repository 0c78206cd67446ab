//! The layers beside the supervisor: cgroups where a host may make some, limits of jobs, and the janitor of hosts that died.
//!
//! Needs root, a writable tree of cgroups, a freezer: what a machine lacks is said, and the test is then no test. The numbers are those of
//! the scenarios in the design's list.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use stephost_tests::{
    Host, Options, Variable, block_on, children_of, program, rooms_in, run_program, step_test,
};
use tempfile::TempDir;

use crate::containment::{KINDS, USER, alive, all_gone, built_zoo, copied, exec, pids, tag, zoo};

/// The tree of version 2 that is mounted here, and what this process is in.
pub(super) fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(point))
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(mount.join(own))
}

/// A cgroup of this test's own, whose name nobody else has.
struct Delegated(PathBuf);

impl Delegated {
    /// One that belongs to the ordinary user, as systemd gives it with `Delegate=yes`.
    fn to_user(name: &str) -> Option<Delegated> {
        if !geteuid().is_root() {
            eprintln!("skipped: only root gives cgroups away");
            return None;
        }
        let joins = std::process::Command::new("setpriv")
            .arg("--version")
            .output();
        if joins.is_err() {
            eprintln!("skipped: there is no setpriv");
            return None;
        }
        let Some(own) = own_cgroup() else {
            eprintln!("skipped: cgroup version 2 is not mounted");
            return None;
        };
        let path = own.join(format!("stephost-test-{name}-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&path) {
            eprintln!(
                "skipped: no cgroup can be made in {}: {error}",
                own.display()
            );
            return None;
        }
        give(&path);
        Some(Delegated(path))
    }

    /// Names of the cgroups in it.
    fn children(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there").flatten();
        let dirs = entries.filter(|entry| entry.file_type().expect("it has one").is_dir());
        dirs.map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn give(cgroup: &Path) {
    for file in [
        "",
        "cgroup.procs",
        "cgroup.subtree_control",
        "cgroup.threads",
    ] {
        let path = cgroup.join(file);
        chown(path, Some(USER), Some(USER)).expect("root gives away what is his");
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let _ = fs::remove_dir(&self.0);
    }
}

/// Programs that everybody may run, the zoo as root.
struct Programs {
    _room: TempDir,
    host: PathBuf,
    zoo: PathBuf,
}

impl Programs {
    fn new() -> Programs {
        let room = TempDir::new().expect("a directory can be made");
        let host = copied(room.path(), &program(), "stephost");
        let zoo = copied(room.path(), built_zoo(), "zoo");
        let as_its_owner = fs::Permissions::from_mode(0o4755);
        fs::set_permissions(&zoo, as_its_owner).expect("it is ours");
        Programs {
            _room: room,
            host,
            zoo,
        }
    }

    async fn host_in(&self, cgroup: &Delegated) -> Host {
        Host::start(Options {
            program: Some(self.host.clone()),
            user: Some(USER),
            cgroup: Some(cgroup.0.clone()),
            ..Options::default()
        })
        .await
    }
}

#[test]
fn scenario_19_in_a_cgroup_of_his_own_an_ordinary_user_kills_another_users_processes_too() {
    let Some(delegated) = Delegated::to_user("19") else {
        return;
    };
    block_on(async {
        let programs = Programs::new();
        let host = programs.host_in(&delegated).await;
        for round in 0..3 {
            let tag = tag(&host, &format!("sudo-{round}"));
            let job = host
                .job(&zoo(&programs.zoo, &tag, &format!("{KINDS} sudo")))
                .grace_ms(100)
                .start()
                .await;
            job.wait_for("zoo ready").await;
            assert!(alive(&host, &tag).len() > 200, "the animals are there");
            job.cancel().await;
            let ended = job.ended().await;
            assert_eq!(alive(&host, &tag), [""; 0]);
            ended
                .is_cancelled()
                .printing("step host: killed ")
                .not_printing("could not kill");
        }
        host.finish().await;
        assert_eq!(delegated.children(), [""; 0], "the host leaves none");
    });
}

#[test]
fn scenario_20_who_moves_to_another_cgroup_is_still_his_supervisors() {
    let Some(delegated) = Delegated::to_user("20") else {
        return;
    };
    let elsewhere = delegated.0.join("elsewhere");
    fs::create_dir(&elsewhere).expect("a cgroup can be made");
    give(&elsewhere);
    block_on(async {
        let programs = Programs::new();
        let host = programs.host_in(&delegated).await;
        let script = format!(
            "setsid sleep 60 & echo $! > {}/cgroup.procs && echo moved; sleep 60",
            elsewhere.display()
        );
        let job = host.job(&exec(&script)).grace_ms(100).start().await;
        job.wait_for("moved").await;
        let procs = fs::read_to_string(elsewhere.join("cgroup.procs")).expect("it is there");
        assert_eq!(procs.lines().count(), 1, "he is there: {procs}");
        job.cancel().await;
        job.ended().await.is_cancelled();
        assert_eq!(host.survivors(), [""; 0]);
        host.finish().await;
        fs::remove_dir(&elsewhere).expect("nobody is in it");
        assert_eq!(delegated.children(), [""; 0]);
    });
}

/// Frozen by version 1, a process is where no kill reaches it: in state D.
struct Freezer(PathBuf);

impl Freezer {
    fn new(name: &str) -> Option<Freezer> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let freezer = mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, point, "cgroup", options, ..] = fields[..] else {
                return None;
            };
            let has_freezer = options.split(',').any(|option| option == "freezer");
            has_freezer.then(|| PathBuf::from(point))
        });
        let Some(freezer) = freezer else {
            eprintln!("skipped: there is no freezer of version 1");
            return None;
        };
        let path = freezer.join(format!("stephost-test-{name}-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Some(Freezer(path)),
            Err(error) => {
                eprintln!("skipped: the freezer cannot be used: {error}");
                None
            }
        }
    }

    fn freeze(&self, pid: Pid) {
        let pid = pid.as_raw_nonzero().to_string();
        fs::write(self.0.join("cgroup.procs"), pid).expect("he can be moved");
        fs::write(self.0.join("freezer.state"), "FROZEN").expect("he can be frozen");
    }

    fn thaw(&self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn scenario_25_who_cannot_be_killed_is_named_holds_nobody_up_and_is_gone_when_he_can() {
    let Some(freezer) = Freezer::new("25") else {
        return;
    };
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let host = host_at(&temp).await;
        let tag = tag(&host, "frozen");
        let job = host
            .job(&zoo(built_zoo(), &tag, "daemon"))
            .grace_ms(100)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        let daemon = pids(&tag)
            .into_iter()
            .find(|pid| {
                let kind = fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
                kind.is_ok_and(|kind| kind.contains("second"))
            })
            .expect("the daemon is there");
        freezer.freeze(daemon);
        job.cancel().await;
        let ended = tokio::time::timeout(Duration::from_secs(15), job.ended()).await;
        let ended = ended.expect("the budget of a kill is five seconds");
        ended.is_cancelled().printing(&format!(
            "could not kill exe (pid {}, state D, user {}: it does not die",
            daemon.as_raw_nonzero(),
            geteuid().as_raw(),
        ));
        // A second cannot wait behind it.
        host.script("echo fine").run().await.succeeds();
        assert_eq!(pids(&tag), [daemon]);

        host.signal(Signal::TERM);
        assert_eq!(host.exited().await.code(), Some(0));
        freezer.thaw();
        let second = host_at(&temp).await;
        all_gone(&host, &tag).await;
        assert_eq!(
            rooms_in(temp.path()).len(),
            1,
            "nothing is left of the first, and what the second has is its own"
        );
        second.finish().await;
        assert_eq!(rooms_in(temp.path()).len(), 0);
    });
}

/// Waits until a cgroup is removed by somebody who is no child of ours.
async fn gone(cgroup: &Path) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while cgroup.exists() {
        tick.tick().await;
    }
}

/// A host whose directory for temporary files is shared with others, and whose log lies in it.
async fn host_at(temp: &TempDir) -> Host {
    let options = Options {
        env: vec![("TMPDIR".into(), temp.path().into())],
        ..Options::default()
    };
    Host::start(options.with_log(&temp.path().join("log"))).await
}

fn log_of(temp: &TempDir) -> String {
    fs::read_to_string(temp.path().join("log")).expect("there is a log")
}

/// The cgroup that a host has written down, if it has one.
fn cgroup_of(room: &Path) -> Option<PathBuf> {
    let record = fs::read_to_string(room.join("host.json")).expect("there is a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    record["cgroup"]["path"].as_str().map(PathBuf::from)
}

#[test]
fn scenario_14_of_a_host_that_was_killed_the_next_one_finds_no_process_and_removes_the_rest() {
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let host = host_at(&temp).await;
        let tag = tag(&host, "14");
        let job = host.job(&zoo(built_zoo(), &tag, KINDS)).start().await;
        job.wait_for("zoo ready").await;
        let [room] = &rooms_in(temp.path())[..] else {
            panic!("one host has one room");
        };
        let cgroup = cgroup_of(room);
        host.signal(Signal::KILL);
        host.exited().await;
        all_gone(&host, &tag).await;
        assert!(room.exists(), "nobody was there to remove it");
        match cgroup {
            // The last of its supervisors does that.
            Some(cgroup) => gone(&cgroup).await,
            None => eprintln!("skipped: this host had no cgroup"),
        }

        let second = host_at(&temp).await;
        assert!(!room.exists());
        let log = log_of(&temp);
        assert!(
            log.contains(
                "removed what a host that died had left janitor.hosts=1 janitor.processes=0"
            ),
            "{log}"
        );
        let client = second.client();
        let closed = client.close("job-1").await;
        closed.expect("the second host knows the first one's job");
        second.script("echo fine").run().await.succeeds();
        second.finish().await;
    });
}

#[test]
fn what_lost_its_host_and_its_supervisor_at_once_is_ended_by_the_next_host() {
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let host = host_at(&temp).await;
        let tag = tag(&host, "orphans");
        let job = host
            .job(&zoo(built_zoo(), &tag, "bg daemon ignterm"))
            .start()
            .await;
        job.wait_for("zoo ready").await;
        host.signal(Signal::STOP);
        for supervisor in children_of(host.pid()) {
            kill_process(supervisor, Signal::KILL).expect("it is there");
        }
        host.signal(Signal::KILL);
        host.exited().await;
        assert!(!alive(&host, &tag).is_empty(), "nobody has ended them");
        let rooms = rooms_in(temp.path());
        let cgroup = cgroup_of(&rooms[0]);

        let second = host_at(&temp).await;
        assert_eq!(
            alive(&host, &tag),
            [""; 0],
            "before it says that it listens"
        );
        let log = log_of(&temp);
        assert!(!log.contains("janitor.processes=0"), "{log}");
        assert!(!rooms[0].exists() && cgroup.is_none_or(|cgroup| !cgroup.exists()));
        second.finish().await;
        assert_eq!(rooms_in(temp.path()).len(), 0);
    });
}

#[test]
fn a_host_that_lives_is_not_touched_by_one_that_starts_beside_it() {
    block_on(async {
        let temp = TempDir::new().expect("a directory can be made");
        let host = host_at(&temp).await;
        let tag = tag(&host, "beside");
        host.gate("gate");
        let script = format!(
            "{} {tag} leave daemon; cat gate; test -f \"$FILE\" && cat \"$FILE\"",
            built_zoo().display()
        );
        let file = Variable {
            key: "FILE".into(),
            value: "kept".into(),
            file: true,
            ..Variable::default()
        };
        let job = host
            .job(&format!(
                "run: [{{name: it, script: '{script}', env: {{FILE: '${{{{vars.FILE}}}}'}}}}]"
            ))
            .any_variable(file)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        let second = host_at(&temp).await;
        second.script("echo fine").run().await.succeeds();
        second.finish().await;
        assert!(!pids(&tag).is_empty(), "the daemon lives");
        host.open_gate("gate").await;
        job.ended().await.succeeds().printing("kept");
        host.finish().await;
    });
}

step_test!(a_step_carries_the_mark_of_its_host_and_no_other, |host| {
    let ended = host.script("echo \"<$STEPHOST_HOST_ID>\"").run().await;
    let out = ended.succeeds().out();
    let [room] = &rooms_in(host.temp())[..] else {
        panic!("one host has one room");
    };
    let name = room.file_name().expect("it has one").to_string_lossy();
    let id = name.trim_start_matches("stephost-host-");
    assert!(out.contains(&format!("<{id}>")), "{out}");
});

fn controllers() -> String {
    let own = own_cgroup().unwrap_or_default();
    fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default()
}

#[test]
fn a_limit_that_cannot_be_in_force_keeps_the_daemon_from_starting() {
    block_on(async {
        for (controller, flag, value) in [
            ("memory", "--job-memory-max", "64 MiB"),
            ("pids", "--job-processes-max", "64"),
        ] {
            if controllers()
                .split_whitespace()
                .any(|word| word == controller)
            {
                eprintln!("skipped: jobs can be limited here by {controller}");
                continue;
            }
            let place = TempDir::new().expect("a directory can be made");
            let socket = place.path().join("s").display().to_string();
            let temp = place.path().display().to_string();
            let arguments = ["serve", "--socket", &socket, flag, value];
            let done = run_program(&arguments, &[("TMPDIR", &temp)]).await;
            assert_eq!(done.status.code(), Some(78), "{done:?}");
            assert!(
                done.err.contains("error: jobs cannot be limited here: "),
                "{done:?}"
            );
            assert_eq!(rooms_in(place.path()).len(), 0);
            assert!(!Path::new(&socket).exists());
        }
    });
}
