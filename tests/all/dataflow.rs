//! What flows into a step and out of it: environment, inputs, outputs, exports, files, variables (contract 5.1 to 5.6,
//! 10.4 X; design D8, D9).

use std::path::Path;

use base64::Engine as _;
use stephost_tests::{Ended, Host, JobBuilder, Options, Variable, lines, step_test, wire};
use tonic::Code;

/// `SECRET;TOKEN`, as runners pack names of variables: gzip, then base64.
const PACKED_NAMES: &str = "H4sIAAAAAAACAwt2dQ5yDbEO8fd29QMAuEwdCAwAAAA=";

/// A function that writes the job variable TEXT to the file of this name.
fn writer(outputs: &str, file: &str) -> String {
    format!(
        "spec: {{outputs: {outputs}}}\n---\n\
         exec: {{command: [sh, -c, 'printf %s \"$1\" > \"$2\"', sh, '${{{{ job.TEXT }}}}', '${{{{ {file} }}}}']}}"
    )
}

/// A job whose step `s` writes `text` to its output file; what comes out of it is printed.
fn outputs<'a>(host: &'a Host, declared: &str, text: &str) -> JobBuilder<'a> {
    host.file("s/func.yml", &writer(declared, "output_file"));
    host.job("run: [{name: s, func: ./s}, {name: show, script: \"echo '${{ steps.s.outputs }}'\"}]")
        .variable("TEXT", text)
}

/// A job whose step `s` writes `text` to its export file; the variable E of the next step is printed.
fn exports<'a>(host: &'a Host, text: &str) -> JobBuilder<'a> {
    host.file("s/func.yml", &writer("{}", "export_file"));
    host.job("run: [{name: s, func: ./s}, {name: show, script: 'echo \"[$E]\"'}]")
        .variable("TEXT", text)
}

/// A script item that exports a variable.
fn export(name: &str, value: &str) -> String {
    format!(
        "{{name: export_{name}, script: \"echo '{{\\\"name\\\":\\\"{name}\\\",\\\"value\\\":\\\"{value}\\\"}}' > ${{{{ export_file }}}}\"}}"
    )
}

/// Runs a shell text in a step `s` of its own, which is not a script item.
async fn exec(host: &Host, text: &str) -> Ended {
    host.file(
        "s/func.yml",
        &format!("{{}}\n---\nexec: {{command: [sh, -c, '{text}']}}"),
    );
    host.job("run: [{name: s, func: ./s}]").run().await
}

fn executable(host: &Host, path: &str, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    host.file(path, content);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.work().join(path), mode).expect("a mode can be set");
}

// Environment: contract 5.3.

step_test!(
    x03_env_of_an_item_is_seen_by_its_callee_and_not_by_its_inputs,
    |host| {
        host.file("f/func.yml", "spec: {inputs: {v: {type: string, default: d}}}\n---\nexec: {command: [sh, -c, 'echo \"$HERE\"']}");
        let ended = host
            .job("run: [{name: a, func: ./f, env: {HERE: yes}}]")
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "yes\n");
        let ended = host
            .job("run: [{name: a, func: ./f, env: {HERE: yes}, inputs: {v: '${{ env.HERE }}'}}]")
            .run()
            .await;
        ended.fails().saying_exactly(
        "step \"a\": failed to load: expand input v: evaluating expression failed at \".HERE\": attribute not found",
    );
    }
);

step_test!(
    x04_env_of_a_composite_is_seen_by_the_inputs_of_its_items,
    |host| {
        host.file(
            "f/func.yml",
            "spec: {inputs: {v: {type: string}}}\n---\nexec: {command: [echo, '${{ inputs.v }}']}",
        );
        let job = host
            .job("env: {HERE: yes}\nrun: [{name: a, func: ./f, inputs: {v: '${{ env.HERE }}'}}]");
        assert_eq!(job.run().await.succeeds().out(), "yes\n");
    }
);

