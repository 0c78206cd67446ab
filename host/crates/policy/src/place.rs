//! A place in a policy file.

use std::fmt;

/// Line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// Returns the place of the byte `offset` in `text`; an offset inside a character is that character.
    pub(crate) fn of_byte(text: &str, offset: usize) -> Place {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let breaks = before.bytes().filter(|byte| *byte == b'\n').count();
        let letters = before[line_start..].chars().count();
        let from_one = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        Place {
            line: from_one(breaks),
            column: from_one(letters),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let text = "a = 1\nü = \"ä!\"";
        let place = |offset| Place::of_byte(text, offset).to_string();
        assert_eq!(place(0), "1:1");
        assert_eq!(place(5), "1:6");
        assert_eq!(place(6), "2:1");
        assert_eq!(place(8), "2:2");
        assert_eq!(place(7), "2:1", "inside the first letter");
        assert_eq!(place(usize::MAX), "2:9");
    }
}
