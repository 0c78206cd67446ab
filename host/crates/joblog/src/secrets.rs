//! The texts that must not appear.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::mask::{Index, Masker};

/// Most bytes that one log should hide, all texts together: the index of more takes memory that a host has for all its
/// jobs. Nobody's password is so long; who builds the set keeps to it ([`Secrets::bytes`]).
pub const SECRETS_BYTES_MAX: usize = 1 << 20;

/// A set of texts to hide. Cheap to clone; never changes, [`Secrets::with`] makes a larger one.
///
/// An empty text hides nothing. Line breaks at the end of a text are not part of it: a shell drops them in
/// `$(cat file)`, and a log keeps its lines. The search index is built when it is first needed and costs
/// about 17 bytes for each byte of the set, while it is built twice as many.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Set>);

#[derive(Default)]
struct Set {
    /// Sorted, no two equal, none empty.
    texts: Vec<Arc<[u8]>>,
    index: OnceLock<Index>,
}

impl Secrets {
    /// Hides `texts`.
    pub fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Secrets {
        Secrets::default().with(texts)
    }

    /// Hides the texts of this set and `more`. Returns the same set if there is nothing new in it.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Vec<u8>>) -> Secrets {
        let mut texts: Vec<Arc<[u8]>> = more
            .into_iter()
            .map(|text| Arc::from(without_line_ends(&text)))
            .filter(|text: &Arc<[u8]>| {
                !text.is_empty() && self.0.texts.binary_search(text).is_err()
            })
            .collect();
        if texts.is_empty() {
            return self.clone();
        }
        texts.extend(self.0.texts.iter().cloned());
        texts.sort_unstable();
        texts.dedup();
        Secrets(Arc::new(Set {
            texts,
            index: OnceLock::new(),
        }))
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.texts.is_empty()
    }

    /// How long all of them are together.
    pub fn bytes(&self) -> usize {
        self.0.texts.iter().map(|text| text.len()).sum()
    }

    /// Returns `text` with everything hidden. For short texts that are complete, such as an error message.
    pub fn mask_text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut masker = Masker::new(self);
        let mut masked = Vec::with_capacity(text.len());
        masker.push(text.as_bytes(), &mut masked);
        masker.finish(&mut masked);
        // A secret need not end at the border of a character.
        match String::from_utf8(masked) {
            Ok(masked) => masked,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    pub(crate) fn is_same(&self, other: &Secrets) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn index(&self) -> &Index {
        self.0.index.get_or_init(|| Index::new(&self.0.texts))
    }
}

/// Shows how many, never which.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} texts)", self.0.texts.len())
    }
}

fn without_line_ends(text: &[u8]) -> &[u8] {
    let kept = text
        .iter()
        .rposition(|&byte| byte != b'\n' && byte != b'\r')
        .map_or(0, |last| last + 1);
    &text[..kept]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(texts.iter().map(|text| text.as_bytes().to_vec()))
    }

    #[test]
    fn empty_texts_and_repetitions_do_not_count() {
        assert!(secrets(&[]).is_empty());
        assert!(secrets(&["", "\n", "\r\n\n"]).is_empty());
        assert_eq!(
            format!("{:?}", secrets(&["a", "", "b", "a", "a\n"])),
            "Secrets(2 texts)"
        );
        assert_eq!(secrets(&["abc", "", "de", "abc", "abc\n"]).bytes(), 5);
    }

    #[test]
    fn a_set_grows_only_by_what_is_new() {
        let few = secrets(&["a", "b"]);
        assert!(
            few.with([b"b".to_vec(), b"a\n".to_vec(), Vec::new()])
                .is_same(&few)
        );
        let more = few.with([b"c".to_vec()]);
        assert!(!more.is_same(&few));
        assert_eq!(more.mask_text("a c"), "[MASKED] [MASKED]");
        assert_eq!(
            few.mask_text("a c"),
            "[MASKED] c",
            "the smaller set is still what it was"
        );
    }

    #[test]
    fn a_text_is_masked_in_one_go() {
        let table = [
            ("", ""),
            ("nothing here", "nothing here"),
            ("pass", "[MASKED]"),
            ("the password is not it", "the [MASKED]word is not it"),
            ("pas", "pas"),
            ("passpass", "[MASKED][MASKED]"),
            ("é", "\u{fffd}[MASKED]"),
        ];
        let secrets = Secrets::new([b"pass\n".to_vec(), "é".as_bytes()[1..].to_vec()]);
        for (text, masked) in table {
            assert_eq!(secrets.mask_text(text), masked, "{text:?}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_not_shown_by_debug() {
        assert!(!format!("{:?}", secrets(&["hunter2"])).contains("hunter2"));
    }
}
