//! The script as bytes, and what real shells make of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::*;

fn options(shell: Shell) -> Options {
    Options {
        shell,
        environment_file: None,
        trace: false,
        check: false,
        posix_quotes: false,
        sections: false,
    }
}

fn written(options: &Options, commands: &[&str]) -> String {
    let commands: Vec<String> = commands.iter().map(|text| (*text).to_owned()).collect();
    script(options, &commands)
}

/// The shells of this machine, each with its dialect.
fn shells() -> Vec<(PathBuf, Shell)> {
    let known = ["/bin/bash", "/bin/sh", "/bin/dash", "/bin/busybox"];
    known
        .iter()
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .map(|path| {
            let shell = Shell::of_path(&path.to_string_lossy());
            (path, shell)
        })
        .collect()
}

fn run(path: &Path, text: &str) -> Output {
    let mut command = Command::new(path);
    if path.ends_with("busybox") {
        command.arg("sh");
    }
    command
        .arg("-c")
        .arg(text)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("a shell that is there starts")
}

/// What the shell showed, with numbers of ten digits as UNIX.
fn shown(path: &Path, options: &Options, commands: &[&str]) -> String {
    let output = run(path, &written(options, commands));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut from = 0;
    while let Some(at) = text[from..].find("section_").map(|at| from + at) {
        if let Some(colon) = text[at..].find(':').map(|colon| at + colon + 1)
            && text[colon..]
                .chars()
                .take(10)
                .filter(char::is_ascii_digit)
                .count()
                == 10
        {
            text.replace_range(colon..colon + 10, "UNIX");
        }
        from = at + 1;
    }
    text
}

#[test]
fn a_script_for_bash_reads_so() {
    let options = Options {
        check: true,
        trace: true,
        ..options(Shell::Bash)
    };
    assert_eq!(
        written(&options, &["echo 'a'", "", "b\nc"]),
        "trap 'exit 1' TERM\n\
         set -o pipefail\n\
         set -o errexit\n\
         set +o noclobber\n\
         set -o xtrace\n\
         echo $'\\x1b[1;32m$ echo \\'a\\'\\x1b[0m'\n\
         echo 'a'\n\
         _runner_exit_code=$?; if [ \"$_runner_exit_code\" -ne 0 ]; then exit \"$_runner_exit_code\"; fi\n\
         echo\n\
         echo $'\\x1b[1;32m$ b # collapsed multi-line command\\x1b[0m'\n\
         b\n\
         c\n\
         _runner_exit_code=$?; if [ \"$_runner_exit_code\" -ne 0 ]; then exit \"$_runner_exit_code\"; fi\n"
    );
}

#[test]
fn a_script_for_another_shell_has_the_quotes_of_posix() {
    let text = "trap 'exit 1' TERM\n\
         if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n\
         set -o errexit\n\
         set +o noclobber\n\
         printf '%s\\n' \"\x1b[1;32m\\$ echo \\\"\\$X\\\"\x1b[0m\"\n\
         echo \"$X\"\n";
    assert_eq!(written(&options(Shell::Sh), &["echo \"$X\""]), text);
    let bash = Options {
        posix_quotes: true,
        ..options(Shell::Bash)
    };
    assert!(
        written(&bash, &["echo \"$X\""])
            .ends_with("\x1b[1;32m\\$ echo \\\"\\$X\\\"\x1b[0m\"\necho \"$X\"\n")
    );
}

