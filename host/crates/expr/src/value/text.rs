//! The text of a value (design D7), and what must be hidden of it.
//!
//! At the top a text stands as it is, null is `<null>` and a function `<function NAME>`; inside arrays and objects
//! everything is JSON with `, ` and `: `, where null and functions are `null`. Numbers have the shortest digits
//! that read back as the same number, with an exponent where JavaScript writes one (from 1e21 and below 1e-6).

use std::fmt::{self, Write};

use super::{Data, Value};

/// What stands in `Debug` and `Display` for a marked value.
const HIDDEN: &str = "<sensitive>";

/// Whether marked parts are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marked {
    Shown,
    Hidden,
}

impl Value {
    /// Returns the text of the value, marked or not: what `str()` and a mixed template make of it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write_text(self, Marked::Shown, &mut text);
        text
    }

    /// Adds to `found` every text by which a marked part of the value could show up in a log: the text of each
    /// marked leaf, also as it stands inside JSON when that differs, and the whole text of each marked array or
    /// object that is not inside another one (there, its leaves are enough). Empty texts are left out; a text may
    /// come twice.
    pub fn sensitive_texts(&self, found: &mut Vec<String>) {
        self.collect_sensitive_texts(false, found);
    }

    fn collect_sensitive_texts(&self, inside_marked: bool, found: &mut Vec<String>) {
        if !self.is_sensitive() {
            return;
        }
        if self.depth > 0 && self.marked && !inside_marked {
            found.push(self.to_text());
        }
        match &self.data {
            Data::Array(items) => items
                .iter()
                .for_each(|item| item.collect_sensitive_texts(self.marked, found)),
            Data::Object(entries) => entries
                .values()
                .for_each(|value| value.collect_sensitive_texts(self.marked, found)),
            Data::String(text) if text.is_empty() => {}
            Data::String(text) => {
                found.push(text.to_string());
                found.extend(inside_json(text));
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Function(_) => {
                found.push(self.to_text())
            }
        }
    }
}

/// Returns how `text` stands between the quotes of JSON, if it looks different there.
fn inside_json(text: &str) -> Option<String> {
    let mut quoted = String::new();
    // Writing to a string does not fail.
    let _ = write_quoted(text, &mut quoted);
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (inner != text).then(|| inner.to_owned())
}

/// Shows the text with marked parts hidden.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(self, Marked::Hidden, f)
    }
}

/// Shows the value as JSON with marked parts hidden.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_json(self, Marked::Hidden, f)
    }
}

/// Adds the text of `value` to `out`, unless `out` would be longer than `bytes_max` then: `None`.
pub(crate) fn text_at_most(value: &Value, bytes_max: usize, out: &mut String) -> Option<()> {
    write_text(value, Marked::Shown, &mut Bounded { out, bytes_max }).ok()
}

/// A text that refuses to grow beyond its bound.
struct Bounded<'t> {
    out: &'t mut String,
    bytes_max: usize,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if more.len() > self.bytes_max.saturating_sub(self.out.len()) {
            return Err(fmt::Error);
        }
        self.out.push_str(more);
        Ok(())
    }
}

fn write_text(value: &Value, marked: Marked, out: &mut dyn Write) -> fmt::Result {
    match value.data() {
        _ if value.is_marked() && marked == Marked::Hidden => out.write_str(HIDDEN),
        Data::String(text) => out.write_str(text),
        Data::Null => out.write_str("<null>"),
        Data::Function(function) => write!(out, "<function {}>", function.name()),
        Data::Bool(_) | Data::Number(_) | Data::Array(_) | Data::Object(_) => {
            write_json(value, marked, out)
        }
    }
}

fn write_json(value: &Value, marked: Marked, out: &mut dyn Write) -> fmt::Result {
    match value.data() {
        _ if value.is_marked() && marked == Marked::Hidden => out.write_str(HIDDEN),
        Data::Null | Data::Function(_) => out.write_str("null"),
        Data::Bool(value) => out.write_str(if *value { "true" } else { "false" }),
        Data::Number(number) => write_number(*number, out),
        Data::String(text) => write_quoted(text, out),
        Data::Array(items) => {
            out.write_str("[")?;
            for (index, item) in items.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_json(item, marked, out)?;
            }
            out.write_str("]")
        }
        Data::Object(entries) => {
            out.write_str("{")?;
            for (index, (key, value)) in entries.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_quoted(key, out)?;
                out.write_str(": ")?;
                write_json(value, marked, out)?;
            }
            out.write_str("}")
        }
    }
}

fn write_number(number: f64, out: &mut dyn Write) -> fmt::Result {
    let magnitude = number.abs();
    if number == 0.0 || (1e-6..1e21).contains(&magnitude) {
        write!(out, "{number}")
    } else if magnitude >= 1e21 {
        out.write_str(&format!("{number:e}").replace('e', "e+"))
    } else {
        write!(out, "{number:e}")
    }
}

fn write_quoted(text: &str, out: &mut dyn Write) -> fmt::Result {
    out.write_str("\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, special) = rest.split_at(at);
        out.write_str(plain)?;
        // What `find` looks for is one byte long.
        let (special, after) = special.split_at(1);
        match special {
            "\"" => out.write_str("\\\"")?,
            "\\" => out.write_str("\\\\")?,
            "\n" => out.write_str("\\n")?,
            "\r" => out.write_str("\\r")?,
            "\t" => out.write_str("\\t")?,
            "\u{8}" => out.write_str("\\b")?,
            "\u{c}" => out.write_str("\\f")?,
            control => write!(out, "\\u{:04x}", control.as_bytes()[0])?,
        }
        rest = after;
    }
    out.write_str(rest)?;
    out.write_str("\"")
}
