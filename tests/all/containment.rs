//! Nobody outlives his step, whatever he does (design D15; the kinds are those of docs/containment.md, `scenario_NN` is number NN of its list).

mod crowd;
mod races;
mod stops;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid};
use stephost_tests::{Host, Options, block_on, installed_program, program, step_test};

/// One of each.
pub(super) const KINDS: &str =
    "bg ignterm daemon daemon-clean stopped stopped-trap pipehold pgnest storm chain chain-pg";
/// An ordinary user without a name.
pub(super) const USER: u32 = 65534;
/// How long the processes of a host that was killed may live on.
const AFTERLIFE: Duration = Duration::from_secs(10);

/// A job of one exec step with the whole zoo, whose processes carry `tag`.
pub(super) fn zoo(program: &Path, tag: &str, kinds: &str) -> String {
    let kinds: String = kinds.split(' ').map(|kind| format!(", {kind}")).collect();
    format!(
        "exec: {{command: [\"{}\", \"{tag}\"{kinds}]}}",
        program.display()
    )
}

pub(super) fn built_zoo() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_zoo"))
}

pub(super) fn exec(script: &str) -> String {
    format!("exec: {{command: [sh, -c, '{script}']}}")
}

/// A word that no other test's processes have on their command line.
pub(super) fn tag(host: &Host, name: &str) -> String {
    let temp = host.temp().file_name().unwrap_or_default();
    format!("zoo-{name}-{}", temp.to_string_lossy())
}

/// Live processes of the host's jobs: by the mark in their environment, and by the tag for those who cleared it.
pub(super) fn alive(host: &Host, tag: &str) -> Vec<String> {
    let mut found = host.survivors();
    found.extend(pids(tag).iter().map(|pid| format!("{pid:?} of the zoo")));
    found
}

fn nobody() -> Vec<String> {
    Vec::new()
}

step_test!(scenario_05_a_cancelled_step_leaves_nobody, |host| {
    for round in 0..3 {
        let tag = tag(host, &round.to_string());
        let job = host
            .job(&zoo(built_zoo(), &tag, KINDS))
            .grace_ms(200)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        assert!(alive(host, &tag).len() > 200, "the animals are there");
        job.cancel().await;
        let ended = job.ended().await;
        assert_eq!(
            alive(host, &tag),
            nobody(),
            "at the very moment when the job is over"
        );
        ended.is_cancelled().printing("step host: killed ");
    }
});

step_test!(
    scenario_05_a_step_that_ends_by_itself_keeps_its_children_until_the_job_is_over,
    |host| {
        let tag = tag(host, "kept");
        host.gate("gate");
        let steps = format!(
            "run:\n- name: leaves\n  step: ./zoo\n- name: sees\n  script: |-\n    ps ax -o args= | grep -c -- '--be storm {tag}' || true; cat gate\n"
        );
        host.file(
            "zoo/func.yml",
            &format!(
                "{{}}\n---\n{}\n",
                zoo(built_zoo(), &tag, &format!("leave {KINDS}"))
            ),
        );
        let job = host.job(&steps).start().await;
        job.wait_for("zoo ready").await;
        // The second step runs when the first is over.
        job.wait_for("name=sees").await;
        assert!(alive(host, &tag).len() > 200, "they are kept");
        host.open_gate("gate").await;
        let ended = job.ended().await;
        assert_eq!(alive(host, &tag), nobody());
        ended.succeeds().printing("step host: killed 2");
    }
);

step_test!(a_closed_job_leaves_nobody, |host| {
    let tag = tag(host, "closed");
    let job = host
        .job(&zoo(built_zoo(), &tag, KINDS))
        .grace_ms(200)
        .start()
        .await;
    job.wait_for("zoo ready").await;
    job.close().await;
    assert_eq!(alive(host, &tag), nobody());
});

step_test!(a_job_that_runs_out_of_time_leaves_nobody, |host| {
    let tag = tag(host, "late");
    let job = host
        .job(&zoo(built_zoo(), &tag, KINDS))
        .grace_ms(200)
        .timeout_ms(5000)
        .start()
        .await;
    job.wait_for("zoo ready").await;
    job.ended().await.is_timed_out();
    assert_eq!(alive(host, &tag), nobody());
});

step_test!(
    a_host_that_is_asked_to_end_leaves_nobody,
    Options {
        arguments: vec!["--drain-timeout".into(), "100ms".into()],
        ..Options::default()
    },
    |host| {
        let tag = tag(host, "drained");
        let job = host
            .job(&zoo(built_zoo(), &tag, KINDS))
            .grace_ms(200)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        host.signal(Signal::TERM);
        assert_eq!(host.exited().await.code(), Some(0));
        assert_eq!(alive(host, &tag), nobody());
    }
);

