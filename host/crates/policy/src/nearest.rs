//! "Did you mean": the known word that somebody probably meant.

/// Longest word, in bytes, for which a neighbour is sought: the distance costs the product of both lengths.
const WORD_BYTES_MAX: usize = 64;

/// Returns the one of `known` that is nearest to `word`, if one is near enough: a third of its length in edits,
/// or the same letters with other separators or case.
pub(crate) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let farthest = (word.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        if folded(word).eq(folded(candidate)) {
            0
        } else {
            strsim::osa_distance(word, candidate)
        }
    };
    known
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> impl Iterator<Item = char> {
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-'))
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_a_stranger_finds_none() {
        let known = ["function", "process", "env", "exports", "host-call"];
        let table = [
            ("funtcion", Some("function")),
            ("export", Some("exports")),
            ("host_call", Some("host-call")),
            ("ENV", Some("env")),
            ("deny", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"f".repeat(WORD_BYTES_MAX + 1), &known), None);
    }
}
