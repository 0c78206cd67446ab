//! A place in a text.

use std::fmt;

/// A position in a step text: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The first character of a text.
    pub(crate) const START: Self = Self { line: 1, column: 1 };

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
        Self {
            line: saturate(line),
            column: saturate(column),
        }
    }

    /// Converts a parser's marker, whose lines count from 1 and columns from 0.
    pub(crate) fn of_marker(marker: &granit_parser::Marker) -> Self {
        Self {
            line: saturate(marker.line().max(1)),
            column: saturate(marker.col().saturating_add(1)),
        }
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
        assert_eq!(Place::of_byte(text, offset), Place { line: 2, column: 5 });
        assert_eq!(Place::of_byte(text, 0), Place::START);
        assert_eq!(
            Place::of_byte(text, usize::MAX),
            Place { line: 2, column: 6 }
        );
    }
}
