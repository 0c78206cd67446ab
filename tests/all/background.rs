//! What outlives its step: its output, its mark in the log, its end (design D16; the numbers are the scenarios of docs/containment.md).

use std::fs;
use std::time::{Duration, Instant};

use stephost_tests::{Host, step_test};

/// What a loaded machine may add to a time.
const SLACK: Duration = Duration::from_secs(20);
/// What a host's memory may grow while somebody writes without end.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// Number, letter and text of every stored line, as a program reads them.
fn numbered(log: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(log);
    let lines = text.lines();
    lines
        .map(|line| format!("{}{}", &line[28..31], &line[31..]))
        .collect()
}

fn resident_kib(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

step_test!(
    scenario_10_a_kept_process_holds_nothing_up_and_what_it_says_later_is_marked,
    |host| {
        host.gate("speak");
        host.gate("gate");
        host.file(
            "exec/func.yml",
            "{}\n---\nexec: {command: [sh, -c, '(cat speak; echo behind; echo oops >&2; printf cut; exec sleep 15) & echo before']}\n",
        );
        for step in ["step: ./exec", "script: '. ./words'"] {
            host.file(
                "words",
                "(cat speak; echo behind; echo oops >&2; printf cut; exec sleep 15) & echo before\n",
            );
            let run =
                format!("run:\n- {{name: one, {step}}}\n- {{name: two, script: 'cat gate'}}\n");
            let job = host.job(&run).start().await;
            job.wait_for("name=two").await;
            let survivors = host.survivors();
            let kept = survivors.iter().any(|line| line.contains("cat speak"));
            assert!(kept, "{step}: {survivors:?}");
            host.open_gate("speak").await;
            job.wait_for("oops").await;
            host.open_gate("gate").await;
            let ended = job.ended().await;
            assert_eq!(host.survivors(), Vec::<String>::new(), "{step}");
            ended.succeeds().printing("step host: killed 1 process");
            let lines = numbered(&ended.log);
            let said = |words: &str| lines.iter().any(|line| line == words);
            for line in [
                "00O before",
                "00E a background process still holds the step's output; the step does not wait for it, and what it says later is marked",
                "01O [background one] behind",
                "01E [background one] oops",
                // Its last words have no line end.
                "01O [background one] cut",
                "00O go",
            ] {
                assert!(said(line), "{step}: {line}\n{lines:#?}");
            }
        }
    }
);

step_test!(
    scenario_12_a_leaders_output_is_complete_while_a_child_holds_the_pipe,
    |host| {
        let text = "exec: {command: [sh, -c, 'sleep 15 & seq 1 170000']}";
        let expected: String = (1..=170_000).map(|number| format!("{number}\n")).collect();
        assert!(expected.len() > 1 << 20);
        for _ in 0..3 {
            let ended = host.job(text).run().await;
            let out = ended.succeeds().out();
            assert!(out == expected, "{} of {} bytes", out.len(), expected.len());
        }
    }
);

step_test!(
    scenario_13_an_endless_writer_costs_no_memory_meets_no_closed_pipe_and_ends_at_once,
    |host| {
        host.gate("gate");
        let endless = "trap 'echo broken >ended; exit' PIPE; i=0; while [ $i -lt 1500 ]; do head -c 100000 /dev/zero | tr \"\\\\0\" x || echo broken >ended; echo || echo broken >ended; i=$((i + 1)); echo $i >count; done";
        let run = format!(
            "run:\n- name: one\n  script: |-\n    ({endless}) &\n- {{name: two, script: 'cat gate'}}\n"
        );
        let job = host.job(&run).start().await;
        let mut follow = host.client().follow(job.id(), 0);
        let mut before = None;
        let mut seen: Vec<u8> = Vec::new();
        loop {
            let piece = follow.next().await.expect("the log can be followed");
            seen.extend_from_slice(&piece.expect("the job runs"));
            // Notices may lie across two pieces.
            let recent = String::from_utf8_lossy(&seen[seen.len().saturating_sub(400_000)..]);
            if recent.contains("name=two") {
                before.get_or_insert_with(|| resident_kib(host));
            }
            if recent.contains("what background processes write from here on is not stored") {
                break;
            }
        }
        let grown = resident_kib(host).saturating_sub(before.expect("the second step began first"));
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
        // Files that a step writes are no event for us, so this is polled.
        let count = || fs::read_to_string(host.work().join("count")).unwrap_or_default();
        let (now, asked) = (count(), Instant::now());
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while count() == now {
            assert!(asked.elapsed() < SLACK, "it stands still at {now}");
            tick.tick().await;
        }
        let cancelled = Instant::now();
        job.cancel().await;
        let ended = job.ended().await;
        ended
            .is_cancelled()
            .printing(" bytes of background processes were not stored]");
        assert!(cancelled.elapsed() < SLACK, "{:?}", cancelled.elapsed());
        assert!(!host.work().join("ended").exists(), "it met a closed pipe");
        assert_eq!(host.survivors(), Vec::<String>::new());
        let marked = numbered(&ended.log)
            .iter()
            .filter(|line| line.starts_with("01"))
            .map(String::len)
            .sum::<usize>();
        assert!(marked <= (16 << 20) + 1024, "{marked}");
    }
);
