//! "Did you mean": the candidate nearest to a word that nobody knows.

/// Longest word, in bytes, for which a neighbour is sought: the distance costs the product of both lengths.
const WORD_BYTES_MAX: usize = 64;

/// Most candidates looked at: a suggestion is a courtesy and must not be the expensive part of an error.
const CANDIDATES_MAX: usize = 1_000;

/// Returns the candidate that `word` was probably meant to be, if one is near enough.
///
/// Near is a third of the word's length in edits (a swap counts once), or equality without case and separators. A word
/// of which nothing remains was not a typo.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let letters = word.chars().count();
    let farthest = (letters / 3).max(1).min(letters - 1);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(word: &str, candidate: &str) -> usize {
    if folded(word).eq(folded(candidate)) {
        0
    } else {
        strsim::osa_distance(word, candidate)
    }
}

/// The letters that remain when `workDir`, `work-dir` and `work_dir` are the same.
fn folded(word: &str) -> impl Iterator<Item = char> {
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_finds_none() {
        let known = ["command", "work_dir", "env", "run", "a"];
        let table = [
            ("comand", Some("command")),
            ("commnad", Some("command")),
            ("workDir", Some("work_dir")),
            ("WORK-DIR", Some("work_dir")),
            ("evn", Some("env")),
            ("ruin", Some("run")),
            ("image", None),
            ("x", None),
            ("r", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"c".repeat(WORD_BYTES_MAX + 1), known), None);
    }
}
