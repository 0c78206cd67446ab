//! The layers of a step's environment (contract 5.3, 7.5).

use base64::Engine as _;
use stephost_tests::{Options, step_test};
use tonic::Code;

/// `SECRET;TOKEN`, as runners pack names of variables: gzip, then base64.
const PACKED_NAMES: &str = "H4sIAAAAAAACAwt2dQ5yDbEO8fd29QMAuEwdCAwAAAA=";

/// A script item that exports a variable.
fn export(name: &str, value: &str) -> String {
    format!(
        "{{name: export_{name}, script: \"echo '{{\\\"name\\\":\\\"{name}\\\",\\\"value\\\":\\\"{value}\\\"}}' > ${{{{ export_file }}}}\"}}"
    )
}

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
            "STEPHOST_HOST_ID",
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