/// Waits until nobody is left of a host that had no time to see to it.
pub(super) async fn all_gone(host: &Host, tag: &str) {
    // Strangers' ends are no event for us, so this is polled.
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let killed = Instant::now();
    while !alive(host, tag).is_empty() {
        assert!(killed.elapsed() < AFTERLIFE, "{:?}", alive(host, tag));
        tick.tick().await;
    }
}

#[test]
fn scenario_14_a_host_that_is_killed_leaves_nobody() {
    block_on(async {
        for round in 0..3 {
            let host = Host::start(Options::default()).await;
            let tag = tag(&host, &format!("killed-{round}"));
            let running = host.job(&zoo(built_zoo(), &tag, KINDS)).start().await;
            running.wait_for("zoo ready").await;
            host.signal(Signal::KILL);
            host.exited().await;
            all_gone(&host, &tag).await;
        }
    });
}

#[test]
fn scenario_14_a_host_that_is_killed_while_a_supervisor_sleeps_leaves_nobody() {
    block_on(async {
        let host = Host::start(Options::default()).await;
        let script = "setsid sleep 60 & kill -STOP $PPID; echo stopped; sleep 60";
        let job = host.job(&exec(script)).start().await;
        job.wait_for("stopped").await;
        host.signal(Signal::KILL);
        host.exited().await;
        all_gone(&host, "no zoo").await;
    });
}

#[test]
fn an_ordinary_user_leaves_nobody_either() {
    if !geteuid().is_root() {
        return; // the other tests were run by one
    }
    block_on(async {
        let room = tempfile::TempDir::new().expect("a directory can be made");
        let zoo_program = copied(room.path(), built_zoo(), "zoo");
        let host = nobodys_host(room.path()).await;
        for round in 0..3 {
            let tag = tag(&host, &format!("nobodys-{round}"));
            let job = host
                .job(&zoo(&zoo_program, &tag, KINDS))
                .grace_ms(200)
                .start()
                .await;
            job.wait_for("zoo ready").await;
            assert!(alive(&host, &tag).len() > 200, "the animals are there");
            job.cancel().await;
            let ended = job.ended().await;
            assert_eq!(alive(&host, &tag), nobody());
            ended.is_cancelled();
        }
        let tag = tag(&host, "nobodys-last");
        let job = host.job(&zoo(&zoo_program, &tag, KINDS)).start().await;
        job.wait_for("zoo ready").await;
        host.signal(Signal::KILL);
        host.exited().await;
        all_gone(&host, &tag).await;
    });
}

step_test!(
    scenario_06_a_stopped_child_among_two_hundred_hears_that_its_job_is_cancelled,
    |host| {
        for round in 0..5 {
            let asked = host.work().join("asked");
            assert!(!asked.exists());
            let tag = tag(host, &round.to_string());
            let animals = zoo(built_zoo(), &tag, "storm stopped-trap");
            let job = host.job(&animals).grace_ms(60_000).start().await;
            job.wait_for("zoo ready").await;
            job.cancel().await;
            job.ended().await.is_cancelled();
            fs::remove_file(asked).expect("it heard, and had the time to say so");
            assert_eq!(alive(host, &tag), nobody());
        }
    }
);

#[test]
fn a_step_reads_neither_its_supervisor_nor_the_host() {
    block_on(async {
        let room = tempfile::TempDir::new().expect("a directory can be made");
        // Root reads everybody.
        let host = if geteuid().is_root() {
            nobodys_host(room.path()).await
        } else {
            Host::start(Options::default()).await
        };
        let pid = host.pid().as_raw_nonzero();
        let script = format!(
            "sleep 60 & for pid in $! $PPID {pid}; do for file in environ mem maps; do \
             (: < /proc/$pid/$file) 2>/dev/null && echo \"$file of $pid\"; done; done; kill $!; echo \"child $!\""
        );
        let ended = host.script(&script).run().await;
        ended.succeeds();
        let out = ended.out();
        let child = out
            .lines()
            .last()
            .and_then(|last| last.strip_prefix("child "));
        let child = child.expect("it goes on to its end");
        let own_child =
            format!("environ of {child}\nmem of {child}\nmaps of {child}\nchild {child}\n");
        assert_eq!(out, own_child, "and nobody else");
        host.finish().await;
    });
}