step_test!(
    x05_the_innermost_environment_wins,
    Options {
        env: vec![("V".into(), "1 host".into())],
        ..Options::default()
    },
    |host| {
        let layers = [
            "1 host",
            "2 request",
            "3 export",
            "4 composite",
            "5 item",
            "6 function",
        ];
        for (below, expected) in layers.iter().enumerate() {
            let env = |layer: usize| {
                if layer <= below {
                    format!("{{V: {}}}", layers[layer])
                } else {
                    "{}".to_owned()
                }
            };
            host.file("f/func.yml", &format!("{{}}\n---\nexec: {{command: [sh, -c, 'echo \"$V\" ${{{{ env.V }}}}']}}\nenv: {}", env(5)));
            host.file(
                "outer/func.yml",
                &format!(
                    "{{}}\n---\nenv: {}\nrun: [{{name: f, func: ../f, env: {}}}]",
                    env(3),
                    env(4)
                ),
            );
            let first = if below >= 2 {
                export("V", layers[2])
            } else {
                "{name: none, script: 'true'}".to_owned()
            };
            let mut job = host.job(&format!("run: [{first}, {{name: o, func: ./outer}}]"));
            if below >= 1 {
                job = job.env("V", layers[1]);
            }
            assert_eq!(
                job.run().await.succeeds().out(),
                format!("{expected} {expected}\n")
            );
        }
    }
);

step_test!(x05_an_environment_may_build_on_the_one_outside, |host| {
    host.file(
        "f/func.yml",
        "{}\n---\nenv: {A: '${{ env.A }}-function'}\nexec: {command: [sh, -c, 'echo \"$A\"']}",
    );
    let job = host.job("env: {A: '${{ env.A }}-composite'}\nrun: [{name: f, func: ./f, env: {A: '${{ env.A }}-item'}}]");
    let ended = job.env("A", "request").run().await;
    assert_eq!(ended.succeeds().out(), "request-composite-item-function\n");
});

step_test!(x05_the_name_of_a_variable_may_be_an_expression, |host| {
    let job =
        host.job("env: {'${{ job.NAME }}': v}\nrun: [{name: a, script: 'echo \"$DYNAMIC\"'}]");
    assert_eq!(
        job.variable("NAME", "DYNAMIC").run().await.succeeds().out(),
        "v\n"
    );
    for (name, words) in [("", "empty name"), ("A=B", "contains `=`")] {
        let job = host.job("env: {'${{ job.NAME }}': v}\nexec: {command: ['true']}");
        job.variable("NAME", name)
            .run()
            .await
            .fails()
            .saying("expand step env: ")
            .saying(words);
    }
});

step_test!(
    x06_an_export_is_seen_by_later_steps_wherever_they_are,
    |host| {
        host.file(
            "inner/func.yml",
            &format!(
                "{{}}\n---\nrun: [{}, {{name: same, script: 'echo same $E'}}]",
                export("E", "one")
            ),
        );
        host.file(
            "nested/func.yml",
            "{}\n---\nrun: [{name: deep, script: 'echo nested $E ${{ env.E }}'}]",
        );
        let job = host.job(
            r#"
        run:
          - {name: before, script: 'echo before "$E"'}
          - {name: inner, func: ./inner}
          - {name: after, script: 'echo after $E ${{ env.E }}'}
          - {name: nested, func: ./nested}
          - {name: covered, script: 'echo covered $E', env: {E: item}}
        "#,
        );
        let expected = "before \nsame one\nafter one one\nnested one one\ncovered item\n";
        assert_eq!(job.run().await.succeeds().out(), expected);
    }
);

step_test!(x06_a_later_export_replaces_an_earlier_one, |host| {
    let job = format!(
        "run: [{}, {}, {{name: show, script: 'echo $E'}}]",
        export("E", "one"),
        export("E", "two").replace("export_E", "again")
    );
    assert_eq!(host.job(&job).run().await.succeeds().out(), "two\n");
});

step_test!(x10_a_job_variable_is_not_in_the_environment, |host| {
    let job = host
        .job("run: [{name: a, script: 'env; echo \"[${{ job.V }}]\"'}]")
        .variable("V", "value");
    let out = job.run().await.succeeds().out();
    assert!(
        out.contains("[value]\n") && !out.contains("V=value"),
        "{out}"
    );
});