#[test]
fn every_row_about_what_is_shown_holds_in_every_shell() {
    let table: [(&str, &[&str], bool, &str); 6] = [
        (
            "one command",
            &["echo hi"],
            false,
            "\x1b[1;32m$ echo hi\x1b[0m\nhi\n",
        ),
        (
            "an empty command",
            &["", "echo hi"],
            false,
            "\n\x1b[1;32m$ echo hi\x1b[0m\nhi\n",
        ),
        (
            "a command that means something to every quote",
            &[r#"printf '%s\n' "it's" \`$((1+1))\\'n'"#],
            false,
            "\x1b[1;32m$ printf '%s\\n' \"it's\" \\`$((1+1))\\\\'n'\x1b[0m\nit's\n`2\\n\n",
        ),
        (
            "several lines",
            &["echo a\r\necho b"],
            false,
            "\x1b[1;32m$ echo a # collapsed multi-line command\x1b[0m\na\r\nb\n",
        ),
        (
            "sections are for several lines only, and numbered by command",
            &["echo a", "echo b\necho c"],
            true,
            "\x1b[1;32m$ echo a\x1b[0m\na\n\
             section_start:UNIX:section_script_step_1[hide_duration=true,collapsed=true]\r\x1b[0K\x1b[32;1m$ echo b\n\
             echo c\x1b[0;m\nb\nc\nsection_end:UNIX:section_script_step_1\r\x1b[0K\n",
        ),
        (
            "a shell for all",
            &["x=1", "cd /", "echo $x $PWD"],
            false,
            "\x1b[1;32m$ x=1\x1b[0m\n\x1b[1;32m$ cd /\x1b[0m\n\x1b[1;32m$ echo $x $PWD\x1b[0m\n1 /\n",
        ),
    ];
    for (path, shell) in shells() {
        for posix_quotes in [false, true] {
            for (row, commands, sections, expected) in table {
                let options = Options {
                    posix_quotes,
                    sections,
                    ..options(shell)
                };
                assert_eq!(
                    shown(&path, &options, commands),
                    expected,
                    "{row}, in {} {posix_quotes}: see contract 6.4",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_first_failure_ends_the_script_with_its_status() {
    let table: [(&[&str], bool, i32); 5] = [
        (&["(exit 3)", "echo no"], false, 3),
        (&["false", "echo no"], true, 1),
        (&["set +e", "(exit 4)", "echo no"], true, 4),
        (&["exit 5", "echo no"], false, 5),
        (&["true", "true"], true, 0),
    ];
    for (path, shell) in shells() {
        for (commands, check, code) in table {
            let options = Options {
                check,
                ..options(shell)
            };
            let output = run(&path, &written(&options, commands));
            assert_eq!(output.status.code(), Some(code), "{commands:?}");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(!text.lines().any(|line| line == "no"), "{text}");
        }
    }
}

#[test]
fn a_failure_in_a_pipe_counts_where_the_shell_knows_it() {
    for (path, shell) in shells()
        .into_iter()
        .filter(|(_, shell)| *shell == Shell::Bash)
    {
        let output = run(
            &path,
            &written(&options(shell), &["false | true", "echo no"]),
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn lines_of_the_environment_file_become_variables_and_odd_ones_do_not_matter() {
    let dir = std::env::temp_dir().join(format!("script-legacy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("it's here");
    std::fs::write(
        &file,
        "PLAIN=one two \n\nODD=a=b'$(c)\"\nno name=x\n1X=x\nNOTHING\nA-B=x\n=x\nLAST=kept",
    )
    .unwrap();
    for (path, shell) in shells() {
        let options = Options {
            environment_file: Some(file.display().to_string()),
            ..options(shell)
        };
        let commands = ["env | grep -E '^(PLAIN|ODD|LAST|NOTHING|GITLAB_ENV|_runner)' | sort"];
        let text = shown(&path, &options, &commands);
        let variables: Vec<&str> = text.lines().skip(1).collect();
        let gitlab_env = format!("GITLAB_ENV={}", file.display());
        assert_eq!(
            variables,
            [
                &*gitlab_env,
                "LAST=kept",
                "ODD=a=b'$(c)\"",
                "PLAIN=one two "
            ],
            "{}",
            path.display()
        );
        // A file that is not there is none.
        let gone = Options {
            environment_file: Some("/nowhere/at all".to_owned()),
            ..options
        };
        assert!(shown(&path, &gone, &["echo $GITLAB_ENV"]).ends_with("/nowhere/at all\n"));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_trace_shows_commands_and_no_variables_of_the_file() {
    for (path, shell) in shells() {
        let options = Options {
            trace: true,
            environment_file: Some("/dev/null".to_owned()),
            ..options(shell)
        };
        let output = run(&path, &written(&options, &["echo traced"]));
        let trace = String::from_utf8_lossy(&output.stderr);
        assert!(trace.contains("+ echo traced"), "{trace}");
        assert!(!trace.contains("GITLAB_ENV"), "{trace}");
    }
}

#[test]
fn a_shell_is_known_by_its_name() {
    let table = [
        ("bash", Shell::Bash),
        ("/usr/bin/bash", Shell::Bash),
        ("/bin/sh", Shell::Sh),
        ("/busybox/sh", Shell::Sh),
        ("/opt/bash/dash", Shell::Sh),
    ];
    for (path, shell) in table {
        assert_eq!(Shell::of_path(path), shell, "{path}");
    }
}
