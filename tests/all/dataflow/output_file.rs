//! Outputs: the file, its lines, what is declared (contract 5.4, design D9).

use std::path::Path;

use stephost_tests::step_test;

use super::{exports, outputs, writer};

step_test!(x07_what_is_declared_and_written_comes_out, |host| {
    let any = "{a: {type: string, default: d}}";
    let table = [
        (
            "string",
            "{a: {type: string}}",
            "{\"name\":\"a\",\"value\":\"b\"}\n",
            "{\"a\": \"b\"}",
        ),
        (
            "number",
            "{a: {type: number}}",
            "{\"name\":\"a\",\"value\":1.50}\n",
            "{\"a\": 1.5}",
        ),
        (
            "boolean",
            "{a: {type: boolean}}",
            "{\"name\":\"a\",\"value\":false}\n",
            "{\"a\": false}",
        ),
        (
            "struct",
            "{a: {type: struct}}",
            "{\"name\":\"a\",\"value\":{\"b\":[1,null]}}\n",
            "{\"a\": {\"b\": [1, null]}}",
        ),
        (
            "array",
            "{a: {type: array}}",
            "{\"name\":\"a\",\"value\":[]}\n",
            "{\"a\": []}",
        ),
        ("default", any, "", "{\"a\": \"d\"}"),
        (
            "duplicate",
            any,
            "{\"name\":\"a\",\"value\":\"1\"}\n{\"name\":\"a\",\"value\":\"2\"}\n",
            "{\"a\": \"2\"}",
        ),
        (
            "blank lines",
            any,
            "\n  \r\n{\"name\":\"a\",\"value\":\"b\"}\r\n\n",
            "{\"a\": \"b\"}",
        ),
        (
            "other keys",
            any,
            "{\"x\":{},\"name\":\"a\",\"value\":\"b\",\"type\":1}\n",
            "{\"a\": \"b\"}",
        ),
        (
            "no line break",
            any,
            "{\"name\":\"a\",\"value\":\"b\"}",
            "{\"a\": \"b\"}",
        ),
        (
            "literal",
            any,
            "{\"name\":\"a\",\"value\":\"${{ job.TEXT }}\"}",
            "{\"a\": \"${{ job.TEXT }}\"}",
        ),
        ("nothing declared", "{}", "\n\n", "{}"),
    ];
    for (row, declared, text, expected) in table {
        let ended = outputs(host, declared, text).run().await;
        assert_eq!(
            ended.succeeds().out(),
            format!("{expected}\n"),
            "{row}: see contract 5.4"
        );
    }
});

step_test!(
    x07_what_does_not_fit_the_declaration_fails_the_step,
    |host| {
        let a = "{answer: {type: number}}";
        let not_json = "is not a JSON object with `name` and `value`";
        let name = "`name` is missing, null, empty or not a string";
        let value = "`value` is missing or null";
        let table = [
            (
                "undeclared",
                a,
                "{\"name\":\"other\",\"value\":1}",
                "unexpected output `other`, the spec does not declare it".to_owned(),
            ),
            (
                "misspelled",
                a,
                "{\"name\":\"answre\",\"value\":1}",
                "unexpected output `answre`, the spec does not declare it (did you mean `answer`?)"
                    .to_owned(),
            ),
            (
                "missing",
                a,
                "",
                "missing output `answer`, it has no default and was not written".to_owned(),
            ),
            (
                "wrong type",
                a,
                "{\"name\":\"answer\",\"value\":\"1\"}",
                "output `answer` must be of type number, not string".to_owned(),
            ),
            ("no JSON", a, "\n\nanswer=1", format!("line 3: {not_json}")),
            ("an array", a, "[1]", format!("line 1: {not_json}")),
            (
                "two objects",
                a,
                "{\"name\":\"answer\",\"value\":1} {}",
                format!("line 1: {not_json}"),
            ),
            ("no name", a, "{\"value\":1}", format!("line 1: {name}")),
            (
                "null name",
                a,
                "{\"name\":null,\"value\":1}",
                format!("line 1: {name}"),
            ),
            (
                "empty name",
                a,
                "{\"name\":\"\",\"value\":1}",
                format!("line 1: {name}"),
            ),
            (
                "no value",
                a,
                "{\"name\":\"answer\"}",
                format!("line 1: {value}"),
            ),
            (
                "null value",
                a,
                "{\"name\":\"answer\",\"value\":null}",
                format!("line 1: {value}"),
            ),
            (
                "no name of an output",
                a,
                "{\"name\":\"a-b\",\"value\":1}",
                "line 1: `a-b` is not a name: use letters, digits and `_`, and no digit first"
                    .to_owned(),
            ),
        ];
        for (row, declared, text, fault) in table {
            let ended = outputs(host, declared, text).run().await;
            assert_eq!(
                ended.fails().status.message,
                format!("step \"s\": output file: {fault}"),
                "{row}: see contract 5.4"
            );
        }
    }
);

