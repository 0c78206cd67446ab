//! Builtins in the sandbox, from end to end: what goes in and out, and every way one can end (contract 6, design D2, D17).

use stephost_tests::{Ended, Host, Kind, Options, State, step_test, with_host};

/// Runs `builtin://hello` with these inputs, then prints what came out of it.
async fn hello(host: &Host, inputs: &str) -> Ended {
    let job = host.job(&format!(
        "run:\n  - {{name: hi, func: 'builtin://hello', inputs: {inputs}}}\n  \
         - {{name: show, script: \"echo '${{{{ steps.hi.outputs }}}}' $HELLO_GREETED\"}}\n"
    ));
    job.run().await
}

/// Runs `builtin://test/misbehave` in a step `m`.
async fn misbehave(host: &Host, inputs: &str) -> Ended {
    host.job(&format!(
        "run: [{{name: m, func: 'builtin://test/misbehave', inputs: {inputs}}}]"
    ))
    .run()
    .await
}

step_test!(hello_logs_returns_and_exports, |host| {
    let ended = hello(host, "{name: Ada}").await;
    let expected = "Running step name=hi\nHello, Ada!\nRunning step name=show\n{\"greeting\": \"Hello, Ada!\"} Ada\n";
    assert_eq!(ended.succeeds().text(), expected);
});

step_test!(hello_has_a_default_for_its_input, |host| {
    let ended = hello(host, "{}").await;
    assert_eq!(
        ended.succeeds().out(),
        "Hello, world!\n{\"greeting\": \"Hello, world!\"} world\n"
    );
});

step_test!(
    inputs_of_a_builtin_are_expressions_that_are_evaluated_first,
    |host| {
        let job = host.job("run: [{name: hi, func: 'builtin://hello', inputs: {name: '${{ vars.WHO }} ${{ 1 + 1 }}'}}]");
        assert_eq!(
            job.variable("WHO", "Ada").run().await.succeeds().out(),
            "Hello, Ada 2!\n"
        );
    }
);

step_test!(
    inputs_that_a_builtin_does_not_take_fail_the_step_before_it_runs,
    |host| {
        let table = [
            (
                "{name: 3}",
                "input `name` must be of type string, not number",
            ),
            (
                "{name: null}",
                "input `name` must be of type string, not null",
            ),
            (
                "{name: [Ada]}",
                "input `name` must be of type string, not array",
            ),
            (
                "{nmae: Ada}",
                "step does not accept an input named `nmae` (did you mean `name`?)",
            ),
            (
                "{name: Ada, colour: red}",
                "step does not accept an input named `colour`",
            ),
        ];
        for (inputs, message) in table {
            let ended = hello(host, inputs).await;
            assert_eq!(
                ended.fails().status.message,
                format!("step \"hi\": {message}"),
                "{inputs}"
            );
            ended.not_printing("Hello");
        }
        misbehave(host, "{}")
            .await
            .fails()
            .saying_exactly("step \"m\": input `how` is required but not defined");
    }
);

step_test!(
    l16_a_builtin_that_fails_by_its_own_word_is_a_step_failure,
    |host| {
        let table = [
            ("{how: fail}", "exec: asked to fail"),
            (
                "{how: fail-with-code}",
                "exec: asked to fail with a code: exit status 7",
            ),
            (
                "{how: fail-with-code, n: 300}",
                "exec: asked to fail with a code: exit status 300",
            ),
            (
                "{how: invalid-input}",
                "exec: invalid input n: is not to its liking",
            ),
            (
                "{how: denied}",
                "exec: the builtin says that net of \"https://example.com\" was denied to it (no-rule)",
            ),
            (
                "{how: twice}",
                "exec: the builtin returned output `text` twice",
            ),
        ];
        for (inputs, message) in table {
            let ended = misbehave(host, inputs).await;
            assert_eq!(
                ended.fails().status.message,
                format!("step \"m\": {message}"),
                "{inputs}"
            );
        }
        misbehave(host, "{how: bad-json}")
            .await
            .fails()
            .saying("step \"m\": exec: the builtin's output `text` ");
        misbehave(host, "{how: dance}")
            .await
            .fails()
            .saying("step \"m\": exec: invalid input how: `dance` is not one of");
    }
);

step_test!(
    l16_a_builtin_cannot_pretend_that_somebody_stopped_it,
    |host| {
        let ended = misbehave(host, "{how: cancelled}").await;
        ended
            .fails()
            .saying_exactly("step \"m\": exec: the builtin gave up as if it had been stopped");
    }
);

step_test!(
    l15_a_panic_of_a_builtin_is_internal_with_its_words_and_its_place,
    |host| {
        let ended = misbehave(host, "{how: panic, n: 42}").await;
        ended.is(State::Failure, Some(Kind::Internal));
        let message = &ended.status.message;
        let place = message.strip_prefix("step \"m\": exec: panic: asked to panic with 42 at ");
        let place = place.unwrap_or_else(|| panic!("the panic's words: {message}"));
        let parts: Vec<&str> = place.rsplitn(3, ':').collect();
        assert!(
            parts[2].ends_with("lib.rs"),
            "a file, a line and a column: {place}"
        );
        assert!(
            parts[0].parse::<u32>().is_ok() && parts[1].parse::<u32>().is_ok(),
            "{place}"
        );
        assert!(
            !place.starts_with('/'),
            "no path of the machine that built it: {place}"
        );
    }
);

