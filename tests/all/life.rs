//! The life of a job: endings, stops, grace, timeouts (contract 2, 10.2; design D2, D5, D16).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use stephost_tests::{Host, JobBuilder, Kind, State, step_test};
use tonic::Code;

/// What a loaded machine may add to a time. Far below the graces and sleeps that must not be waited for.
const SLACK: Duration = Duration::from_secs(20);
/// The part of the grace's end and Close's answer (design D5).
const CLOSE_MARGIN: Duration = Duration::from_millis(500);
/// Hears nothing of TERM, nor do its children.
const DEAF: &str = "trap '' TERM; echo ready; sleep 300";
/// Says `term` to every TERM and goes on until somebody opens the gate; then says `go` and `on`.
const PATIENT: &str = "trap '' TERM; cat gate & c=$!; trap 'echo term' TERM; echo ready
until wait $c; do :; done; echo on";

step_test!(
    l01_a_cancelled_step_may_clean_up_and_its_exit_code_does_not_count,
    |host| {
        host.gate("gate");
        let job = host.script(&format!("{PATIENT}; exit 3")).start().await;
        job.wait_for("ready").await;
        job.cancel().await;
        job.wait_for("term").await;
        let status = job.status().await;
        assert_eq!(
            (status.state, status.kind),
            (State::Running, None),
            "it cleans up"
        );
        host.open_gate("gate").await;
        let ended = job.ended().await;
        ended.is_cancelled().printing("on\n");
        assert!(
            !ended.status.message.contains("exit status"),
            "{}",
            ended.status.message
        );
    }
);

step_test!(
    l02_a_step_that_ignores_the_signal_is_killed_when_its_grace_is_over,
    |host| {
        let job = host.script(DEAF).grace_ms(700).start().await;
        job.wait_for("ready").await;
        let cancelled = Instant::now();
        job.cancel().await;
        job.ended().await.is_cancelled();
        let took = cancelled.elapsed();
        assert!(
            took >= Duration::from_millis(700) && took < SLACK,
            "{took:?}"
        );
        assert_eq!(host.survivors(), Vec::<String>::new());
    }
);

step_test!(
    l03_a_child_in_the_background_dies_with_its_cancelled_step,
    |host| {
        let children = [
            ("one that listens", "sleep 300 & echo ready; wait"),
            (
                "one that does not",
                "(trap '' TERM; echo ready; sleep 300) & wait",
            ),
            (
                "one whose parent is gone",
                "(trap '' TERM; sleep 300 & :) ; echo ready; sleep 300",
            ),
        ];
        for (row, text) in children {
            let job = host.script(text).grace_ms(300).start().await;
            job.wait_for("ready").await;
            job.cancel().await;
            job.ended().await.is_cancelled();
            assert_eq!(host.survivors(), Vec::<String>::new(), "{row}");
        }
    }
);

step_test!(
    l04_a_step_that_exits_0_on_the_signal_is_cancelled_all_the_same,
    |host| {
        let text = "trap 'echo bye; exit 0' TERM; (echo ready; exec sleep 300) & wait";
        let job = host.script(text).start().await;
        job.wait_for("ready").await;
        job.cancel().await;
        job.ended().await.is_cancelled().printing("bye\n");
    }
);

step_test!(l05_a_second_cancel_changes_nothing, |host| {
    host.gate("gate");
    let job = host.script(PATIENT).start().await;
    job.wait_for("ready").await;
    job.cancel().await;
    job.wait_for("term").await;
    for _ in 0..5 {
        job.cancel().await;
    }
    host.open_gate("gate").await;
    let ended = job.ended().await;
    assert_eq!(
        ended.is_cancelled().out(),
        "ready\nterm\ngo\non\n",
        "one signal"
    );
});

step_test!(l06_cancelling_a_finished_job_changes_nothing, |host| {
    for text in ["true", "exit 3"] {
        let job = host.script(text).start().await;
        let ended = job.ended().await;
        job.cancel().await;
        assert_eq!(
            (job.status().await, job.log().await),
            (ended.status, ended.log),
            "{text}"
        );
    }
});

