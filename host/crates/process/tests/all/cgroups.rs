//! Each step has a cgroup of its own where one can be had; without one nothing changes, which every other test here shows.
//!
//! Needs a writable tree of version 2, as root has it, or a delegated one; says so where there is none.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use stephost_process::{
    CgroupId, CgroupUnusable, HostCgroup, Identity, JobLimits, Mark, Mechanism, Supervisors,
    Surroundings, clear_cgroup, kill_marked,
};

use crate::fixture::{begin_in, left_by, plan, shell, shell_in, within};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

fn name() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("stephost-test-{}-{number}", std::process::id())
}

/// A cgroup for a host of its own; `None`, and said so, where none can be had.
fn host_cgroup() -> Option<HostCgroup> {
    match HostCgroup::make(&name(), JobLimits::default()) {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn supervisors(cgroup: &HostCgroup) -> Supervisors {
    let surroundings = Surroundings {
        cgroup: Some(cgroup.clone()),
        mark: None,
    };
    let program = env!("CARGO_BIN_EXE_supervisor").into();
    Supervisors::of_program(program, surroundings).expect("a subreaper")
}

fn place(path: &Path) -> PathBuf {
    let text = fs::read_to_string(path).unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    PathBuf::from(own.unwrap())
}

fn entries(cgroup: &HostCgroup) -> Vec<String> {
    let below = fs::read_dir(&cgroup.id().path).unwrap().flatten();
    let dirs = below.filter(|entry| entry.file_type().unwrap().is_dir());
    dirs.map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// A process of the test's own, in this cgroup.
fn stranger(cgroup: &Path) -> Child {
    let mut command = Command::new("sleep");
    command.arg("60").process_group(0).stdin(Stdio::null());
    let child =
        stephost_process::start_other(|| command.spawn(), |child| Some(child.id())).unwrap();
    fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).unwrap();
    child
}

/// A FIFO on which a step waits.
fn gate(dir: &Path) -> PathBuf {
    let gate = dir.join("gate");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    gate
}

#[tokio::test]
async fn a_step_is_born_in_its_own_cgroup_and_its_supervisor_stays_outside() {
    let Some(cgroup) = host_cgroup() else { return };
    let supervisors = supervisors(&cgroup);
    let script =
        "grep ^0:: /proc/self/cgroup; grep ^0:: /proc/$PPID/cgroup; echo supervisor $PPID; exit 3";
    let (running, first) = begin_in(&supervisors, shell(script)).await;
    let report = within("the end", running.ended()).await;
    assert_eq!(report.exit.to_string(), "exit status 3");
    assert!(report.trace.cgroup && report.trace.mechanism == Mechanism::Supervisor);
    let out = first.out();
    let lines: Vec<&str> = out.lines().collect();
    let host = cgroup.id().path.file_name().unwrap().to_str().unwrap();
    assert!(lines[0].ends_with(&format!("/{host}/step-1")), "{out}");
    let own = place(Path::new("/proc/self/cgroup"));
    assert_eq!(Path::new(&lines[1][3..]), own, "{out}");
    assert_eq!(entries(&cgroup), Vec::<String>::new(), "it is removed");

    let (running, second) = begin_in(&supervisors, shell(script)).await;
    let _ = within("the end", running.ended()).await;
    let second = second.out();
    assert!(second.contains("/step-2\n"), "{second}");
    assert_eq!(
        second.lines().last(),
        lines.last().copied(),
        "it was as new"
    );

    supervisors.close().await;
    assert!(!cgroup.id().path.exists());
}

#[tokio::test]
async fn what_cannot_be_started_is_told_as_without_a_cgroup() {
    let Some(cgroup) = host_cgroup() else { return };
    let supervisors = supervisors(&cgroup);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("program");
    fs::write(&file, "#!/nowhere/at/all\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&file, executable).unwrap();
    let gone = stephost_process::Plan {
        work_dir: "/nowhere".into(),
        ..shell("true")
    };
    let long = "x".repeat(200_000);
    for (plan, words) in [
        (
            plan(file.to_str().unwrap(), &[]),
            "the interpreter that it names is missing",
        ),
        (gone, "working directory: no such file"),
        (plan("sh", &[&long]), "argument 1 is too long"),
    ] {
        let recorder = std::sync::Arc::new(crate::fixture::Recorder::default());
        let refused = supervisors.start(plan, recorder).await;
        let error = refused.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(entries(&cgroup), Vec::<String>::new());
}

#[tokio::test]
async fn cgroups_that_a_step_makes_in_its_own_are_removed_with_it() {
    let Some(cgroup) = host_cgroup() else { return };
    let supervisors = supervisors(&cgroup);
    let script = format!(
        "cd {}/step-1 && mkdir -p a/b/c d && (echo 0 > a/b/cgroup.procs; setsid sleep 60 & ) && echo made && sleep 60",
        cgroup.id().path.display()
    );
    let (running, out) = begin_in(&supervisors, shell(&script)).await;
    out.line("made").await;
    running.stopper().kill();
    let report = within("the end", running.ended()).await;
    assert!(!report.trace.leaked(), "{report:?}");
    assert_eq!(entries(&cgroup), Vec::<String>::new());
}

#[tokio::test]
async fn who_was_put_into_a_steps_cgroup_ends_with_its_job() {
    let Some(cgroup) = host_cgroup() else { return };
    let supervisors = supervisors(&cgroup);
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let (running, _out) = begin_in(&supervisors, shell_in(dir.path(), "read _ < gate")).await;
    let mut stranger = stranger(&cgroup.id().path.join("step-1"));
    tokio::fs::write(&gate, "go\n").await.unwrap();
    let report = within("the end", running.ended()).await;
    assert_eq!(left_by(&report), 1, "the cgroup is not empty: {report:?}");
    assert!(report.exit.is_success());
    let leftovers = report.leftovers.unwrap();
    let trace = within("the job's end", leftovers.kill()).await;
    assert!(!trace.leaked() && trace.cgroup, "{trace:?}");
    let status = stranger.wait().unwrap();
    assert!(!status.success(), "{status}");
    assert_eq!(entries(&cgroup), Vec::<String>::new());
}

#[tokio::test]
async fn a_host_that_lost_a_supervisor_empties_the_cgroup_too() {
    let Some(cgroup) = host_cgroup() else { return };
    let supervisors = supervisors(&cgroup);
    let script = "setsid sleep 60 & read _ < gate; kill -9 $PPID; sleep 60";
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let (running, _out) = begin_in(&supervisors, shell_in(dir.path(), script)).await;
    let mut stranger = stranger(&cgroup.id().path.join("step-1"));
    tokio::fs::write(&gate, "go\n").await.unwrap();
    let report = within("the end", running.ended()).await;
    assert_eq!(report.trace.mechanism, Mechanism::Host);
    assert!(!report.trace.leaked() && report.trace.cgroup, "{report:?}");
    stranger.wait().unwrap();
    assert_eq!(entries(&cgroup), Vec::<String>::new());
}

/// Here controllers are with version 1 or not handed down, or the place is shared: one sentence each.
#[test]
fn a_limit_that_cannot_be_put_in_force_is_an_error_that_names_the_place() {
    let Some(free) = host_cgroup() else { return };
    let own = free.id().path.parent().unwrap();
    let controllers = fs::read_to_string(own.join("cgroup.controllers")).unwrap();
    let has = |controller| {
        controllers
            .split_whitespace()
            .any(|word| word == controller)
    };
    let memory = JobLimits {
        memory_bytes: Some(64 << 20),
        processes: None,
    };
    let processes = JobLimits {
        memory_bytes: None,
        processes: Some(64),
    };
    for (controller, limits) in [("memory", memory), ("pids", processes)] {
        if has(controller) {
            eprintln!("skipped: {controller} can be limited here");
            continue;
        }
        let name = name();
        let error = HostCgroup::make(&name, limits).expect_err(controller);
        assert!(
            matches!(error, CgroupUnusable::NoController { .. }),
            "{error:?}"
        );
        let text = error.to_string();
        let expected = format!(
            "the cgroup {} does not have the controller {controller}",
            own.display()
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(!own.join(name).exists(), "nothing is left");
    }
    drop(free);
}

#[test]
fn a_dead_hosts_cgroup_is_known_by_its_number_and_emptied() {
    let Some(cgroup) = host_cgroup() else { return };
    let id = cgroup.id().clone();
    std::mem::forget(cgroup); // as if the host had died
    let inner = id.path.join("step-7/inner");
    fs::create_dir_all(&inner).unwrap();
    let mut child = stranger(&inner);
    let other = CgroupId {
        inode: id.inode + 1,
        ..id.clone()
    };
    assert_eq!(clear_cgroup(&other).unwrap().killed, 0);
    assert!(id.path.exists(), "another one's name is nothing");
    let cleared = clear_cgroup(&id).unwrap();
    assert_eq!((cleared.killed, cleared.survivors.len()), (1, 0));
    assert!(!child.wait().unwrap().success());
    assert!(!id.path.exists());
    assert_eq!(clear_cgroup(&id).unwrap().killed, 0, "it is gone");
    let ordinary = tempfile::tempdir().unwrap();
    let stat = fs::metadata(ordinary.path()).unwrap();
    let no_cgroup = CgroupId {
        path: ordinary.path().to_owned(),
        device: stat.dev(),
        inode: stat.ino(),
    };
    clear_cgroup(&no_cgroup).unwrap();
    assert!(ordinary.path().exists(), "no cgroup is none");
}

#[test]
fn marked_processes_of_a_dead_host_are_killed_and_nobody_else() {
    let host = Identity::own().unwrap();
    let mark = Mark::new(&format!("test-{}", std::process::id())).unwrap();
    let sleeper = |mark: Option<&str>| {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null());
        if let Some(mark) = mark {
            command.env("STEPHOST_HOST_ID", mark);
        }
        // It has its environment when it says something, or when it is another program; the latter is what `spawn` waits for.
        stephost_process::start_other(|| command.spawn(), |child| Some(child.id())).unwrap()
    };
    let own = format!("test-{}", std::process::id());
    let mut marked = [sleeper(Some(&own)), sleeper(Some(&own))];
    let mut others = [sleeper(None), sleeper(Some(&format!("{own}0")))];
    let later = Identity {
        started: u64::MAX,
        ..host.clone()
    };
    assert_eq!(kill_marked(&mark, &later).killed, 0, "they are older");
    let cleared = kill_marked(&mark, &host);
    assert_eq!((cleared.killed, cleared.survivors.len()), (2, 0));
    for child in &mut marked {
        assert!(!child.wait().unwrap().success());
    }
    for child in &mut others {
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        let pid = Pid::from_child(child);
        kill_process(pid, Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