step_test!(
    the_environment_of_a_step_is_the_hosts_the_requests_and_nothing_else,
    |host| {
        let job = host.job("exec: {command: [env]}").env("REQUESTED", "1");
        let out = job.run().await.succeeds().out();
        let mut names: Vec<&str> = out
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        let expected = [
            "CI_STEPS_LOG_LEVEL",
            "PATH",
            "REQUESTED",
            "STEPHOST_TEST_MARK",
            "STEP_RUNNER_SOCKET",
            "TMPDIR",
        ];
        assert_eq!(names, expected);
    }
);

step_test!(step_runner_socket_leads_steps_to_their_host, |host| {
    let job = host.job("exec: {command: [sh, -c, 'echo \"$STEP_RUNNER_SOCKET\"']}");
    assert_eq!(
        job.run().await.succeeds().out(),
        format!("{}\n", host.socket().display())
    );
});

step_test!(
    runner_job_var_names_keeps_job_variables_out_of_the_environment,
    Options {
        env: ["SECRET", "TOKEN", "KEPT"]
            .map(|name| (name.into(), "set".into()))
            .into_iter()
            .chain([("RUNNER_JOB_VAR_NAMES".into(), PACKED_NAMES.into())])
            .collect(),
        ..Options::default()
    },
    |host| {
        let unpacked = base64::engine::general_purpose::STANDARD.decode(PACKED_NAMES);
        assert_eq!(unpacked.expect("base64")[..2], [0x1f, 0x8b], "gzip");
        let job = host.job(
            "exec: {command: [sh, -c, 'echo \"[$SECRET][$TOKEN][$KEPT][$RUNNER_JOB_VAR_NAMES]\"']}",
        );
        assert_eq!(job.run().await.succeeds().out(), "[][][set][]\n");
        let job = host
            .job("exec: {command: [sh, -c, 'echo \"[$SECRET]\"']}")
            .env("SECRET", "requested");
        assert_eq!(
            job.run().await.succeeds().out(),
            "[requested]\n",
            "the list is about the host's environment"
        );
    }
);

step_test!(x13_the_log_level_is_one_of_four_words, |host| {
    let show = "exec: {command: [sh, -c, 'echo \"$CI_STEPS_LOG_LEVEL\"']}";
    assert_eq!(
        host.job(show).run().await.succeeds().out(),
        "info\n",
        "the default"
    );
    for (level, expected) in [
        (" DEBUG ", "debug"),
        ("warn", "warn"),
        ("Error\n", "error"),
        ("info", "info"),
    ] {
        let ended = host
            .job(show)
            .variable("CI_STEPS_LOG_LEVEL", level)
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), format!("{expected}\n"), "{level:?}");
    }
    for level in ["verbose", "", "warning"] {
        let status = host
            .job(show)
            .variable("CI_STEPS_LOG_LEVEL", level)
            .refused()
            .await;
        assert_eq!(status.code(), Code::InvalidArgument, "{level:?}");
        let text = format!(
            "variable CI_STEPS_LOG_LEVEL is {level:?}; use one of debug, info, warn, error"
        );
        assert_eq!(status.message(), text);
    }
});

step_test!(
    x13_a_job_variable_sets_the_log_level_before_the_environment_does,
    Options {
        env: vec![("CI_STEPS_LOG_LEVEL".into(), "WARN".into())],
        ..Options::default()
    },
    |host| {
        let show = "exec: {command: [sh, -c, 'echo \"$CI_STEPS_LOG_LEVEL\"']}";
        assert_eq!(host.job(show).run().await.succeeds().out(), "warn\n");
        let ended = host
            .job(show)
            .variable("CI_STEPS_LOG_LEVEL", "debug")
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "debug\n");
        let status = host
            .job(show)
            .env("CI_STEPS_LOG_LEVEL", "verbose")
            .refused()
            .await;
        assert_eq!(status.code(), Code::InvalidArgument);
    }
);

// One exec step: contract 5.1 and 5.2, design D8.

step_test!(expressions_of_an_exec_step_see_its_context, |host| {
    host.file(
        "f/func.yml",
        "{}\n---\nenv: {OWN: seen}\nexec: {command: [printf, '%s\\n', '${{ env.OWN }}', '${{ work_dir }}', '${{ func_dir }}', \
         '${{ step_dir }}', '${{ output_file != export_file }}']}",
    );
    let (work, dir) = (host.work().display(), host.work().join("f"));
    let ended = host.job("run: [{name: f, func: ./f}]").run().await;
    let dir = dir.display();
    assert_eq!(
        ended.succeeds().out(),
        format!("seen\n{work}\n{dir}\n{dir}\ntrue\n")
    );
});