step_test!(
    l15_a_builtin_that_breaks_is_internal_and_the_host_goes_on,
    |host| {
        let table = [
            (
                "{how: index, n: 5}",
                "panic: index out of bounds: the len is 2 but the index is 5 at ",
            ),
            ("{how: trap}", "exec: abort"),
            ("{how: recurse}", "exec: stack overflow"),
        ];
        for (inputs, words) in table {
            let ended = misbehave(host, inputs).await;
            ended
                .is(State::Failure, Some(Kind::Internal))
                .saying("step \"m\": exec: ")
                .saying(words);
            assert_eq!(
                misbehave(host, "{how: succeed}").await.succeeds().out(),
                "",
                "after {inputs}"
            );
        }
    }
);

step_test!(
    d2_a_builtin_that_takes_too_much_is_a_step_failure_that_names_the_limit,
    |host| {
        let table = [
            ("{how: oom}", "memory"),
            ("{how: output-flood, n: 5000000}", "outputs"),
            ("{how: export-flood, n: 5000000}", "outputs"),
            ("{how: host-call-flood, n: 9000000}", "host-call"),
        ];
        for (inputs, limit) in table {
            let ended = misbehave(host, inputs).await;
            ended.fails().saying("step \"m\": exec: ").saying(limit);
            misbehave(host, "{how: succeed}").await.succeeds();
        }
    }
);

step_test!(
    a_builtin_sees_its_context_and_nothing_of_the_hosts,
    |host| {
        let job = host.job(
        "run:\n  - {name: m, func: 'builtin://test/misbehave', inputs: {how: echo}, env: {ITEM: seen}}\n  \
         - {name: show, script: \"echo '${{ steps.m.outputs.text }}'\"}\n",
    );
        let ended = job
            .variable("VAR", "value")
            .env("REQUESTED", "yes")
            .grace_ms(1234)
            .run()
            .await;
        let out = ended.succeeds().out();
        assert!(
            out.starts_with(&format!("{} ", host.work().display())),
            "{out}"
        );
        for words in ["ITEM=seen;", "REQUESTED=yes;", " VAR=value; 1234\n"] {
            assert!(out.contains(words), "{words:?} in {out}");
        }
    }
);

step_test!(what_a_builtin_logs_stays_its_own_lines, |host| {
    let ended = misbehave(host, "{how: emit}").await;
    ended.printing("careful").printing("raw\n");
    assert!(
        !ended
            .text()
            .lines()
            .any(|line| line.starts_with("error: forged")),
        "{}",
        ended.text()
    );
});

step_test!(
    a_builtin_that_keeps_no_promise_about_its_outputs_fails,
    |host| {
        let ended = misbehave(host, "{how: emit}").await;
        ended.fails().saying_exactly(
            "step \"m\": exec: missing output `text`, it has no default and was not written",
        );
    }
);

step_test!(
    two_hundred_builtins_in_a_row_and_twenty_at_once_do_not_wear_the_host_out,
    |host| {
        let items: Vec<String> = (0..200)
            .map(|n| format!("{{name: s{n}, func: 'builtin://hello', inputs: {{name: n{n}}}}}"))
            .collect();
        let ended = host
            .job(&format!("run: [{}]", items.join(", ")))
            .run()
            .await;
        assert_eq!(ended.succeeds().out().lines().count(), 200);
        let jobs: Vec<_> = (0..20)
            .map(|_| host.job("run: [{name: a, func: 'builtin://hello'}]").run())
            .collect();
        for ended in futures_util::future::join_all(jobs).await {
            assert_eq!(ended.succeeds().out(), "Hello, world!\n");
        }
    }
);

step_test!(
    script_as_a_builtin_takes_its_text_and_nothing_else,
    |host| {
        let ended = host
            .job("run: [{name: a, func: 'builtin://script', inputs: {script: 'echo one; exit 5'}}]")
            .run()
            .await;
        ended
            .fails()
            .saying_exactly("step \"a\": exec: executing script: exit status 5");
        assert_eq!(ended.out(), "one\n");
        let ended = host
            .job("run: [{name: a, func: 'builtin://script'}]")
            .run()
            .await;
        ended
            .fails()
            .saying_exactly("step \"a\": input `script` is required but not defined");
        let ended = host
            .job("run: [{name: a, func: 'builtin://script', inputs: {script: x, shell: sh}}]")
            .run()
            .await;
        ended
            .fails()
            .saying_exactly("step \"a\": step does not accept an input named `shell`");
    }
);

#[test]
fn l15_the_operator_sees_where_a_builtin_panicked_and_the_job_one_line() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let log = dir.path().join("log");
    let options = Options::default().with_log(&log);
    with_host(options, async |host| {
        let ended = misbehave(host, "{how: panic}").await;
        let lines = ended.text().lines().count();
        assert_eq!(lines, 2, "the step's name and the panic: {}", ended.text());
    });
    let log = std::fs::read_to_string(log).expect("the host writes its log");
    let trap = log.lines().find(|line| line.contains("a builtin trapped"));
    let trap = trap.unwrap_or_else(|| panic!("no trap in:\n{log}"));
    for part in [
        "panic: asked to panic with 7",
        "stephost_guest_misbehave::Misbehave",
    ] {
        assert!(trap.contains(part), "{part} in {trap}");
    }
}
