//! The YAML of functions, and what the references between them lead to (contract 3 and 10.3, design D6).

use stephost_tests::{Host, step_test};
use tonic::Code;

/// A function that prints `text`.
fn says(text: &str) -> String {
    format!("{{}}\n---\nexec: {{command: [echo, '{text}']}}")
}

/// Runs every document pair of the table and expects exactly this refusal.
async fn refuses(host: &Host, table: &[(&str, &str, &str)]) {
    for (row, documents, text) in table {
        let status = host.job_of(documents).refused().await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, *text),
            "{row}"
        );
    }
}

step_test!(y01_an_item_calls_its_function_by_func_or_by_step, |host| {
    host.file("hi/func.yml", &says("hi"));
    let ended = host
        .job("run: [{name: a, func: ./hi}, {name: b, step: ./hi}]")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "hi\nhi\n");
});

step_test!(
    y02_an_item_with_two_actions_is_refused_at_the_later_key,
    |host| {
        let table = [
            (
                "script and step",
                "{}\n---\nrun:\n  - name: a\n    script: x\n    step: ./f\n",
                "steps:6:5: `step` and `script` exclude each other",
            ),
            (
                "script and inputs",
                "{}\n---\nrun:\n  - name: a\n    inputs: {}\n    script: x\n",
                "steps:6:5: `script` and `inputs` exclude each other",
            ),
            (
                "script and action",
                "{}\n---\nrun:\n  - name: a\n    script: x\n    action: b@v1\n",
                "steps:6:5: `script` and `action` exclude each other",
            ),
            (
                "exec and run",
                "{}\n---\nexec: {command: [a]}\nrun: []\n",
                "steps:4:1: `exec` and `run` exclude each other",
            ),
            (
                "neither",
                "{}\n---\nenv: {}\n",
                "steps:3:1: the definition needs `run` or `exec`",
            ),
        ];
        refuses(host, &table).await;
    }
);

step_test!(
    y03_a_name_that_expressions_cannot_write_is_refused,
    |host| {
        let table = [
            (
                "a step",
                "{}\n---\nrun:\n  - name: not ok\n    script: x\n",
                "steps:4:11: step name `not ok` is not allowed: use letters, digits and `_`, and no digit first",
            ),
            (
                "an input",
                "spec:\n  inputs:\n    9a: {type: string}\n---\nrun: []\n",
                "steps:3:5: input name `9a` is not allowed: use letters, digits and `_`, and no digit first",
            ),
            (
                "a variable",
                "{}\n---\nrun: []\nenv:\n  a-b: c\n",
                "steps:5:3: environment variable name `a-b` is not allowed: use letters, digits and `_`, and no digit first",
            ),
            (
                "no name",
                "{}\n---\nrun:\n  - script: x\n",
                "steps:4:5: an item of `run` needs a `name`",
            ),
        ];
        refuses(host, &table).await;
    }
);

step_test!(y04_a_command_without_a_word_is_refused, |host| {
    let table = [
        (
            "empty",
            "{}\n---\nexec:\n  command: []\n",
            "steps:4:12: `command` must not be empty",
        ),
        (
            "a text",
            "{}\n---\nexec:\n  command: echo hi\n",
            "steps:4:12: `command` must be an array of strings, not a string: no shell reads it, write each argument \
             as an element",
        ),
        (
            "absent",
            "{}\n---\nexec:\n  work_dir: x\n",
            "steps:4:3: `exec` needs a `command`",
        ),
    ];
    refuses(host, &table).await;
});

step_test!(y05_an_input_says_its_type_and_its_default_has_it, |host| {
    let table = [
        (
            "no type",
            "spec:\n  inputs:\n    a: {default: x}\n---\nrun: []\n",
            "steps:3:8: an input needs a `type`",
        ),
        (
            "null",
            "spec:\n  inputs:\n    a:\n---\nrun: []\n",
            "steps:3:5: an input needs a `type`",
        ),
        (
            "unknown type",
            "spec:\n  inputs:\n    a: {type: object}\n---\nrun: []\n",
            "steps:3:15: type `object` is unknown, use string, number, boolean, struct or array \
             (did you mean `struct`?)",
        ),
        (
            "wrong default",
            "spec:\n  inputs:\n    a: {type: number, default: many}\n---\nrun: []\n",
            "steps:3:32: default of `a` must be of type number, not string",
        ),
        (
            "null default",
            "spec:\n  inputs:\n    a: {type: string, default: null}\n---\nrun: []\n",
            "steps:3:32: default of `a` must be of type string, not null",
        ),
    ];
    refuses(host, &table).await;
});