step_test!(l07_closing_a_running_job_ends_it_and_frees_its_id, |host| {
    let job = host
        .script("echo ready; sleep 300")
        .grace_ms(100_000)
        .id("l07")
        .start()
        .await;
    job.wait_for("ready").await;
    let closed = Instant::now();
    job.close().await;
    assert!(
        closed.elapsed() < SLACK,
        "a step that obeys uses no grace: {:?}",
        closed.elapsed()
    );
    assert_eq!(
        (host.survivors(), host.leavings()),
        (Vec::new(), Vec::new())
    );
    let status = host.client().status("l07").await.expect_err("it is gone");
    assert_eq!(status.code(), Some(Code::NotFound));
    host.script("echo again")
        .id("l07")
        .run()
        .await
        .succeeds()
        .printing("again");
});

step_test!(
    l08_closing_a_job_that_ignores_the_signal_kills_it_when_its_grace_is_over,
    |host| {
        let job = host.script(DEAF).grace_ms(1000).start().await;
        job.wait_for("ready").await;
        let closed = Instant::now();
        job.close().await;
        let (took, grace) = (closed.elapsed(), Duration::from_secs(1));
        assert!(
            took >= grace && took < grace + CLOSE_MARGIN + SLACK,
            "{took:?}"
        );
        // Close may answer before the last one is reaped, but not much.
        host.nothing_left().await;
    }
);

step_test!(l08_several_closes_of_one_job_all_get_an_answer, |host| {
    let job = host.script(DEAF).grace_ms(300).start().await;
    job.wait_for("ready").await;
    join_all((0..8).map(async |_| {
        host.new_client()
            .await
            .close(job.id())
            .await
            .expect("closed")
    }))
    .await;
    let status = host
        .client()
        .status(job.id())
        .await
        .expect_err("it is gone");
    assert_eq!(status.code(), Some(Code::NotFound));
});

step_test!(l09_a_job_that_runs_too_long_times_out, |host| {
    let ended = host
        .script("echo ready; sleep 300")
        .timeout_ms(600)
        .run()
        .await;
    let took = ended.is_timed_out().status.wall_time().expect("it ended");
    assert!(
        took >= Duration::from_millis(590) && took < SLACK,
        "{took:?}"
    );
    assert_eq!(host.survivors(), Vec::<String>::new());
});

step_test!(l09_a_job_that_is_fast_enough_does_not_time_out, |host| {
    host.script("echo fast")
        .timeout_ms(100_000)
        .run()
        .await
        .succeeds()
        .printing("fast");
    host.script("exit 4")
        .timeout_ms(100_000)
        .run()
        .await
        .fails();
});

step_test!(l09_a_timed_out_step_gets_its_grace, |host| {
    host.gate("gate");
    let job = host.script(PATIENT).timeout_ms(2000).start().await;
    job.wait_for("term").await;
    host.open_gate("gate").await;
    job.ended().await.is_timed_out().printing("on\n");
    let ended = host.script(DEAF).timeout_ms(300).grace_ms(300).run().await;
    let took = ended.is_timed_out().status.wall_time().expect("it ended");
    assert!(took >= Duration::from_millis(590), "{took:?}");
});

step_test!(l10_a_timeout_needs_no_client, |host| {
    let client = host.new_client().await;
    let request = host.script("sleep 300").id("l10").timeout_ms(300).request();
    client.run(request).await.expect("it starts");
    drop(client);
    host.job("").id("l10").run().await.is_timed_out();
});

step_test!(l11_after_a_cancel_no_further_step_starts, |host| {
    host.gate("gate");
    let first = PATIENT.replace('\n', "\n    ");
    let run = format!(
        "run:\n- name: one\n  script: |\n    {first}\n- {{name: two, script: touch two}}\n"
    );
    let job = host.job(&run).start().await;
    job.wait_for("ready").await;
    job.cancel().await;
    job.wait_for("term").await;
    host.open_gate("gate").await;
    job.ended().await.is_cancelled().not_printing("name=two");
    assert!(!host.work().join("two").exists());
});