step_test!(errors_say_which_part_of_the_step_they_are_from, |host| {
    let missing = "evaluating expression failed at \".X\": attribute not found";
    let table = [
        (
            "env",
            "exec: {command: [a]}\nenv: {A: '${{ env.X }}'}",
            format!("expand step env: A: {missing}"),
        ),
        (
            "command",
            "exec: {command: [echo, '${{ env.X }}']}",
            format!("exec: {missing}"),
        ),
        (
            "work_dir",
            "exec: {command: [echo], work_dir: '${{ env.X }}'}",
            format!("exec: {missing}"),
        ),
        (
            "exit",
            "exec: {command: [sh, -c, 'exit 7']}",
            "exec: exit status 7".to_owned(),
        ),
        (
            "killed",
            "exec: {command: [sh, -c, 'kill -KILL $$']}",
            "exec: signal: killed".to_owned(),
        ),
        (
            "signal",
            "exec: {command: [sh, -c, 'kill -TERM $$']}",
            "exec: signal: terminated".to_owned(),
        ),
    ];
    for (row, definition, text) in table {
        host.file("s/func.yml", &format!("{{}}\n---\n{definition}"));
        let ended = host.job("run: [{name: s, func: ./s}]").run().await;
        assert_eq!(
            ended.fails().status.message,
            format!("step \"s\": {text}"),
            "{row}"
        );
    }
});

step_test!(
    a_program_that_cannot_start_is_named_as_it_was_written,
    |host| {
        host.file("plain", "text");
        executable(host, "orphan", "#!/no/such/interpreter\n");
        host.file("file/x", "");
        let table = [
            (
                "missing",
                "command: [no-such-program]",
                "exec: \"no-such-program\": executable file not found in $PATH",
            ),
            (
                "missing path",
                "command: [./no/such]",
                "fork/exec ./no/such: no such file or directory",
            ),
            (
                "not executable",
                "command: [./plain]",
                "fork/exec ./plain: permission denied",
            ),
            (
                "no interpreter",
                "command: [./orphan]",
                "fork/exec ./orphan: no such file or directory: the interpreter that it names is missing",
            ),
            (
                "a directory",
                "command: [./file]",
                "exec: \"./file\": is a directory",
            ),
            ("nothing", "command: ['']", "exec: no command"),
            (
                "no work_dir",
                "command: ['true'], work_dir: nowhere",
                "working directory: no such file or directory",
            ),
            (
                "work_dir is a file",
                "command: ['true'], work_dir: plain",
                "working directory: not a directory",
            ),
        ];
        for (row, command, text) in table {
            host.file("s/func.yml", &format!("{{}}\n---\nexec: {{{command}}}"));
            let ended = host.job("run: [{name: s, func: ./s}]").run().await;
            assert_eq!(
                ended.fails().status.message,
                format!("step \"s\": exec: {text}"),
                "{row}"
            );
        }
    }
);

step_test!(work_dir_of_an_exec_step_takes_every_form, |host| {
    host.file("sub/x", "");
    let work = host.work().display().to_string();
    let table = [
        ("absent", "", work.clone()),
        ("relative", ", work_dir: sub", format!("{work}/sub")),
        ("dot", ", work_dir: ./sub/.", format!("{work}/sub")),
        ("absolute", ", work_dir: /", "/".to_owned()),
        (
            "expression",
            ", work_dir: '${{ work_dir }}/${{ job.SUB }}'",
            format!("{work}/sub"),
        ),
    ];
    for (row, work_dir, expected) in table {
        let job = host
            .job(&format!("exec: {{command: [pwd, -P]{work_dir}}}"))
            .variable("SUB", "sub");
        assert_eq!(
            job.run().await.succeeds().out(),
            format!("{expected}\n"),
            "{row}"
        );
    }
});

