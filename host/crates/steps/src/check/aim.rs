//! Where in a file a piece of a value stands: a value is not what was written when YAML escapes, folds or indents it.
//!
//! Promises: total and linear. When the way back cannot be found, the whole value is meant.
//! Called by: `look`.

use crate::place::Place;

/// Returns the place of `position..position + bytes` of the value `decoded`, which stands in `text` at `whole`.
pub(super) fn within(
    text: &str,
    whole: Place,
    decoded: &str,
    position: usize,
    bytes: usize,
) -> Place {
    let end = position.saturating_add(bytes);
    let found = raw_offset(text, whole, decoded, position)
        .zip(raw_offset(text, whole, decoded, end.saturating_sub(1)))
        .filter(|(start, last)| start <= last);
    match found {
        Some((start, last)) => {
            let letter = text[last..].chars().next().map_or(1, char::len_utf8);
            Place::of_bytes(text, start..last + letter)
        }
        None => whole,
    }
}

/// Walks along what was written and what became of it; returns where the byte at `position` came from.
fn raw_offset(text: &str, whole: Place, decoded: &str, position: usize) -> Option<usize> {
    let range = whole.bytes();
    let raw = text.get(range.clone())?;
    // The header of a block is no part of the value.
    let header = match raw.as_bytes().first() {
        Some(b'|' | b'>') => raw.find('\n').map_or(raw.len(), |at| at + 1),
        _ => 0,
    };
    let mut at = header;
    let escapes = raw.starts_with('"');
    for (offset, wanted) in decoded.char_indices() {
        // Quotes and indentation are passed over; a line break may have become a blank.
        let from = loop {
            let letter = raw[at..].chars().next()?;
            let from = at;
            at += letter.len_utf8();
            if escapes && letter == '\\' {
                let escaped = escaped_bytes(&raw[at..]);
                let breaks_line = raw[at..].starts_with(['\n', '\r']);
                at += escaped;
                if breaks_line {
                    continue;
                }
                break from;
            }
            if letter == wanted || (wanted == ' ' && letter == '\n') {
                break from;
            }
        };
        if offset + wanted.len_utf8() > position {
            return Some(range.start + from);
        }
    }
    None
}

/// Returns how many bytes of `rest` belong to the escape whose backslash stands before it.
fn escaped_bytes(rest: &str) -> usize {
    let letter = rest.chars().next();
    let digits = match letter {
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        Some(_) | None => 0,
    };
    let bytes = letter.map_or(0, char::len_utf8) + digits;
    rest.floor_char_boundary(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aimed<'t>(text: &'t str, raw: &str, decoded: &str, piece: &str) -> &'t str {
        let start = text.find(raw).expect("the value is in the text");
        let whole = Place::of_bytes(text, start..start + raw.len());
        let position = decoded.find(piece).expect("the piece is in the value");
        &text[within(text, whole, decoded, position, piece.len()).bytes()]
    }

    #[test]
    fn a_piece_is_found_in_every_style() {
        let table = [
            ("a: x ${{ nope }}", "x ${{ nope }}", "x ${{ nope }}"),
            (
                "a: 'it''s ${{ nope }}'",
                "'it''s ${{ nope }}'",
                "it's ${{ nope }}",
            ),
            (
                "a: \"\\\"x\\\" ${{ nope }}\"",
                "\"\\\"x\\\" ${{ nope }}\"",
                "\"x\" ${{ nope }}",
            ),
            (
                "a: |\n  one\n  two ${{ nope }}\n",
                "|\n  one\n  two ${{ nope }}\n",
                "one\ntwo ${{ nope }}\n",
            ),
            (
                "a: |-\n    if\n      ${{ nope }}\n",
                "|-\n    if\n      ${{ nope }}\n",
                "if\n  ${{ nope }}",
            ),
            (
                "a: >\n  one\n  ${{ nope }}\n",
                ">\n  one\n  ${{ nope }}\n",
                "one ${{ nope }}\n",
            ),
            (
                "a: one\n  ${{ nope }}\n",
                "one\n  ${{ nope }}",
                "one ${{ nope }}",
            ),
            ("ü: ä ${{ nope }}", "ä ${{ nope }}", "ä ${{ nope }}"),
        ];
        for (text, raw, decoded) in table {
            assert_eq!(aimed(text, raw, decoded, "nope"), "nope", "{text:?}");
        }
    }

    #[test]
    fn escapes_are_one_letter_each_and_a_continued_line_is_none() {
        let raw = r#""\u00e4\n\x41 \"\\ ${{ nope }} \
             ${{ more }}""#;
        let text = format!("a: {raw}\n");
        let decoded = "\u{e4}\nA \"\\ ${{ nope }} ${{ more }}";
        assert_eq!(aimed(&text, raw, decoded, "nope"), "nope");
        assert_eq!(aimed(&text, raw, decoded, "more"), "more");
    }

    #[test]
    fn a_value_without_a_way_back_is_meant_as_a_whole() {
        assert_eq!(aimed("a: 'one'", "'one'", "another", "other"), "'one'");
        assert_eq!(aimed("a: \"\\", "\"\\", "another", "other"), "\"\\");
    }
}