step_test!(
    l12_a_failed_step_ends_its_message_with_its_exit_status,
    |host| {
        let script = host.script("exit 7").run().await;
        script
            .fails()
            .saying_exactly("step \"it\": exec: executing script: exit status 7");
        host.file(
            "leaf/func.yml",
            "{}\n---\nexec: {command: [sh, -c, exit 7]}\n",
        );
        let leaf = host.job("run:\n- {name: leaf, func: ./leaf}\n").run().await;
        leaf.fails()
            .saying_exactly("step \"leaf\": exec: exit status 7");
        let alone = host.job("exec: {command: [sh, -c, exit 255]}").run().await;
        alone.fails().saying_exactly("exec: exit status 255");
    }
);

step_test!(
    l12_a_step_that_a_signal_of_its_own_ends_has_failed,
    |host| {
        for (signal, text) in [("KILL", "signal: killed"), ("TERM", "signal: terminated")] {
            let ended = host
                .script(&format!("kill -{signal} $$; sleep 300"))
                .run()
                .await;
            ended.fails().saying(text);
            assert!(
                !ended.status.message.contains("exit status"),
                "{}",
                ended.status.message
            );
        }
    }
);

step_test!(l12_after_a_failed_step_no_further_step_starts, |host| {
    let run = "run:\n- {name: one, script: exit 1}\n- {name: two, script: touch two}\n";
    host.job(run).run().await.fails().not_printing("name=two");
    assert!(!host.work().join("two").exists());
});

step_test!(
    l13_a_message_names_the_steps_from_the_outer_to_the_inner,
    |host| {
        host.file(
            "leaf/func.yml",
            "{}\n---\nexec: {command: [sh, -c, exit 7]}\n",
        );
        host.file(
            "tree/func.yml",
            "{}\n---\nrun:\n- {name: inner, func: ../leaf}\n",
        );
        let ended = host
            .job("run:\n- {name: outer, func: ./tree}\n")
            .run()
            .await;
        ended
            .fails()
            .saying_exactly("step \"outer\": step \"inner\": exec: exit status 7");
    }
);

step_test!(
    l14_a_program_that_is_not_there_is_a_failed_step_without_exit_status,
    |host| {
        let table = [
            (
                "no-such-program",
                "exec: exec: \"no-such-program\": executable file not found in $PATH",
            ),
            (
                "./no-such-file",
                "exec: fork/exec ./no-such-file: no such file or directory",
            ),
            ("./plain", "exec: fork/exec ./plain: permission denied"),
        ];
        host.file("plain", "not executable");
        for (program, message) in table {
            let ended = host
                .job(&format!("exec: {{command: [{program}]}}"))
                .run()
                .await;
            ended.fails().saying_exactly(message);
        }
    }
);

step_test!(d2_a_step_cannot_forge_an_exit_status, |host| {
    let ended = host.job("exec: {command: ['exit status 9']}").run().await;
    ended.fails();
    assert!(
        !ended.status.message.contains("exit status"),
        "{}",
        ended.status.message
    );
});

step_test!(
    l15_a_builtin_that_breaks_is_internal_and_the_host_lives_on,
    |host| {
        let table = [
            ("panic", "panic: asked to panic with 7"),
            ("index", "panic: index out of bounds"),
            ("trap", "abort"),
            ("recurse", "stack overflow"),
        ];
        for (how, words) in table {
            let ended = misbehave(host, how, 7).run().await;
            ended
                .is(State::Failure, Some(Kind::Internal))
                .saying("step \"guest\": exec: ")
                .saying(words);
            assert!(
                !ended.status.message.contains("exit status"),
                "{}",
                ended.status.message
            );
        }
        host.script("echo alive")
            .run()
            .await
            .succeeds()
            .printing("alive");
    }
);

