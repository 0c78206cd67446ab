//! The way of an author: `new`, then the three commands of the new project's README; and what a sensitive input does.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use stephost_tests::{
    Installation, Options, blocks, program, shipped_policy, step_test, usual_policy, with_host,
};
use tempfile::TempDir;

const NAME: &str = "greet-somebody";
const COMPONENT: &str = "target/wasm32-unknown-unknown/release/greet.wasm";

/// Meant for the build around this test.
const NOT_FOR_THE_PROJECT: [&str; 4] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
];

fn stephost(place: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut host = Command::new(program());
    host.current_dir(place).args(arguments);
    host.output().expect("the program under test starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_command_of_the_authoring_page_runs_and_makes_a_builtin() {
    let installed = Installation::with_policy(shipped_policy());
    let place = TempDir::new().expect("a directory can be made");
    // The versions of this workspace are on this machine already. What others need is built once and kept.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let built = program();
    let kept = built
        .ancestors()
        .nth(2)
        .expect("the program lies in target/PROFILE")
        .join("new-project");
    std::fs::create_dir_all(&kept).expect("a directory can be made");
    let blocks = blocks(include_str!("../../docs/authoring.md"), "sh");
    let prepared = "cp \"$LOCK\" Cargo.lock; ln -s \"$KEPT\" target\n";
    let script = blocks
        .join("\n")
        .replacen("cargo test", &format!("{prepared}cargo test"), 1);
    let path = std::env::var_os("PATH").expect("there is a PATH");
    let dir = installed
        .program()
        .parent()
        .expect("a directory")
        .to_owned();

    let mut shell = Command::new("sh");
    shell
        .args(["-eu", "-c", &script])
        .current_dir(place.path())
        .env("PATH", format!("{}:{}", dir.display(), path.display()))
        .env("LOCK", lock)
        .env("KEPT", &kept)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR");
    for name in NOT_FOR_THE_PROJECT {
        shell.env_remove(name);
    }
    let done = shell.output().expect("a shell starts");
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{script}\n{out}{err}");
    for line in [
        "Hello, Ada!\n",
        "test result: ok.",
        "\nneeds\n  exports  GREETED\n",
        "policy.toml: fine, 4 rules",
        "team/greet under the policy shipped\n  exports  GREETED\n  gets everything that it asks for\n",
    ] {
        assert!(out.contains(line), "{line:?} is not in:\n{out}{err}");
    }

    let project = place.path().join("greet");
    let component = project.join(COMPONENT);
    let run = |input: &str| {
        let arguments = [
            OsStr::new("run"),
            component.as_os_str(),
            "-i".as_ref(),
            input.as_ref(),
        ];
        let ran = stephost(&project, arguments);
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    let left = "output greeting = \"Hello, Ada!\"\nexport GREETED=Ada\n";
    assert_eq!(
        run("name=Ada"),
        (Some(0), "Hello, Ada!\n".to_owned(), left.to_owned())
    );
    let failed = "error: the step failed: nobody to greet: exit status 3\n";
    assert_eq!(run("name="), (Some(3), String::new(), failed.to_owned()));
    let unknown = "error: the step takes no input `nmae`; it takes: name\n";
    assert_eq!(
        run("nmae=Ada"),
        (Some(2), String::new(), unknown.to_owned())
    );

    // And a job calls it, on the host that the page has laid it beside.
    let options = Options {
        program: Some(installed.program()),
        ..Options::default()
    };
    with_host(options, async |host| {
        let steps = "run:\n- {name: it, func: 'builtin://team/greet', inputs: {name: Ada}}\n\
                     - {name: after, script: 'echo \"greeted $GREETED\"'}\n";
        let ended = host.job(steps).run().await;
        ended
            .succeeds()
            .printing("Hello, Ada!\n")
            .printing("greeted Ada\n");
    });
}

#[test]
fn the_readme_of_a_new_project_has_the_commands_of_the_page() {
    let place = TempDir::new().expect("a directory can be made");
    let made = stephost(place.path(), ["new", "greet"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let readme = std::fs::read_to_string(place.path().join("greet/README.md")).expect("it has one");
    let page = include_str!("../../docs/authoring.md");
    let page = blocks(page, "sh")[0]
        .strip_prefix("stephost new greet && cd greet\n")
        .expect("the page begins with it");
    assert_eq!(blocks(&readme, "sh"), [page]);
}

#[test]
fn inspect_says_what_a_component_is_and_what_the_policy_gives_it() {
    let installed = Installation::with_policy(usual_policy());
    let component = installed.companion().join("builtins/test/misbehave.wasm");
    let component = component.to_str().expect("a temporary path is text");
    let inspect = |more: &[&str]| {
        let mut host = Command::new(installed.program());
        host.args(["inspect", component]).args(more);
        let done = host.output().expect("the program under test starts");
        let out = text(&done.stdout).replace(component, "misbehave.wasm");
        (done.status.code(), out, text(&done.stderr))
    };
    let (code, out, err) = inspect(&[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let (head, rest) = out.split_once('\n').expect("several lines");
    assert!(
        head.starts_with("misbehave.wasm: ") && head.contains(" bytes, sha256:"),
        "{head}"
    );
    expect_test::expect![[r#"
        Ends in the way it is told

        inputs
          how    text    required             The manner
          n      number  default 7            A number for the manner
          token  text    optional, sensitive  A secret for the manner

        outputs
          text  text    What some manners return

        imports
          stephost:step/types@0.1.0
          stephost:step/log@0.1.0
          stephost:step/control@0.1.0
          stephost:step/context@0.1.0
          stephost:step/secrets@0.1.0

        needs
          env      *
          exports  FLOOD, MISBEHAVE
    "#]]
    .assert_eq(rest);

    let (code, out, _) = inspect(&["--function", "test/misbehave"]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out, _) = inspect(&["--function", "hello"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("exports of \"FLOOD\" is denied (export-not-listed, rule for \"hello\""),
        "{out}"
    );
    let (code, out, _) = inspect(&["--json", "--function", "no/rule"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.starts_with("{\"schema\":\"stephost.inspect/1\",\"bytes\":"),
        "{out}"
    );
    for part in [
        "\"code\":\"no-rule\"",
        "\"env\":[\"*\"]",
        "\"imports\":[\"stephost:step/types@0.1.0\",",
        "\"allowed\":false",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn new_refuses_what_exists_and_what_cannot_be_a_name() {
    let place = TempDir::new().expect("a directory can be made");
    std::fs::write(place.path().join(NAME), "precious").expect("a file can be written");
    for (name, code) in [(NAME, 73), ("../elsewhere", 2), ("fn", 2)] {
        let refused = stephost(place.path(), ["new", name]);
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{name}: {}",
            text(&refused.stderr)
        );
    }
    let kept = std::fs::read_to_string(place.path().join(NAME)).expect("it is still there");
    assert_eq!(kept, "precious");
    assert_eq!(place.path().read_dir().expect("it can be read").count(), 1);
}

#[test]
fn run_and_inspect_refuse_a_file_that_is_no_component() {
    let place = TempDir::new().expect("a directory can be made");
    std::fs::write(place.path().join("x.wasm"), "no wasm").expect("a file can be written");
    for verb in ["run", "inspect"] {
        for file in ["x.wasm", "gone.wasm", "."] {
            let refused = stephost(place.path(), [verb, file]);
            assert_eq!(
                refused.status.code(),
                Some(65),
                "{verb} {file}: {}",
                text(&refused.stderr)
            );
            if file == "x.wasm" {
                let told = "error: x.wasm is no WebAssembly, which begins with \\0asm\n";
                assert_eq!(text(&refused.stderr), told, "{verb}");
            }
        }
    }
}

step_test!(
    a_sensitive_input_reaches_the_builtin_that_opens_it_and_no_log,
    |host| {
        let steps = "run:\n  \
            - {name: m, func: 'builtin://test/misbehave', inputs: {how: reveal, token: s3cret-text}}\n  \
            - {name: opened, script: 'case \"${{ steps.m.outputs.text }}\" in s3cret-*\" \"s3cret-*) echo it is whole;; esac'}\n  \
            - {name: echo, script: 'echo \"${{ steps.m.outputs.text }}\"'}\n";
        let ended = host.job(steps).run().await;
        ended
            .succeeds()
            .printing("Secret(token)")
            .printing("it is whole")
            .not_printing("s3cret-text");
    }
);
