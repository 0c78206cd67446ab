//! `check` and `explain`, as authors of functions and policies meet them (design D6).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};
use stephost_tests::{Installation, program, usual_policy};
use tempfile::TempDir;

/// What the program answered.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program in `dir` with `input` on stdin.
fn stephost(dir: &Path, arguments: &[&str], input: &[u8]) -> Answer {
    run(&program(), dir, arguments, input)
}

fn run(program: &Path, dir: &Path, arguments: &[&str], input: &[u8]) -> Answer {
    let mut host = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program under test starts");
    let mut stdin = host.stdin.take().expect("stdin is a pipe");
    // A program that does not read it may have ended.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = host.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
    Answer {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A directory with these files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("a directory can be made");
    for (name, text) in files {
        let path = dir.path().join(name);
        let parent = path.parent().expect("a file lies somewhere");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        std::fs::write(path, text).expect("a file can be written");
    }
    dir
}

/// Checks the first of the files; compares the code and everything that was written.
fn shows(files: &[(&str, &str)], expected: Expect) {
    let dir = dir(files);
    let Answer { code, out, err } = stephost(dir.path(), &["check", files[0].0], b"");
    let code = code.expect("it ends by itself");
    expected.assert_eq(&format!("{err}{out}exit {code}\n"));
}

#[test]
fn d6_an_unknown_key_is_an_error_at_any_depth_and_shown_with_the_right_line() {
    shows(
        &[(
            "func.yml",
            "spec:\n  inputs:\n    name: {type: string, defualt: world}\n---\nexec:\n  command: [echo, hello]\n  workdir: /tmp\nenvs: {}\n",
        )],
        expect![[r#"
            error[S003]: key `defualt` is unknown
             --> func.yml:3:26
              |
            3 |     name: {type: string, defualt: world}
              |                          ^^^^^^^
              |
            help: did you mean `default`?
              |
            3 -     name: {type: string, defualt: world}
            3 +     name: {type: string, default: world}
              |

            error[S003]: key `workdir` is unknown
             --> func.yml:7:3
              |
            7 |   workdir: /tmp
              |   ^^^^^^^
              |
            help: did you mean `work_dir`?
              |
            7 |   work_dir: /tmp
              |       +

            error[S003]: key `envs` is unknown
             --> func.yml:8:1
              |
            8 | envs: {}
              | ^^^^
              |
            help: did you mean `env`?
              |
            8 - envs: {}
            8 + env: {}
              |

            3 errors; `stephost explain S003` says more
            exit 1
        "#]],
    );
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_run() {
    shows(
        &[(
            "func.yml",
            "spec:\n  inputs:\n    9th: {type: string}\n    count: {type: integer}\n    port: {type: string, default: 80}\n---\nrun:\n  - name: not ok\n    script: echo\n  - script: echo\n  - name: both\n    script: echo\n    func: ./x\n  - name: none\n",
        )],
        expect![[r#"
            error[S007]: input name `9th` is not allowed
             --> func.yml:3:5
              |
            3 |     9th: {type: string}
              |     ^^^
              |
              = help: use letters, digits and `_`, and no digit first

            error[S008]: type `integer` is unknown, use string, number, boolean, struct or array
             --> func.yml:4:19
              |
            4 |     count: {type: integer}
              |                   ^^^^^^^
              |
            help: did you mean `number`?
              |
            4 -     count: {type: integer}
            4 +     count: {type: number}
              |

            error[S009]: default of `port` must be of type string, not number
             --> func.yml:5:35
              |
            5 |     port: {type: string, default: 80}
              |                                   ^^

            error[S007]: step name `not ok` is not allowed
             --> func.yml:8:11
              |
            8 |   - name: not ok
              |           ^^^^^^
              |
              = help: use letters, digits and `_`, and no digit first

            error[S004]: an item of `run` needs a `name`
              --> func.yml:10:5
               |
            10 |   - script: echo
               |     ^^^^^^

            error[S006]: `func` and `script` exclude each other
              --> func.yml:13:5
               |
            13 |     func: ./x
               |     ^^^^

            error[R010]: function `./x` not found: there is neither `func.yml` nor `step.yml`
              --> func.yml:13:11
               |
            13 |     func: ./x
               |           ^^^

            error[S004]: an item of `run` needs one of `func`, `step`, `script`, `action`
              --> func.yml:14:5
               |
            14 |   - name: none
               |     ^^^^

            8 errors; `stephost explain S007` says more
            exit 1
        "#]],
    );
}

#[test]
fn a_mistake_in_an_expression_is_shown_where_it_is_also_inside_a_block() {
    shows(
        &[(
            "func.yml",
            "{}\n---\nrun:\n  - name: build\n    script: |\n      set -eu\n      echo \"${{ job.A = 1 }}\" '${{ jub.B }}'\n      echo ${{ steps.later.outputs.x }} ${{ inputs.nothing }} ${{ 1 / 0 }}\n  - name: later\n    script: echo \"${{ steps.build.outputs.x }}\" ${{ steps.build.outputs.x || 'none' }} ${{ output_file }}\n    env: {FILE: \"${{ output_file }}\"}\n",
        )],
        expect![[r#"
            error[S102]: unexpected character `=`
             --> func.yml:7:23
              |
            7 |       echo "${{ job.A = 1 }}" '${{ jub.B }}'
              |                       ^

            error[S107]: nothing is called `jub` here
             --> func.yml:7:36
              |
            7 |       echo "${{ job.A = 1 }}" '${{ jub.B }}'
              |                                    ^^^
              |
            help: did you mean `job`?
              |
            7 -       echo "${{ job.A = 1 }}" '${{ jub.B }}'
            7 +       echo "${{ job.A = 1 }}" '${{ job.B }}'
              |

            error[S051]: step `later` has not run here
             --> func.yml:8:22
              |
            8 |       echo ${{ steps.later.outputs.x }} ${{ inputs.nothing }} ${{ 1 / 0 }}
              |                      ^^^^^
            9 |   - name: later
              |           ----- it is this one
              |
              = help: a step sees the outputs of the steps above it

            error[S053]: the function has no input `nothing`
             --> func.yml:8:52
              |
            8 |       echo ${{ steps.later.outputs.x }} ${{ inputs.nothing }} ${{ 1 / 0 }}
              |                                                    ^^^^^^^
              |
              = help: declare it in the first document, below `spec`

            error[S052]: step `build` has no output `x`
              --> func.yml:10:43
               |
            10 |     script: echo "${{ steps.build.outputs.x }}" ${{ steps.build.outputs.x || 'none' }} ${{ output_file }}
               |                                           ^
               |
               = help: a script has no outputs: export a variable and read it from `env`, or call a function

            error[S107]: nothing is called `output_file` here
              --> func.yml:11:22
               |
            11 |     env: {FILE: "${{ output_file }}"}
               |                      ^^^^^^^^^^^
               |
               = help: it is there in `exec` and in the text of a `script` only

            6 errors; `stephost explain S102` says more
            exit 1
        "#]],
    );
}

#[test]
fn values_that_steps_see_otherwise_are_warned_about_with_what_they_will_see() {
    shows(
        &[
            (
                "func.yml",
                "{}\n---\nenv: {MODE: 010, WHEN: 2026-01-01, YES: yes}\nrun:\n  - name: a\n    func: ./take\n    inputs:\n      any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, \"010\", 8, 1e3]\n      number: 1.50\n      text: yes\n      octal: 0755\n",
            ),
            (
                "take/func.yml",
                "spec:\n  inputs:\n    any: {type: array}\n    number: {type: number}\n    text: {type: string}\n    octal: {type: number}\n---\nexec: {command: [\"true\"]}\n",
            ),
        ],
        expect![[r#"
            warning[Y101]: `010` is a number here: steps see `8`
             --> func.yml:8:13
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |             ^^^
              |
            help: write "010", or `8` if a number is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: ["010", 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y101]: `1_000` is a number here: steps see `1000`
             --> func.yml:8:18
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                  ^^^^^
              |
            help: write `1000`, or "1_000" if a text is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y101]: `1.10` is a number here: steps see `1.1`
             --> func.yml:8:25
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                         ^^^^
              |
            help: write "1.10", or `1.1` if a number is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, "1.10", yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y102]: `yes` is a text here: steps see the string "yes", no boolean
             --> func.yml:8:31
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                               ^^^
              |
            help: write `true`, or "yes" if the text is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, 1.10, true, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y103]: `2026-01-01` is a text here: steps see the string "2026-01-01", no date
             --> func.yml:8:36
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                                    ^^^^^^^^^^
              |
            help: write it in quotes, so that nobody takes it for something else
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, 1.10, yes, "2026-01-01", 0x1F, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y101]: `0x1F` is a number here: steps see `31`
             --> func.yml:8:48
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                                                ^^^^
              |
            help: write `31`, or "0x1F" if a text is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, 1.10, yes, 2026-01-01, 31, 12345678901234567890, "010", 8, 1e3]
              |

            warning[Y101]: `12345678901234567890` is a number here: steps see `12345678901234567000`
             --> func.yml:8:54
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                                                      ^^^^^^^^^^^^^^^^^^^^
              |
            help: write "12345678901234567890", or `12345678901234567000` if a number is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, "12345678901234567890", "010", 8, 1e3]
              |

            warning[Y101]: `1e3` is a number here: steps see `1000`
             --> func.yml:8:86
              |
            8 |       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
              |                                                                                      ^^^
              |
            help: write "1e3", or `1000` if a number is meant
              |
            8 -       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, 1e3]
            8 +       any: [010, 1_000, 1.10, yes, 2026-01-01, 0x1F, 12345678901234567890, "010", 8, "1e3"]
              |

            warning[Y101]: `0755` is a number here: steps see `493`
              --> func.yml:11:14
               |
            11 |       octal: 0755
               |              ^^^^
               |
            help: write `493`, or "0755" if a text is meant
               |
            11 -       octal: 0755
            11 +       octal: 493
               |

            9 warnings; `stephost explain Y101` says more
            func.yml: fine, 9 warnings
            exit 0
        "#]],
    );
}

#[test]
fn a_local_function_is_followed_and_its_inputs_and_outputs_count() {
    shows(
        &[
            (
                "func.yml",
                "spec:\n  inputs:\n    token: {type: string, sensitive: true}\n---\nrun:\n  - name: build\n    func: ./lib/build\n    inputs: {targte: all, jobs: \"4\", verbose: yes}\n  - name: show\n    func: ./lib/build\n    inputs: {target: \"${{ steps.build.outputs.pth }}\", jobs: \"${{ steps.build.outputs.path }}\", verbose: false, note: \"${{ inputs.token }}\"}\n  - name: gone\n    func: ./lib/gone\n  - name: odd\n    func: ./lib/gone.yaml\n",
            ),
            (
                "lib/build/step.yml",
                "spec:\n  inputs:\n    target: {type: string}\n    jobs: {type: number}\n    verbose: {type: boolean}\n    note: {type: string, default: \"\"}\n  outputs:\n    path: {type: string}\n---\nexec:\n  command: [make, \"${{ inputs.traget }}\"]\n",
            ),
        ],
        expect![[r#"
            error[S021]: step does not accept an input named `targte`
             --> func.yml:8:14
              |
            8 |     inputs: {targte: all, jobs: "4", verbose: yes}
              |              ^^^^^^
              |
            help: did you mean `target`?
              |
            8 -     inputs: {targte: all, jobs: "4", verbose: yes}
            8 +     inputs: {target: all, jobs: "4", verbose: yes}
              |

            error[S023]: input `jobs` must be of type number, not string
             --> func.yml:8:33
              |
            8 |     inputs: {targte: all, jobs: "4", verbose: yes}
              |                                 ^^^
              |
            help: write 4
              |
            8 -     inputs: {targte: all, jobs: "4", verbose: yes}
            8 +     inputs: {targte: all, jobs: 4, verbose: yes}
              |

            error[S023]: input `verbose` must be of type boolean, not string
             --> func.yml:8:47
              |
            8 |     inputs: {targte: all, jobs: "4", verbose: yes}
              |                                               ^^^
              |
            help: write true
              |
            8 -     inputs: {targte: all, jobs: "4", verbose: yes}
            8 +     inputs: {targte: all, jobs: "4", verbose: true}
              |

            error[S052]: step `build` has no output `pth`
              --> func.yml:11:47
               |
            11 |     inputs: {target: "${{ steps.build.outputs.pth }}", jobs: "${{ steps.build.outputs.path }}", verbose: false, note: "${{ inputs.to...
               |                                               ^^^
               |
            help: did you mean `path`?
               |
            11 |     inputs: {target: "${{ steps.build.outputs.path }}", jobs: "${{ steps.build.outputs.path }}", verbose: false, note: "${{ inputs.token }}"}
               |                                                +

            error[S023]: input `jobs` must be of type number, not string
              --> func.yml:11:62
               |
            11 |     inputs: {target: "${{ steps.build.outputs.pth }}", jobs: "${{ steps.build.outputs.path }}", verbose: false, note: "${{ inputs.to...
               |                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            error[S024]: non-sensitive input `note` cannot derive its value from sensitive values, declare it `sensitive: true`
              --> func.yml:11:119
               |
            11 | ...{ steps.build.outputs.path }}", verbose: false, note: "${{ inputs.token }}"}
               |                                                          ^^^^^^^^^^^^^^^^^^^^^

            error[R010]: function `./lib/gone` not found: there is neither `func.yml` nor `step.yml`
              --> func.yml:13:11
               |
            13 |     func: ./lib/gone
               |           ^^^^^^^^^^

            error[R010]: function `./lib/gone.yaml` not found: there is neither `func.yml` nor `step.yml`
              --> func.yml:15:11
               |
            15 |     func: ./lib/gone.yaml
               |           ^^^^^^^^^^^^^^^
               |
               = help: the file of a function ends with `.yml`: this is read as a directory

            error[S053]: the function has no input `traget`
              --> lib/build/step.yml:11:31
               |
            11 |   command: [make, "${{ inputs.traget }}"]
               |                               ^^^^^^
               |
            help: did you mean `target`?
               |
            11 -   command: [make, "${{ inputs.traget }}"]
            11 +   command: [make, "${{ inputs.target }}"]
               |

            9 errors; `stephost explain S021` says more
            exit 1
        "#]],
    );
}

#[test]
fn functions_that_call_each_other_in_a_circle_are_found() {
    let call = |func: &str| format!("{{}}\n---\nrun:\n  - name: next\n    func: {func}\n");
    shows(
        &[
            ("a/func.yml", &call("../b")),
            ("b/func.yml", &call("../c")),
            ("c/func.yml", &call("../a")),
        ],
        expect![[r#"
            error[S041]: this leads back to `a/func.yml`, which calls this function by way of another one
             --> c/func.yml:5:11
              |
            5 |     func: ../a
              |           ^^^^

            1 error; `stephost explain S041` says more
            exit 1
        "#]],
    );
}

#[test]
fn outputs_reach_through_functions_that_delegate() {
    shows(
        &[
            (
                "func.yml",
                "{}\n---\nrun:\n  - name: greet\n    func: ./outer\n  - name: use\n    script: echo ${{ steps.greet.outputs.greeting }} ${{ steps.greet.outputs.wrong }}\n",
            ),
            (
                "outer/func.yml",
                "spec: {outputs: delegate}\n---\nrun:\n  - name: inner\n    func: builtin://hello\ndelegate: inner\n",
            ),
        ],
        expect![[r#"
            error[S052]: step `greet` has no output `wrong`
             --> func.yml:7:78
              |
            7 |     script: echo ${{ steps.greet.outputs.greeting }} ${{ steps.greet.outputs.wrong }}
              |                                                                              ^^^^^

            1 error; `stephost explain S052` says more
            exit 1
        "#]],
    );
}

#[test]
fn the_host_knows_what_its_builtins_take() {
    shows(
        &[(
            "steps.yml",
            "{}\n---\nrun:\n  - name: a\n    func: builtin://hello\n    inputs: {name: [Ada]}\n  - name: b\n    func: builtin://helo\n  - name: c\n    func: gitlab.example.com/steps/lint@v1\n    inputs: {anything: goes}\n",
        )],
        expect![[r#"
            error[S023]: input `name` must be of type string, not array
             --> steps.yml:6:20
              |
            6 |     inputs: {name: [Ada]}
              |                    ^^^^^

            error[R013]: this host has no builtin `helo`
             --> steps.yml:8:11
              |
            8 |     func: builtin://helo
              |           ^^^^^^^^^^^^^^
              |
              = help: did you mean `builtin://hello`?

            warning[R012]: functions cannot be fetched from git references by this host yet
              --> steps.yml:10:11
               |
            10 |     func: gitlab.example.com/steps/lint@v1
               |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

            2 errors, 1 warning; `stephost explain S023` says more
            exit 1
        "#]],
    );
}

#[test]
fn d11_an_operators_own_builtins_are_asked_too() {
    let installed = Installation::with_policy(usual_policy());
    let dir = dir(&[(
        "f.yml",
        "{}\n---\nrun:\n- {name: a, func: 'builtin://test/misbehave', inputs: {hwo: echo}}\n",
    )]);
    let answer = run(&installed.program(), dir.path(), &["check", "f.yml"], b"");
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.err.contains("error[S021]") && answer.err.contains("did you mean `how`?"),
        "{}",
        answer.err
    );
    let elsewhere = stephost(dir.path(), &["check", "f.yml"], b"");
    assert!(elsewhere.err.contains("error[R013]"), "{}", elsewhere.err);
    let own = installed.companion().join("builtins");
    std::fs::write(own.join("test/NOT A NAME.wasm"), "").expect("a file can be written");
    let broken = run(&installed.program(), dir.path(), &["check", "f.yml"], b"");
    assert_eq!((broken.code, broken.out.as_str()), (Some(78), ""));
}

#[test]
fn a_policy_is_known_by_its_name_or_by_how_it_begins() {
    let policy = "# runners\npolicy = 1\nname = \"runners\"\n\n[[allow]]\nfunction = \"script\"\nreason = \"r\"\nproces = [\"sh\"]\n";
    shows(
        &[("runners.toml", policy)],
        expect![[r#"
        error[P006]: key "proces" is unknown in a rule
         --> runners.toml:8:1
          |
        8 | proces = ["sh"]
          | ^^^^^^
          |
        help: did you mean `process`?
          |
        8 | process = ["sh"]
          |       +

        1 error; `stephost explain P006` says more
        exit 1
    "#]],
    );
    let without_ending = dir(&[("runners", policy)]);
    let answer = stephost(without_ending.path(), &["check", "runners"], b"");
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("error[P006]"), "{}", answer.err);
}

#[test]
fn policy_check_shows_the_same_excerpts_with_the_same_codes() {
    let dir = dir(&[("p.toml", "policy = 1\nname = \"p\"\nalow = []\n")]);
    let checked = stephost(dir.path(), &["check", "p.toml"], b"");
    let policy_checked = stephost(dir.path(), &["policy", "check", "p.toml"], b"");
    assert_eq!((checked.code, policy_checked.code), (Some(1), Some(78)));
    assert!(policy_checked.err.starts_with("error[P006]: "));
    assert!(
        checked.err.starts_with(&policy_checked.err),
        "{}",
        checked.err
    );
}

#[test]
fn the_exit_code_says_whether_something_is_wrong() {
    const FINE: &str = "{}\n---\nexec: {command: [\"true\"]}\n";
    const ODD: &str =
        "spec: {inputs: {a: {type: number, default: 010}}}\n---\nexec: {command: [\"true\"]}\n";
    const WRONG: &str = "{}\n---\nexec: {comand: [\"true\"]}\n";
    let dir = dir(&[
        ("fine.yml", FINE),
        ("odd.yml", ODD),
        ("wrong.yml", WRONG),
        (
            "calls.yml",
            "{}\n---\nrun: [{name: a, func: ./wrong.yml}]\n",
        ),
    ]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["check", "fine.yml"], 0, "fine.yml: fine\n"),
        (&["check", "odd.yml"], 0, "odd.yml: fine, 1 warning\n"),
        (
            &["check", "--deny-warnings", "odd.yml"],
            1,
            "odd.yml: fine, 1 warning\n",
        ),
        (
            &["check", "--deny-warnings", "fine.yml"],
            0,
            "fine.yml: fine\n",
        ),
        (&["check", "wrong.yml"], 1, ""),
        (&["check", "fine.yml", "wrong.yml"], 1, "fine.yml: fine\n"),
        (&["check", "calls.yml"], 1, ""),
        (
            &["check", "gone.yml", "wrong.yml", "fine.yml"],
            65,
            "fine.yml: fine\n",
        ),
        (&["check", "gone.toml"], 65, ""),
        (&["check", "."], 65, ""),
        (&["check"], 2, ""),
        (&["check", "--nothing", "fine.yml"], 2, ""),
    ];
    for (arguments, code, out) in table {
        let answer = stephost(dir.path(), arguments, b"");
        assert_eq!(answer.code, Some(*code), "{arguments:?}: {}", answer.err);
        assert_eq!(answer.out, *out, "{arguments:?}");
        assert_eq!(
            *code == 0 && !out.contains("warning"),
            answer.err.is_empty(),
            "{arguments:?}: {}",
            answer.err
        );
    }
}

#[test]
fn a_text_as_a_runner_sends_it_is_read_from_stdin() {
    let dir = dir(&[("lib/func.yml", "{}\n---\nexec: {command: [\"true\"]}\n")]);
    let text = b"{}\n---\nrun: [{name: a, func: ./lib, inputs: {x: 1}}]\n";
    let answer = stephost(dir.path(), &["check", "-"], text);
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
    assert!(
        answer.err.contains("error[S021]") && answer.err.contains("--> -:3:39"),
        "{}",
        answer.err
    );
    let fine = stephost(dir.path(), &["check", "-"], b"policy = 1\nname = \"p\"\n");
    assert_eq!((fine.code, fine.out.as_str()), (Some(0), "-: fine\n"));
}

#[test]
fn what_is_no_regular_file_is_refused_with_a_sentence_and_never_waited_for() {
    let dir = dir(&[("sub/other", "")]);
    let path = |name: &str| dir.path().join(name);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe.yml"), mode).expect("a FIFO can be made");
    std::os::unix::net::UnixListener::bind(path("socket.yml")).expect("a socket can be made");
    let files = [
        "pipe.yml",
        "sub",
        "socket.yml",
        "gone\u{1b}[31m.yml",
        "/dev/zero",
    ];
    let answer = stephost(dir.path(), &[&["check"][..], &files].concat(), b"");
    expect![[r#"
        error: pipe.yml cannot be read: not a regular file

        error: sub is a directory, name the file in it: `func.yml` or another

        error: socket.yml cannot be read: No such device or address (os error 6)

        error: gone␛[31m.yml does not exist

        error: /dev/zero cannot be read: not a regular file
    "#]]
    .assert_eq(&answer.err);
    assert_eq!((answer.code, answer.out.as_str()), (Some(65), ""));
}

#[test]
fn a_reference_to_what_is_no_regular_file_is_a_finding() {
    let dir = dir(&[
        (
            "func.yml",
            "{}\n---\nrun:\n  - {name: a, func: ./pipe}\n  - {name: b, func: ./link}\n",
        ),
        ("link/real.yml", "{}\n---\nexec: {command: [\"true\"]}\n"),
    ]);
    std::fs::create_dir(dir.path().join("pipe")).expect("a directory can be made");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe/func.yml"), mode)
        .expect("a FIFO can be made");
    std::os::unix::fs::symlink("real.yml", dir.path().join("link/func.yml"))
        .expect("a link can be made");
    let answer = stephost(dir.path(), &["check", "func.yml"], b"");
    assert_eq!(answer.code, Some(1));
    assert_eq!(
        answer.err.matches("error[R011]").count(),
        2,
        "{}",
        answer.err
    );
}

#[test]
fn a_hostile_file_is_answered_soon_briefly_and_without_acting_on_the_terminal() {
    let long_line = format!("{{}}\n---\nrun: [{}]\n", "{},".repeat(1 << 20));
    let many = format!(
        "{{}}\n---\nrun:\n{}",
        "  - {name: 1, nmae: 2}\n".repeat(40_000)
    );
    let expressions = format!(
        "{{}}\n---\nexec:\n  command: [\"{}\"]\n",
        "${{ = }}".repeat(400_000)
    );
    let names = format!(
        "{{}}\n---\nexec:\n  command: [{}]\n",
        format!("\"{}\",", "${{ x }}".repeat(50_000)).repeat(10)
    );
    let odd = "{}\n---\nexec:\n  command: [\"\u{202E}evil\u{9b}31m\", \u{200B}]\n\u{2066}wrong\u{1b}[2J: 1\n";
    let deep = format!("{{}}\n---\nrun: {}", "[".repeat(1 << 20));
    let too_long = "#".repeat((4 << 20) + 1);
    let table = [
        ("long_line.yml", long_line.as_bytes()),
        ("many.yml", many.as_bytes()),
        ("expressions.yml", expressions.as_bytes()),
        ("names.yml", names.as_bytes()),
        ("odd.yml", odd.as_bytes()),
        ("deep.yml", deep.as_bytes()),
        ("too_long.yml", too_long.as_bytes()),
        ("bytes.yml", b"{}\n---\n\xff\xfe: \x1b[31m\n"),
    ];
    let dir = TempDir::new().expect("a directory can be made");
    for (name, text) in table {
        std::fs::write(dir.path().join(name), text).expect("a file can be written");
        let answer = stephost(dir.path(), &["check", name], b"");
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (Some(1), ""),
            "{name}: {}",
            answer.err
        );
        assert!(
            answer.err.len() < 64 << 10,
            "{name}: {} bytes",
            answer.err.len()
        );
        let acts = |letter: char| {
            letter.is_control() && letter != '\n'
                || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!answer.err.contains(acts), "{name}: {:?}", answer.err);
    }
}

#[test]
fn the_json_form_is_one_document_that_opens_with_its_schema() {
    let dir = dir(&[
        (
            "func.yml",
            "{}\n---\nrun:\n  - name: a\n    func: ./b\n    inputs: {x: 010}\n  - name: a\n    scrpt: x\n",
        ),
        ("b/func.yml", "{}\n---\nexec: {command: [\"true\"]}\n"),
        ("p.toml", "policy = 1\nname = \"p\"\n"),
    ]);
    let answer = stephost(
        dir.path(),
        &["check", "--json", "func.yml", "p.toml", "gone"],
        b"",
    );
    assert_eq!((answer.code, answer.err.as_str()), (Some(65), ""));
    assert!(
        answer.out.starts_with("{\"schema\":\"stephost.check/1\","),
        "{}",
        answer.out
    );
    assert_eq!(answer.out.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&answer.out).expect("it is JSON");
    let pretty = serde_json::to_string_pretty(&json).expect("it is JSON again");
    expect![[r#"
        {
          "errors": 2,
          "files": [
            {
              "errors": 2,
              "file": "func.yml",
              "kind": "function",
              "more": false,
              "named": true,
              "unread": null,
              "warnings": 0
            },
            {
              "errors": 0,
              "file": "p.toml",
              "kind": "policy",
              "more": false,
              "named": true,
              "unread": null,
              "warnings": 0
            },
            {
              "errors": 0,
              "file": "gone",
              "kind": null,
              "more": false,
              "named": true,
              "unread": "does not exist",
              "warnings": 0
            },
            {
              "errors": 0,
              "file": "b/func.yml",
              "kind": "function",
              "more": false,
              "named": false,
              "unread": null,
              "warnings": 0
            }
          ],
          "findings": [
            {
              "bytes": [
                51,
                52
              ],
              "code": "S021",
              "column": 14,
              "file": "func.yml",
              "fix": null,
              "help": null,
              "line": 6,
              "message": "step does not accept an input named `x`",
              "related": null,
              "severity": "error"
            },
            {
              "bytes": [
                75,
                80
              ],
              "code": "S003",
              "column": 5,
              "file": "func.yml",
              "fix": {
                "bytes": [
                  75,
                  80
                ],
                "text": "script"
              },
              "help": "did you mean `script`?",
              "line": 8,
              "message": "key `scrpt` is unknown",
              "related": null,
              "severity": "error"
            }
          ],
          "left_out": false,
          "schema": "stephost.check/1",
          "warnings": 0
        }"#]]
    .assert_eq(&pretty);
    let fine = stephost(dir.path(), &["check", "--json", "b/func.yml"], b"");
    assert_eq!(fine.code, Some(0));
    expect![[r#"
        {"schema":"stephost.check/1","errors":0,"files":[{"errors":0,"file":"b/func.yml","kind":"function","more":false,"named":true,"unread":null,"warnings":0}],"findings":[],"left_out":false,"warnings":0}
    "#]].assert_eq(&fine.out);
}

#[test]
fn explain_knows_every_code_that_it_lists_and_needs_nothing_but_itself() {
    let dir = TempDir::new().expect("a directory can be made");
    let list = stephost(dir.path(), &["explain"], b"");
    assert_eq!((list.code, list.err.as_str()), (Some(0), ""));
    let codes: Vec<&str> = list
        .out
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert!(codes.len() > 70, "{codes:?}");
    for letter in ['Y', 'S', 'R', 'P'] {
        assert!(
            codes.iter().any(|code| code.starts_with(letter)),
            "{letter}"
        );
    }
    for code in codes {
        let page = stephost(dir.path(), &["explain", code], b"");
        assert_eq!((page.code, page.err.as_str()), (Some(0), ""), "{code}");
        assert!(page.out.starts_with(&format!("{code}: ")), "{}", page.out);
        assert!(
            page.out.contains("\nWrong") && page.out.contains("\nRight"),
            "{}",
            page.out
        );
        assert!(!page.out.contains("```"), "{}", page.out);
    }
    let small = stephost(dir.path(), &["explain", "s003"], b"");
    assert!(small.out.starts_with("S003: "), "{}", small.out);
    let unknown = stephost(dir.path(), &["explain", "X999\u{1b}"], b"");
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(2), ""));
    expect![[r#"
        error: there is no code "X999\u{1b}"; `stephost explain` lists all of them
    "#]]
    .assert_eq(&unknown.err);
}

#[test]
fn the_examples_of_this_project_have_nothing_to_complain_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = [
        "examples/release/func.yml",
        "examples/tarball/func.yml",
        "examples/version/func.yml",
        "policies/default.toml",
        "policies/default.resolved.toml",
    ];
    let arguments = [&["check", "--deny-warnings"][..], &files].concat();
    let answer = stephost(&root, &arguments, b"");
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert_eq!(answer.out.lines().count(), files.len(), "{}", answer.out);
}

#[test]
fn the_page_on_checking_shows_what_the_program_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/checking.md")).expect("there is a page");
    let block = |language: &str| {
        let (_, rest) = page
            .split_once(&format!("```{language}\n"))
            .expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let dir = dir(&[("func.yml", block("yaml"))]);
    let answer = stephost(dir.path(), &["check", "func.yml"], b"");
    assert_eq!(answer.err, block("text"));
    let explained = stephost(dir.path(), &["explain"], b"").out;
    for code in ["Y101", "Y102", "Y103", "S053"] {
        assert!(page.contains(code) && explained.contains(code), "{code}");
    }
}