step_test!(l15_builtins_that_break_harm_no_job_beside_them, |host| {
    host.gate("gate");
    let beside = host
        .script("echo ready; read _ < gate; echo unharmed")
        .start()
        .await;
    beside.wait_for("ready").await;
    let broken = async |number: usize| {
        let how = ["panic", "trap", "recurse", "oom"][number % 4];
        misbehave(host, how, 7).run().await.status.state
    };
    let states = join_all((0..24).map(broken)).await;
    assert!(
        states.iter().all(|state| *state == State::Failure),
        "{states:?}"
    );
    host.open_gate("gate").await;
    beside.ended().await.succeeds().printing("unharmed");
});

step_test!(
    l16_a_builtin_that_returns_an_error_is_a_failed_step,
    |host| {
        let table = [
            ("fail", 7, "step \"guest\": exec: asked to fail"),
            (
                "fail-with-code",
                42,
                "step \"guest\": exec: asked to fail with a code: exit status 42",
            ),
            ("invalid-input", 7, "is not to its liking"),
            ("denied", 7, "denied"),
            ("cancelled", 7, "step \"guest\": "),
            ("bad-json", 7, "step \"guest\": "),
            ("twice", 7, "step \"guest\": "),
        ];
        for (how, n, words) in table {
            let ended = misbehave(host, how, n).run().await;
            ended.fails().saying(words);
            let message = &ended.status.message;
            assert_eq!(
                message.contains("exit status"),
                how == "fail-with-code",
                "{how}: {message}"
            );
            assert!(
                !words.ends_with("42") || message.ends_with("exit status 42"),
                "{how}: {message}"
            );
        }
    }
);

step_test!(
    d2_a_builtin_that_uses_more_than_it_may_is_a_failed_step_that_names_the_limit,
    |host| {
        let table = [
            ("oom", 7, "memory"),
            ("output-flood", 5 << 20, "outputs"),
            ("export-flood", 5 << 20, "outputs"),
        ];
        for (how, n, limit) in table {
            misbehave(host, how, n).run().await.fails().saying(limit);
        }
        host.script("echo alive").run().await.succeeds();
    }
);

step_test!(
    l17_a_cancelled_builtin_ends_within_its_grace_whatever_it_does,
    |host| {
        let table = [
            ("spin", "spinning"),
            ("wait", "waiting"),
            ("wait-politely", "waiting"),
            ("poll", "polling"),
            ("ignore-stop", "waiting"),
        ];
        for (how, first_line) in table {
            let job = misbehave(host, how, 7).grace_ms(400).start().await;
            job.wait_for(first_line).await;
            let cancelled = Instant::now();
            job.cancel().await;
            job.ended().await.is_cancelled();
            assert!(
                cancelled.elapsed() < SLACK,
                "{how}: {:?}",
                cancelled.elapsed()
            );
        }
    }
);

step_test!(
    l17_a_builtin_that_obeys_uses_no_grace_and_one_that_does_not_uses_it_up,
    |host| {
        for (how, first_line) in [("wait-politely", "waiting"), ("poll", "polling")] {
            let job = misbehave(host, how, 7).grace_ms(100_000).start().await;
            job.wait_for(first_line).await;
            let cancelled = Instant::now();
            job.cancel().await;
            job.ended().await.is_cancelled();
            assert!(
                cancelled.elapsed() < SLACK,
                "{how}: {:?}",
                cancelled.elapsed()
            );
        }
        let job = misbehave(host, "spin", 7).grace_ms(600).start().await;
        job.wait_for("spinning").await;
        let cancelled = Instant::now();
        job.cancel().await;
        job.ended().await.is_cancelled();
        assert!(
            cancelled.elapsed() >= Duration::from_millis(600),
            "{:?}",
            cancelled.elapsed()
        );
    }
);

step_test!(l17_a_busy_builtin_times_out, |host| {
    misbehave(host, "spin", 7)
        .timeout_ms(300)
        .grace_ms(200)
        .run()
        .await
        .is_timed_out();
    misbehave(host, "wait-politely", 7)
        .timeout_ms(300)
        .run()
        .await
        .is_timed_out();
});

