//! `builtin://hello`: the smallest builtin. It greets somebody, and so shows every way a step speaks: inputs,
//! outputs, exports, the log. Called by: people who try out a host, and its tests.

use stephost_sdk::{Call, Failure, Function, Outcome, Parameter, Signature, log};

/// Greets somebody by name.
pub struct Hello;

impl Function for Hello {
    fn describe() -> Signature {
        Signature::new("Greets somebody by name")
            .input(Parameter::text("name", "Who is greeted").or("world"))
            .output(Parameter::text("greeting", "The greeting that was logged"))
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let name = call.text("name")?;
        let greeting = format!("Hello, {name}!");
        log::line(&greeting)?;
        Ok(Outcome::empty()
            .output("greeting", greeting)
            .export("HELLO_GREETED", name))
    }
}

stephost_sdk::export!(Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::testing::Stage;

    #[test]
    fn it_greets_the_world_when_nobody_is_named() {
        let report = Stage::new().run::<Hello>([]);
        assert_eq!(report.output, "Hello, world!\n");
    }

    #[test]
    fn it_logs_returns_and_exports_who_was_greeted() {
        let report = Stage::new().run::<Hello>([("name", "Ada".into())]);
        let outcome = Outcome::empty()
            .output("greeting", "Hello, Ada!")
            .export("HELLO_GREETED", "Ada");
        assert_eq!(
            (report.result, report.output.as_str()),
            (Ok(outcome), "Hello, Ada!\n")
        );
    }

    #[test]
    fn a_name_that_is_no_text_is_an_invalid_input() {
        let report = Stage::new().run::<Hello>([("name", 3.into())]);
        assert_eq!(
            report.result,
            Err(Failure::invalid_input(
                "name",
                "expected text, found a number"
            ))
        );
    }
}