step_test!(x07_a_line_of_an_output_has_no_limit_of_its_own, |host| {
    let text = format!("{{\"name\":\"a\",\"value\":\"{}\"}}", "x".repeat(100_000));
    let ended = outputs(host, "{a: {type: string}}", &text).run().await;
    assert_eq!(ended.succeeds().out().len(), "{'a': ''}\n".len() + 100_000);
});

step_test!(x07_a_bad_line_is_only_quoted_for_those_who_debug, |host| {
    let bad = "hunter2=x";
    let fault = "step \"s\": output file: line 1: is not a JSON object with `name` and `value`";
    let job = || outputs(host, "{}", bad);
    job()
        .run()
        .await
        .fails()
        .saying_exactly(fault)
        .not_printing("hunter2");
    job()
        .variable("CI_STEPS_DEBUG", "false")
        .run()
        .await
        .fails()
        .saying_exactly(fault);
    job()
        .variable("CI_STEPS_DEBUG", "true")
        .run()
        .await
        .fails()
        .saying_exactly(&format!("{fault}: {bad}"));
    job()
        .env("CI_STEPS_DEBUG", "true")
        .run()
        .await
        .fails()
        .saying_exactly(&format!("{fault}: {bad}"));
    let ended = exports(host, bad)
        .variable("CI_STEPS_DEBUG", "true")
        .run()
        .await;
    ended
        .fails()
        .saying("step \"s\": export file: line 1: ")
        .saying("hunter2");
});

step_test!(
    d9_a_file_that_the_step_replaced_fails_it_and_hangs_nobody,
    |host| {
        let table = [
            ("FIFO", "rm \"$1\"; mkfifo \"$1\"", "is not a regular file"),
            (
                "directory",
                "rm \"$1\"; mkdir \"$1\"; echo > \"$1/x\"",
                "is not a regular file",
            ),
            (
                "symbolic link",
                "rm \"$1\"; ln -s /etc/passwd \"$1\"",
                "is not a regular file",
            ),
            (
                "link to nothing",
                "rm \"$1\"; ln -s /no/such \"$1\"",
                "is not a regular file",
            ),
            (
                "device",
                "rm \"$1\"; ln -s /dev/zero \"$1\"",
                "is not a regular file",
            ),
            ("removed", "rm \"$1\"", "does not exist any more"),
            (
                "17 MiB",
                "head -c 17825792 /dev/zero > \"$1\"",
                "is larger than 16 MiB",
            ),
            (
                "sparse terabyte",
                "truncate -s 1T \"$1\" || truncate -s 17M \"$1\"",
                "is larger than 16 MiB",
            ),
        ];
        for (row, text, fault) in table {
            for (file, part) in [
                ("output_file", "output file"),
                ("export_file", "export file"),
            ] {
                host.file(
                    "s/func.yml",
                    &format!(
                        "{{}}\n---\nexec: {{command: [sh, -c, '{text}', sh, '${{{{ {file} }}}}']}}"
                    ),
                );
                let ended = host.job("run: [{name: s, func: ./s}]").run().await;
                assert_eq!(
                    ended.fails().status.message,
                    format!("step \"s\": {part}: {fault}"),
                    "{row}"
                );
            }
        }
    }
);