step_test!(a_jobs_directory_is_made_for_its_owner_alone, |host| {
    let dir = host.work().join("new/build");
    let job = host
        .job("exec: {command: [sh, -c, 'pwd -P; stat -c %a . ..']}")
        .build_dir(&dir.display().to_string());
    assert_eq!(
        job.run().await.succeeds().out(),
        format!("{}\n700\n700\n", dir.display())
    );
});

step_test!(
    work_dir_of_the_request_counts_when_there_is_no_build_dir,
    |host| {
        let work = host.work().join("work");
        let run = |id: &str, build_dir: &str, work_dir: String| wire::RunRequest {
            id: id.to_owned(),
            work_dir,
            job: Some(wire::Job {
                build_dir: build_dir.to_owned(),
                ..wire::Job::default()
            }),
            steps: "{}\n---\nexec: {command: [pwd, -P]}".to_owned(),
            ..wire::RunRequest::default()
        };
        let table = [
            ("work-dir", "", work.display().to_string(), work.clone()),
            (
                "both",
                "relative",
                work.display().to_string(),
                host.work().join("relative"),
            ),
            ("neither", "", String::new(), host.work().to_owned()),
        ];
        for (id, build_dir, work_dir, expected) in table {
            host.raw()
                .await
                .run(run(id, build_dir, work_dir))
                .await
                .expect("a valid request");
            let mut follow = host.client().follow(id, 0);
            let mut log = Vec::new();
            while let Some(piece) = follow.next().await.expect("the log can be followed") {
                log.extend_from_slice(&piece);
            }
            let last = lines(&log).pop().expect("it printed where it is");
            assert_eq!(last.text, format!("{}\n", expected.display()), "{id}");
        }
    }
);

step_test!(
    d8_a_bare_name_is_looked_up_in_the_steps_path_and_then_in_the_hosts,
    |host| {
        executable(host, "bin/tool", "#!/bin/sh\necho \"own tool\"\n");
        executable(host, "bin/true", "#!/bin/sh\necho \"own true\"\n");
        let path = "env: {PATH: '${{ work_dir }}/bin'}";
        for (program, expected) in [
            ("tool", "own tool\n"),
            ("'true'", "own true\n"),
            ("echo", "\n"),
        ] {
            let ended = host
                .job(&format!("{path}\nexec: {{command: [{program}]}}"))
                .run()
                .await;
            assert_eq!(ended.succeeds().out(), expected, "{program}");
        }
        let ended = host.job("exec: {command: [tool]}").run().await;
        ended
            .fails()
            .saying_exactly("exec: exec: \"tool\": executable file not found in $PATH");
    }
);

step_test!(d8_a_program_sees_its_name_as_it_was_written, |host| {
    let ended = host
        .job("exec: {command: [sh, -c, 'echo \"$0\"']}")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "sh\n");
    let ended = host
        .job("exec: {command: [/bin/sh, -c, 'echo \"$0\"']}")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "/bin/sh\n");
});

step_test!(
    d8_a_name_with_a_slash_starts_in_the_steps_work_dir,
    |host| {
        executable(host, "sub/tool", "#!/bin/sh\necho here\n");
        let ended = host
            .job("exec: {command: [./tool], work_dir: sub}")
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "here\n");
    }
);

step_test!(
    d8_an_environment_that_is_too_large_names_the_variable,
    |host| {
        let job = host
            .job("run: [{name: s, script: 'true'}]")
            .env("HUGE", &"x".repeat(200_000));
        job.run()
            .await
            .fails()
            .saying("step \"s\": exec: ")
            .saying("environment variable \"HUGE\" is too long");
        let mut job = host
            .job("run: [{name: s, script: 'true'}]")
            .env("LARGEST", &"x".repeat(120_000));
        for number in 0..100 {
            job = job.env(&format!("LARGE_{number}"), &"x".repeat(100_000));
        }
        job.run()
            .await
            .fails()
            .saying("step \"s\": exec: ")
            .saying("environment variable \"LARGEST\"");
    }
);

step_test!(
    a_step_reads_nothing_on_stdin_and_prints_on_two_streams,
    |host| {
        let ended = exec(host, "cat; readlink /proc/$$/fd/0; echo out; echo err >&2").await;
        let printed = lines(&ended.succeeds().log);
        let of = |is_error| {
            printed
                .iter()
                .filter(|line| line.is_error == is_error)
                .map(|line| line.text.as_str())
                .collect::<String>()
        };
        assert_eq!(of(false), "Running step name=s\n/dev/null\nout\n");
        assert_eq!(of(true), "err\n");
    }
);

