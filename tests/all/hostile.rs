//! Bad input of every kind: a clear code or a failed step, never `Internal`, and a host that goes on (design 6, D3, D9).

use stephost_tests::{
    Ended, GUARD, Host, Kind, Options, Variable, block_on, run_program, step_test,
};
use tonic::{Code, Status};

/// Longest error text that clients keep.
const TEXT_BYTES_MAX: usize = 512;
/// A file size limit, in blocks of 512 bytes, that stands for a full disk: 16 KiB.
const DISK_BLOCKS: u32 = 32;

/// The host takes a job and runs it as if nothing had happened.
async fn still_works(host: &Host, after: &str) {
    let ended = host.job("exec: {command: [echo, fine]}").run().await;
    assert_eq!(ended.succeeds().out(), "fine\n", "after {after}");
}

/// The refusal of these documents: one short line.
async fn refusal(host: &Host, documents: &str) -> Status {
    let status = host.job_of(documents).refused().await;
    let text = status.message();
    assert!(
        !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control),
        "{text:?}"
    );
    status
}

/// The ending of a step `s` that calls this reference.
async fn calling(host: &Host, reference: &str) -> Ended {
    host.job(&format!("run: [{{name: s, func: '{reference}'}}]"))
        .run()
        .await
}

step_test!(broken_yaml_is_refused_with_its_place, |host| {
    let table = [
        ("nothing", ""),
        ("blanks", " \n\n"),
        ("one document", "{}"),
        ("three documents", "{}\n---\nrun: []\n---\n{}"),
        ("the wrong order", "run: []\n---\n{}"),
        ("an open bracket", "{}\n---\nrun: [a"),
        ("an open quote", "{}\n---\nrun: 'a"),
        ("a tab", "{}\n---\nrun:\n\t- name: a"),
        ("bad indentation", "{}\n---\nrun:\n  - name: a\n script: b"),
        ("a duplicate key", "{}\n---\nrun: []\nrun: []"),
        ("an unknown alias", "{}\n---\nrun: *nobody"),
        ("an alias of itself", "{}\n---\nrun: &a [*a]"),
        ("a tag", "{}\n---\nrun: !!python/object:os.system [x]"),
        ("a list", "[]\n---\nrun: []"),
        ("a number", "{}\n---\n1"),
        ("an item that is a text", "{}\n---\nrun: [echo hi]"),
        ("a key that is a list", "{}\n---\n[a]: b"),
        ("binary", "\u{1}\u{2}\u{3}"),
        ("a NUL byte", "{}\n---\nrun: []\0"),
        (
            "a NUL byte in a string",
            "{}\n---\nexec: {command: ['a\0b']}",
        ),
    ];
    for (row, documents) in table {
        let status = refusal(host, documents).await;
        assert_eq!(
            status.code(),
            Code::InvalidArgument,
            "{row}: {}",
            status.message()
        );
        assert!(
            status.message().starts_with("steps:"),
            "{row}: {}",
            status.message()
        );
    }
    still_works(host, "broken YAML").await;
});

step_test!(
    yaml_that_wants_to_be_expanded_without_end_is_refused,
    |host| {
        let mut bomb = "{}\n---\nenv:\n  A: x\nrun:\n  - name: a\n    func: ./f\n    inputs:\n      x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..20 {
            let below = format!("*x{}", level - 1);
            bomb.push_str(&format!(
                "      x{level}: &x{level} [{}]\n",
                [below.as_str(); 8].join(", ")
            ));
        }
        let status = refusal(host, &bomb).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert!(
            status.message().contains("aliases expand to more than"),
            "{}",
            status.message()
        );
        still_works(host, "an alias bomb").await;
    }
);

step_test!(ten_megabytes_of_yaml_are_too_large, |host| {
    let status = refusal(
        host,
        &format!("{{}}\n---\nrun: []\n# {}\n", "x".repeat(10_000_000)),
    )
    .await;
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "{}",
        status.message()
    );
    let status = refusal(host, &"x".repeat(40_000_000)).await;
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "{}",
        status.message()
    );
    still_works(host, "much YAML").await;
});

step_test!(what_no_log_can_hide_is_refused_and_never_shown, |host| {
    let long = |bytes| Variable {
        key: "LONG".into(),
        value: "x".repeat(bytes),
        masked: true,
        ..Variable::default()
    };
    let job = host.script("echo $LONG | head -c 20");
    let ended = job.any_variable(long(1 << 20)).run().await;
    ended.succeeds().not_printing("xxxx");
    let job = host.script("true").any_variable(long((1 << 20) + 1));
    let status = job.refused().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(
        status
            .message()
            .contains("the 1 MiB that a job's log can hide"),
        "{status:?}"
    );
    // What becomes sensitive on the way counts too; the step fails, and has said nothing.
    host.file(
            "keep/func.yml",
            "spec: {inputs: {text: {type: string, sensitive: true}}}\n---\nexec: {command: [echo, '${{ inputs.text }}']}\n",
        );
    let job = host.job("run: [{name: k, func: ./keep, inputs: {text: 'y${{ job.LONG }}'}}]");
    let ended = job.variable("LONG", &"x".repeat(1 << 20)).run().await;
    ended
        .fails()
        .saying("step \"k\": masked and sensitive values of ")
        .not_printing("xxxx");
    still_works(host, "much to hide").await;
});

