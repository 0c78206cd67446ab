//! `builtin://hello`: the smallest builtin. It greets somebody, and so shows every way a step speaks: inputs,
//! outputs, exports, the log. Called by: people who try out a host, and its tests.

use stephost_sdk::prelude::*;

/// What it takes.
#[derive(Inputs)]
pub struct Input {
    /// Who is greeted
    #[input(default = "world")]
    name: String,
}

/// What it gives.
#[derive(Outputs)]
pub struct Output {
    /// The greeting that was logged
    greeting: String,
}

/// Greets somebody by name
#[step(needs(exports = ["HELLO_GREETED"]))]
pub fn hello(input: Input, step: &Step) -> Result<Output, Failure> {
    let greeting = format!("Hello, {}!", input.name);
    say!("{greeting}");
    step.export("HELLO_GREETED", input.name);
    Ok(Output { greeting })
}

#[cfg(test)]
mod tests {
    use super::hello;
    use stephost_sdk::Failure;
    use stephost_sdk::testing::{Stage, inputs};

    #[test]
    fn it_greets_the_world_when_nobody_is_named() {
        let report = Stage::new().run::<hello>(inputs! {});
        assert_eq!(report.output, "Hello, world!\n");
    }

    #[test]
    fn it_logs_returns_and_exports_who_was_greeted() {
        let report = Stage::new().run::<hello>(inputs! { name: "Ada" });
        assert_eq!(report.returned("greeting"), "Hello, Ada!");
        assert_eq!(report.exported("HELLO_GREETED"), "Ada");
        assert_eq!(report.output, "Hello, Ada!\n");
    }

    #[test]
    fn a_name_that_is_no_text_is_an_invalid_input() {
        let report = Stage::new().run::<hello>(inputs! { name: 3 });
        let expected = Failure::invalid_input("name", "expected text, found a number");
        assert_eq!(report.failed(), &expected);
    }
}