step_test!(d9_a_replaced_file_that_is_regular_is_read, |host| {
    let text = "f=\"$1\"; rm \"$f\"; printf %s \"$2\" > \"$f.new\"; mv \"$f.new\" \"$f\"";
    host.file(
        "s/func.yml",
        &format!("spec: {{outputs: {{a: {{type: string}}}}}}\n---\nexec: {{command: [sh, -c, '{text}', sh, '${{{{ output_file }}}}', '${{{{ job.TEXT }}}}']}}"),
    );
    let job = host
        .job("run: [{name: s, func: ./s}, {name: show, script: 'echo ${{ steps.s.outputs.a }}'}]");
    let ended = job
        .variable("TEXT", "{\"name\":\"a\",\"value\":\"moved\"}")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "moved\n");
});

step_test!(
    output_and_export_file_are_private_empty_and_gone_at_the_end,
    |host| {
        host.file(
        "s/func.yml",
        "{}\n---\nexec: {command: [sh, -c, 'stat -c \"%F %U\" \"$@\"; echo \"$@\"', sh, '${{ output_file }}', '${{ export_file }}']}",
    );
        let ended = host
            .job("run: [{name: a, func: ./s}, {name: b, func: ./s}]")
            .run()
            .await;
        let out = ended.succeeds().out();
        let lines: Vec<&str> = out.lines().collect();
        assert!(
            lines[0].starts_with("regular empty file ") && lines[1] == lines[0],
            "{out}"
        );
        let mut paths: Vec<&str> = out
            .lines()
            .filter(|line| line.starts_with('/'))
            .flat_map(|line| line.split(' '))
            .collect();
        for path in &paths {
            assert!(!Path::new(path).exists(), "{path} is still there");
        }
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), 4, "every step has files of its own: {out}");
    }
);

step_test!(an_exec_step_that_delegates_writes_one_step_result, |host| {
    let table = [
        (
            "outputs",
            "{\"status\":\"success\",\"outputs\":{\"a\":\"b\",\"n\":1},\"exports\":{}}",
            Ok("{\"a\": \"b\", \"n\": 1}"),
        ),
        (
            "several lines",
            "{\n  \"outputs\": {\"a\": [true]}\n}\n",
            Ok("{\"a\": [true]}"),
        ),
        ("no outputs", "{\"status\":\"success\"}", Ok("{}")),
        (
            "output lines",
            "{\"name\":\"a\",\"value\":1}\n{\"name\":\"b\",\"value\":2}\n",
            Err(()),
        ),
        ("nothing", "", Err(())),
        ("no object", "[]", Err(())),
        ("wrong outputs", "{\"outputs\":[1]}", Err(())),
    ];
    for (row, text, expected) in table {
        let ended = outputs(host, "delegate", text).run().await;
        match expected {
            Ok(expected) => assert_eq!(ended.succeeds().out(), format!("{expected}\n"), "{row}"),
            Err(()) => {
                ended
                    .fails()
                    .saying("step \"s\": output file: must hold one step result as JSON");
            }
        }
    }
});