step_test!(a_hundred_thousand_nested_brackets_are_too_deep, |host| {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let nested = format!(
            "{{}}\n---\nrun: \n {}{}",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let status = refusal(host, &nested).await;
        assert_eq!(
            status.code(),
            Code::InvalidArgument,
            "{open}: {}",
            status.message()
        );
    }
    let nested = format!(
        "{{}}\n---\nexec: {{command: ['${{{{ {}1{} }}}}']}}",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    let status = refusal(host, &nested).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("levels deep"),
        "{}",
        status.message()
    );
    still_works(host, "many brackets").await;
});

step_test!(a_million_inputs_are_too_many, |host| {
    let inputs = |count: usize| {
        let inputs: String = (0..count).map(|n| format!("i{n}: 1,")).collect();
        format!("{{}}\n---\nrun: [{{name: a, func: ./f, inputs: {{{inputs}}}}}]")
    };
    let status = refusal(host, &inputs(1_000_000)).await;
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "{}",
        status.message()
    );
    let status = refusal(host, &inputs(300_000)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status
            .message()
            .contains("more than 100000 keys and values"),
        "{}",
        status.message()
    );
    host.file("f/func.yml", &inputs(1_000_000));
    let ended = calling(host, "./f").await;
    ended
        .fails()
        .saying("step \"s\": ./f/func.yml:1:1: text of ")
        .saying(" bytes is too long, the limit is 4194304");
    still_works(host, "a million inputs").await;
});

step_test!(nul_bytes_never_reach_the_system, |host| {
    let job = host
        .job("run: [{name: s, script: 'echo ${{ job.V }}'}]")
        .variable("V", "a\0b");
    job.run()
        .await
        .fails()
        .saying("step \"s\": exec: ")
        .saying("argument 2 contains a NUL byte");
    let job = host
        .job("run: [{name: s, script: 'true', env: {E: '${{ job.V }}'}}]")
        .variable("V", "a\0b");
    job.run()
        .await
        .fails()
        .saying("step \"s\": exec: ")
        .saying("environment variable \"E\" contains a NUL byte");
    let job = host
        .job("exec: {command: ['${{ job.V }}']}")
        .variable("V", "a\0b");
    job.run()
        .await
        .fails()
        .saying("the name of the program contains a NUL byte");
    let job = host
        .job("exec: {command: ['true'], work_dir: '${{ job.V }}'}")
        .variable("V", "a\0b");
    job.run()
        .await
        .fails()
        .saying("the working directory contains a NUL byte");
    let job = host
        .job("run: [{name: s, func: '${{ job.V }}'}]")
        .variable("V", "./a\0b");
    job.run()
        .await
        .fails()
        .saying("step \"s\": ")
        .saying("control character");
    let status = host.job("run: []").build_dir("/tmp/a\0b").refused().await;
    assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
    still_works(host, "NUL bytes").await;
});

step_test!(a_function_file_that_is_no_text_fails_its_step, |host| {
    host.file("f/func.yml", "");
    let path = host.work().join("f/func.yml");
    let table: [(&str, Vec<u8>, &str); 4] = [
        (
            "invalid UTF-8",
            b"{}\n---\nrun: [\xff\xfe]\n".to_vec(),
            "./f/func.yml:3:7: text is not UTF-8",
        ),
        (
            "a NUL byte",
            b"{}\n---\nrun: []\0".to_vec(),
            "./f/func.yml:3:8: control character \\u{0} is not allowed in YAML",
        ),
        (
            "a program",
            std::fs::read("/proc/self/exe").expect("there is a program")[..4096].to_vec(),
            "./f/func.yml:1:",
        ),
        (
            "17 MiB",
            vec![b' '; 17 << 20],
            "function `./f` cannot be read: `func.yml`: is larger than 16 MiB",
        ),
    ];
    for (row, content, text) in table {
        std::fs::write(&path, content).expect("a file can be written");
        let message = calling(host, "./f").await.fails().status.message.clone();
        assert!(
            message.starts_with(&format!("step \"s\": {text}")),
            "{row}: {message}"
        );
    }
    still_works(host, "files that are no text").await;
});

