//! `new-step`: a step for stephost.

use stephost_sdk::prelude::*;

/// What the step takes: each field is an input, each doc comment its description.
#[derive(Inputs)]
pub struct Input {
    /// Who is greeted
    #[input(default = "world")]
    name: String,
}

/// What the step gives.
#[derive(Outputs)]
pub struct Output {
    /// The greeting that was logged
    greeting: String,
}

/// Greets somebody by name
#[step(needs(exports = ["GREETED"]))]
pub fn new_step(input: Input, step: &Step) -> Result<Output, Failure> {
    if input.name.is_empty() {
        return Err(Failure::exit(3, "nobody to greet"));
    }
    let greeting = format!("Hello, {}!", input.name);
    say!("{greeting}");
    step.export("GREETED", input.name);
    Ok(Output { greeting })
}

#[cfg(test)]
mod tests {
    use super::new_step;
    use stephost_sdk::Failure;
    use stephost_sdk::testing::{Stage, inputs};

    #[test]
    fn it_greets_who_is_named() {
        let report = Stage::new().run::<new_step>(inputs! { name: "Ada" });
        assert_eq!(report.returned("greeting"), "Hello, Ada!");
        assert_eq!(report.exported("GREETED"), "Ada");
        assert_eq!(report.output, "Hello, Ada!\n");
    }

    #[test]
    fn it_fails_when_nobody_is_there() {
        let report = Stage::new().run::<new_step>(inputs! { name: "" });
        assert_eq!(report.failed(), &Failure::exit(3, "nobody to greet"));
    }
}