step_test!(
    l18_a_job_that_is_cancelled_while_it_ends_never_fails,
    |host| {
        let run = async |_| {
            let job = host.script("echo x").start().await;
            job.cancel().await;
            let ended = job.ended().await;
            if ended.status.state == State::Success {
                ended.succeeds()
            } else {
                ended.is_cancelled()
            };
        };
        join_all((0..40).map(run)).await;
    }
);

step_test!(l19_jobs_whose_ids_look_alike_are_independent, |host| {
    host.gate("gate");
    let outer = host
        .script("echo ready; read _ < gate; echo done")
        .id("1")
        .start()
        .await;
    let nested = host
        .script("echo ready; sleep 300")
        .id("1-run")
        .start()
        .await;
    outer.wait_for("ready").await;
    nested.wait_for("ready").await;
    nested.cancel().await;
    nested.ended().await.is_cancelled();
    nested.close().await;
    host.open_gate("gate").await;
    outer.ended().await.succeeds().printing("done");
});

step_test!(l20_a_close_right_after_run_leaves_nothing, |host| {
    for _ in 0..20 {
        let job = host
            .script("echo x; sleep 300; touch late")
            .id("l20")
            .start()
            .await;
        job.close().await;
        assert_eq!(
            (host.survivors(), host.leavings()),
            (Vec::new(), Vec::new())
        );
        let status = host.client().status("l20").await.expect_err("it is gone");
        assert_eq!(status.code(), Some(Code::NotFound));
    }
    assert!(!host.work().join("late").exists());
});

step_test!(
    d5_a_later_stop_neither_shortens_nor_restarts_the_grace,
    |host| {
        let text = "trap '' TERM; echo ready; read _ < gate; sleep 3; echo later; sleep 300";
        host.gate("gate");
        let job = host.script(text).grace_ms(5000).start().await;
        job.wait_for("ready").await;
        let cancelled = Instant::now();
        job.cancel().await;
        host.open_gate("gate").await;
        job.wait_for("later").await;
        assert!(
            cancelled.elapsed() < Duration::from_secs(5),
            "the machine is too slow for this test"
        );
        job.cancel().await;
        job.close().await;
        let took = cancelled.elapsed();
        assert!(
            took >= Duration::from_secs(5),
            "the grace was cut short: {took:?}"
        );
        assert!(
            took < Duration::from_secs(8),
            "the grace began again: {took:?}"
        );
    }
);

step_test!(d5_the_first_stop_says_what_kind_of_end_it_is, |host| {
    host.gate("gate");
    let timed_out = host.script(PATIENT).timeout_ms(2000).start().await;
    timed_out.wait_for("term").await;
    timed_out.cancel().await;
    host.open_gate("gate").await;
    timed_out.ended().await.is_timed_out();
    let text = format!("{PATIENT}; sleep 3");
    let cancelled = host.script(&text).timeout_ms(2500).start().await;
    cancelled.wait_for("ready").await;
    cancelled.cancel().await;
    host.open_gate("gate").await;
    cancelled.ended().await.is_cancelled();
});

step_test!(
    d16_a_child_that_holds_the_output_of_a_finished_step_does_not_fail_it,
    |host| {
        let started = Instant::now();
        let ended = host.script("sleep 300 & echo over").run().await;
        ended.succeeds().printing("over\n");
        assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
        assert_eq!(
            host.survivors(),
            Vec::<String>::new(),
            "the job's end is its end"
        );
    }
);

step_test!(
    d16_a_child_in_the_background_lives_until_its_job_ends,
    |host| {
        let run = "
run:
- {name: one, script: 'cat gate > got & echo started'}
- {name: two, script: 'echo hello > gate; until [ -s got ]; do :; done; cat got'}
";
        host.gate("gate");
        host.job(run).run().await.succeeds().printing("hello\n");
    }
);

/// A job whose step ends in this way.
fn misbehave<'a>(host: &'a Host, how: &str, n: u64) -> JobBuilder<'a> {
    let inputs = format!("{{how: {how}, n: {n}}}");
    host.job(&format!(
        "run:\n- name: guest\n  func: builtin://test/misbehave\n  inputs: {inputs}\n"
    ))
}
