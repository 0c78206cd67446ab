//! Steps by their types: what `#[step]`, `#[derive(Inputs)]` and `#[derive(Outputs)]` implement.
//!
//! Owns the way from typed inputs to typed outputs, and which Rust types stand for which values. Called by:
//! the macros, and authors who teach a type of their own to be an input or an output.

#[cfg(feature = "json")]
mod json;
mod number;
mod plain;

use crate::{Call, Failure, Function, Outcome, Parameter, Signature, Step, Value, ValueType};

#[cfg(feature = "json")]
pub use json::Json;

/// What a step takes. Derive it for a struct: each field is one input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the inputs of a step",
    label = "not inputs",
    note = "write `#[derive(Inputs)]` above the struct; a step without inputs takes `()`"
)]
pub trait Inputs: Sized {
    /// Declares the inputs, in order.
    fn parameters() -> Vec<Parameter>;

    /// Reads them.
    ///
    /// # Errors
    /// The first input that cannot be used.
    fn read(call: &Call) -> Result<Self, Failure>;
}

/// What a step gives. Derive it for a struct: each field is one output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the outputs of a step",
    label = "not outputs",
    note = "write `#[derive(Outputs)]` above the struct; a step without outputs gives `()`"
)]
pub trait Outputs: Sized {
    /// Declares the outputs, in order.
    fn parameters() -> Vec<Parameter>;

    /// Writes them.
    ///
    /// # Errors
    /// The first value that the host could not take.
    fn write(self) -> Result<Vec<(String, Value)>, Failure>;
}

/// Takes nothing.
impl Inputs for () {
    fn parameters() -> Vec<Parameter> {
        Vec::new()
    }

    fn read(_call: &Call) -> Result<(), Failure> {
        Ok(())
    }
}

/// Gives nothing.
impl Outputs for () {
    fn parameters() -> Vec<Parameter> {
        Vec::new()
    }

    fn write(self) -> Result<Vec<(String, Value)>, Failure> {
        Ok(Vec::new())
    }
}

/// A type that one input can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an input",
    label = "no value of the host becomes this",
    note = "inputs are `String`, `bool`, `f64`, whole numbers, `Secret`, and `Option` of them",
    note = "with the feature `json` also `Vec<T>`, maps with `String` keys, and `Json<T>` for what serde can read"
)]
pub trait InputValue: Sized {
    /// What the host checks before the step begins.
    const TYPE: ValueType;

    /// Declares an input of this type.
    #[must_use]
    fn parameter(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, Self::TYPE, doc)
    }

    /// Reads the input `name`.
    ///
    /// # Errors
    /// When it is missing, or no value of this type.
    fn read(call: &Call, name: &str) -> Result<Self, Failure>;
}

/// A type that one output can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an output",
    label = "no value of the host is made of this",
    note = "outputs are `String`, `bool`, `f64`, whole numbers, and `Option` of them",
    note = "with the feature `json` also `Vec<T>`, maps with `String` keys, and `Json<T>` for what serde can write"
)]
pub trait OutputValue: Sized {
    /// What the host checks after the step.
    const TYPE: ValueType;

    /// Declares an output of this type.
    #[must_use]
    fn parameter(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, Self::TYPE, doc)
    }

    /// Makes the value; [`Value::Null`] leaves the output out.
    ///
    /// # Errors
    /// What about the value the host could not take, as the end of a sentence that begins with its name.
    fn write(self) -> Result<Value, String>;
}

/// What arrives sealed: the types of sensitive inputs.
#[diagnostic::on_unimplemented(
    message = "a sensitive input arrives sealed, so it cannot be `{Self}`",
    label = "must be `Secret` or `Option<Secret>`",
    note = "`secret.reveal()?` gives the text, and the host takes note that it was opened"
)]
pub trait ArrivesSealed {}

/// Compiles for the types of sensitive inputs. Called by `#[derive(Inputs)]`.
#[doc(hidden)]
pub fn arrives_sealed<T: ArrivesSealed>() {}

/// Gives a declared input its default. Called by `#[derive(Inputs)]`.
///
/// # Panics
/// When the default is a value that the host could not take; `describe` runs in every test of the step.
#[doc(hidden)]
#[must_use]
pub fn with_default<T: OutputValue>(parameter: Parameter, default: T) -> Parameter {
    match default.write() {
        Ok(value) => parameter.or(value),
        Err(fault) => panic!("the default of the input `{}` {fault}", parameter.name),
    }
}

/// Adds one output, unless it is left out. Called by `#[derive(Outputs)]`.
///
/// # Errors
/// When the host could not take the value.
#[doc(hidden)]
pub fn write_output(
    outputs: &mut Vec<(String, Value)>,
    name: &str,
    output: Result<Value, String>,
) -> Result<(), Failure> {
    match output {
        Ok(Value::Null) => Ok(()),
        Ok(value) => {
            outputs.push((name.to_owned(), value));
            Ok(())
        }
        Err(fault) => Err(Failure::failed(format!("the output `{name}` {fault}"))),
    }
}

/// A step with types. `#[step]` implements it; it makes a [`Function`] of every such step.
#[doc(hidden)]
pub trait TypedStep {
    /// What it takes.
    type Input: Inputs;
    /// What it gives.
    type Output: Outputs;
    /// One sentence.
    const SUMMARY: &'static str;

    /// The step itself.
    ///
    /// # Errors
    /// Whatever made it fail.
    fn call(input: Self::Input, step: &Step) -> Result<Self::Output, Failure>;
}

impl<T: TypedStep> Function for T {
    fn describe() -> Signature {
        Signature {
            summary: T::SUMMARY.to_owned(),
            inputs: T::Input::parameters(),
            outputs: T::Output::parameters(),
        }
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let input = T::Input::read(call)?;
        let step = Step::new();
        let outputs = T::call(input, &step)?.write()?;
        Ok(Outcome {
            outputs,
            exports: step.into_exports(),
        })
    }
}
