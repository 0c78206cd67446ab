//! Text with `${{ }}` in it, read once and evaluated as often as needed.
//!
//! Owns [`Template`] and [`Scope`], the two types through which everybody uses expressions.
//! Promises: a template that could be parsed has no faults of grammar left. `\${{` stands for `${{`; a bare `$`,
//! `${X}` and `}}` are plain text. The result of an expression is not read as a template again.
//! Called by: `steps` and `host::run`.

use std::fmt;
use std::sync::Arc;

use crate::access::{self, Access};
use crate::error::ExpressionError;
use crate::eval::{self, Wanted};
use crate::parse::{self, Parsed};
use crate::program::Program;
use crate::value::{Map, Value};

/// The names that expressions see.
pub trait Scope {
    /// Returns the value of `name`, or `None` if there is no such name.
    ///
    /// One evaluation asks for each name at most once. A name that the scope does not have may still be one of the
    /// functions `str`, `num` and `bool`: the scope wins.
    fn name(&self, name: &str) -> Option<Value>;
}

impl Scope for Map {
    fn name(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
}

/// Text that may hold expressions. Cloning is cheap. `Debug` shows the text.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    body: Arc<Body>,
}

enum Body {
    /// There are no expressions; this is the text.
    Literal(Value),
    Program(Program),
}

impl Template {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`ExpressionError`] when an expression in it breaks the grammar, or the text one of the
    /// [`limits`](crate::limits) of length, nesting and number of operations.
    pub fn parse(text: &str) -> Result<Template, ExpressionError> {
        let body = match parse::parse(text)? {
            Parsed::Literal(text) => Body::Literal(Value::string(text)),
            Parsed::Program(program) => Body::Program(program),
        };
        Ok(Template {
            source: text.into(),
            body: Arc::new(body),
        })
    }

    /// Returns a template that stands for `text` as it is, whatever is in it.
    pub fn literal(text: impl Into<Arc<str>>) -> Template {
        let source = text.into();
        let body = Body::Literal(Value::string(Arc::clone(&source)));
        Template {
            source,
            body: Arc::new(body),
        }
    }

    /// Returns the text that the template was made from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Tells whether the value depends on a scope at all.
    pub fn has_expressions(&self) -> bool {
        match &*self.body {
            Body::Literal(_) => false,
            Body::Program(_) => true,
        }
    }

    /// Returns what the template looks up, in the order of evaluation.
    pub fn accesses(&self) -> Vec<Access> {
        match &*self.body {
            Body::Literal(_) => Vec::new(),
            Body::Program(program) => access::accesses(program),
        }
    }

    /// Tells whether the value is a string in every scope.
    pub fn is_text(&self) -> bool {
        match &*self.body {
            Body::Literal(_) => true,
            Body::Program(program) => program.ends_in_text(),
        }
    }

    /// Returns the value of the template. When all of it is one expression, the value keeps its type; otherwise it is
    /// a string, in which values stand with their [text](Value::to_text).
    ///
    /// # Errors
    /// [`ExpressionError`] when an expression fails, or would break one of the [`limits`](crate::limits) of work,
    /// size and depth.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        self.evaluate_to(Wanted::Value, scope)
    }

    /// Returns the [text](Value::to_text) of what [`evaluate`](Self::evaluate) returns, with its mark.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_text(&self, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        self.evaluate_to(Wanted::Text, scope)
    }

    fn evaluate_to(&self, wanted: Wanted, scope: &dyn Scope) -> Result<Value, ExpressionError> {
        match &*self.body {
            Body::Literal(value) => Ok(value.clone()),
            Body::Program(program) => eval::evaluate(program, wanted, scope),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source()).finish()
    }
}
