//! Steps of a CI file as a text that the reader of functions takes, and the way back from a place in it.
//!
//! Every key and every value has a line of its own, so that a line leads back to where it stood in the file. The text
//! is YAML that is nearly JSON: strings between double quotes, everything else as it was written.

use std::fmt::Write as _;

use stephost_steps::{Content, Meaning, Node, Place};

use super::{File, Read, SCRIPT_STEP, fault};

/// Deepest nesting with everything that `!reference` brings; the reader of functions takes less.
const DEPTH_MAX: usize = 100;

/// A text, and where each of its lines comes from.
pub(super) struct Emitted {
    pub(super) text: String,
    places: Vec<Place>,
}

impl Emitted {
    /// The two documents' first lines.
    fn begun(place: Place) -> Emitted {
        Emitted {
            text: "{}\n---\n".to_owned(),
            places: vec![place; 2],
        }
    }

    /// Where in the file something stands that is at `place` of the text.
    pub(super) fn origin(&self, place: Place) -> Place {
        let index = usize::try_from(place.line).map_or(usize::MAX, |line| line.saturating_sub(1));
        // A fault at the end of the text is one of its last line.
        let last = self.places.last().copied();
        self.places.get(index).copied().or(last).unwrap_or(place)
    }

    fn line(&mut self, place: Place, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.places.push(place);
    }

    fn node(&mut self, file: &File<'_>, node: &Node, depth: usize, end: &str) -> Read<()> {
        if depth == DEPTH_MAX {
            return fault(
                node.place,
                "`run` is nested too deep; does a `!reference` in it lead to itself?",
            );
        }
        let target = file.referenced(node)?;
        match &target.content {
            Content::Scalar(scalar) => {
                let text = match scalar.meaning() {
                    Meaning::Text => quoted(&scalar.text),
                    Meaning::Null => "null".to_owned(),
                    Meaning::Boolean(_) | Meaning::Number(_) | Meaning::NotFinite => {
                        scalar.text.to_string()
                    }
                };
                self.line(target.place, &format!("{text}{end}"));
            }
            Content::Sequence(items) => {
                self.line(target.place, "[");
                for item in items.iter() {
                    self.node(file, item, depth + 1, ",")?;
                }
                self.line(target.place, &format!("]{end}"));
            }
            Content::Mapping(entries) => {
                self.line(target.place, "{");
                for (key, value) in entries.iter() {
                    self.line(key.place, &format!("{}:", quoted(&key.text)));
                    self.node(file, value, depth + 1, ",")?;
                }
                self.line(target.place, &format!("}}{end}"));
            }
        }
        Ok(())
    }
}

/// The list of a `run` keyword.
pub(super) fn run(file: &File<'_>, place: Place, list: &Node) -> Read<Emitted> {
    let mut emitted = Emitted::begun(place);
    emitted.line(place, "{\"run\":");
    emitted.node(file, list, 0, "}")?;
    Ok(emitted)
}

/// One step that runs commands in one shell, as they are.
pub(super) fn script(place: Place, commands: &[String]) -> Emitted {
    let mut emitted = Emitted::begun(place);
    let commands: Vec<String> = commands
        .iter()
        // Nothing in a script is an expression.
        .map(|command| quoted(&command.replace("${{", "\\${{")))
        .collect();
    emitted.line(
        place,
        &format!(
            "{{\"run\":[{{\"name\":\"{SCRIPT_STEP}\",\"func\":\"builtin://script_legacy\",\"inputs\":{{\"script\":[{}]}}}}]}}",
            commands.join(",")
        ),
    );
    emitted
}

/// A double-quoted scalar: one line, and no character that a YAML text may not hold.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\0'..='\u{1F}'
            | '\u{7F}'..='\u{A0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{FEFF}'
            | '\u{FFFE}'
            | '\u{FFFF}' => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
