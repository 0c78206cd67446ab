//! What a policy does to steps: each key bites, and each refusal says what would help (design D20).

use std::fmt::Write as _;

use stephost_tests::{
    Ended, Host, Installation, JobBuilder, Options, block_on, program, step_test,
};

/// Runs `test` with a host whose policy is this one.
fn under(policy: &str, test: impl AsyncFnOnce(&Host)) {
    under_with(policy, Options::default(), test);
}

fn under_with(policy: &str, options: Options, test: impl AsyncFnOnce(&Host)) {
    let installed = Installation::with_policy(policy);
    let options = Options {
        program: Some(installed.program()),
        ..options
    };
    block_on(async {
        let host = Host::start(options).await;
        test(&host).await;
        host.finish().await;
    });
}

/// A policy of one rule, which says this beyond the function and the reason.
fn one_rule(function: &str, rule: &str) -> String {
    format!(
        "policy = 1\nname = \"own\"\n[[allow]]\nfunction = \"{function}\"\nreason = \"a test\"\n{rule}\n"
    )
}

async fn step(host: &Host, function: &str, inputs: &str) -> Ended {
    let step = format!("run: [{{name: it, func: 'builtin://{function}', inputs: {inputs}}}]");
    host.job(&step).run().await
}

/// The same, and a step that prints its output `text`.
fn showing<'h>(host: &'h Host, function: &str, inputs: &str) -> JobBuilder<'h> {
    host.file(
        "show/step.yml",
        "spec: {inputs: {text: {type: string}}}\n---\nexec: {command: [echo, '${{ inputs.text }}']}\n",
    );
    host.job(&format!(
        "run:\n- {{name: it, func: 'builtin://{function}', inputs: {inputs}}}\n\
         - {{name: show, func: ./show, inputs: {{text: '${{{{ steps.it.outputs.text }}}}'}}}}\n"
    ))
}

async fn launch(host: &Host, program: &str) -> Ended {
    let inputs = format!("{{how: stop, program: '{program}'}}");
    step(host, "test/launch", &inputs).await
}

#[test]
fn d20_without_a_rule_nothing_of_a_builtin_runs() {
    under("policy = 1\nname = \"own\"\n", async |host| {
        let ended = step(host, "hello", "{name: Ada}").await;
        ended.fails();
        assert_eq!(
            ended.status.message,
            "step \"it\": exec: function \"hello\" is denied (no-rule in policy \"own\")"
        );
        ended
            .printing("help: add an [[allow]] with function = \"hello\" and a reason\n")
            .not_printing("Hello");
        // A `script:` item is a builtin too.
        let ended = host.script("echo ran").run().await;
        ended
            .fails()
            .saying("function \"script\" is denied")
            .not_printing("ran\n");
    });
}

#[test]
fn d20_only_listed_programs_start_and_what_a_listed_name_is_found_as() {
    let rule = r#"process = ["sh", "/bin/true"]"#;
    under(&one_rule("test/launch", rule), async |host| {
        for program in ["sh", "/bin/true"] {
            launch(host, program).await.succeeds();
        }
        for program in ["/bin/sh", "true", "sleep", "/usr/bin/../bin/true"] {
            let ended = launch(host, program).await;
            ended.fails();
            assert_eq!(
                ended.status.message,
                format!(
                    "step \"it\": exec: process of {program:?} is denied \
                     (program-not-listed, rule for \"test/launch\" at line 4 of policy \"own\")"
                ),
            );
            ended.printing(&format!(
                "help: add {program:?} to process in the rule for \"test/launch\"\n"
            ));
        }
        for (program, found) in [("sh", "/sh\")"), ("sleep", "None")] {
            let inputs = format!("{{how: which, program: {program}}}");
            let job = showing(host, "test/launch", &inputs);
            job.run().await.succeeds().printing(found);
        }
    });
}

#[test]
fn d20_a_shell_that_was_found_by_a_granted_name_may_be_started_by_its_path() {
    let rule = "process = [\"bash\"]\nenv = [{name = \"*\", reason = \"a test\"}]";
    under(&one_rule("script_legacy", rule), async |host| {
        host.file("own/bash", "#!/bin/sh\necho the own one\n");
        let own = host.work().join("own/bash");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&own, mode).expect("it is ours");
        let own = host.work().join("own").display().to_string();
        let job = host
            .job("run: [{name: it, func: 'builtin://script_legacy', inputs: {script: ['echo ran']}}]")
            .env("PATH", &format!("{own}:/usr/bin:/bin"));
        let ended = job.run().await;
        ended.succeeds().printing("the own one\n");
    });
}

#[test]
fn d20_a_variable_that_is_not_listed_does_not_exist_for_a_builtin() {
    let rule = r#"env = ["CI_*", "HOME"]"#;
    under(&one_rule("test/misbehave", rule), async |host| {
        let job = showing(host, "test/misbehave", "{how: echo}")
            .env("CI_ENV", "seen")
            .env("OTHER_ENV", "hidden")
            .variable("CI_VARIABLE", "seen-too")
            .variable("OTHER_VARIABLE", "hidden-too");
        let ended = job.run().await;
        ended
            .succeeds()
            .printing("CI_ENV=seen;")
            .printing("CI_VARIABLE=seen-too;")
            .not_printing("hidden")
            .not_printing("PATH=");
    });
}

