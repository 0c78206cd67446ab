//! Text of strangers on a terminal: shown and never acted on.

/// A text of a stranger in one line: what a terminal would act on, or not show, is shown as its number.
pub(super) fn visible(text: &str) -> String {
    let show = |letter: char| -> String {
        let escaped = letter.escape_debug();
        match letter {
            '"' | '\'' | '\\' => letter.to_string(),
            _ => escaped.collect(),
        }
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_shown_and_not_acted_on() {
        let table = [
            ("a \"b\" c\\d ü", "a \"b\" c\\d ü"),
            ("\u{1b}[2Jx\n", "\\u{1b}[2Jx\\n"),
            ("\u{202E}txt", "\\u{202e}txt"),
        ];
        for (text, shown) in table {
            assert_eq!(visible(text), shown);
        }
    }
}
