//! Values and the mark of what must not be shown.
//!
//! Owns [`Value`]: data that cannot change, with a mark. A marked array or object marks everything in it, so a
//! part that is taken out keeps the mark by itself. Numbers are always finite and never a negative zero, so
//! equality is an equivalence and order is total (see `order`).
//! Never does: forget a mark. `Debug` and `Display` write `<sensitive>` in place of a marked part.
//! Called by: every other module here, and by everybody who hands values to expressions or takes them.

mod json;
mod order;
mod text;

pub(crate) use order::compare;
pub(crate) use text::text_at_most;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::functions::Function;

/// The entries of an object, in the order of their keys.
pub type Map = BTreeMap<String, Value>;

/// What one value counts for in [`Value::size`], its text and its parts aside: about its bytes in memory.
const NODE_BYTES: usize = 48;

/// A value of the language, with the mark that says whether it may be shown.
///
/// Cloning is cheap: text, arrays and objects are shared. Equality is that of the data; marks do not count.
/// Functions that walk a value (comparison, text, JSON) recurse once per level of [`depth`](Self::depth).
#[derive(Clone)]
pub struct Value {
    data: Data,
    /// Marked itself, and then everything inside is marked too.
    marked: bool,
    /// Something inside is marked.
    holds_marked: bool,
    depth: usize,
    size: usize,
}

/// What a value is, its mark aside. `Debug` names the kind only, because the mark is not at hand here.
#[derive(Clone)]
pub enum Data {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// Values in a row.
    Array(Arc<[Value]>),
    /// Values by name.
    Object(Arc<Map>),
    /// A function that can be called.
    Function(Function),
}

/// The kind of a value. The order is the rank of kinds in comparisons (contract 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Boolean,
    /// A number.
    Number,
    /// Text.
    String,
    /// Values in a row.
    Array,
    /// Values by name.
    Object,
    /// A function.
    Function,
}

impl Value {
    /// Returns null.
    pub fn null() -> Value {
        Value::leaf(Data::Null, 0)
    }

    /// Returns a boolean.
    pub fn bool(value: bool) -> Value {
        Value::leaf(Data::Bool(value), 0)
    }

    /// Returns a number. What is not finite has no place in the language and becomes null, as in JSON; a negative
    /// zero becomes zero.
    pub fn number(value: f64) -> Value {
        if value.is_finite() {
            Value::leaf(Data::Number(value + 0.0), 0)
        } else {
            Value::null()
        }
    }

    /// Returns a text.
    pub fn string(value: impl Into<Arc<str>>) -> Value {
        let text = value.into();
        let bytes = text.len();
        Value::leaf(Data::String(text), bytes)
    }

    /// Returns an array.
    pub fn array(items: Vec<Value>) -> Value {
        let mut shape = Shape::default();
        items.iter().for_each(|item| shape.add(0, item));
        shape.around(Data::Array(items.into()))
    }

    /// Returns an object.
    pub fn object(entries: Map) -> Value {
        let mut shape = Shape::default();
        entries
            .iter()
            .for_each(|(key, value)| shape.add(key.len(), value));
        shape.around(Data::Object(Arc::new(entries)))
    }

    /// Returns a function.
    pub(crate) fn function(function: Function) -> Value {
        Value::leaf(Data::Function(function), 0)
    }

    fn leaf(data: Data, bytes: usize) -> Value {
        Value {
            data,
            marked: false,
            holds_marked: false,
            depth: 0,
            size: NODE_BYTES.saturating_add(bytes),
        }
    }

    /// Returns the data, without the mark. The values inside keep their own.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::Null => Kind::Null,
            Data::Bool(_) => Kind::Boolean,
            Data::Number(_) => Kind::Number,
            Data::String(_) => Kind::String,
            Data::Array(_) => Kind::Array,
            Data::Object(_) => Kind::Object,
            Data::Function(_) => Kind::Function,
        }
    }

    /// Tells whether a condition takes the value for true: false, null, 0, `""`, `[]` and `{}` are not.
    pub fn is_truthy(&self) -> bool {
        match &self.data {
            Data::Null => false,
            Data::Bool(value) => *value,
            Data::Number(value) => *value != 0.0,
            Data::String(text) => !text.is_empty(),
            Data::Array(items) => !items.is_empty(),
            Data::Object(entries) => !entries.is_empty(),
            Data::Function(_) => true,
        }
    }

    /// Returns the same value, marked: it, and everything inside.
    ///
    /// An array or object is rebuilt for that, unless it is marked already.
    #[must_use]
    pub fn sensitive(self) -> Value {
        if self.marked {
            return self;
        }
        let data = match self.data {
            Data::Array(items) => {
                Data::Array(items.iter().cloned().map(Value::sensitive).collect())
            }
            Data::Object(entries) => Data::Object(Arc::new(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone().sensitive()))
                    .collect(),
            )),
            leaf @ (Data::Null
            | Data::Bool(_)
            | Data::Number(_)
            | Data::String(_)
            | Data::Function(_)) => leaf,
        };
        Value {
            data,
            marked: true,
            ..self
        }
    }

    /// Tells whether the value is marked or anything inside is.
    pub fn is_sensitive(&self) -> bool {
        self.marked || self.holds_marked
    }

    /// Tells whether the value itself is marked: its own shape says something secret, not only a part of it.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Returns how many arrays and objects lie inside each other: 0 for a number, 1 for `[]`, 2 for `[[]]`.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Returns about how many bytes the value would take if none of its parts were shared. It is known without a
    /// walk, so whoever builds values from values can stop in time.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the text, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the entries, if the value is an object.
    pub fn as_object(&self) -> Option<&Map> {
        match &self.data {
            Data::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items, if the value is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match &self.data {
            Data::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the boolean, if the value is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.data {
            Data::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the number, if the value is one.
    pub fn as_number(&self) -> Option<f64> {
        match self.data {
            Data::Number(value) => Some(value),
            _ => None,
        }
    }
}

/// What an array or object inherits from its parts.
#[derive(Default)]
struct Shape {
    holds_marked: bool,
    depth: usize,
    size: usize,
}

impl Shape {
    fn add(&mut self, key_bytes: usize, part: &Value) {
        self.holds_marked |= part.is_sensitive();
        self.depth = self.depth.max(part.depth);
        self.size = self
            .size
            .saturating_add(key_bytes)
            .saturating_add(part.size);
    }

    fn around(self, data: Data) -> Value {
        Value {
            data,
            marked: false,
            holds_marked: self.holds_marked,
            depth: self.depth.saturating_add(1),
            size: self.size.saturating_add(NODE_BYTES),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        compare(self, other).is_eq()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Data::Null => "Null",
            Data::Bool(_) => "Bool",
            Data::Number(_) => "Number",
            Data::String(_) => "String",
            Data::Array(_) => "Array",
            Data::Object(_) => "Object",
            Data::Function(_) => "Function",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
            Kind::Function => "function",
        })
    }
}

#[cfg(test)]
mod tests;