step_test!(y06_inputs_that_do_not_fit_fail_the_step_by_name, |host| {
    host.file(
        "f/func.yml",
        "spec: {inputs: {number_of: {type: number}}}\n---\nexec: {command: ['true']}",
    );
    let table = [
        (
            "missing",
            "{}",
            "input `number_of` is required but not defined",
        ),
        (
            "unknown",
            "{number_of: 1, x: 2}",
            "step does not accept an input named `x`",
        ),
        (
            "misspelled",
            "{number_off: 1}",
            "step does not accept an input named `number_off` (did you mean `number_of`?)",
        ),
        (
            "wrong type",
            "{number_of: many}",
            "input `number_of` must be of type number, not string",
        ),
        (
            "null",
            "{number_of: null}",
            "input `number_of` must be of type number, not null",
        ),
    ];
    for (row, inputs, message) in table {
        let job = host.job(&format!(
            "run: [{{name: outer, func: ./f, inputs: {inputs}}}]"
        ));
        let ended = job.run().await;
        assert_eq!(
            ended.fails().status.message,
            format!("step \"outer\": {message}"),
            "{row}"
        );
    }
});

step_test!(y06_a_job_whose_own_inputs_have_no_values_fails, |host| {
    let job = host.job_of("spec: {inputs: {a: {type: string}}}\n---\nexec: {command: ['true']}");
    job.run()
        .await
        .fails()
        .saying_exactly("input `a` is required but not defined");
});

step_test!(y07_func_yml_comes_before_step_yml, |host| {
    host.file("both/func.yml", &says("func"));
    host.file("both/step.yml", &says("step"));
    let ended = host
        .job("run: [{name: a, func: ./both}, {name: b, func: ./both/step.yml}]")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "func\nstep\n");
});

step_test!(y08_step_yml_is_used_where_there_is_no_func_yml, |host| {
    host.file("old/step.yml", &says("old"));
    let ended = host.job("run: [{name: a, func: ./old}]").run().await;
    assert_eq!(ended.succeeds().out(), "old\n");
});

step_test!(
    y08_a_function_that_is_nowhere_is_named_as_it_was_written,
    |host| {
        let ended = host.job("run: [{name: a, func: ./nowhere}]").run().await;
        ended.fails().saying_exactly(
        "step \"a\": function `./nowhere` not found: there is neither `func.yml` nor `step.yml`",
    );
        let ended = host
            .job("run: [{name: a, func: ./no/where.yml}]")
            .run()
            .await;
        ended.fails().saying_exactly(
            "step \"a\": function `./no/where.yml` not found: there is no file `where.yml`",
        );
    }
);

step_test!(
    y09_a_relative_reference_starts_at_the_function_that_holds_it,
    |host| {
        host.file(
            "a/func.yml",
            "{}\n---\nrun: [{name: deep, func: ./b}, {name: up, func: ../c}]",
        );
        host.file("a/b/func.yml", &says("a/b"));
        host.file("b/func.yml", &says("not this one"));
        host.file("c/func.yml", &says("c"));
        let ended = host.job("run: [{name: a, func: ./a}]").run().await;
        assert_eq!(ended.succeeds().out(), "a/b\nc\n");
    }
);

step_test!(y09_an_absolute_reference_is_used_as_it_is, |host| {
    host.file("abs/func.yml", &says("absolute"));
    let path = host.work().join("abs");
    let ended = host
        .job(&format!("run: [{{name: a, func: '{}'}}]", path.display()))
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "absolute\n");
});

step_test!(
    y10_a_dynamic_reference_is_resolved_when_its_step_is_reached,
    |host| {
        host.file("late/func.yml", &says("late"));
        let job = host.job(
            r#"
        run:
          - name: pick
            script: echo '{"name":"REF","value":"./late"}' > ${{ export_file }}
          - name: go
            func: ${{ env.REF }}
        "#,
        );
        assert_eq!(job.run().await.succeeds().out(), "late\n");
    }
);

