//! The first document: `spec:` with `inputs` and `outputs` (contract 3.2).

use std::collections::BTreeMap;

use super::{Outputs, Parameter, Spec, ValueType, type_word};
use crate::document::Notes;
use crate::error::{Advice, Fault, Problem, Subject};
use crate::fields::{self, Fields, Shape};
use crate::name::Name;
use crate::nearest::nearest;
use crate::quoted::Quoted;
use crate::tree;
use crate::yaml::{Content, Meaning, Node};

const SECOND_DOCUMENT: &str = "in the second document, below the line `---`";

const DOCUMENT: Shape = Shape {
    what: "the spec document",
    keys: &["spec"],
    elsewhere: &[
        ("run", SECOND_DOCUMENT),
        ("exec", SECOND_DOCUMENT),
        ("env", SECOND_DOCUMENT),
        ("delegate", SECOND_DOCUMENT),
        ("steps", SECOND_DOCUMENT),
        ("inputs", "below `spec`"),
        ("outputs", "below `spec`"),
    ],
    top: true,
};

const SPEC: Shape = Shape {
    what: "`spec`",
    keys: &["inputs", "outputs"],
    elsewhere: &[],
    top: false,
};

const INPUT: Shape = Shape {
    what: "an input",
    keys: &["type", "default", "sensitive", "description"],
    elsewhere: &[],
    top: false,
};

const OUTPUT: Shape = Shape {
    what: "an output",
    ..INPUT
};

/// Reads the spec document.
pub(crate) fn read(node: &Node, notes: &mut Notes) -> Result<Spec, Problem> {
    if node.is_null() {
        let fault = Fault::EmptyDocument {
            document: "spec document",
            instead: "write `{}` when it declares nothing",
        };
        return Err(Problem::new(node.place, fault));
    }
    let document = Fields::open(node, &DOCUMENT, notes)?;
    let Some(spec) = document.get("spec") else {
        return Ok(Spec::default());
    };
    let spec = Fields::open(spec, &SPEC, notes)?;
    let inputs = match spec.get("inputs") {
        Some(inputs) => parameters(inputs, "input", &INPUT, notes)?,
        None => BTreeMap::new(),
    };
    let outputs = match spec.get("outputs") {
        None => Outputs::default(),
        Some(Node {
            place,
            content: Content::Scalar(scalar),
            ..
        }) => {
            if &*scalar.text != "delegate" {
                let found = Quoted::new(&scalar.text);
                return Err(Problem::new(*place, Fault::OutputsWord { found }));
            }
            Outputs::Delegate
        }
        Some(outputs) => Outputs::Declared(parameters(outputs, "output", &OUTPUT, notes)?),
    };
    Ok(Spec { inputs, outputs })
}

fn parameters(
    node: &Node,
    noun: &'static str,
    shape: &Shape,
    notes: &mut Notes,
) -> Result<BTreeMap<Name, Parameter>, Problem> {
    let plural = if noun == "input" {
        "`inputs`"
    } else {
        "`outputs`"
    };
    let mut parameters = BTreeMap::new();
    let entries = fields::object(node, || Subject::Fixed(plural));
    for (key, node) in notes.recover(entries)?.unwrap_or_default() {
        let name = Name::parse(&key.text).map_err(|_| {
            Problem::new(
                key.place,
                Fault::Name {
                    subject: noun,
                    text: Quoted::new(&key.text),
                },
            )
        });
        let name = notes.recover(name)?;
        let parameter = if node.is_null() {
            Err(Problem::new(
                key.place,
                Fault::Missing {
                    what: shape.what,
                    missing: "a `type`",
                },
            ))
        } else {
            parameter(node, &key.text, noun, shape, notes)
        };
        parameters.extend(name.zip(notes.recover(parameter)?));
    }
    Ok(parameters)
}

fn parameter(
    node: &Node,
    name: &str,
    noun: &'static str,
    shape: &Shape,
    notes: &mut Notes,
) -> Result<Parameter, Problem> {
    let subject = || Subject::Named(noun, Quoted::new(name));
    fields::object(node, subject)?;
    let fields = Fields::open(node, shape, notes)?;
    let Some(ty) = fields.get("type") else {
        return Err(fields.missing(&["type"], "a `type`"));
    };
    let ty = value_type(ty)?;
    let default = match fields.get_or_null("default") {
        Some(default) => {
            let value = tree::value(default)?;
            if !ty.accepts(&value) {
                let name = Quoted::new(name);
                let fault = Fault::DefaultType {
                    name,
                    expected: ty.as_str(),
                    found: type_word(value.kind()),
                };
                notes.hold(Problem::new(default.place, fault))?;
            }
            Some(value)
        }
        None => None,
    };
    let sensitive = match fields.get("sensitive") {
        Some(node) => {
            let sensitive = boolean(node).ok_or_else(|| {
                fields::shape(node, Subject::Fixed("`sensitive`"), "`true` or `false`")
            });
            notes.recover(sensitive)?.unwrap_or_default()
        }
        None => false,
    };
    let description = match fields.get("description") {
        Some(node) => {
            let description = fields::text(node, || Subject::Fixed("`description`"));
            notes.recover(description)?.map(str::to_owned)
        }
        None => None,
    };
    Ok(Parameter {
        ty,
        default,
        sensitive,
        description,
    })
}

fn value_type(node: &Node) -> Result<ValueType, Problem> {
    let word = fields::text(node, || Subject::Fixed("`type`"))?;
    ValueType::parse(word).ok_or_else(|| {
        let meant = match word {
            // Words of neighbouring languages that no spelling distance connects.
            "object" | "map" | "dict" => Some("struct"),
            "list" => Some("array"),
            "int" | "integer" | "float" => Some("number"),
            "bool" => Some("boolean"),
            "text" => Some("string"),
            _ => nearest(word, ValueType::WORDS.map(|(word, _)| word)),
        };
        let advice = meant.map_or(Advice::Nothing, Advice::Nearest);
        Problem::new(
            node.place,
            Fault::UnknownType {
                found: Quoted::new(word),
                advice,
            },
        )
    })
}

fn boolean(node: &Node) -> Option<bool> {
    match &node.content {
        Content::Scalar(scalar) => match scalar.meaning() {
            Meaning::Boolean(boolean) => Some(boolean),
            Meaning::Null | Meaning::Number(_) | Meaning::NotFinite | Meaning::Text => None,
        },
        Content::Sequence(_) | Content::Mapping(_) => None,
    }
}
