//! Foreign text inside a message: short, on one line, without control characters.

use std::fmt;

use crate::limits::{MESSAGE_BYTES_MAX, QUOTED_CHARS_MAX};

/// A piece of somebody else's text, cut and escaped, shown between backquotes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Quoted(Box<str>);

impl Quoted {
    /// Takes what of `text` may be shown.
    pub(crate) fn new(text: &str) -> Self {
        Self::cut(text, QUOTED_CHARS_MAX)
    }

    /// Takes what of `text` may be shown, at most `chars_max` characters.
    pub(crate) fn cut(text: &str, chars_max: usize) -> Self {
        let mut shown: String = text.chars().take(chars_max).flat_map(escaped).collect();
        let mut whole = text.chars().nth(chars_max).is_none();
        // An escaped character is several: the cut is made again on what is shown.
        if let Some((at, _)) = shown.char_indices().nth(chars_max) {
            shown.truncate(at);
            whole = false;
        }
        if !whole {
            shown.push('…');
        }
        Self(shown.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns `text` as one line of at most `bytes_max` bytes, control characters escaped.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = line.len();
        line.extend(escaped(character));
        if line.len() > bytes_max {
            line.truncate(before);
            while line.len() + '…'.len_utf8() > bytes_max && line.pop().is_some() {}
            line.push('…');
            break;
        }
    }
    line
}

/// Returns `text` as the message of an error: [`one_line`] of [`MESSAGE_BYTES_MAX`] bytes.
pub(crate) fn message(text: &str) -> String {
    one_line(text, MESSAGE_BYTES_MAX)
}

/// A character, or its escape when a terminal would act on it instead of showing it.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let acts = character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    let (shown, escape) = if acts {
        (None, Some(character.escape_default()))
    } else {
        (Some(character), None)
    };
    shown.into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_piece_is_short_and_harmless() {
        let table = [
            ("plain", "`plain`"),
            ("a\nb\x1b[31m\0", "`a\\nb\\u{1b}[31m\\u{0}`"),
            ("right\u{202E}left", "`right\\u{202e}left`"),
            ("ü", "`ü`"),
        ];
        for (text, shown) in table {
            assert_eq!(Quoted::new(text).to_string(), shown, "{text:?}");
        }
        assert_eq!(
            Quoted::new(&"ü".repeat(1000)).to_string().chars().count(),
            QUOTED_CHARS_MAX + 3
        );
        assert_eq!(
            Quoted::new(&"\0".repeat(1000)).to_string().chars().count(),
            QUOTED_CHARS_MAX + 3
        );
        assert_eq!(
            Quoted::new(&"x".repeat(QUOTED_CHARS_MAX)).to_string().len(),
            QUOTED_CHARS_MAX + 2
        );
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        assert_eq!(one_line("short", 10), "short");
        assert_eq!(one_line("exactly 10", 10), "exactly 10");
        assert_eq!(one_line("exactly 10!", 10), "exactly…");
        assert_eq!(one_line("üüüüüü", 10), "üüü…");
        assert_eq!(one_line("a\nb", 10), "a\\nb");
    }
}
