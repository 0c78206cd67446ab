//! Shell steps, which are builtins that run programs: `script:` items, `script`, `script_legacy` (contract 6.3, 6.4, 6.6,
//! 10.5), and what holds for the programs of any builtin (design D17).

use std::time::{Duration, Instant};

use stephost_tests::{Ended, Host, JobBuilder, step_test};

/// What a loaded machine may add to a time. Far below the graces and sleeps that must not be waited for.
const SLACK: Duration = Duration::from_secs(20);

/// A job of one step `it`, which is `script_legacy` with these inputs, as YAML.
fn legacy<'a>(host: &'a Host, inputs: &str) -> JobBuilder<'a> {
    host.job(&format!(
        "run: [{{name: it, func: 'builtin://script_legacy', inputs: {{{inputs}}}}}]"
    ))
}

/// Runs `builtin://test/launch` in a step `it` and prints what came out of it.
async fn launch(host: &Host, inputs: &str) -> Ended {
    host.job(&format!(
        "run:\n  - {{name: it, func: 'builtin://test/launch', inputs: {{{inputs}}}}}\n  \
         - {{name: show, script: \"echo '${{{{ steps.it.outputs.text }}}}'\"}}\n"
    ))
    .run()
    .await
}

/// A command as the log shows it.
fn echoed(command: &str) -> String {
    format!("\x1b[1;32m$ {command}\x1b[0m\n")
}

// Items: contract 6.3, 5.4, 5.5.

step_test!(
    an_item_sees_files_of_its_own_and_what_it_exports_counts,
    |host| {
        let ended = host
            .job(
                "run:\n\
                 - {name: a, script: 'echo ''{\"name\":\"E\",\"value\":\"1\"}'' > ${{ export_file }}; echo ${{ output_file }}'}\n\
                 - {name: b, script: 'echo $E ${{ env.E }}; echo ${{ output_file }}'}\n",
            )
            .run()
            .await;
        let out = ended.succeeds().out();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[1], "1 1", "{out}");
        assert_ne!(lines[0], lines[2], "each has its own: {out}");
    }
);

step_test!(an_item_fails_with_the_status_of_its_shell, |host| {
    let table = [
        ("exit 7", "exec: executing script: exit status 7"),
        ("kill -9 $$", "exec: executing script: signal: killed"),
        (
            "kill -USR1 $$",
            "exec: executing script: signal: user defined signal 1",
        ),
    ];
    for (text, message) in table {
        let ended = host.script(text).run().await;
        ended
            .fails()
            .saying_exactly(&format!("step \"it\": {message}"));
        assert_eq!(
            ended.text(),
            "Running step name=it\n",
            "a program tells its own story"
        );
    }
    let ended = host.script("false; echo on | cat").run().await;
    assert_eq!(ended.succeeds().out(), "on\n", "without errexit");
});

step_test!(a_text_that_no_argument_can_hold_runs_all_the_same, |host| {
    let text = format!("x={}; echo ${{#x}} $0", "x".repeat(200_000));
    let ended = host.script(&text).run().await;
    let out = ended.succeeds().out();
    assert!(
        out.starts_with("200000 /") && out.contains("/script-") && out.ends_with(".sh\n"),
        "{out}"
    );
});

step_test!(a_secret_in_the_text_of_an_item_is_masked_as_ever, |host| {
    host.file(
        "f/func.yml",
        "spec: {inputs: {token: {type: string, sensitive: true}}}\n---\n\
         run: [{name: say, script: 'echo got ${{ inputs.token }}'}]",
    );
    let job = host.job("run: [{name: it, func: ./f, inputs: {token: 'hunter2hunter2'}}]");
    let ended = job.run().await;
    ended.succeeds().printing("got ").not_printing("hunter2");
});

step_test!(
    an_environment_that_no_program_can_take_fails_the_step_by_name,
    |host| {
        let job = host.script("true").env("HUGE", &"x".repeat(200_000));
        job.run()
            .await
            .fails()
            .saying("exec: executing script: environment variable \"HUGE\" is too long");
    }
);

// script_legacy: contract 6.4, 6.6, 10.5.

step_test!(
    b01_commands_run_in_one_shell_and_each_is_shown_before_it,
    |host| {
        let ended = legacy(host, "script: ['x=1', 'cd /', 'echo $x $PWD']")
            .run()
            .await;
        let expected = [
            echoed("x=1"),
            echoed("cd /"),
            echoed("echo $x $PWD"),
            "1 /\n".to_owned(),
        ];
        assert_eq!(ended.succeeds().out(), expected.concat());
    }
);

step_test!(b02_the_first_command_that_fails_is_the_last, |host| {
    for check in [false, true] {
        let inputs =
            format!("script: ['echo a', '(exit 42)', 'echo b'], check_for_errors: {check}");
        let ended = legacy(host, &inputs).run().await;
        ended
            .fails()
            .saying_exactly("step \"it\": exec: executing script: exit status 42");
        let expected = [echoed("echo a"), "a\n".to_owned(), echoed("(exit 42)")];
        assert_eq!(ended.out(), expected.concat());
    }
});

