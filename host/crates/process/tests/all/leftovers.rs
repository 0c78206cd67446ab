//! What a step leaves in the background lives until its job lets go of it, and no longer.

use stephost_process::Exit;

use crate::fixture::{Witness, run, shell, within};

#[tokio::test]
async fn a_background_process_lives_until_the_leftovers_are_dropped() {
    let (report, output) = run(shell("sleep 600 & echo child $!")).await;
    let child = Witness::of(&output.line("child ").await);
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Code(0), false, false)
    );
    child.assert_lives();
    drop(report);
    child.assert_dies();
}

#[tokio::test]
async fn a_background_process_without_the_pipes_is_found_too() {
    let (report, output) = run(shell(
        "sleep 600 </dev/null >/dev/null 2>&1 & echo child $!; exit 7",
    ))
    .await;
    let child = Witness::of(&output.line("child ").await);
    assert_eq!(report.exit, Exit::Code(7));
    let leftovers = report.leftovers.expect("a process is left");
    assert_eq!(leftovers.processes(), 1);
    child.assert_lives();
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        1
    );
    child.assert_dies();
}

#[tokio::test]
async fn everybody_in_the_group_is_killed_and_counted() {
    let (report, output) = run(shell(
        "trap '' TERM HUP; i=0; while [ $i -lt 20 ]; do sleep 600 & i=$((i + 1)); done; echo last $!",
    ))
    .await;
    let last = Witness::of(&output.line("last ").await);
    let leftovers = report.leftovers.expect("processes are left");
    assert_eq!(leftovers.processes(), 20);
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        20
    );
    last.assert_dies();
}

#[tokio::test]
async fn leftovers_that_ended_meanwhile_are_not_an_error() {
    let (report, output) = run(shell("sleep 600 >/dev/null 2>&1 & echo child $!")).await;
    let child = Witness::of(&output.line("child ").await);
    child.put_down();
    let leftovers = report.leftovers.expect("a process was left");
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        0
    );
}

#[tokio::test]
async fn a_dropped_kill_is_still_a_kill() {
    let (report, output) = run(shell("sleep 600 >/dev/null 2>&1 & echo child $!")).await;
    let child = Witness::of(&output.line("child ").await);
    drop(report.leftovers.expect("a process is left").kill());
    child.assert_dies();
}

#[tokio::test]
async fn scenario_05_who_left_the_group_is_found_and_ends_with_the_leftovers() {
    let (report, output) = run(shell(
        r#"setsid sleep 600 &
        until [ "$(cut -d " " -f 6 /proc/$!/stat)" = $! ]; do sleep 0.01; done
        echo daemon $!"#,
    ))
    .await;
    let daemon = Witness::of(&output.line("daemon ").await);
    assert_eq!((report.exit, report.background), (Exit::Code(0), 2));
    let leftovers = report.leftovers.expect("somebody holds the pipes");
    assert_eq!(leftovers.processes(), 1);
    daemon.assert_lives();
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        1
    );
    daemon.assert_dies();
}
