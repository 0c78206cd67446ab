//! From a plan to a process: which program, which environment, and what is said when there is none.

use std::{env, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use stephost_process::{Exit, Plan, StartError};

use crate::fixture::{Recorder, begin_in, plan, run, shell, shell_in, supervisors, within};

/// A directory full of things that can or cannot be started. Written by a step and not by this process: another test's
/// spawn could inherit the open file for a moment, and a file open for writing is not executed.
async fn zoo() -> tempfile::TempDir {
    let zoo = tempfile::tempdir().unwrap();
    let script = r##"
        program() { printf '#!/bin/sh\nexit %s\n' "$2" >"$1"; chmod 755 "$1"; }
        mkdir a b c d e
        program a/tool 11; program b/tool 12; program tool 10
        printf '#!/bin/sh\nexit 9\n' >c/tool; chmod 644 c/tool
        mkdir d/tool
        printf '#!/nowhere/interpreter\n' >e/script; chmod 755 e/script
        printf 'no program at all' >e/garbage; chmod 755 e/garbage
    "##;
    let (report, _) = run(shell_in(zoo.path(), script)).await;
    assert!(report.exit.is_success());
    zoo
}

async fn fails(plan: Plan) -> StartError {
    supervisors()
        .start(plan, Arc::new(Recorder::default()))
        .await
        .expect_err("this must not start")
}

#[tokio::test]
async fn a_program_is_looked_up_in_the_steps_path_then_in_the_hosts() {
    let zoo = zoo().await;
    let root = zoo.path().display();
    let table = [
        ("first directory", "tool", format!("{root}/a:{root}/b"), 11),
        ("order counts", "tool", format!("{root}/b:{root}/a"), 12),
        (
            "not executable is passed over",
            "tool",
            format!("{root}/c:{root}/b"),
            12,
        ),
        (
            "a directory is passed over",
            "tool",
            format!("{root}/d:{root}/b"),
            12,
        ),
        (
            "what is missing is passed over",
            "tool",
            format!("{root}/nowhere:{root}/a"),
            11,
        ),
        (
            "relative entries are not searched",
            "tool",
            format!(".::a:{root}/b"),
            12,
        ),
        ("the host's PATH comes last", "true", format!("{root}/a"), 0),
        ("an empty PATH leaves the host's", "true", String::new(), 0),
        (
            "with a slash: relative to the working directory",
            "./tool",
            format!("{root}/a"),
            10,
        ),
        ("… also without a dot", "b/tool", format!("{root}/a"), 12),
        ("… and upwards", "a/../tool", format!("{root}/a"), 10),
    ];
    for (row, program, search_path, code) in table {
        let plan = Plan {
            env: vec![("PATH".into(), search_path.into())],
            work_dir: zoo.path().into(),
            ..plan(program, &[])
        };
        assert_eq!(run(plan).await.0.exit, Exit::Code(code), "{row}");
    }
    let no_path = Plan {
        env: vec![],
        ..plan("true", &[])
    };
    assert!(
        run(no_path).await.0.exit.is_success(),
        "a step without PATH"
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_named_as_the_step_wrote_it() {
    let zoo = zoo().await;
    let table = [
        ("", "exec: no command"),
        ("nope", "exec: \"nope\": executable file not found in $PATH"),
        (
            "no\"pe\n",
            "exec: \"no\\\"pe\\n\": executable file not found in $PATH",
        ),
        (
            "garbage",
            "exec: \"garbage\": executable file not found in $PATH",
        ),
        ("..", "exec: \"..\": executable file not found in $PATH"),
        ("./nope", "fork/exec ./nope: no such file or directory"),
        (
            "a/nope/tool",
            "fork/exec a/nope/tool: no such file or directory",
        ),
        (
            "/nowhere/tool",
            "fork/exec /nowhere/tool: no such file or directory",
        ),
        ("c/tool", "fork/exec c/tool: permission denied"),
        ("./d", "exec: \"./d\": is a directory"),
        ("/", "exec: \"/\": is a directory"),
        ("a/tool/x", "fork/exec a/tool/x: not a directory"),
        ("e/garbage", "fork/exec e/garbage: exec format error"),
        (
            "e/script",
            "fork/exec e/script: no such file or directory: the interpreter that it names is missing",
        ),
    ];
    for (program, text) in table {
        let error = fails(Plan {
            work_dir: zoo.path().into(),
            ..plan(program, &[])
        })
        .await;
        assert_eq!(error.to_string(), text, "{program:?}");
        assert!(
            !error.to_string().contains(zoo.path().to_str().unwrap()),
            "{program:?}: a host path"
        );
    }
    let long = fails(plan(&"n".repeat(5000), &[])).await.to_string();
    assert!(long.len() < 200, "{long}");
}

#[tokio::test]
async fn a_working_directory_must_be_one() {
    let zoo = zoo().await;
    let mut table = vec![
        (
            "missing",
            zoo.path().join("nope"),
            "working directory: no such file or directory",
        ),
        (
            "a file",
            zoo.path().join("a/tool"),
            "working directory: not a directory",
        ),
        (
            "below a file",
            zoo.path().join("a/tool/x"),
            "working directory: not a directory",
        ),
        (
            "empty",
            Path::new("").into(),
            "working directory: no such file or directory",
        ),
    ];
    if !rustix::process::geteuid().is_root() {
        // Nothing is forbidden to root.
        assert!(
            run(shell_in(zoo.path(), "mkdir -m 600 closed"))
                .await
                .0
                .exit
                .is_success()
        );
        table.push((
            "closed",
            zoo.path().join("closed"),
            "working directory: permission denied",
        ));
    }
    for (row, work_dir, text) in table {
        for program in ["true", "./tool"] {
            let error = fails(Plan {
                work_dir: work_dir.clone(),
                ..plan(program, &[])
            })
            .await;
            assert_eq!(error.to_string(), text, "{row}, {program}");
        }
    }
}

#[tokio::test]
async fn the_environment_is_exactly_the_plans() {
    let plan = Plan {
        env: vec![
            ("ONE".into(), "1".into()),
            ("TWO".into(), "first".into()),
            ("EMPTY".into(), "".into()),
            ("RAW".into(), OsStr::from_bytes(b"\xff").into()),
            ("TWO".into(), "a b\nc".into()),
        ],
        ..plan("env", &["-0"])
    };
    let (report, output) = run(plan).await;
    assert!(report.exit.is_success());
    let bytes = output.bytes(stephost_process::Stream::Out);
    let mut variables: Vec<&[u8]> = bytes
        .split(|&byte| byte == 0)
        .filter(|text| !text.is_empty())
        .collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [&b"EMPTY="[..], b"ONE=1", b"RAW=\xff", b"TWO=a b\nc"]
    );
    assert!(
        env::vars_os().count() > 0,
        "the host has an environment that was not passed on"
    );
}

#[tokio::test]
async fn arguments_and_argv_0_arrive_as_written() {
    let mut plan =
        shell("tr '\\0' '|' </proc/$$/cmdline; pwd; cut -d ' ' -f 5 /proc/$$/stat; echo $$");
    plan.args
        .extend(["zero".into(), "a b".into(), "".into(), "*".into()]);
    plan.work_dir = "/proc".into();
    let (_, output) = run(plan).await;
    let out = output.out();
    let (command_line, rest) = out.split_once("/proc\n").expect("the working directory");
    assert!(command_line.starts_with("sh|-c|"), "{command_line}");
    assert!(command_line.ends_with("|zero|a b||*|"), "{command_line}");
    let (group, leader) = rest.trim().split_once('\n').unwrap();
    assert_eq!(group, leader, "the leader has a group of its own");
}

#[tokio::test]
async fn what_is_too_large_is_named() {
    let long = "x".repeat(200_000);
    let variable = |name: &str, value: &str| (name.into(), value.into());

    let mut one = plan("true", &[]);
    one.env.push(variable("SHORT", "x"));
    one.env.push(variable("BIG", &long));
    assert_eq!(
        fails(one).await.to_string(),
        "environment variable \"BIG\" is too long: name and value have 200005 bytes and the system takes 131072 at most; \
         pass it in a file"
    );

    assert_eq!(
        fails(plan("true", &["short", &long])).await.to_string(),
        "argument 2 is too long: it has 200001 bytes and the system takes 131072 at most; pass it in a file"
    );

    // Each of them is allowed; no machine takes ten megabytes.
    let mut many = plan("true", &["one"]);
    many.env.clear();
    many.env
        .extend((0..100).map(|number| variable(&format!("V{number:02}"), &long[..100_000])));
    many.env[41].1.push("!");
    assert_eq!(
        fails(many).await.to_string(),
        "arguments and environment are too large: 10000510 bytes in 2 arguments and 100 variables; \
         the largest is environment variable \"V41\" with 100006 bytes"
    );
}

#[tokio::test]
async fn the_longest_variable_that_the_system_takes_starts() {
    let mut largest = plan("true", &[]);
    largest
        .env
        .push(("V".into(), "x".repeat(128 * 1024 - 3).into())); // V, =, closing zero byte
    assert!(run(largest).await.0.exit.is_success());
}

#[tokio::test]
async fn a_zero_byte_is_refused_wherever_it_is() {
    let good = plan("true", &["one", "two"]);
    type Spoil = fn(&mut Plan);
    let table: [(Spoil, &str); 5] = [
        (
            |plan| plan.program = "tr\0ue".into(),
            "the name of the program contains a NUL byte",
        ),
        (
            |plan| plan.args[1] = "\0".into(),
            "argument 2 contains a NUL byte",
        ),
        (
            |plan| plan.env.push(("A\0B".into(), "x".into())),
            "the name of environment variable \"A\\0B\" contains a NUL byte",
        ),
        (
            |plan| plan.env.push(("A".into(), "x\0".into())),
            "environment variable \"A\" contains a NUL byte",
        ),
        (
            |plan| plan.work_dir = "/\0".into(),
            "the working directory contains a NUL byte",
        ),
    ];
    for (spoil, text) in table {
        let mut plan = good.clone();
        spoil(&mut plan);
        assert_eq!(fails(plan).await.to_string(), text);
    }
    assert!(run(good).await.0.exit.is_success());
}

/// Neither the socket to the host nor the pipes of another step: whoever had one could keep the host's end from being seen.
#[tokio::test]
async fn a_step_has_three_descriptors_and_no_other() {
    let supervisors = supervisors();
    let text = "fd=3; while [ $fd -lt 64 ]; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; fd=$((fd + 1)); done; echo end";
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(begin_in(&supervisors, shell("echo up; sleep 15")).await);
        let (running, output) = begin_in(&supervisors, shell(text)).await;
        assert!(within("the end", running.ended()).await.exit.is_success());
        assert_eq!(output.out(), "end\n");
    }
}
