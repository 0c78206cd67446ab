//! What a step writes arrives, all of it and in order, and a held pipe holds nothing up (design D16).

use std::sync::Arc;

use stephost_process::{Exit, Output, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::OpenOptions,
    time::Instant,
};

use crate::fixture::{GUARD, Witness, begin, left_by, run, shell, shell_in, supervisors, within};

#[tokio::test]
async fn a_mebibyte_without_a_newline_arrives_whole() {
    let (report, output) = run(shell("head -c 1048576 /dev/zero | tr '\\0' x")).await;
    assert!(report.exit.is_success());
    let bytes = output.bytes(Stream::Out);
    assert_eq!(bytes.len(), 1 << 20);
    assert!(bytes.iter().all(|&byte| byte == b'x'));
}

#[tokio::test]
async fn the_two_streams_are_told_apart_and_keep_their_order() {
    let (_, output) = run(shell(
        "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i + 1)); done",
    ))
    .await;
    for (stream, name) in [(Stream::Out, "out"), (Stream::Err, "err")] {
        let expected: String = (0..500).map(|i| format!("{name} {i}\n")).collect();
        assert_eq!(output.text(stream), expected, "{name}");
    }
}

#[tokio::test]
async fn last_words_are_never_lost() {
    for round in 0..200 {
        let (_, output) = run(shell("printf 'last words'; printf 'last fault' >&2")).await;
        assert_eq!(output.text(Stream::Out), "last words", "round {round}");
        assert_eq!(output.text(Stream::Err), "last fault", "round {round}");
    }
}

#[tokio::test]
async fn there_is_nothing_to_read_on_stdin() {
    let (report, output) = run(shell("cat; echo end")).await;
    assert!(report.exit.is_success());
    assert_eq!(output.out(), "end\n");
}

#[tokio::test]
async fn a_closed_stream_does_not_stop_the_other() {
    let (report, output) = run(shell("exec 1>&-; sleep 0.05; echo still here >&2; exit 4")).await;
    assert_eq!(report.exit, Exit::Code(4));
    assert_eq!(output.text(Stream::Err), "still here\n");
}

#[tokio::test]
async fn scenario_10_a_held_pipe_neither_fails_nor_delays_a_step() {
    let began = Instant::now();
    let (report, output) = run(shell("sleep 600 & head -c 1048576 /dev/zero; exit 0")).await;
    assert!(report.exit.is_success(), "{report:?}");
    assert_eq!(report.background, 2);
    assert_eq!(
        output.bytes(Stream::Out).len(),
        1 << 20,
        "the leader's output is complete"
    );
    assert!(began.elapsed() < GUARD / 2, "took {:?}", began.elapsed());
    let leftovers = report.leftovers.expect("a process is left");
    assert_eq!(leftovers.processes(), 1);
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        1
    );
}

#[tokio::test]
async fn scenario_13_an_endless_writer_in_the_background_is_left_to_itself() {
    let (report, output) = run(shell(
        "(while :; do echo tick; done) & echo leader done >&2",
    ))
    .await;
    assert!(report.exit.is_success());
    assert_eq!(report.background, 2);
    assert_eq!(output.text(Stream::Err), "leader done\n");
    let leftovers = report.leftovers.expect("a process is left");
    let written = output.bytes(Stream::Out).len();
    output.hears_late("tick").await;
    assert_eq!(
        within("the kill", leftovers.kill()).await.killed_processes,
        1
    );
    assert_eq!(
        output.bytes(Stream::Out).len(),
        written,
        "what comes after the report is told apart"
    );
    let late = output.late().len();
    tokio::task::yield_now().await;
    assert_eq!(output.late().len(), late, "nothing comes after the kill");
    assert_eq!(Arc::strong_count(&output), 1, "nobody holds the output");
}

#[tokio::test]
async fn a_helper_that_finishes_soon_is_still_heard() {
    // It speaks when its leader is a zombie, and only then; it needs no other program for that.
    let (report, output) = run(shell(
        r#"(until read -r _ _ state _ </proc/$$/stat && [ "$state" = Z ]; do :; done; echo helper) & echo leader"#,
    ))
    .await;
    assert_eq!(output.out(), "leader\nhelper\n");
    assert_eq!(left_by(&report), 0);
}

#[tokio::test]
async fn a_writer_that_was_given_up_never_sees_a_closed_pipe() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(
        run(shell_in(scratch.path(), "mkfifo go back"))
            .await
            .0
            .exit
            .is_success()
    );
    let open = |name: &str| scratch.path().join(name);
    let mut back = OpenOptions::new()
        .read_write(true)
        .open_receiver(open("back"))
        .unwrap();
    let mut go = OpenOptions::new()
        .read_write(true)
        .open_sender(open("go"))
        .unwrap();
    // More than a pipe holds, so that it must have been read.
    let (report, _) = run(shell_in(
        scratch.path(),
        "(read word <go; head -c 300000 /dev/zero && echo wrote >back) & exit 0",
    ))
    .await;
    assert_eq!(report.background, 2);
    go.write_all(b"now\n").await.unwrap();
    let mut word = [0; 6];
    within("the late writer", back.read_exact(&mut word))
        .await
        .unwrap();
    assert_eq!(&word, b"wrote\n");
}

#[tokio::test]
async fn what_was_written_before_the_kill_is_not_lost() {
    for round in 0..5 {
        let scratch = tempfile::tempdir().unwrap();
        assert!(
            run(shell_in(scratch.path(), "mkfifo go back"))
                .await
                .0
                .exit
                .is_success()
        );
        let (report, output) = run(shell_in(
            scratch.path(),
            "(read word <go; head -c 300000 /dev/zero | tr '\\0' x; echo last words; echo wrote >back; sleep 600) & exit 0",
        ))
        .await;
        let leftovers = report.leftovers.expect("a process is left");
        std::fs::write(scratch.path().join("go"), "now\n").unwrap();
        let back = scratch.path().join("back");
        // Read in another thread, for this one reads the pipe.
        let word = tokio::task::spawn_blocking(move || std::fs::read_to_string(back));
        assert_eq!(
            within("the writer", word).await.unwrap().unwrap(),
            "wrote\n"
        );
        within("the kill", leftovers.kill()).await;
        let late = output.late();
        assert_eq!(late.len(), 300_011, "round {round}");
        assert!(late.ends_with("last words\n"), "round {round}");
    }
}

struct Broken;

impl Output for Broken {
    fn write(&self, _: Stream, _: &[u8]) {
        panic!("the log is gone");
    }

    fn write_late(&self, _: Stream, _: &[u8]) {}
}

#[tokio::test]
async fn a_panic_of_the_output_comes_out_and_kills_the_step() {
    let scratch = tempfile::tempdir().unwrap();
    let script = "echo $$ >pid; mkfifo gate; echo text; read word <gate";
    let running = supervisors()
        .start(shell_in(scratch.path(), script), Arc::new(Broken))
        .await
        .unwrap();
    let leader = Witness::of(&running.pid().to_string());
    let failure = within("the panic", tokio::spawn(running.ended()))
        .await
        .unwrap_err();
    let payload = failure.into_panic();
    assert!(
        payload.is::<tokio::task::Id>(),
        "which task it was, for whoever remembers its panic"
    );
    leader.assert_dies();
}

#[tokio::test]
async fn output_flows_while_nobody_waits_for_the_end() {
    let (running, output) = begin(shell("head -c 500000 /dev/zero; echo; echo done")).await;
    output.line("done").await;
    assert!(within("the end", running.ended()).await.exit.is_success());
}
