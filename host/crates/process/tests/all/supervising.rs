//! Supervisors: who is used again and who is not, what a step inherits, what the report says.

use std::{pin::Pin, sync::Arc, time::Duration};

use stephost_process::{Exit, Mechanism, Supervisors};

use crate::fixture::{Recorder, Witness, begin_in, plan, shell, shell_in, supervisors, within};

/// Runs a shell line under one of these supervisors; returns what it wrote.
async fn say(supervisors: &Supervisors, script: &str) -> String {
    let (running, output) = begin_in(supervisors, shell(script)).await;
    let report = within("the end", running.ended()).await;
    assert!(report.exit.is_success(), "{report:?}");
    output.out()
}

#[tokio::test]
async fn a_supervisor_that_saw_a_clean_end_takes_the_next_step() {
    let supervisors = supervisors();
    let first = say(&supervisors, "echo $PPID").await;
    for _ in 0..20 {
        assert_eq!(say(&supervisors, "echo $PPID").await, first);
    }
    // A step that cannot start is no fault of its.
    let nothing = plan("/", &[]);
    let output = Arc::new(Recorder::default());
    assert!(supervisors.start(nothing, output).await.is_err());
    assert_eq!(say(&supervisors, "echo $PPID").await, first);
}

#[tokio::test]
async fn a_supervisor_that_had_to_kill_takes_no_other_step() {
    let supervisors = supervisors();
    let (running, output) = begin_in(&supervisors, shell("echo $PPID; exec sleep 60")).await;
    let killer = Witness::of(&output.line("").await);
    running.stopper().kill();
    assert!(within("the end", running.ended()).await.killed);
    killer.assert_dies();
    say(&supervisors, "true").await;
}

#[tokio::test]
async fn a_supervisor_in_which_something_has_changed_takes_no_other_step() {
    let supervisors = supervisors();
    let seen = "nice; ulimit -n; ulimit -f; umask; pwd; cat /proc/self/cgroup; grep Sig[BIC] /proc/self/status";
    let before = say(&supervisors, seen).await;
    for change in [
        "renice -n $(($(nice) + 1)) -p $PPID",
        "prlimit --pid $PPID --nofile=77:77",
    ] {
        let changed = say(&supervisors, &format!("{change} >/dev/null; echo $PPID")).await;
        let next = say(&supervisors, "echo $PPID").await;
        assert_ne!(changed, next, "{change}");
        assert_eq!(say(&supervisors, seen).await, before, "{change}");
    }
}

#[tokio::test]
async fn an_idle_supervisor_that_was_killed_is_not_missed() {
    let supervisors = supervisors();
    for _ in 0..5 {
        let idle = Witness::of(&say(&supervisors, "echo $PPID").await);
        idle.put_down();
        say(&supervisors, "true").await;
    }
}

#[tokio::test]
async fn the_report_says_what_was_done_and_used() {
    let supervisors = supervisors();
    let deaf = |name| format!("(trap '' TERM; echo {name}; exec sleep 60) &");
    let script = format!("{} {} wait", deaf("one"), deaf("two"));
    let (running, output) = begin_in(&supervisors, shell(&script)).await;
    output.line("one").await;
    output.line("two").await;
    let stopper = running.stopper();
    stopper.terminate();
    stopper.kill();
    let trace = within("the end", running.ended()).await.trace;
    assert!(trace.terminated_after <= trace.killed_after, "{trace:?}");
    assert!(trace.killed_after.is_some_and(|time| time > Duration::ZERO));
    assert!((2..=3).contains(&trace.killed_processes), "{trace:?}");
    assert_eq!(
        (trace.mechanism, trace.leaked()),
        (Mechanism::Supervisor, false)
    );

    let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
    let (running, _) = begin_in(&supervisors, shell(busy)).await;
    let usage = within("the end", running.ended())
        .await
        .trace
        .usage
        .unwrap();
    assert!(usage.user > Duration::from_millis(1), "{usage:?}");
    assert!(usage.peak_rss_kib > 100, "{usage:?}");
}

#[tokio::test]
async fn scenario_15_a_step_that_kills_its_supervisor_is_ended_by_the_host() {
    let supervisors = supervisors();
    let scratch = tempfile::tempdir().unwrap();
    let script = "mkfifo gate; setsid sleep 60 & sleep 60 & echo child $!
        read word <gate; kill -9 $PPID; sleep 60";
    let plan = shell_in(scratch.path(), script);
    let (running, output) = begin_in(&supervisors, plan).await;
    let child = Witness::of(&output.line("child ").await);
    std::fs::write(scratch.path().join("gate"), "go\n").unwrap();
    let report = within("the end", running.ended()).await;
    child.assert_dies();
    assert_eq!(
        (report.exit, report.signalled, report.trace.mechanism),
        (Exit::LOST, false, Mechanism::Host)
    );
    say(&supervisors, "true").await;
}

#[tokio::test]
async fn leftovers_whose_supervisor_is_killed_end_all_the_same() {
    let supervisors = supervisors();
    let script = "setsid sleep 60 >/dev/null 2>&1 & echo child $!; echo parent $PPID";
    let (running, output) = begin_in(&supervisors, shell(script)).await;
    let report = within("the end", running.ended()).await;
    let child = Witness::of(&output.line("child ").await);
    let parent = Witness::of(&output.line("parent ").await);
    child.assert_lives();
    parent.put_down();
    let leftovers = report.leftovers.expect("somebody is left");
    within("the kill", leftovers.kill()).await;
    child.assert_dies();
}

#[tokio::test]
async fn scenario_16_a_supervisor_that_was_stopped_is_woken_by_a_stop() {
    let supervisors = supervisors();
    let (running, output) = begin_in(
        &supervisors,
        shell("kill -STOP $PPID; echo stopped; sleep 60"),
    )
    .await;
    output.line("stopped").await;
    running.stopper().terminate();
    let report = within("the end", running.ended()).await;
    assert_eq!((report.exit, report.killed), (Exit::Signal(15), false));
}

#[tokio::test]
async fn a_dropped_start_leaves_nothing() {
    let supervisors = supervisors();
    'rounds: for round in 0..50 {
        let output = Arc::new(Recorder::default());
        let mut start = Box::pin(supervisors.start(shell("sleep 60"), output));
        for _ in 0..round % 5 {
            if let Some(started) = poll_once(start.as_mut()).await {
                drop(started.expect("the step starts"));
                continue 'rounds;
            }
        }
        drop(start);
    }
    within("the last supervisor", supervisors.close()).await;
}

/// Polls once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = &mut future => Some(output),
        () = tokio::task::yield_now() => None,
    }
}
