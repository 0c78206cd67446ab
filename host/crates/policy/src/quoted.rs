//! Foreign text inside a message: short, on one line, and showing what it holds.

use std::fmt;

/// Longest piece that is shown, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// A piece of somebody else's text between double quotes, cut and escaped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Quoted(Box<str>);

impl Quoted {
    /// Takes what of `text` may be shown.
    pub(crate) fn new(text: &str) -> Quoted {
        let mut letters = text.chars();
        let mut shown = String::new();
        for letter in letters.by_ref().take(QUOTED_CHARS_MAX) {
            if is_deceptive(letter) || matches!(letter, '"' | '\\') {
                shown.extend(letter.escape_default());
            } else {
                shown.push(letter);
            }
        }
        if letters.next().is_some() {
            shown.push('…');
        }
        Quoted(shown.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a reader sees something else than what stands there: controls, marks that turn the direction of
/// text round, letters without width.
pub(crate) fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_piece_is_short_and_shows_what_it_holds() {
        let table = [
            ("plain", "\"plain\""),
            ("a\nb\x1b[31m\0", "\"a\\nb\\u{1b}[31m\\u{0}\""),
            ("right\u{202E}left", "\"right\\u{202e}left\""),
            ("a \"b\" \\", "\"a \\\"b\\\" \\\\\""),
            ("ü", "\"ü\""),
        ];
        for (text, shown) in table {
            assert_eq!(Quoted::new(text).to_string(), shown, "{text:?}");
        }
        let long = Quoted::new(&"ü".repeat(1000)).to_string();
        assert_eq!(long.chars().count(), QUOTED_CHARS_MAX + 3);
    }
}