step_test!(every_exec_step_is_announced_and_no_composite_is, |host| {
    host.file("leaf/func.yml", "{}\n---\nexec: {command: ['true']}");
    host.file(
        "outer/func.yml",
        "{}\n---\nrun: [{name: inner, func: ../leaf}]",
    );
    let ended = host
        .job("run: [{name: outer, func: ./outer}, {name: last, script: 'true'}]")
        .run()
        .await;
    assert_eq!(
        ended.succeeds().text(),
        "Running step name=inner\nRunning step name=last\n"
    );
});

// Outputs: contract 5.4, design D9.

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

// Exports: contract 5.5.

step_test!(x08_exports_are_texts_numbers_and_booleans, |host| {
    let cannot = |kind| {
        Err(format!(
            "line 1: cannot convert a value of type {kind} to an environment variable"
        ))
    };
    let table = [
        ("string", "\"a b\"", Ok("a b")),
        ("empty", "\"\"", Ok("")),
        ("literal", "\"${{ 1 }}\"", Ok("${{ 1 }}")),
        ("number", "1.50", Ok("1.5")),
        ("large number", "1e21", Ok("1000000000000000000000")),
        ("small number", "1e-7", Ok("0.0000001")),
        ("boolean", "true", Ok("true")),
        ("object", "{}", cannot("object")),
        ("array", "[1]", cannot("array")),
        (
            "null",
            "null",
            Err("line 1: `value` is missing or null".to_owned()),
        ),
    ];
    for (row, value, expected) in table {
        let ended = exports(host, &format!("{{\"name\":\"E\",\"value\":{value}}}\n"))
            .run()
            .await;
        match expected {
            Ok(expected) => assert_eq!(
                ended.succeeds().out(),
                format!("[{expected}]\n"),
                "{row}: see contract 5.5"
            ),
            Err(text) => assert_eq!(
                ended.fails().status.message,
                format!("step \"s\": export file: {text}"),
                "{row}"
            ),
        }
    }
});

step_test!(
    x08_an_export_that_no_environment_can_hold_fails_its_step,
    |host| {
        for (row, text, words) in [
            ("`=`", "{\"name\":\"A=B\",\"value\":\"c\"}", "contains `=`"),
            (
                "NUL in the name",
                "{\"name\":\"A\\u0000B\",\"value\":\"c\"}",
                "NUL byte",
            ),
            (
                "NUL in the value",
                "{\"name\":\"A\",\"value\":\"b\\u0000c\"}",
                "NUL byte",
            ),
        ] {
            let ended = exports(host, text).run().await;
            let message = &ended.fails().status.message;
            assert!(
                message.starts_with("step \"s\": export file: line 1: ") && message.contains(words),
                "{row}: {message}"
            );
        }
    }
);

step_test!(
    x08_the_last_export_of_a_name_wins_and_the_step_itself_does_not_see_it,
    |host| {
        let ended = exports(
            host,
            "{\"name\":\"E\",\"value\":1}\n\n{\"name\":\"E\",\"value\":2}",
        )
        .run()
        .await;
        assert_eq!(ended.succeeds().out(), "[2]\n");
        host.file(
        "s/func.yml",
        "{}\n---\nexec: {command: [sh, -c, 'printf %s \"$1\" > \"$2\"; echo \"[$E]\"', sh, '${{ job.TEXT }}', '${{ export_file }}']}",
    );
        let job = host
            .job("run: [{name: s, func: ./s}]")
            .variable("TEXT", "{\"name\":\"E\",\"value\":1}");
        assert_eq!(job.run().await.succeeds().out(), "[]\n");
    }
);

// Variables: contract 5.6.

fn file(key: &str, value: &str) -> Variable {
    Variable {
        key: key.into(),
        value: value.into(),
        file: true,
        masked: false,
    }
}