step_test!(b03_a_list_without_commands_is_a_failure, |host| {
    legacy(host, "script: []")
        .run()
        .await
        .fails()
        .saying_exactly("step \"it\": exec: invalid input script: is empty");
    legacy(host, "script: echo a")
        .run()
        .await
        .fails()
        .saying_exactly("step \"it\": input `script` must be of type array, not string");
});

step_test!(b04_a_shell_that_some_signals_end_has_not_failed, |host| {
    for signal in ["USR1", "USR2", "HUP", "PIPE"] {
        let ended = legacy(host, &format!("script: ['kill -{signal} $$', 'echo no']"))
            .run()
            .await;
        ended.succeeds();
    }
    legacy(host, "script: ['kill -KILL $$']")
        .run()
        .await
        .fails()
        .saying_exactly("step \"it\": exec: executing script: signal: killed");
});

step_test!(
    b05_a_sleeper_that_keeps_the_output_open_neither_fails_nor_holds_the_step,
    |host| {
        let ended = legacy(host, "script: ['sleep 300 &', 'echo done']")
            .run()
            .await;
        let took = ended.succeeds().status.wall_time().expect("it ended");
        assert!(took < SLACK, "{took:?}");
        ended.printing("done\n");
        assert_eq!(
            host.survivors(),
            Vec::<String>::new(),
            "it ends with its job"
        );
    }
);

step_test!(
    b11_a_line_of_the_environment_file_is_a_variable_of_the_next_script,
    |host| {
        let dir = host.work().display().to_string();
        let job = host.job(
            "run:\n\
             - {name: a, func: 'builtin://script_legacy', inputs: {script: ['echo V=from a >> $GITLAB_ENV', 'echo W=x >> $GITLAB_ENV']}}\n\
             - {name: b, func: 'builtin://script_legacy', inputs: {script: ['echo \"[$V] [$W]\"']}}\n\
             - {name: c, script: 'echo \"[$V]\"'}\n",
        );
        let ended = job.variable("RUNNER_TEMP_PROJECT_DIR", &dir).run().await;
        ended.succeeds().printing("[from a] [x]\n").printing("[]\n");
        let kept = std::fs::read_to_string(host.work().join("gitlab_runner_env"));
        assert_eq!(kept.expect("it is the runner's file"), "V=from a\nW=x\n");
    }
);

step_test!(elements_that_are_no_text_are_empty_commands, |host| {
    let ended = legacy(host, "script: [3, '  echo a  ', null, [x]]")
        .run()
        .await;
    let expected = ["\n", &echoed("echo a"), "a\n", "\n", "\n"];
    assert_eq!(ended.succeeds().out(), expected.concat());
});

step_test!(quotes_do_not_change_what_is_shown, |host| {
    let command = r#"printf '%s\n' "it''s $HOME\\n" `echo b`"#;
    let shown = command.replace("''", "'");
    for posix in [false, true] {
        let command = command.replace('\'', "''").replace("''''", "''");
        let ended = legacy(
            host,
            &format!("script: ['{command}'], posix_escape: {posix}"),
        )
        .env("HOME", "/h")
        .run()
        .await;
        let expected = [&echoed(&shown), "it's /h\\n\n", "b\n"].concat();
        assert_eq!(ended.succeeds().out(), expected, "posix_escape: {posix}");
    }
});

step_test!(
    a_command_of_several_lines_is_collapsed_or_a_section,
    |host| {
        let script = "script: ['echo a', \"echo b\\necho c\"]";
        let ended = legacy(host, script).run().await;
        let collapsed = echoed("echo b # collapsed multi-line command");
        assert_eq!(
            ended.succeeds().out(),
            [&echoed("echo a"), "a\n", &collapsed, "b\nc\n"].concat()
        );
        let ended = legacy(host, &format!("{script}, trace_sections: true"))
            .run()
            .await;
        let out = ended.succeeds().out();
        for words in [
            ":section_script_step_1[hide_duration=true,collapsed=true]\r\x1b[0K\x1b[32;1m$ echo b\necho c\x1b[0;m\nb\nc\nsection_end:",
            ":section_script_step_1\r\x1b[0K\n",
        ] {
            assert!(out.contains(words), "{words:?} in {out:?}");
        }
        ended
            .not_printing("collapsed multi-line")
            .not_printing("section_script_step_0");
    }
);

step_test!(a_trace_is_shown_on_demand, |host| {
    let ended = legacy(host, "script: ['echo a'], debug_trace: true")
        .run()
        .await;
    ended.succeeds().printing("+ echo a\n");
    let ended = legacy(host, "script: ['echo a']").run().await;
    ended.succeeds().not_printing("+ echo a");
});