step_test!(
    y10_a_relative_dynamic_reference_starts_at_its_definition,
    |host| {
        host.file(
            "a/func.yml",
            "{}\n---\nrun: [{name: deep, func: './${{ job.NAME }}'}]",
        );
        host.file("a/b/func.yml", &says("a/b"));
        host.file("b/func.yml", &says("not this one"));
        let ended = host
            .job("run: [{name: a, func: ./a}]")
            .variable("NAME", "b")
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "a/b\n");
    }
);

step_test!(k27_a_reference_is_expanded_once_and_never_again, |host| {
    let job = host.job("run: [{name: a, func: '${{ job.FIRST }}'}]");
    let ended = job
        .variable("FIRST", "./${{ job.NAME }}")
        .variable("NAME", "b")
        .run()
        .await;
    ended.fails().saying_exactly(
        "step \"a\": reference `./${{ job.NAME }}` still holds an expression after expansion: values are not \
         expanded again",
    );
});

step_test!(y10_a_dynamic_reference_that_fails_says_why, |host| {
    let job = host.job("run: [{name: a, func: '${{ env.NOT_THERE }}'}]");
    job.run().await.fails().saying_exactly(
        "step \"a\": reference: evaluating expression failed at \".NOT_THERE\": attribute not found",
    );
    let job = host
        .job("run: [{name: a, func: '${{ job.BAD }}'}]")
        .variable("BAD", "https://no-rev");
    job.run()
        .await
        .fails()
        .saying("step \"a\": ")
        .saying("https://no-rev");
});

step_test!(
    y11_a_broken_later_reference_does_not_stop_earlier_steps,
    |host| {
        host.file("good/func.yml", &says("ran"));
        host.file("bad/func.yml", "{}\n---\nrnu: []\n");
        let ended = host
            .job("run: [{name: a, func: ./good}, {name: b, func: ./bad}]")
            .run()
            .await;
        ended.fails().saying_exactly(
            "step \"b\": ./bad/func.yml:3:1: key `rnu` is unknown (did you mean `run`?)",
        );
        assert_eq!(ended.out(), "ran\n");
    }
);

step_test!(y12_an_unknown_builtin_names_the_known_ones, |host| {
    let ended = host
        .job("run: [{name: a, func: 'builtin://nope'}]")
        .run()
        .await;
    ended
        .fails()
        .saying("step \"a\": no builtin function `nope`")
        .saying("hello")
        .saying("script");
    let ended = host
        .job("run: [{name: a, func: 'builtin://hello'}]")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "Hello, world!\n");
});

step_test!(y13_a_function_delegates_its_outputs_to_a_step, |host| {
    host.file(
        "inner/func.yml",
        "spec: {outputs: {a: {type: string, default: inner}, b: {type: number, default: 2}}}\n---\n\
         exec: {command: ['true']}",
    );
    host.file(
        "outer/func.yml",
        "spec: {outputs: delegate}\n---\nrun: [{name: x, func: ../inner}, {name: y, script: 'true'}]\ndelegate: x",
    );
    let job = host.job(
        r#"
        run:
          - {name: o, func: ./outer}
          - {name: show, script: "echo '${{ steps.o.outputs }}'"}
        "#,
    );
    assert_eq!(
        job.run().await.succeeds().out(),
        "{\"a\": \"inner\", \"b\": 2}\n"
    );
});

step_test!(y13_a_delegate_that_cannot_be_is_refused, |host| {
    let table = [
        (
            "unknown step",
            "spec: {outputs: delegate}\n---\nrun: [{name: build, script: x}]\ndelegate: biuld\n",
            "steps:4:11: `delegate` names `biuld`, which is no step of this list (did you mean `build`?)",
        ),
        (
            "not declared",
            "{}\n---\nrun: [{name: build, script: x}]\ndelegate: build\n",
            "steps:4:11: `delegate` needs `outputs: delegate` in the spec",
        ),
        (
            "another word",
            "spec: {outputs: all}\n---\nrun: []\n",
            "steps:1:17: `outputs` must be an object of outputs or the word `delegate`, not `all`",
        ),
    ];
    refuses(host, &table).await;
});