#[test]
fn d20_an_export_that_is_not_granted_fails_the_step_and_exports_nothing() {
    let table = [
        ("exports = [\"FLOOD\"]", "export-not-listed"),
        ("exports = [\"MISBEHAVE_*\"]", "export-not-listed"),
    ];
    for (rule, code) in table {
        under(&one_rule("test/misbehave", rule), async |host| {
            let ended = step(host, "test/misbehave", "{how: succeed}").await;
            ended.fails();
            assert_eq!(
                ended.status.message,
                format!(
                    "step \"it\": exec: exports of \"MISBEHAVE\" is denied \
                     ({code}, rule for \"test/misbehave\" at line 4 of policy \"own\")"
                )
            );
            ended.printing("help: add \"MISBEHAVE\" to exports in the rule");
        });
    }
    under(
        &one_rule("test/misbehave", "exports = [\"MISBEHAVE\"]"),
        async |host| {
            step(host, "test/misbehave", "{how: succeed}")
                .await
                .succeeds();
        },
    );
}

#[test]
fn d20_a_builtin_gets_no_more_than_it_says_it_needs() {
    // `hello` says that it exports one variable; `script` that it starts shells by their paths.
    let mut policy = one_rule("script", "process = [\"bash\", \"sh\"]");
    let _ = write!(
        policy,
        "[[allow]]\nfunction = \"hello\"\nreason = \"a test\"\nexports = [\"OTHER\"]\n"
    );
    under(&policy, async |host| {
        host.script("echo ran")
            .run()
            .await
            .fails()
            .saying("neither bash nor sh is in /usr/local/bin")
            .not_printing("ran\n");
        step(host, "hello", "{name: Ada}")
            .await
            .fails()
            .saying("exports of \"HELLO_GREETED\" is denied (export-not-listed");
    });
}

#[test]
fn d20_limits_of_a_rule_of_the_defaults_and_of_the_ceiling_end_a_step() {
    let rule = "limits = { memory = \"8 MiB\", log = \"1 KiB\", outputs = \"1 KiB\" }";
    let defaults = format!(
        "{}[defaults.limits]\nwall = \"200 ms\"\n",
        one_rule("test/misbehave", rule)
    );
    let ceiling = format!(
        "{}[host]\nmax = {{ wall = \"200 ms\" }}\n",
        one_rule("test/misbehave", rule)
    );
    for policy in [defaults, ceiling] {
        under(&policy, async |host| {
            let table = [
                ("{how: oom}", "memory limit of 8 MiB"),
                ("{how: log-flood}", "log limit of 1 KiB"),
                ("{how: output-flood, n: 2000}", "outputs limit of 1 KiB"),
                ("{how: wait}", "wall limit of 200 ms"),
            ];
            for (inputs, words) in table {
                let ended = step(host, "test/misbehave", inputs).await;
                ended.fails().saying(words);
            }
        });
    }
}

step_test!(
    d20_who_claims_a_refusal_that_never_was_is_quoted_and_not_believed,
    |host| {
        let ended = step(host, "test/misbehave", "{how: denied}").await;
        ended.fails().saying(
            "the builtin says that net of \"https://example.com\" was denied to it (no-rule)",
        );
    }
);

#[test]
fn d20_the_audit_trail_names_the_rule_and_no_secret() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let log = dir.path().join("log");
    let options = Options::default().with_log(&log);
    under_with(
        &one_rule("test/launch", "process = [\"true\"]"),
        options,
        async |host| {
            let inputs = "{how: run, program: curl, argument: s3cret}";
            step(host, "test/launch", inputs).await.succeeds();
            launch(host, "true").await.succeeds();
        },
    );
    let log = std::fs::read_to_string(log).expect("the host writes its log");
    let line = |words: &str| {
        let mut lines = log.lines();
        let found = lines.find(|line| line.contains("audit") && line.contains(words));
        found
            .unwrap_or_else(|| panic!("{words:?} in:\n{log}"))
            .to_owned()
    };
    let denied = line("denied");
    for part in [
        "step.name=\"it\"",
        "step.function=\"test/launch\"",
        "policy.name=\"own\"",
        "policy.line=4",
        "policy.capability=\"process\"",
        "policy.target=\"curl\"",
        "policy.code=\"program-not-listed\"",
    ] {
        assert!(denied.contains(part), "{part} in {denied}");
    }
    line("process.program=\"true\"");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn d11_a_host_whose_policy_is_broken_does_not_start() {
    let installed = Installation::with_policy("policy = 1\nname = \"own\"\n[[alow]]\n");
    let output = std::process::Command::new(installed.program())
        .args(["steps", "serve", "--socket"])
        .arg(installed.companion().join("s"))
        .env_clear()
        .output()
        .expect("the program under test starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{error}");
    assert!(error.contains("key \"alow\" is unknown"), "{error}");
    assert!(!error.contains("is listening"), "{error}");
}

#[test]
fn the_program_as_it_is_shipped_runs_under_the_shipped_policy() {
    let options = Options {
        program: Some(program()),
        ..Options::default()
    };
    block_on(async {
        let host = Host::start(options).await;
        step(&host, "hello", "{name: Ada}").await.succeeds();
        host.script("echo ran").run().await.succeeds();
        step(&host, "script_legacy", "{script: ['echo ran']}")
            .await
            .succeeds();
        step(&host, "test/misbehave", "{how: succeed}")
            .await
            .fails()
            .saying("this host has hello, script, script_legacy");
        host.finish().await;
    });
}