step_test!(
    x11_outputs_of_a_steps_children_are_not_seen_from_outside,
    |host| {
        host.file(
            "leaf/func.yml",
            "spec: {outputs: {a: {type: string, default: leaf}}}\n---\nexec: {command: ['true']}",
        );
        host.file(
        "outer/func.yml",
        "spec: {outputs: {b: {type: string}}}\n---\nrun: [{name: leaf, func: ../leaf}]\noutputs: {b: '${{ steps.leaf.outputs.a }}!'}",
    );
        let ended = host.job("run: [{name: outer, func: ./outer}, {name: s, script: 'echo ${{ steps.outer.outputs.b }}'}]").run().await;
        assert_eq!(ended.succeeds().out(), "leaf!\n");
        let ended = host.job("run: [{name: outer, func: ./outer}, {name: s, script: 'echo ${{ steps.leaf.outputs.a }}'}]").run().await;
        ended
            .fails()
            .saying("step \"s\": ")
            .saying("evaluating expression failed at \".leaf\": attribute not found");
    }
);

step_test!(outputs_of_a_composite_are_checked_like_any_other, |host| {
    let table = [
        (
            "fits",
            "{a: {type: array}}",
            "{a: [1, '${{ 1 + 1 }}']}",
            Ok("{\"a\": [1, 2]}"),
        ),
        (
            "default",
            "{a: {type: number, default: 4}}",
            "{}",
            Ok("{\"a\": 4}"),
        ),
        (
            "undeclared",
            "{}",
            "{b: 1}",
            Err("unexpected output `b`, the spec does not declare it"),
        ),
        (
            "missing",
            "{a: {type: string}}",
            "{}",
            Err("missing output `a`, it has no default and was not written"),
        ),
        (
            "wrong type",
            "{a: {type: string}}",
            "{a: '${{ 1 }}'}",
            Err("output `a` must be of type string, not number"),
        ),
        (
            "fails",
            "{a: {type: string}}",
            "{a: '${{ env.X }}'}",
            Err("output a: evaluating expression failed at \".X\": attribute not found"),
        ),
    ];
    for (row, declared, given, expected) in table {
        host.file(
            "s/func.yml",
            &format!("spec: {{outputs: {declared}}}\n---\nrun: []\noutputs: {given}"),
        );
        let job = host.job(
            "run: [{name: s, func: ./s}, {name: show, script: \"echo '${{ steps.s.outputs }}'\"}]",
        );
        let ended = job.run().await;
        match expected {
            Ok(expected) => assert_eq!(ended.succeeds().out(), format!("{expected}\n"), "{row}"),
            Err(text) => assert_eq!(
                ended.fails().status.message,
                format!("step \"s\": {text}"),
                "{row}"
            ),
        }
    }
});

step_test!(inputs_are_evaluated_when_their_step_is_reached, |host| {
    host.file("s/func.yml", &writer("{a: {type: string}}", "output_file"));
    host.file(
        "f/func.yml",
        "spec: {inputs: {v: {type: string}}}\n---\nexec: {command: [echo, '${{ inputs.v }}']}",
    );
    let job = host.job(
        r#"
        run:
          - {name: s, func: ./s}
          - {name: f, func: ./f, inputs: {v: "${{ steps.s.outputs.a }}"}}
          - {name: g, func: ./f, inputs: {v: "${{ steps.later.outputs.a }}"}}
          - {name: later, func: ./s}
        "#,
    );
    let ended = job
        .variable("TEXT", "{\"name\":\"a\",\"value\":\"b\"}")
        .run()
        .await;
    ended.fails().saying_exactly(
        "step \"g\": failed to load: expand input v: evaluating expression failed at \".later\": attribute not found",
    );
    assert_eq!(ended.out(), "b\n");
});

step_test!(
    what_a_failing_step_wrote_is_lost_and_nothing_follows_it,
    |host| {
        host.file(
        "s/func.yml",
        "{}\n---\nexec: {command: [sh, -c, 'echo broken > \"$1\"; exit 3', sh, '${{ output_file }}']}",
    );
        let ended = host
            .job("run: [{name: s, func: ./s}, {name: after, script: echo after}]")
            .run()
            .await;
        ended
            .fails()
            .saying_exactly("step \"s\": exec: exit status 3");
        ended.not_printing("after");
    }
);
