//! How a leader's end is reported (contract 5.2, 10.2).

use stephost_process::Exit;

use crate::fixture::{begin, begin_in, left_by, run, shell, supervisors, within};

#[tokio::test]
async fn scenario_01_an_exit_code_is_reported_as_it_is() {
    for code in [0, 1, 3, 7, 126, 127, 128, 255] {
        let (report, _) = run(shell(&format!("exit {code}"))).await;
        assert_eq!(report.exit, Exit::Code(code), "exit {code}");
        assert_eq!(report.exit.to_string(), format!("exit status {code}"));
        assert_eq!(
            (report.signalled, report.killed, left_by(&report)),
            (false, false, 0),
            "exit {code}"
        );
    }
}

#[tokio::test]
async fn scenario_01_a_signal_is_named_in_words() {
    let table = [
        ("HUP", 1, "signal: hangup"),
        ("INT", 2, "signal: interrupt"),
        ("QUIT", 3, "signal: quit"),
        ("ABRT", 6, "signal: aborted"),
        ("KILL", 9, "signal: killed"),
        ("USR1", 10, "signal: user defined signal 1"),
        ("SEGV", 11, "signal: segmentation fault"),
        ("USR2", 12, "signal: user defined signal 2"),
        ("PIPE", 13, "signal: broken pipe"),
        ("ALRM", 14, "signal: alarm clock"),
        ("TERM", 15, "signal: terminated"),
        ("XCPU", 24, "signal: CPU time limit exceeded"),
    ];
    let scratch = tempfile::tempdir().unwrap(); // a core dump goes there, if this machine writes one
    for (name, number, text) in table {
        let script = format!("cd {} && kill -{name} $$; exit 0", scratch.path().display());
        let (report, _) = run(shell(&script)).await;
        assert_eq!(report.exit.signal(), Some(number), "{name}");
        assert_eq!(report.exit.code(), None, "{name}");
        let words = report.exit.to_string();
        assert_eq!(words.trim_end_matches(" (core dumped)"), text, "{name}");
        assert!(
            !report.signalled && !report.killed,
            "{name}: nobody asked for a stop"
        );
    }
}

#[tokio::test]
async fn many_steps_at_once_do_not_mix_up_their_endings() {
    let supervisors = supervisors();
    let mut steps = Vec::new();
    for number in 0..40 {
        let plan = shell(&format!("echo {number}; exit {number}"));
        steps.push((number, begin_in(&supervisors, plan).await));
    }
    for (number, (running, output)) in steps {
        let report = within("the end", running.ended()).await;
        assert_eq!(report.exit, Exit::Code(number));
        assert_eq!(output.out(), format!("{number}\n"));
    }
}

#[tokio::test]
async fn the_end_is_noticed_before_anybody_asks() {
    let (running, output) = begin(shell("echo $$")).await;
    output.line("").await;
    let stopper = running.stopper();
    let report = within("the end", running.ended()).await;
    assert_eq!(report.exit, Exit::Code(0));
    stopper.terminate();
    stopper.kill();
    stopper.clone().kill();
}
