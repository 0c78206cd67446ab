//! `builtin://script`: shell text, run by bash, or else by sh (contract 6.3). What a `script:` item calls.
//!
//! The text runs with the shell's default options, in the job's directory, as the shell's argument; one that is too
//! long for that as a file.

use stephost_sdk::process::{Command, which};
use stephost_sdk::{Call, Failure, Function, Outcome, Parameter, Signature};

/// Where a shell is looked for, in this order; never in a `PATH`, which a job controls.
const SHELLS: [&str; 6] = [
    "/usr/local/bin/bash",
    "/usr/bin/bash",
    "/bin/bash",
    "/usr/local/bin/sh",
    "/usr/bin/sh",
    "/bin/sh",
];

/// Longest text that is passed as an argument, in bytes: Linux takes 128 KiB with the closing zero byte.
const ARGUMENT_BYTES_MAX: usize = (128 << 10) - 1;

/// Stands before every error.
const DOING: &str = "executing script";

/// Runs shell text.
pub struct Script;

impl Function for Script {
    fn describe() -> Signature {
        Signature::new("Runs shell text").input(Parameter::text("script", "Shell text"))
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let text = call.text("script")?;
        let Some(shell) = which(&SHELLS) else {
            return Err(Failure::failed(
                "executing script: neither bash nor sh is in /usr/local/bin, /usr/bin, /bin",
            ));
        };
        let shell = Command::new(shell);
        let command = if text.len() <= ARGUMENT_BYTES_MAX {
            shell.args(["-c", text])
        } else {
            shell.file("script.sh", text)
        };
        let exit = command.run().map_err(|error| error.failure(DOING))?;
        exit.check(DOING)?;
        Ok(Outcome::empty())
    }
}

stephost_sdk::export!(Script);
stephost_sdk::needs!(
    process = [
        "/usr/local/bin/bash",
        "/usr/bin/bash",
        "/bin/bash",
        "/usr/local/bin/sh",
        "/usr/bin/sh",
        "/bin/sh"
    ]
);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::process::StartError;
    use stephost_sdk::testing::{Report, Stage};

    fn script(stage: Stage, text: &str) -> Report {
        stage.run::<Script>([("script", text.into())])
    }

    #[test]
    fn the_text_is_an_argument_of_the_first_shell_there_is() {
        let table: [(&[&str], &str); 3] = [
            (&["/bin/sh", "/usr/bin/bash"], "/usr/bin/bash"),
            (&["/bin/sh", "/usr/bin/sh"], "/usr/bin/sh"),
            (&["bash", "/busybox/sh", "/bin/sh"], "/bin/sh"),
        ];
        for (shells, first) in table {
            let stage = shells
                .iter()
                .fold(Stage::new(), |stage, shell| stage.program(shell, 0));
            let report = script(stage, "echo $X");
            assert_eq!(report.result, Ok(Outcome::empty()), "{shells:?}");
            assert_eq!(
                report.programs,
                [Command::new(first).args(["-c", "echo $X"])]
            );
        }
    }

    #[test]
    fn a_text_that_is_too_long_for_an_argument_is_a_file() {
        for (bytes, files) in [(ARGUMENT_BYTES_MAX, 0), (ARGUMENT_BYTES_MAX + 1, 1)] {
            let text = "x".repeat(bytes);
            let report = script(Stage::new().program("/bin/sh", 0), &text);
            let command = &report.programs[0];
            assert_eq!(command.files.len(), files, "{bytes} bytes");
            let content = match command.files.first() {
                Some(file) => &file.content,
                None => command.arguments[1].as_bytes(),
            };
            assert_eq!(content, text.as_bytes());
        }
    }

    #[test]
    fn every_way_to_fail_says_that_a_script_was_executed() {
        let table = [
            (
                Stage::new().program("/bin/sh", 5),
                Failure::exit(5, "executing script"),
            ),
            (
                Stage::new().program_killed_by("/bin/sh", "KILL"),
                Failure::failed("executing script: signal: KILL"),
            ),
            (
                Stage::new().program_that_does_not_start(
                    "/bin/sh",
                    StartError::Failed("too large".to_owned()),
                ),
                Failure::failed("executing script: too large"),
            ),
            (
                Stage::new(),
                Failure::failed(
                    "executing script: neither bash nor sh is in /usr/local/bin, /usr/bin, /bin",
                ),
            ),
        ];
        for (stage, failure) in table {
            assert_eq!(script(stage, "x").result, Err(failure));
        }
    }
}
