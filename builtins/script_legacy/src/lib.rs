//! `builtin://script_legacy`: a list of commands in one shell, echoed and stopped at the first failure, as a runner's
//! classic `script:` jobs are used to (contract 6.4, 6.6, 12).
//!
//! Everything but running the shell is text: `commands` reads the list, `text` writes the script, `quote` puts what
//! is shown between quotes. The commands find the job's variables in their environment, so all of them are read.

mod commands;
mod quote;
mod text;

use stephost_sdk::process::{Command, Exit, which};
use stephost_sdk::{Call, Failure, Function, Outcome, Parameter, Signature, context};

use crate::text::{Options, Shell};

/// Where a shell is looked for, in this order. Unlike `script`, this begins with `PATH`: runners promise that.
const SHELLS: [&str; 9] = [
    "bash",
    "/bin/bash",
    "/usr/bin/bash",
    "/usr/local/bin/bash",
    "sh",
    "/bin/sh",
    "/usr/bin/sh",
    "/usr/local/bin/sh",
    "/busybox/sh",
];

/// Signals by which a shell may end itself without failing the step (contract 6.6).
const HARMLESS_SIGNALS: [&str; 4] = ["USR1", "USR2", "HUP", "PIPE"];

/// The job variable that names the directory of the environment file.
const DIRECTORY_VARIABLE: &str = "RUNNER_TEMP_PROJECT_DIR";

/// The environment file: a line of it, written by one script, is a variable of the next ones.
const ENVIRONMENT_FILE: &str = "gitlab_runner_env";

/// Stands before every error.
const DOING: &str = "executing script";

/// Runs a list of commands.
pub struct ScriptLegacy;

impl Function for ScriptLegacy {
    fn describe() -> Signature {
        Signature::new("Runs a list of commands in one shell and stops at the first that fails")
            .input(Parameter::array("script", "The commands, as text"))
            .input(
                Parameter::boolean("debug_trace", "Whether the shell traces what it does")
                    .or(false),
            )
            .input(
                Parameter::boolean(
                    "check_for_errors",
                    "Whether the exit status is looked at after each command, beside errexit",
                )
                .or(false),
            )
            .input(
                Parameter::boolean(
                    "posix_escape",
                    "Whether quotes are those of POSIX, not of bash",
                )
                .or(false),
            )
            .input(
                Parameter::boolean(
                    "trace_sections",
                    "Whether a command of several lines is a section of the log",
                )
                .or(false),
            )
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let commands = commands::read(call.json("script")?)
            .map_err(|fault| Failure::invalid_input("script", fault))?;
        let Some(path) = which(&SHELLS) else {
            return Err(Failure::failed(
                "executing script: neither bash nor sh is in PATH, /bin, /usr/bin, /usr/local/bin",
            ));
        };
        let variables = context::job_variables();
        let options = Options {
            shell: Shell::of_path(&path),
            environment_file: environment_file(&variables),
            trace: call.boolean("debug_trace")?,
            check: call.boolean("check_for_errors")?,
            posix_quotes: call.boolean("posix_escape")?,
            sections: call.boolean("trace_sections")?,
        };
        let exit = Command::new(path)
            .file("step-runner-script.sh", text::script(&options, &commands))
            .envs(variables)
            .run()
            .map_err(|error| error.failure(DOING))?;
        judge(&exit)?;
        Ok(Outcome::empty())
    }
}

fn environment_file(variables: &[(String, String)]) -> Option<String> {
    let (_, directory) = variables
        .iter()
        .find(|(name, directory)| name == DIRECTORY_VARIABLE && !directory.is_empty())?;
    Some(format!(
        "{}/{ENVIRONMENT_FILE}",
        directory.trim_end_matches('/')
    ))
}

fn judge(exit: &Exit) -> Result<(), Failure> {
    if exit
        .signal()
        .is_some_and(|signal| HARMLESS_SIGNALS.contains(&signal))
    {
        return Ok(());
    }
    exit.check(DOING)
}

