//! The polite and the hard stop (contract 2.3, 2.4, L01 to L04; process.md 3.2).

use stephost_process::Exit;
use tokio::{select, task::yield_now};

use crate::fixture::{Witness, begin, left_by, shell, shell_in, within};

/// A shell line that says "ready" and does nothing until it is told to end; `wait` lets a trap run at once.
///
/// The child says it: a shell's child that is signalled before it has dropped the traps of its parent loses the signal.
const IDLE: &str = "(echo ready; exec sleep 60) & wait";

#[tokio::test]
async fn scenario_02_a_handler_for_term_decides_the_exit_and_the_stop_is_reported() {
    for code in [3, 0] {
        let (running, output) =
            begin(shell(&format!("trap 'echo bye; exit {code}' TERM; {IDLE}"))).await;
        output.line("ready").await;
        running.stopper().terminate();
        let report = within("the end", running.ended()).await;
        assert_eq!(
            (report.exit, report.signalled, report.killed),
            (Exit::Code(code), true, false)
        );
        assert_eq!(output.out(), "ready\nbye\n");
        assert_eq!(left_by(&report), 0);
    }
}

#[tokio::test]
async fn scenario_03_a_step_that_ignores_term_is_killed() {
    let (running, output) = begin(shell(
        "trap '' TERM; echo ready; while :; do sleep 60; done",
    ))
    .await;
    output.line("ready").await;
    let stopper = running.stopper();
    stopper.terminate();
    stopper.kill();
    let report = within("the end", running.ended()).await;
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Signal(9), true, true)
    );
    assert_eq!(report.exit.to_string(), "signal: killed");
}

#[tokio::test]
async fn a_kill_needs_no_polite_stop_before_it() {
    let (running, output) = begin(shell(IDLE)).await;
    output.line("ready").await;
    running.stopper().kill();
    let report = within("the end", running.ended()).await;
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Signal(9), true, true)
    );
}

#[tokio::test]
async fn a_background_child_dies_with_the_group() {
    let (running, output) = begin(shell("sleep 60 & echo child $!; wait")).await;
    let child = Witness::of(&output.line("child ").await);
    running.stopper().terminate();
    let report = within("the end", running.ended()).await;
    assert_eq!((report.exit, report.killed), (Exit::Signal(15), false));
    child.assert_dies();
}

#[tokio::test]
async fn scenario_04_the_leaders_end_does_not_end_the_stop() {
    // The child outlives its TERM, and says so when its leader is a zombie.
    let (running, output) = begin(shell(
        r#"leader=$$
        sh -c 'trap "asked=1" TERM; echo child $$
            until [ "$asked" ]; do sleep 0.01; done
            until [ "$(cut -d " " -f 3 /proc/'$leader'/stat)" = Z ]; do sleep 0.01; done
            echo leader gone; while :; do sleep 60; done' &
        wait"#,
    ))
    .await;
    let child = Witness::of(&output.line("child ").await);
    let stopper = running.stopper();
    let ended = running.ended();
    tokio::pin!(ended);
    stopper.terminate();
    select! {
        biased;
        report = &mut ended => panic!("reported while a child lived: {report:?}"),
        _ = output.line("leader gone") => {}
    }
    child.assert_lives();
    stopper.kill();
    let report = within("the end", ended).await;
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Signal(15), true, true)
    );
    child.assert_dies();
    assert_eq!(left_by(&report), 0);
}

#[tokio::test]
async fn scenario_06_a_stopped_child_runs_its_handler_for_term() {
    // Without the first CONT the leader dies first, and HUP kills the orphaned stopped child before its handler ran.
    for round in 0..20 {
        let (running, output) = begin(shell(
            r#"sh -c 'sleep 60 & trap "echo handled; exit 0" TERM; kill -STOP $$; wait' &
            child=$!
            i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i + 1)); done
            until [ "$(cut -d " " -f 3 /proc/$child/stat)" = T ]; do sleep 0.01; done
            echo stopped; wait"#,
        ))
        .await;
        output.line("stopped").await;
        running.stopper().terminate();
        let report = within("the end", running.ended()).await;
        assert!(
            report.signalled && !report.killed,
            "round {round}: {report:?}"
        );
        assert_eq!(output.out(), "stopped\nhandled\n", "round {round}");
    }
}

/// His parent is killed with the group, so he comes to the supervisor when it has killed already.
#[tokio::test]
async fn scenario_05_who_left_the_group_of_a_leader_that_lives_is_killed_too() {
    let (running, output) = begin(shell(
        r#"setsid sleep 60 &
        until [ "$(cut -d " " -f 6 /proc/$!/stat)" = $! ]; do sleep 0.01; done
        echo child $!; wait"#,
    ))
    .await;
    let child = Witness::of(&output.line("child ").await);
    running.stopper().kill();
    let report = within("the end", running.ended()).await;
    assert!(report.trace.survivors.is_empty(), "{report:?}");
    child.assert_dies();
}

