//! Job variables and files, and values that must be hidden (contract 3.7, 4.7, 5.6).

use std::path::Path;

use stephost_tests::{Variable, step_test};
use tonic::Code;

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
        let ended = job.any_variable(file(key, "content\n")).run().await;
        assert_eq!(
            ended.succeeds().text(),
            "Running step name=job\ncontent\n",
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

step_test!(
    the_directory_of_a_jobs_files_is_for_its_owner_alone,
    |host| {
        let text = "stat -c %a \"$(dirname \"$1\")\" \"$1\"";
        let job = host.job(&format!(
            "exec: {{command: [sh, -c, '{text}', sh, '${{{{ job.F }}}}']}}"
        ));
        let ended = job.any_variable(file("F", "x")).run().await;
        assert_eq!(ended.succeeds().out(), "700\n600\n", "contract 1.7, 5.6");
    }
);

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