step_test!(what_is_no_file_is_no_function, |host| {
    host.file("directory/func.yml/x", "");
    host.file("fifo/x", "");
    host.file("link/target", "{}\n---\nrun: []");
    let path = |path: &str| host.work().join(path);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("fifo/func.yml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO can be made");
    std::os::unix::fs::symlink("target", path("link/func.yml")).expect("a link can be made");
    let _socket = {
        host.file("socket/x", "");
        std::os::unix::net::UnixListener::bind(path("socket/func.yml"))
            .expect("a socket can be made")
    };
    for kind in ["directory", "fifo", "link", "socket"] {
        let ended = calling(host, &format!("./{kind}")).await;
        let text = format!(
            "step \"s\": function `./{kind}` cannot be read: `func.yml`: is not a regular file"
        );
        ended.fails().saying_exactly(&text);
    }
    calling(host, "./fifo/x/y")
        .await
        .fails()
        .saying("step \"s\": function `./fifo/x/y` ");
    still_works(host, "functions that are no files").await;
});

step_test!(what_is_no_program_fails_its_step, |host| {
    let table = [
        (
            "missing",
            "no-such-program",
            "exec: \"no-such-program\": executable file not found in $PATH",
        ),
        ("a directory", "/", "exec: \"/\": is a directory"),
        (
            "a directory by its name",
            "..",
            "exec: \"..\": executable file not found in $PATH",
        ),
        ("a FIFO", "./fifo", "fork/exec ./fifo: permission denied"),
        (
            "an endless name",
            &"x".repeat(10_000),
            "executable file not found in $PATH",
        ),
    ];
    let fifo = host.work().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o700);
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a FIFO can be made");
    for (row, program, text) in table {
        let ended = host
            .job(&format!("exec: {{command: ['{program}']}}"))
            .run()
            .await;
        let message = &ended.fails().status.message;
        assert!(
            message.starts_with("exec: ") && message.ends_with(text),
            "{row}: {message}"
        );
        assert!(
            !message.contains("exit status") && message.len() <= TEXT_BYTES_MAX,
            "{row}: {message}"
        );
    }
    still_works(host, "programs that are none").await;
});

step_test!(k22_an_id_is_never_part_of_a_path, |host| {
    host.file("victim", "unharmed");
    let work = host
        .work()
        .file_name()
        .expect("a name")
        .display()
        .to_string();
    let ids = [
        format!("x/../../{work}"),
        format!("../{work}"),
        "..".into(),
        ".".into(),
        "/".into(),
        "/etc/passwd".into(),
        "a/b/c".into(),
        "-rf *".into(),
        "$(reboot)".into(),
        "s".into(),
        "ä %2e%2e%2f".into(),
        "x".repeat(256),
    ];
    for id in &ids {
        let ended = host.job("exec: {command: [echo, fine]}").id(id).run().await;
        assert_eq!(ended.succeeds().out(), "fine\n", "{id}");
        host.client().close(id).await.expect("a job can be closed");
        let victim = std::fs::read_to_string(host.work().join("victim"));
        assert_eq!(victim.expect("it is still there"), "unharmed", "{id}");
        assert!(host.socket().exists(), "{id}");
    }
    host.nothing_left().await;
});

step_test!(an_id_that_is_none_is_refused, |host| {
    for id in [
        "",
        "a\0b",
        "a\nb",
        "a\u{7f}",
        &"x".repeat(257),
        &"x".repeat(1_000_000),
    ] {
        let status = host.job("run: []").id(id).refused().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert!(status.message().len() <= TEXT_BYTES_MAX);
    }
    still_works(host, "bad ids").await;
});

step_test!(a_build_dir_that_is_a_file_is_refused, |host| {
    host.file("file", "");
    let inside = host.work().join("file/inside").display().to_string();
    let file = host.work().join("file").display().to_string();
    let long = format!("/{}", "x".repeat(5000));
    for dir in [&file, &inside, &long] {
        let status = host.job("run: []").build_dir(dir).refused().await;
        assert_eq!(
            status.code(),
            Code::FailedPrecondition,
            "{}",
            status.message()
        );
        assert!(
            status
                .message()
                .starts_with("the job's directory cannot be used: "),
            "{}",
            status.message()
        );
        assert!(
            !status.message().contains(&file),
            "no path of the host: {}",
            status.message()
        );
    }
    assert_eq!(
        host.leavings(),
        [""; 0],
        "a refused job leaves nothing, also without a Close"
    );
    still_works(host, "a bad build_dir").await;
});

