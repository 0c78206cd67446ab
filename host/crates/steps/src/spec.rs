//! What a function takes and gives, and whether given values fit.
//!
//! Owns the checks of contract 3.7 with K24 and K25: names, presence, types, defaults, sensitivity. The same
//! checks serve functions from YAML, builtins, and the outputs of composites.
//! Called by: `host::run`, before a function starts and after it ended.

use std::collections::BTreeMap;
use std::fmt;

use stephost_expr::{Kind, Value};

use crate::code::Code;
use crate::name::Name;
use crate::nearest::nearest;

pub(crate) mod read;

/// What a function takes and gives.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// The inputs it accepts.
    pub inputs: BTreeMap<Name, Parameter>,
    /// The outputs it promises.
    pub outputs: Outputs,
}

/// The outputs of a function.
#[derive(Debug, Clone)]
pub enum Outputs {
    /// These outputs.
    Declared(BTreeMap<Name, Parameter>),
    /// Whatever the step gives that the definition delegates to.
    Delegate,
}

impl Default for Outputs {
    fn default() -> Self {
        Self::Declared(BTreeMap::new())
    }
}

/// One input or output.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The type of its values.
    pub ty: ValueType,
    /// The value when none is given; without it one must be given.
    pub default: Option<Value>,
    /// Whether its values must be hidden.
    pub sensitive: bool,
    /// What it is for.
    pub description: Option<String>,
}

/// The types that a spec can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An array of anything.
    Array,
    /// An object.
    Struct,
}

impl ValueType {
    /// Every type with its word, in the order of the contract.
    const WORDS: [(&'static str, Self); 5] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("struct", Self::Struct),
        ("array", Self::Array),
    ];

    /// Returns the type that `word` names.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, ty)| *ty)
    }

    /// Returns the word of this type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Struct => "struct",
        }
    }

    /// Returns whether `value` is of this type. Null is of none.
    pub fn accepts(self, value: &Value) -> bool {
        self.accepts_kind(value.kind())
    }

    /// Returns whether values of this kind are of this type.
    pub(crate) fn accepts_kind(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::String, Kind::String)
                | (Self::Number, Kind::Number)
                | (Self::Boolean, Kind::Boolean)
                | (Self::Array, Kind::Array)
                | (Self::Struct, Kind::Object)
        )
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the word of a kind of values in the language of specs, where an object is a struct.
pub(crate) fn type_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "boolean",
        Kind::Number => "number",
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "struct",
        Kind::Function => "function",
    }
}

/// Why given inputs do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The function has no such input.
    #[error("step does not accept an input named `{name}`{}", did_you_mean(nearest.as_ref()))]
    Unknown {
        /// The name that was given.
        name: Name,
        /// The declared name that was probably meant.
        nearest: Option<Name>,
    },
    /// An input without default was not given.
    #[error("input `{name}` is required but not defined")]
    Missing {
        /// The input.
        name: Name,
    },
    /// The value is of another type than declared.
    #[error("input `{name}` must be of type {expected}, not {found}")]
    WrongType {
        /// The input.
        name: Name,
        /// The declared type.
        expected: ValueType,
        /// The type that was given.
        found: &'static str,
    },
    /// The value is hidden, and the input would show it.
    #[error(
        "non-sensitive input `{name}` cannot derive its value from sensitive values, declare it `sensitive: true`"
    )]
    Sensitive {
        /// The input.
        name: Name,
    },
}

/// Why outputs do not fit what was promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The spec has no such output.
    #[error("unexpected output `{name}`, the spec does not declare it{}", did_you_mean(nearest.as_ref()))]
    Unexpected {
        /// The name that was given.
        name: Name,
        /// The declared name that was probably meant.
        nearest: Option<Name>,
    },
    /// An output without default was not given.
    #[error("missing output `{name}`, it has no default and was not written")]
    Missing {
        /// The output.
        name: Name,
    },
    /// The value is of another type than declared.
    #[error("output `{name}` must be of type {expected}, not {found}")]
    WrongType {
        /// The output.
        name: Name,
        /// The declared type.
        expected: ValueType,
        /// The type that was given.
        found: &'static str,
    },
}