step_test!(
    y14_y15_functions_from_elsewhere_fail_when_reached_and_are_named,
    |host| {
        let table = [
            (
                "gitlab.com/components/echo@v1.0.0",
                "gitlab.com/components/echo@v1.0.0",
            ),
            (
                "gitlab.com/components/echo/-/reverse/my-step.yml@feature/x",
                "gitlab.com/components/echo/-/reverse/my-step.yml@feature/x",
            ),
            ("https://user:hunter2@example.com/x@v5", "example.com/x@v5"),
            (
                "{git: {url: example.com/x, rev: abcdef01, dir: a/b}}",
                "example.com/x@abcdef01",
            ),
            (
                "registry.gitlab.com/group/echo:1",
                "registry.gitlab.com/group/echo:1",
            ),
            (
                "group/echo:1 some/step.yml",
                "registry.gitlab.com/group/echo:1 some/step.yml",
            ),
            (
                "{oci: {registry: r.example.com, repository: a/b, tag: v1}}",
                "r.example.com/a/b:v1",
            ),
        ];
        for (reference, named) in table {
            let reference = if reference.starts_with('{') {
                reference.to_owned()
            } else {
                format!("'{reference}'")
            };
            let job = format!(
                "run: [{{name: first, script: echo ran}}, {{name: far, func: {reference}}}]"
            );
            let ended = host.job(&job).run().await;
            ended
                .fails()
                .saying("step \"far\": ")
                .saying(named)
                .saying("not supported")
                .printing("ran");
            assert!(
                !ended.status.message.contains("hunter2"),
                "{}",
                ended.status.message
            );
            ended.not_printing("hunter2");
        }
    }
);

step_test!(y14_an_action_fails_when_reached_and_is_named, |host| {
    let job = host.job("run: [{name: a, script: echo ran}, {name: b, action: actions/hello@v1, inputs: {who: you}}]");
    let ended = job.run().await;
    ended
        .fails()
        .saying("step \"b\": ")
        .saying("`actions/hello@v1`")
        .saying("not supported")
        .printing("ran");
});

step_test!(y14_a_reference_that_has_no_form_is_refused, |host| {
    let table = [
        (
            "no revision",
            "{}\n---\nrun:\n  - name: a\n    func: https://host/x\n",
            "steps:5:11: expecting url@rev, found `https://host/x`",
        ),
        (
            "both",
            "{}\n---\nrun:\n  - name: a\n    func:\n      git: {url: a, rev: b}\n      oci: {}\n",
            "steps:7:7: `git` and `oci` exclude each other",
        ),
        (
            "no rev",
            "{}\n---\nrun:\n  - name: a\n    func:\n      git: {url: a}\n",
            "steps:6:12: a git reference needs a `rev`",
        ),
    ];
    refuses(host, &table).await;
});

step_test!(
    d6_an_unknown_key_at_the_top_is_refused_with_the_nearest_one,
    |host| {
        let table = [
            (
                "definition",
                "{}\n---\nrun: []\nenvs: {}\n",
                "steps:4:1: key `envs` is unknown (did you mean `env`?)",
            ),
            (
                "spec",
                "specs: {}\n---\nrun: []\n",
                "steps:1:1: key `specs` is unknown (did you mean `spec`?)",
            ),
            (
                "nothing near",
                "{}\n---\nrun: []\nimage: x\n",
                "steps:4:1: key `image` is unknown",
            ),
            (
                "elsewhere",
                "{}\n---\nrun: []\nscript: x\n",
                "steps:4:1: key `script` is unknown here, it belongs in an item of `run`",
            ),
        ];
        refuses(host, &table).await;
    }
);

step_test!(
    d6_an_unknown_key_deeper_down_is_a_warning_in_the_job_log,
    |host| {
        host.file(
            "f/func.yml",
            "{}\n---\nexec:\n  command: [echo, ran]\n  wrok_dir: /\n",
        );
        let ended = host
            .job("run:\n  - name: a\n    func: ./f\n    evn: {A: b}\n")
            .run()
            .await;
        let warning =
            "warning: steps:6:5: key `evn` is ignored, it is unknown (did you mean `env`?)\n";
        ended.succeeds().printing(warning).printing("ran\n");
        ended.printing("warning: ./f/func.yml:5:3: key `wrok_dir` is ignored, it is unknown (did you mean `work_dir`?)\n");
        assert_eq!(ended.out(), "ran\n", "warnings are on stderr");
    }
);

