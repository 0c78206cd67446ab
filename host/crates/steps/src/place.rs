//! A place in a text.

use std::fmt;
use std::ops::Range;

/// A position in a step text: line and column, both counted from 1, columns in characters; and which bytes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    start: u32,
    end: u32,
}

impl Place {
    /// The first character of a text.
    pub const START: Self = Self {
        line: 1,
        column: 1,
        start: 0,
        end: 0,
    };

    /// Returns the bytes that are meant: a word or a value; nothing between two characters when it is only a point.
    pub fn bytes(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Returns the place of the byte `offset` in `text`, which need not be UTF-8 from there on.
    pub(crate) fn of_byte(text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let line = before[..line_start]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        // A character is counted where it starts: continuation bytes are skipped.
        let column = before[line_start..]
            .iter()
            .filter(|byte| **byte & 0xC0 != 0x80)
            .count()
            + 1;
        let start = saturate(before.len());
        Self {
            line: saturate(line),
            column: saturate(column),
            start,
            end: start,
        }
    }

    /// Returns the place of `bytes` in `text`.
    pub(crate) fn of_bytes(text: &str, bytes: Range<usize>) -> Self {
        Self {
            end: saturate(bytes.end.clamp(bytes.start, text.len())),
            ..Self::of_byte(text.as_bytes(), bytes.start)
        }
    }

    /// Converts a parser's marker, whose lines count from 1 and columns from 0.
    pub(crate) fn of_marker(marker: &granit_parser::Marker) -> Self {
        let start = saturate(marker.byte_offset().unwrap_or_default());
        Self {
            line: saturate(marker.line().max(1)),
            column: saturate(marker.col().saturating_add(1)),
            start,
            end: start,
        }
    }

    /// Converts what a parser says of an event.
    pub(crate) fn of_span(span: &granit_parser::Span) -> Self {
        Self::of_marker(&span.start).until(Self::of_marker(&span.end).start)
    }

    /// Returns the place up to the byte `end`.
    pub(crate) fn until(self, end: u32) -> Self {
        Self {
            end: end.max(self.start),
            ..self
        }
    }

    /// Returns the byte after the last one that is meant.
    pub(crate) fn end(self) -> u32 {
        self.end
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let text = "a: 1\nü: ä!".as_bytes();
        let offset = text.len() - 1;
        let place = |offset| Place::of_byte(text, offset).to_string();
        assert_eq!(place(offset), "2:5");
        assert_eq!(place(usize::MAX), "2:6");
        assert_eq!(Place::of_byte(text, 0), Place::START);
    }

    #[test]
    fn a_place_knows_its_bytes() {
        let place = Place::of_bytes("a: ü b", 3..6);
        assert_eq!((place.to_string().as_str(), place.bytes()), ("1:4", 3..6));
        assert_eq!(Place::of_bytes("ab", 1..9).bytes(), 1..2, "within the text");
    }
}