step_test!(
    x09_a_file_variable_is_a_private_file_until_the_job_ends,
    |host| {
        let job = host.job("run: [{name: a, script: 'cat ${{ job.CERT }}; stat -c %a ${{ vars.CERT }}; echo ${{ job.CERT }}'}]");
        let ended = job
            .any_variable(file("CERT", "line one\nline two\n"))
            .run()
            .await;
        let out = ended.succeeds().out();
        let path = out.lines().last().expect("the path was printed").to_owned();
        assert_eq!(
            out,
            format!("line one\nline two\n600\n{path}\n"),
            "what is not masked is visible (contract 12)"
        );
        assert!(
            Path::new(&path).starts_with(host.temp()) && !path.contains("CERT"),
            "{path}"
        );
        assert!(
            !Path::new(&path).exists(),
            "gone when the job has ended, not only at Close"
        );
    }
);

step_test!(
    x09_the_name_of_a_file_variables_file_is_another_one_in_every_job,
    |host| {
        let job = || {
            host.job("exec: {command: [echo, '${{ job.F }}']}")
                .any_variable(file("F", "x"))
        };
        assert_ne!(
            job().run().await.succeeds().out(),
            job().run().await.succeeds().out()
        );
    }
);

step_test!(x12_the_key_of_a_file_variable_is_no_path, |host| {
    host.file("victim", "unharmed");
    let victim = format!(
        "../{}/victim",
        host.work().file_name().expect("a name").display()
    );
    let absolute = host.work().join("victim").display().to_string();
    for key in [
        "logs",
        "../x",
        "..",
        ".",
        "a/b",
        "s",
        &victim,
        &absolute,
        "new\nline",
        "ä",
    ] {
        let job = host
            .job("exec: {command: [cat, '${{ job[vars.KEY] }}']}")
            .variable("KEY", key);
        let ended = job.any_variable(file(key, "content")).run().await;
        assert_eq!(
            ended.succeeds().text(),
            "Running step name=job\ncontent",
            "{key:?}"
        );
    }
    let victim = std::fs::read_to_string(host.work().join("victim")).expect("it is there");
    assert_eq!(victim, "unharmed");
    assert!(host.socket().exists());
});

step_test!(the_last_of_two_variables_with_one_name_wins, |host| {
    let job = || host.job("exec: {command: [echo, '${{ job.V }}']}");
    let ended = job().variable("V", "one").variable("V", "two").run().await;
    assert_eq!(ended.succeeds().out(), "two\n");
    let ended = job()
        .any_variable(file("V", "one"))
        .variable("V", "two")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "two\n");
});

step_test!(a_variable_that_cannot_be_one_is_refused, |host| {
    let job = || host.job("exec: {command: ['true']}");
    for (row, job) in [
        ("empty key", job().variable("", "x")),
        ("empty name", job().env("", "x")),
        ("`=` in a name", job().env("A=B", "x")),
        ("NUL in a name", job().env("A\0B", "x")),
        ("NUL in a value", job().env("A", "x\0y")),
    ] {
        assert_eq!(job.refused().await.code(), Code::InvalidArgument, "{row}");
    }
});

// Sensitive values: contract 3.7 and 4.7.

step_test!(
    a_sensitive_value_only_goes_where_it_is_expected_and_is_hidden,
    |host| {
        host.file("leaf/func.yml", "spec: {inputs: {v: {type: string, sensitive: true}}}\n---\nexec: {command: [echo, 'got ${{ inputs.v }}']}");
        host.file(
            "open/func.yml",
            "spec: {inputs: {v: {type: string}}}\n---\nexec: {command: [echo, '${{ inputs.v }}']}",
        );
        host.file(
        "outer/func.yml",
        "spec: {inputs: {v: {type: string, sensitive: true}}}\n---\nrun:\n  - {name: leaf, func: ../leaf, inputs: {v: 'a ${{ inputs.v }}'}}\n  \
         - {name: open, func: ../open, inputs: {v: '${{ inputs.v }}'}}\n",
    );
        let ended = host
            .job("run: [{name: o, func: ./outer, inputs: {v: hunter2}}]")
            .run()
            .await;
        ended.fails().saying("step \"o\": step \"open\": non-sensitive input `v` cannot derive its value from sensitive values");
        ended.printing("got [MASKED]").not_printing("hunter2");
        assert!(!ended.status.message.contains("hunter2"));
    }
);