/// A job of a shell in a session of its own: when that shell dies while the job is stopped, the kernel sends HUP to the job.
#[tokio::test]
async fn scenario_06_a_stopped_job_of_another_session_runs_its_handler_for_term() {
    let job = r#"sleep 60 & trap "echo handled; exit 0" TERM; kill -STOP $$; wait"#;
    let session = r#"set -m; sh ./job & job=$!; set +m
        i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i + 1)); done
        until [ "$(cut -d " " -f 3 /proc/$job/stat)" = T ]; do sleep 0.01; done
        echo stopped; exec sleep 60"#;
    for round in 0..10 {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("job"), job).unwrap();
        std::fs::write(scratch.path().join("session"), session).unwrap();
        let script = "command -v bash >/dev/null || { echo no bash; exit; }; setsid bash ./session";
        let (running, output) = begin(shell_in(scratch.path(), script)).await;
        let first = output.line("").await;
        if first == "no bash" {
            eprintln!("skipped: there is no bash");
            return;
        }
        running.stopper().terminate();
        let report = within("the end", running.ended()).await;
        assert!(
            report.signalled && !report.killed,
            "round {round}: {report:?}"
        );
        assert_eq!(output.out(), "stopped\nhandled\n", "round {round}");
    }
}

#[tokio::test]
async fn scenario_08_who_moves_on_all_the_time_is_caught() {
    // Each moves on as soon as it is there, all in sessions of their own.
    let hop = "hop() { echo >>moves; if [ $1 -gt 0 ]; then hop $(($1 - 1)) & fi; }; hop 500\n";
    for round in 0..3 {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("hop");
        std::fs::write(&program, hop).unwrap();
        let (running, output) = begin(shell_in(
            scratch.path(),
            "i=0; while [ $i -lt 16 ]; do setsid sh ./hop & i=$((i + 1)); done
            until [ $(wc -l <moves) -gt 200 ]; do sleep 0.01; done; echo moving; sleep 15",
        ))
        .await;
        output.line("moving").await;
        running.stopper().kill();
        let report = within("the end", running.ended()).await;
        assert!(
            report.trace.survivors.is_empty(),
            "round {round}: {report:?}"
        );
        let moves = || {
            std::fs::metadata(scratch.path().join("moves"))
                .unwrap()
                .len()
        };
        let at_the_end = moves();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        assert_eq!(moves(), at_the_end, "round {round}: somebody moves on");
    }
}

#[tokio::test]
async fn scenario_21_a_second_stop_changes_nothing() {
    let (running, output) = begin(shell(&format!(
        "trap 'echo asked' TERM; {IDLE}; while :; do sleep 60; done"
    )))
    .await;
    output.line("ready").await;
    let stopper = running.stopper();
    stopper.terminate();
    output.line("asked").await;
    stopper.terminate();
    stopper.terminate();
    stopper.kill();
    stopper.terminate();
    let report = within("the end", running.ended()).await;
    assert!(report.killed);
    assert_eq!(
        output.out().matches("asked").count(),
        1,
        "TERM is sent once"
    );
}

#[tokio::test]
async fn a_step_that_had_ended_before_the_stop_was_not_signalled() {
    // The child holds the pipes, so the step is still being read when the stop comes. It speaks when its leader is a zombie, and
    // needs no other program for that.
    let (running, output) = begin(shell(
        r#"(until read -r _ _ state _ </proc/$$/stat && [ "$state" = Z ]; do :; done
            echo leader gone; while :; do sleep 60; done) &
        echo child $!"#,
    ))
    .await;
    let child = Witness::of(&output.line("child ").await);
    output.line("leader gone").await;
    running.stopper().terminate();
    let report = within("the end", running.ended()).await;
    assert_eq!(
        (report.exit, report.signalled, report.killed),
        (Exit::Code(0), false, false)
    );
    drop(report);
    child.assert_dies();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_22_a_stop_at_any_moment_gives_one_consistent_end() {
    for round in 0..150 {
        let (running, _) = begin(shell("sleep 0.002; exit 7")).await;
        let stopper = running.stopper();
        let ended = tokio::spawn(running.ended());
        for _ in 0..round * 40 {
            yield_now().await;
        }
        if round % 3 == 0 {
            stopper.kill()
        } else {
            stopper.terminate()
        }
        let report = within("the end", ended).await.unwrap();
        match report.exit {
            Exit::Code(7) => {}
            Exit::Signal(9) => assert!(
                report.signalled && report.killed,
                "round {round}: {report:?}"
            ),
            // The shell may say 143 for its child when only the child was hit in time; the leader gets the same signal.
            Exit::Signal(15) => assert!(
                report.signalled && !report.killed,
                "round {round}: {report:?}"
            ),
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(left_by(&report), 0, "round {round}: {report:?}");
    }
}

#[tokio::test]
async fn dropping_a_step_kills_it() {
    let (running, output) = begin(shell(
        "trap '' TERM; sleep 60 & echo child $!; echo leader $$; wait",
    ))
    .await;
    let child = Witness::of(&output.line("child ").await);
    let leader = Witness::of(&output.line("leader ").await);
    assert_eq!(running.pid().to_string(), output.line("leader ").await);
    drop(running);
    leader.assert_dies();
    child.assert_dies();
}

#[tokio::test]
async fn dropping_the_wait_for_the_end_kills_the_step() {
    let (running, output) = begin(shell("sleep 60 & echo child $!; wait")).await;
    let child = Witness::of(&output.line("child ").await);
    let leader = Witness::of(&running.pid().to_string());
    {
        let ended = running.ended();
        tokio::pin!(ended);
        select! {
            biased;
            report = &mut ended => panic!("nobody ended it: {report:?}"),
            () = yield_now() => {}
        }
    }
    leader.assert_dies();
    child.assert_dies();
}
