//! One exec step: what it sees, how its program is found and started (contract 5.1, 5.2; design D8).

use stephost_tests::{Ended, Host, lines, step_test, wire};

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