step_test!(
    job_variables_are_variables_of_a_legacy_script_and_win,
    |host| {
        let job = legacy(host, "script: ['echo $BOTH $ONLY', 'echo ${0##*/}']");
        let ended = job
            .env("BOTH", "environment")
            .variable("BOTH", "job")
            .variable("ONLY", "here")
            .run()
            .await;
        let out = ended.succeeds().out();
        assert!(out.contains("\njob here\n"), "{out}");
        assert!(
            out.contains("\nstep-runner-script-") && out.ends_with(".sh\n"),
            "{out}"
        );
    }
);

step_test!(l_a_cancelled_legacy_script_stops_politely, |host| {
    let commands = "script: ['echo ready', 'sleep 300', 'echo no']";
    let job = legacy(host, commands).grace_ms(100_000).start().await;
    job.wait_for("ready\n").await;
    let cancelled = Instant::now();
    job.cancel().await;
    let ended = job.ended().await;
    ended.is_cancelled().not_printing("\nno\n");
    assert!(cancelled.elapsed() < SLACK, "{:?}", cancelled.elapsed());
    assert_eq!(host.survivors(), Vec::<String>::new());
});

step_test!(
    l_a_legacy_script_that_is_deaf_is_killed_after_its_grace,
    |host| {
        let commands = "script: [\"trap '' TERM\", 'echo ready', 'sleep 300']";
        let job = legacy(host, commands).grace_ms(700).start().await;
        job.wait_for("ready\n").await;
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

step_test!(l_a_legacy_script_that_runs_too_long_times_out, |host| {
    let job = legacy(host, "script: ['echo ready', 'sleep 300']").timeout_ms(600);
    job.run().await.is_timed_out();
});

// Programs of any builtin.

step_test!(a_program_is_dressed_as_its_builtin_says, |host| {
    let inputs = "how: dress, program: /bin/sh, argument: 'echo $1 [$2] $SET [$PASSING] [$GONE] $KEPT; pwd; stat -c %a \"$0\"'";
    let job = host.job(&format!(
        "run: [{{name: it, func: 'builtin://test/launch', inputs: {{{inputs}}}, env: {{GONE: there, KEPT: kept}}}}]"
    ));
    let ended = job.run().await;
    let work_dir = host.work().display();
    assert_eq!(
        ended.succeeds().out(),
        format!("one [] set [] [] kept\n{work_dir}\n700\n")
    );
});

step_test!(what_does_not_start_says_why, |host| {
    let table = [
        ("how: run, program: no-such-program", "StartError::NotFound"),
        (
            "how: run, program: /no/such/program",
            "StartError::NotFound",
        ),
        ("how: run, program: /etc/passwd", "permission denied"),
        (
            "how: misplace, program: /bin/sh",
            "a file stands for argument 7, and there are 1",
        ),
        ("how: which, program: sh", "/sh\")"),
    ];
    for (inputs, words) in table {
        launch(host, inputs).await.succeeds().printing(words);
    }
});

step_test!(no_program_outlives_the_builtin_that_started_it, |host| {
    for how in ["forget", "drop"] {
        let inputs = format!("how: {how}, program: /bin/sh, argument: 'trap \"\" TERM; sleep 300'");
        let ended = launch(host, &inputs).await;
        ended.succeeds();
        assert_eq!(host.survivors(), Vec::<String>::new(), "{how}");
    }
    let ended = launch(host, "how: panic, program: sleep, argument: '300'").await;
    ended.saying("panic: asked to panic beside a program");
});

step_test!(
    a_stop_reaches_the_program_of_a_builtin_that_computes,
    |host| {
        let inputs = "how: spin, program: /bin/sh, argument: 'trap \"echo heard; exit\" TERM; (echo ready; exec sleep 300) & wait'";
        let job = host
            .job(&format!(
                "run: [{{name: it, func: 'builtin://test/launch', inputs: {{{inputs}}}}}]"
            ))
            .grace_ms(1000)
            .start()
            .await;
        job.wait_for("ready\n").await;
        job.cancel().await;
        let ended = job.ended().await;
        ended.is_cancelled().printing("heard\n");
        assert_eq!(host.survivors(), Vec::<String>::new());
    }
);

step_test!(
    a_builtin_that_was_asked_to_stop_starts_nothing_more,
    |host| {
        let job = host
        .job("run: [{name: it, func: 'builtin://test/launch', inputs: {how: persist, program: /bin/sh, argument: 'echo ran'}}]")
        .start()
        .await;
        job.wait_for("waiting\n").await;
        job.cancel().await;
        let ended = job.ended().await;
        ended
            .is_cancelled()
            .printing("StartError::Stopping")
            .not_printing("ran\n");
    }
);

step_test!(
    shell_steps_of_many_jobs_at_once_do_not_wait_for_each_other,
    |host| {
        let began = Instant::now();
        let jobs: Vec<_> = (0..20)
            .map(|_| host.script("sleep 1; echo done").run())
            .collect();
        for ended in futures_util::future::join_all(jobs).await {
            assert_eq!(ended.succeeds().out(), "done\n");
        }
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
);