step_test!(
    d6_type_description_and_cancel_timeout_are_known_everywhere,
    |host| {
        let job = host.job_of(
        "type: a\ndescription: b\ncancel_timeout: 5s\nspec: {description: x, inputs: {a: {type: string, default: '', \
         description: y, cancel_timeout: 1s}}}\n---\ntype: exec\ndescription: c\ncancel_timeout: 5s\n\
         exec: {type: d, description: e, cancel_timeout: 1m30s, command: [echo, ran]}",
    );
        job.run()
            .await
            .succeeds()
            .printing("ran\n")
            .not_printing("warning");
    }
);

step_test!(
    d6_in_env_null_is_empty_and_scalars_keep_their_source_text,
    |host| {
        let job = host.job(
        "env: {N: , T: ~, Z: 010, B: True, F: 1_000, D: 2026-01-01, X: 0x1F, E: 1e3, Q: 'yes'}\n\
         exec: {command: [sh, -c, 'echo \"[$N][$T][$Z][$B][$F][$D][$X][$E][$Q]\"']}",
    );
        assert_eq!(
            job.run().await.succeeds().out(),
            "[][][010][True][1_000][2026-01-01][0x1F][1e3][yes]\n"
        );
    }
);

step_test!(
    d6_every_refusal_is_one_line_however_the_text_looks,
    |host| {
        let long = format!("{{}}\n---\n{}: x\n", "k".repeat(10_000));
        for documents in [
            "{}\n---\n\"a\\nb\\x07\": x\n",
            &long,
            "{}",
            "",
            "a: [",
            "{}\n---\nrun: {}\n",
        ] {
            let status = host.job_of(documents).refused().await;
            let text = status.message();
            assert_eq!(status.code(), Code::InvalidArgument, "{text}");
            let place: Vec<&str> = text.splitn(4, ':').collect();
            assert_eq!(place[0], "steps", "{text}");
            assert!(
                place[1].parse::<u32>().is_ok() && place[2].parse::<u32>().is_ok(),
                "{text}"
            );
            assert!(
                !text.contains(char::is_control) && text.len() <= 512,
                "{} bytes: {text}",
                text.len()
            );
        }
    }
);

step_test!(k26_a_step_name_that_is_used_twice_is_a_warning, |host| {
    let job =
        host.job("run:\n  - name: a\n    script: echo one\n  - name: a\n    script: echo two\n");
    let ended = job.run().await;
    ended
        .succeeds()
        .printing("warning: steps:6:11: step name `a` is used again");
    assert_eq!(ended.out(), "one\ntwo\n");
});

step_test!(
    a_function_that_calls_itself_ends_with_a_clear_error,
    |host| {
        host.file("f/func.yml", "{}\n---\nrun: [{name: again, func: ../f}]");
        let ended = host.job("run: [{name: first, func: ./f}]").run().await;
        ended
            .fails()
            .saying("step \"first\": step \"again\": ")
            .saying("nested deeper than 64; does one call itself?");
    }
);

step_test!(sixty_functions_inside_each_other_work, |host| {
    for level in 0..60 {
        let next = level + 1;
        let item = format!("{{}}\n---\nrun: [{{name: l{next}, func: ../f{next}}}]");
        host.file(&format!("f{level}/func.yml"), &item);
    }
    host.file("f60/func.yml", &says("at the bottom"));
    let ended = host.job("run: [{name: l0, func: ./f0}]").run().await;
    assert_eq!(ended.succeeds().out(), "at the bottom\n");
    let item = "{}\n---\nrun: [{name: hi, func: 'builtin://hello'}]";
    host.file("f60/func.yml", item);
    let ended = host.job("run: [{name: l0, func: ./f0}]").run().await;
    assert_eq!(ended.succeeds().out(), "Hello, world!\n");
});

step_test!(a_list_without_steps_succeeds, |host| {
    assert_eq!(host.job("run: []").run().await.succeeds().text(), "");
});