#[test]
fn scenario_18_who_belongs_to_another_user_is_named_and_holds_nobody_up() {
    if !geteuid().is_root() {
        return; // only root can make another user's process
    }
    block_on(async {
        let room = tempfile::TempDir::new().expect("a directory can be made");
        let zoo_program = copied(room.path(), built_zoo(), "zoo");
        let as_its_owner = fs::Permissions::from_mode(0o4755);
        fs::set_permissions(&zoo_program, as_its_owner).expect("it is ours");
        let host = nobodys_host(room.path()).await;
        let tag = tag(&host, "sudo");
        let job = host
            .job(&zoo(&zoo_program, &tag, "bg sudo"))
            .grace_ms(100)
            .start()
            .await;
        job.wait_for("zoo ready").await;
        job.cancel().await;
        let ended = job.ended().await;
        let left = pids(&tag);
        for &pid in &left {
            // Root may.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let [left] = left.as_slice() else {
            panic!("one and no more is out of reach: {left:?}");
        };
        // The animals are started through the kernel's link to their own program.
        ended.is_cancelled().printing(&format!(
            "could not kill exe (pid {}, state S, user 0: we may not signal it)",
            left.as_raw_nonzero()
        ));
        all_gone(&host, &tag).await;
        host.script("echo fine").run().await.succeeds();
        host.finish().await;
    });
}

/// Live processes with this tag on their command line; a dead one has none.
pub(super) fn pids(tag: &str) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let tagged = processes.filter(|process| {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        command
            .split(|&byte| byte == 0)
            .any(|word| word == tag.as_bytes())
    });
    let pids = tagged.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).collect()
}

/// A host of an ordinary user, whose program is a copy in `room`. Only root can start it.
async fn nobodys_host(room: &Path) -> Host {
    Host::start(Options {
        program: Some(copied(room, &program(), "stephost")),
        user: Some(USER),
        ..Options::default()
    })
    .await
}

/// A copy that everybody may run.
pub(super) fn copied(room: &Path, program: &Path, name: &str) -> std::path::PathBuf {
    let everybody = || fs::Permissions::from_mode(0o755);
    let copy = room.join(name);
    fs::copy(program, &copy).expect("a program can be copied");
    fs::set_permissions(&copy, everybody()).expect("it is ours");
    fs::set_permissions(room, everybody()).expect("it is ours");
    copy
}

step_test!(
    scenario_15_a_step_that_kills_its_supervisor_ends_with_all_it_has,
    |host| {
        let tag = tag(host, "killer");
        host.file(
            "zoo/func.yml",
            &format!("{{}}\n---\n{}\n", zoo(built_zoo(), &tag, KINDS)),
        );
        let script = format!(
            "{} {tag} {KINDS} > said & until grep -q ready said; do sleep 0.01; done; kill -9 $PPID; sleep 60",
            built_zoo().display()
        );
        for _ in 0..3 {
            let ended = host.job(&exec(&script)).run().await;
            assert_eq!(alive(host, &tag), nobody());
            ended
                .fails()
                .saying_exactly("exec: the step's supervisor was killed, and the step with it");
        }
        host.script("echo fine")
            .run()
            .await
            .succeeds()
            .printing("fine");
    }
);

step_test!(
    scenario_16_a_step_that_stops_its_supervisor_gains_nothing,
    |host| {
        let script = "setsid sleep 60 & kill -STOP $PPID; echo stopped; sleep 60";
        let job = host.job(&exec(script)).grace_ms(300).start().await;
        job.wait_for("stopped").await;
        job.cancel().await;
        job.ended().await.is_cancelled();
        assert_eq!(host.survivors(), nobody());
    }
);

step_test!(signals_to_its_parent_change_nothing_for_a_step, |host| {
    let script = "for signal in TERM INT HUP QUIT USR1 PIPE ALRM CHLD; do kill -$signal $PPID; done; echo still here; exit 3";
    let ended = host.job(&exec(script)).run().await;
    ended
        .fails()
        .saying_exactly("exec: exit status 3")
        .printing("still here");
});

step_test!(no_step_sets_the_stage_for_the_next, |host| {
    let seen = "nice; ulimit -n; umask; pwd";
    let before = host.job(&exec(seen)).run().await;
    host.job(&exec(
        "renice -n 7 -p $PPID; prlimit --pid $PPID --nofile=77:77",
    ))
    .run()
    .await
    .succeeds();
    let after = host.job(&exec(seen)).run().await;
    assert_eq!(before.succeeds().out(), after.succeeds().out());
});

/// As under `docker exec` and in many CI systems: the leaders of the host's group and session have no number here.
#[test]
fn a_host_whose_group_is_outside_its_pid_namespace_runs_steps_all_the_same() {
    let namespace = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
    ];
    let unshare = |arguments: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(namespace).args(arguments);
        command.output()
    };
    if !unshare(&["true"]).is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this user cannot make a pid namespace");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory can be made");
    let function = dir.path().join("func.yml");
    let background = "{}\n---\nrun: [{name: it, script: 'sleep 300 & echo ran'}]\n";
    std::fs::write(&function, background).expect("a file can be written");
    let program = installed_program().display().to_string();
    let done = unshare(&[&program, "run", &function.display().to_string()]);
    let done = done.expect("it could be started before");
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("ran\n"),
        "{done:?}"
    );
}
