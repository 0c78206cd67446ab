//! A builtin that runs programs in every way there is. Never shipped: tests lay it beside the host as an operator lays
//! his own, as `builtin://test/launch`. It does not say what it needs, like one that was made without our SDK.
//!
//! The input `how` names the manner, `program` the program, `argument` what follows `-c` unless it is empty, and `n` is
//! a number that some manners use. What a manner is good for is said at its arm.

use std::hint::black_box;
use std::time::Duration;

use stephost_sdk::process::{Command, Exit, StartError, which};
use stephost_sdk::{Call, Failure, Function, Outcome, Parameter, Signature, control, log};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Runs programs as it is told.
pub struct Launch;

impl Function for Launch {
    fn describe() -> Signature {
        Signature::new("Runs programs in the way it is told")
            .input(Parameter::text("how", "The manner"))
            .input(Parameter::text("program", "What is run").or("true"))
            .input(Parameter::text("argument", "Its argument").or(""))
            .input(Parameter::number("n", "A number for the manner").or(1))
            .output(Parameter::text("text", "What came of it"))
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let n = usize::try_from(call.integer("n")?)
            .map_err(|_| Failure::invalid_input("n", "must not be negative"))?;
        let program = call.text("program")?;
        let argument = call.text("argument")?;
        let command = || {
            let command = Command::new(program);
            if argument.is_empty() {
                command
            } else {
                command.args(["-c", argument])
            }
        };
        let text = match call.text("how")? {
            "run" => ended(command().run()),
            // Everything that a command has.
            "dress" => ended(
                Command::new(program)
                    .file("a script.sh", argument)
                    .args(["one", ""])
                    .env("SET", "set")
                    .env("PASSING", "by")
                    .env_remove("PASSING")
                    .env_remove("GONE")
                    .run(),
            ),
            // A file for an argument that is not there.
            "misplace" => {
                let mut command = command().file("a", "b");
                command.files[0].argument = 7;
                ended(command.run())
            }
            "which" => format!("{:?}", which(&["no-such-program", program, "/bin/sh"])),
            "stop" => {
                let child = command().start()?;
                control::wait(Duration::from_millis(n as u64));
                child.stop();
                format!("{:?} {:?}", child.wait().ending, child.wait().ending)
            }
            // Kills it, and goes on.
            "drop" => {
                drop(command().start()?);
                "dropped".to_owned()
            }
            // Ends, and never thinks of it again.
            "forget" => {
                std::mem::forget(command().start()?);
                "forgotten".to_owned()
            }
            // Computes while its program runs.
            "spin" => {
                let _child = command().start()?;
                let mut turns = 0_u64;
                loop {
                    turns = black_box(turns.wrapping_add(1));
                }
            }
            "panic" => {
                let _child = command().start()?;
                panic!("asked to panic beside a program");
            }
            // Starts one more after it was told to stop.
            "persist" => {
                log::line("waiting")?;
                control::wait(FOR_EVER);
                log::line(ended(command().run()))?;
                "not stopped".to_owned()
            }
            // Holds as many as it can.
            "hoard" => {
                let mut held = Vec::new();
                loop {
                    match command().start() {
                        Ok(child) => held.push(child),
                        Err(error) => break format!("{} {error:?}", held.len()),
                    }
                    if held.len() == n {
                        break n.to_string();
                    }
                }
            }
            // One after the other.
            "churn" => {
                let runs = (0..n).map(|_| command().run());
                match runs.filter_map(Result::err).next() {
                    Some(error) => format!("{error:?}"),
                    None => n.to_string(),
                }
            }
            // A command of n bytes, all in arguments or all in a file.
            "long-argument" => ended(command().arg("x".repeat(n)).run()),
            "long-file" => ended(command().file("long", "x".repeat(n)).run()),
            unknown => {
                return Err(Failure::invalid_input(
                    "how",
                    format!("`{unknown}` is unknown"),
                ));
            }
        };
        Ok(Outcome::empty().output("text", text))
    }
}

fn ended(exit: Result<Exit, StartError>) -> String {
    match exit {
        Ok(exit) => format!("{:?} {}", exit.ending, exit.background),
        Err(error) => format!("{error:?}"),
    }
}

stephost_sdk::export!(Launch);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::testing::Stage;

    #[test]
    fn a_program_that_is_dressed_up_has_everything() {
        let report = Stage::new()
            .program("sh", 0)
            .run::<Launch>([("how", "dress".into()), ("program", "sh".into())]);
        assert_eq!(report.programs[0].arguments, ["", "one", ""]);
        assert_eq!(report.programs[0].environment.len(), 4);
    }
}