impl InputError {
    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Unknown { .. } => Code::S021,
            Self::Missing { .. } => Code::S022,
            Self::WrongType { .. } => Code::S023,
            Self::Sensitive { .. } => Code::S024,
        };
        code.as_str()
    }
}

impl OutputError {
    /// Returns the code under which the fault is explained.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Unexpected { .. } => Code::S031,
            Self::Missing { .. } => Code::S032,
            Self::WrongType { .. } => Code::S033,
        };
        code.as_str()
    }
}

fn did_you_mean(nearest: Option<&Name>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

impl Spec {
    /// Returns the inputs a function sees: those given, defaults for the others, sensitive ones marked.
    ///
    /// # Errors
    /// The first [`InputError`] in the order: unknown names, values that do not fit, missing ones; each by name.
    pub fn check_inputs(
        &self,
        given: BTreeMap<Name, Value>,
    ) -> Result<BTreeMap<Name, Value>, InputError> {
        if let Some(name) = stranger(&self.inputs, &given) {
            return Err(InputError::Unknown {
                nearest: nearest_name(&name, &self.inputs),
                name,
            });
        }
        complete(&self.inputs, given, |name, parameter, value| {
            if !parameter.ty.accepts(value) {
                let (expected, found) = (parameter.ty, type_word(value.kind()));
                return Err(InputError::WrongType {
                    name: name.clone(),
                    expected,
                    found,
                });
            }
            if value.is_sensitive() && !parameter.sensitive {
                return Err(InputError::Sensitive { name: name.clone() });
            }
            Ok(())
        })?
        .map_err(|name| InputError::Missing { name })
    }

    /// Returns the outputs of a function: those given, defaults for the others, sensitive ones marked.
    ///
    /// Outputs of a function that delegates are what the other step gave: they come back as they are.
    ///
    /// # Errors
    /// The first [`OutputError`] in the order: undeclared names, values that do not fit, missing ones; each by name.
    pub fn check_outputs(
        &self,
        given: BTreeMap<Name, Value>,
    ) -> Result<BTreeMap<Name, Value>, OutputError> {
        let declared = match &self.outputs {
            Outputs::Declared(declared) => declared,
            Outputs::Delegate => return Ok(given),
        };
        if let Some(name) = stranger(declared, &given) {
            return Err(OutputError::Unexpected {
                nearest: nearest_name(&name, declared),
                name,
            });
        }
        complete(declared, given, |name, parameter, value| {
            if parameter.ty.accepts(value) {
                return Ok(());
            }
            let (expected, found) = (parameter.ty, type_word(value.kind()));
            Err(OutputError::WrongType {
                name: name.clone(),
                expected,
                found,
            })
        })?
        .map_err(|name| OutputError::Missing { name })
    }
}

fn stranger(declared: &BTreeMap<Name, Parameter>, given: &BTreeMap<Name, Value>) -> Option<Name> {
    given
        .keys()
        .find(|name| !declared.contains_key(*name))
        .cloned()
}

pub(crate) fn nearest_name(name: &Name, declared: &BTreeMap<Name, Parameter>) -> Option<Name> {
    let nearest = nearest(name.as_str(), declared.keys().map(Name::as_str))?;
    declared
        .get_key_value(nearest)
        .map(|(name, _)| name.clone())
}

/// Checks every given value, then fills in defaults and marks. The inner error is the first name without a value.
fn complete<E>(
    declared: &BTreeMap<Name, Parameter>,
    mut given: BTreeMap<Name, Value>,
    check: impl Fn(&Name, &Parameter, &Value) -> Result<(), E>,
) -> Result<Result<BTreeMap<Name, Value>, Name>, E> {
    for (name, value) in &given {
        if let Some(parameter) = declared.get(name) {
            check(name, parameter, value)?;
        }
    }
    let mut complete = BTreeMap::new();
    for (name, parameter) in declared {
        let Some(value) = given.remove(name).or_else(|| parameter.default.clone()) else {
            return Ok(Err(name.clone()));
        };
        complete.insert(
            name.clone(),
            if parameter.sensitive {
                value.sensitive()
            } else {
                value
            },
        );
    }
    Ok(Ok(complete))
}