step_test!(steps_that_litter_their_workspace_leave_nothing, |host| {
    let deep = "path=$(printf 'd/%.0s' $(seq 1900)); mkdir top
        for chain in 1 2 3; do mkdir -p \"next/$path\"; mv top \"next/$path\"; mv next top; done";
    let table = [
        (
            "links and FIFOs",
            "mkdir -p a/b; ln -s / root; ln -s . a/b/here; mkfifo fifo; echo > a/b/c",
        ),
        (
            "a closed directory",
            "mkdir -p a/b; echo > a/b/c; chmod 0 a/b a",
        ),
        ("a closed workspace", "echo > a; chmod 0 ."),
        ("directories deeper than any path can say", deep),
    ];
    for (row, text) in table {
        host.file(
            "litter.sh",
            &format!("cd \"$(dirname \"$1\")\" || exit 9\n{text}\n"),
        );
        let job = host.job("exec: {command: [sh, litter.sh, '${{ output_file }}']}");
        let secret = Variable {
            key: "SECRET".into(),
            value: "x".into(),
            file: true,
            masked: true,
        };
        let ended = job.any_variable(secret).run().await;
        // Whether the step's own files can still be read depends on who we are: root reads what it may not.
        assert_ne!(
            ended.status.kind,
            Some(Kind::Internal),
            "{row}: {}",
            ended.status.message
        );
        assert!(
            !ended.status.message.contains("exit status"),
            "{row}: {}",
            ended.status.message
        );
        host.nothing_left().await;
        still_works(host, row).await;
    }
});

step_test!(a_log_full_of_nonsense_is_still_a_log, |host| {
    let text = "head -c 3000000 /dev/urandom; printf \"\\\\r\\\\0\\\\r\\\\033[2J\"; head -c 1000000 /dev/zero; head -c 100000 /dev/urandom >&2";
    let ended = host
        .job(&format!("exec: {{command: [sh, -c, '{text}']}}"))
        .run()
        .await;
    // Reading it checks every header.
    assert!(ended.succeeds().text().len() > 4_000_000);
    still_works(host, "nonsense in the log").await;
});

step_test!(
    a_full_disk_refuses_a_job_and_the_host_goes_on,
    Options {
        file_blocks_max: Some(DISK_BLOCKS),
        ..Options::default()
    },
    |host| {
        let large = Variable {
            key: "LARGE".into(),
            value: "x".repeat(100_000),
            file: true,
            masked: false,
        };
        let status = host.job("run: []").any_variable(large).refused().await;
        let text = status.message();
        assert!(
            matches!(status.code(), Code::ResourceExhausted | Code::Unavailable),
            "{:?}: {text}",
            status.code()
        );
        assert!(
            text.starts_with("the step host cannot store the job: "),
            "{text}"
        );
        assert!(
            !text.contains(&host.temp().display().to_string()),
            "no path of the host: {text}"
        );
        assert_eq!(
            host.leavings(),
            [""; 0],
            "a refused job leaves nothing, also without a Close"
        );
        still_works(host, "a full disk").await;
    }
);

step_test!(
    a_full_disk_cuts_a_log_and_nothing_else,
    Options {
        file_blocks_max: Some(DISK_BLOCKS),
        ..Options::default()
    },
    |host| {
        let flood = "i=0; while [ $i -lt 3000 ]; do echo \"line $i of a log that no disk can hold\"; i=$((i+1)); done";
        let ended = host
            .job(&format!(
                "run: [{{name: first, script: echo stored}}, {{name: s, script: '{flood}'}}]"
            ))
            .run()
            .await;
        ended.succeeds().printing("stored\n");
        let disk_bytes = usize::try_from(DISK_BLOCKS * 512).expect("a small number");
        assert!(ended.log.len() <= disk_bytes, "{} bytes", ended.log.len());
        let full = "head -c 100000 /dev/zero > \"$1\"";
        let ended = host
            .job(&format!(
                "exec: {{command: [sh, -c, '{full}', sh, '${{{{ output_file }}}}']}}"
            ))
            .run()
            .await;
        ended.fails().saying("exec: exit status ");
        still_works(host, "a log that did not fit").await;
    }
);

step_test!(
    a_directory_for_temporary_files_that_is_gone_refuses_jobs,
    Options {
        env: vec![("TMPDIR".into(), "/no/such/directory".into())],
        ..Options::default()
    },
    |host| {
        let status = host.job("run: []").refused().await;
        assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
        assert_eq!(
            status.message(),
            "the step host cannot store the job: entity not found"
        );
    }
);

#[test]
fn a_socket_path_that_is_too_long_is_a_sentence_and_no_marker() {
    let path = format!("/tmp/{}", "x".repeat(120));
    let ended = block_on(async {
        tokio::time::timeout(
            GUARD,
            run_program(&["steps", "serve", "--socket", &path], &[]),
        )
        .await
        .expect("it ends by itself")
    });
    assert!(
        ended.status.code().is_some_and(|code| code != 0),
        "{:?}",
        ended.status
    );
    assert!(
        ended.err.contains("125 bytes") && ended.err.contains("107"),
        "{}",
        ended.err
    );
    assert!(
        !ended.err.contains("step-runner is listening") && ended.out.is_empty(),
        "{ended:?}"
    );
}
