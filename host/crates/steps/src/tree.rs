//! A value of a text whose strings are templates: the inputs of a step, the outputs of a composite.

use stephost_expr::limits::RESULT_BYTES_MAX;
use stephost_expr::{ExpressionError, Map, Scope, Template, Value};

use crate::error::{Fault, Problem};
use crate::quoted::Quoted;
use crate::yaml::{Content, Meaning, Node, Scalar};

/// Any JSON value with expressions in its strings. Keys are taken as they are.
#[derive(Debug, Clone)]
pub enum Tree {
    /// Null, a boolean or a number.
    Value(Value),
    /// A string, which may hold expressions.
    Text(Template),
    /// An array.
    Array(Vec<Tree>),
    /// An object, in the order of the text.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Returns the value with every expression replaced by what it gives in `scope`.
    ///
    /// The whole value is held to the limits of the expression language, as if one expression had built it: its
    /// parts together are no larger and no deeper than a single result may be. Recursion is bounded: no tree is
    /// deeper than [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
    ///
    /// # Errors
    /// The first [`ExpressionError`], in the order of the text.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        let mut room = RESULT_BYTES_MAX + 1;
        let value = self.build(scope, &mut room)?;
        match self {
            Self::Value(_) | Self::Text(_) => Ok(value),
            Self::Array(_) | Self::Object(_) => {
                Template::parse("${{ value }}")?.evaluate(&Whole(value))
            }
        }
    }

    /// Builds the value, but stops when nothing is left of `room`: what was built is then too large already, and
    /// [`evaluate`](Self::evaluate) refuses it.
    fn build(&self, scope: &dyn Scope, room: &mut usize) -> Result<Value, ExpressionError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Text(template) => {
                let value = template.evaluate(scope)?;
                *room = room.saturating_sub(value.size());
                Ok(value)
            }
            Self::Array(items) => {
                let mut built = Vec::new();
                for item in items {
                    if *room > 0 {
                        built.push(item.build(scope, room)?);
                    }
                }
                Ok(Value::array(built))
            }
            Self::Object(entries) => {
                let mut built = Map::new();
                for (key, value) in entries {
                    if *room > 0 {
                        built.insert(key.clone(), value.build(scope, room)?);
                    }
                }
                Ok(Value::object(built))
            }
        }
    }
}

/// A scope with one name, through which a finished value meets the limits of the language.
struct Whole(Value);

impl Scope for Whole {
    fn name(&self, _name: &str) -> Option<Value> {
        Some(self.0.clone())
    }
}

/// Reads a value whose strings are templates.
pub(crate) fn read(node: &Node) -> Result<Tree, Problem> {
    Ok(match &node.content {
        Content::Scalar(scalar) => match literal(node, scalar)? {
            Some(value) => Tree::Value(value),
            None => Tree::Text(template(node, &scalar.text)?),
        },
        Content::Sequence(items) => Tree::Array(items.iter().map(read).collect::<Result<_, _>>()?),
        Content::Mapping(entries) => Tree::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key.text.as_ref().to_owned(), read(value)?)))
                .collect::<Result<_, Problem>>()?,
        ),
    })
}

/// Reads a value whose strings are just strings.
pub(crate) fn value(node: &Node) -> Result<Value, Problem> {
    Ok(match &node.content {
        Content::Scalar(scalar) => {
            literal(node, scalar)?.unwrap_or_else(|| Value::string(&*scalar.text))
        }
        Content::Sequence(items) => {
            Value::array(items.iter().map(value).collect::<Result<_, _>>()?)
        }
        Content::Mapping(entries) => Value::object(
            entries
                .iter()
                .map(|(key, node)| Ok((key.text.as_ref().to_owned(), value(node)?)))
                .collect::<Result<Map, Problem>>()?,
        ),
    })
}

/// Reads the template in a scalar of the text.
pub(crate) fn template(node: &Node, text: &str) -> Result<Template, Problem> {
    Template::parse(text).map_err(|error| Problem::new(node.place, Fault::Expression(error)))
}

/// Returns the value of a scalar that is no string.
fn literal(node: &Node, scalar: &Scalar) -> Result<Option<Value>, Problem> {
    match scalar.meaning() {
        Meaning::Null => Ok(Some(Value::null())),
        Meaning::Boolean(boolean) => Ok(Some(Value::bool(boolean))),
        Meaning::Number(number) => Ok(Some(Value::number(number))),
        Meaning::NotFinite => Err(Problem::new(
            node.place,
            Fault::NotFinite {
                number: Quoted::new(&scalar.text),
            },
        )),
        Meaning::Text => Ok(None),
    }
}
