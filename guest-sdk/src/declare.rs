//! Writing down a [`Signature`] in the order one reads it.

use crate::{Parameter, Signature, Value, ValueType};

impl Signature {
    /// Starts a signature; `summary` is one sentence about the step.
    #[must_use]
    pub fn new(summary: &str) -> Signature {
        Signature {
            summary: summary.to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Parameter) -> Signature {
        self.inputs.push(input);
        self
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, output: Parameter) -> Signature {
        self.outputs.push(output);
        self
    }
}

impl Parameter {
    /// Declares text.
    #[must_use]
    pub fn text(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, ValueType::Text, doc)
    }

    /// Declares a number.
    #[must_use]
    pub fn number(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, ValueType::Number, doc)
    }

    /// Declares a boolean.
    #[must_use]
    pub fn boolean(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, ValueType::Boolean, doc)
    }

    /// Declares a JSON object.
    #[must_use]
    pub fn object(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, ValueType::Object, doc)
    }

    /// Declares a JSON array.
    #[must_use]
    pub fn array(name: &str, doc: &str) -> Parameter {
        Parameter::new(name, ValueType::Array, doc)
    }

    /// Gives it a default, which makes an input optional.
    #[must_use]
    pub fn or(mut self, default: impl Into<Value>) -> Parameter {
        self.default = Some(default.into());
        self
    }

    /// Marks it as a secret: the host masks its value in the log, and an input arrives sealed.
    #[must_use]
    pub fn sensitive(mut self) -> Parameter {
        self.sensitive = true;
        self
    }

    pub(crate) fn new(name: &str, ty: ValueType, doc: &str) -> Parameter {
        Parameter {
            name: name.to_owned(),
            ty,
            default: None,
            sensitive: false,
            doc: doc.to_owned(),
        }
    }
}
