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
    let mut written = raw[header..].char_indices();
    for (at, wanted) in decoded.char_indices() {
        // Quotes, indentation and the marks of escapes are passed over; a line break may have become a blank.
        let same = |letter: char| letter == wanted || (wanted == ' ' && letter == '\n');
        let (offset, _) = written.by_ref().find(|(_, letter)| same(*letter))?;
        if at + wanted.len_utf8() > position {
            return Some(range.start + header + offset);
        }
    }
    None
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
    fn a_value_without_a_way_back_is_meant_as_a_whole() {
        let text = "a: \"\\x41\\x42\"";
        assert_eq!(aimed(text, "\"\\x41\\x42\"", "AB", "B"), "\"\\x41\\x42\"");
    }
}