stephost_sdk::export!(ScriptLegacy);
stephost_sdk::needs!(
    process = [
        "bash",
        "/bin/bash",
        "/usr/bin/bash",
        "/usr/local/bin/bash",
        "sh",
        "/bin/sh",
        "/usr/bin/sh",
        "/usr/local/bin/sh",
        "/busybox/sh"
    ],
    env = ["*"]
);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::Value;
    use stephost_sdk::testing::{Report, Stage};

    fn legacy(stage: Stage, script: &str) -> Report {
        stage.run::<ScriptLegacy>([("script", Value::Json(script.to_owned()))])
    }

    #[test]
    fn the_script_is_a_file_and_the_job_variables_are_its_environment() {
        let stage = Stage::new()
            .program("bash", 0)
            .job_variable("CI", "true")
            .job_variable("RUNNER_TEMP_PROJECT_DIR", "/builds/p.tmp/");
        let report = legacy(stage, r#"["echo a"]"#);
        assert_eq!(report.result, Ok(Outcome::empty()));
        let command = &report.programs[0];
        assert_eq!(command.program, "bash");
        assert_eq!(
            (command.files[0].name.as_str(), command.files[0].argument),
            ("step-runner-script.sh", 0)
        );
        let text = String::from_utf8_lossy(&command.files[0].content);
        assert!(
            text.contains("GITLAB_ENV='/builds/p.tmp/gitlab_runner_env'\n"),
            "{text}"
        );
        let names: Vec<_> = command
            .environment
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        assert_eq!(names, ["CI", "RUNNER_TEMP_PROJECT_DIR"]);
    }

    #[test]
    fn bash_comes_before_sh_and_the_path_before_known_places() {
        let table: [(&[&str], &str); 4] = [
            (&["sh", "/usr/local/bin/bash"], "/usr/local/bin/bash"),
            (&["/bin/bash", "bash"], "bash"),
            (&["/busybox/sh", "/usr/bin/sh"], "/usr/bin/sh"),
            (&["/busybox/sh"], "/busybox/sh"),
        ];
        for (shells, first) in table {
            let stage = shells
                .iter()
                .fold(Stage::new(), |stage, shell| stage.program(shell, 0));
            let report = legacy(stage, r#"["true"]"#);
            assert_eq!(report.programs[0].program, first, "{shells:?}");
        }
        let report = legacy(Stage::new(), r#"["true"]"#);
        assert_eq!(
            report.result,
            Err(Failure::failed(
                "executing script: neither bash nor sh is in PATH, /bin, /usr/bin, /usr/local/bin"
            ))
        );
    }

    #[test]
    fn every_row_about_exits_holds() {
        let failed = |text: &str| Err(Failure::failed(format!("executing script: {text}")));
        let table = [
            (
                "exit 0",
                Stage::new().program("sh", 0),
                Ok(Outcome::empty()),
            ),
            (
                "exit 3",
                Stage::new().program("sh", 3),
                Err(Failure::exit(3, "executing script")),
            ),
            (
                "USR1",
                Stage::new().program_killed_by("sh", "USR1"),
                Ok(Outcome::empty()),
            ),
            (
                "USR2",
                Stage::new().program_killed_by("sh", "USR2"),
                Ok(Outcome::empty()),
            ),
            (
                "HUP",
                Stage::new().program_killed_by("sh", "HUP"),
                Ok(Outcome::empty()),
            ),
            (
                "PIPE",
                Stage::new().program_killed_by("sh", "PIPE"),
                Ok(Outcome::empty()),
            ),
            (
                "TERM",
                Stage::new().program_killed_by("sh", "TERM"),
                failed("signal: TERM"),
            ),
            (
                "KILL",
                Stage::new().program_killed_by("sh", "KILL"),
                failed("signal: KILL"),
            ),
        ];
        for (row, stage, result) in table {
            assert_eq!(
                legacy(stage, r#"["true"]"#).result,
                result,
                "{row}: see contract 6.6"
            );
        }
    }

    #[test]
    fn without_commands_nothing_is_run() {
        let report = legacy(Stage::new().program("sh", 0), "[]");
        assert_eq!(
            report.result,
            Err(Failure::invalid_input("script", "is empty"))
        );
        assert_eq!(report.programs, []);
    }
}
