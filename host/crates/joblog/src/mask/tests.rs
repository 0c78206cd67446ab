//! The masker against a naive oracle, and the leaks that others had.

use proptest::prelude::*;

use super::*;

/// What the whole stream must become, the slow and obvious way.
pub(crate) fn oracle(texts: &[Vec<u8>], stream: &[u8]) -> Vec<u8> {
    // `joined[i]`: bytes i and i + 1 belong to one occurrence.
    let mut hidden = vec![false; stream.len()];
    let mut joined = vec![false; stream.len()];
    for text in texts.iter().filter(|text| !text.is_empty()) {
        for at in 0..stream.len() {
            if stream[at..].starts_with(text) {
                hidden[at..at + text.len()].fill(true);
                joined[at..at + text.len() - 1].fill(true);
            }
        }
    }
    let mut shown = Vec::new();
    for (at, &byte) in stream.iter().enumerate() {
        if !hidden[at] {
            shown.push(byte);
        } else if at == 0 || !joined[at - 1] {
            shown.extend_from_slice(MASK);
        }
    }
    shown
}

/// Texts in a table.
type Texts<'a> = &'a [&'a str];

fn secrets(texts: &[&str]) -> Secrets {
    Secrets::new(texts.iter().map(|text| text.as_bytes().to_vec()))
}

/// Pushes the writes; returns what was shown after each of them, and at the end.
fn shown_after_each(texts: &[&str], writes: &[&str]) -> Vec<String> {
    let mut masker = Masker::new(&secrets(texts));
    let mut steps = Vec::new();
    for write in writes {
        let mut out = Vec::new();
        masker.push(write.as_bytes(), &mut out);
        steps.push(String::from_utf8(out).expect("text"));
    }
    let mut out = Vec::new();
    masker.finish(&mut out);
    steps.push(String::from_utf8(out).expect("text"));
    steps
}

#[test]
fn each_secret_is_hidden_whatever_the_writes() {
    let table: [(&str, Texts, Texts, Texts); 22] = [
        // what, secrets, writes, shown after each write and at the end
        ("no secret", &[], &["abc"], &["abc", ""]),
        (
            "in one write (S27)",
            &["hunter2"],
            &["is hunter2!"],
            &["is [MASKED]!", ""],
        ),
        (
            "in two writes (S27)",
            &["hunter2"],
            &["is hun", "ter2!"],
            &["is ", "[MASKED]!", ""],
        ),
        (
            "byte by byte",
            &["abc"],
            &["a", "b", "c", "d"],
            &["", "", "[MASKED]", "d", ""],
        ),
        (
            "only a beginning",
            &["hunter2"],
            &["hunter"],
            &["", "hunter"],
        ),
        (
            "a beginning that fails",
            &["hunter2"],
            &["hunter", "3"],
            &["", "hunter3", ""],
        ),
        (
            "overlapping share one mark",
            &["abcd", "cdef"],
            &["xabcdefx"],
            &["x[MASKED]x", ""],
        ),
        (
            "... across writes",
            &["abcd", "cdef"],
            &["xabcd", "efx"],
            &["x[MASKED]", "x", ""],
        ),
        (
            "... but not to their end",
            &["abcd", "cdef"],
            &["xabcde", "x"],
            &["x[MASKED]", "ex", ""],
        ),
        (
            "... and the end of the stream",
            &["abcd", "cdef"],
            &["xabcde"],
            &["x[MASKED]", "e"],
        ),
        (
            "touching have one each",
            &["ab", "cd"],
            &["abcdab"],
            &["[MASKED][MASKED][MASKED]", ""],
        ),
        (
            "overlapping itself",
            &["aba"],
            &["xababax"],
            &["x[MASKED]x", ""],
        ),
        (
            "a run of itself",
            &["aa"],
            &["aaaa", "a", "b"],
            &["[MASKED]", "", "b", ""],
        ),
        (
            "one in the other",
            &["pass", "password"],
            &["pass ", "password"],
            &["[MASKED] ", "[MASKED]", ""],
        ),
        (
            "... the longer fails",
            &["pass", "password"],
            &["passw", "eak"],
            &["", "[MASKED]weak", ""],
        ),
        (
            "... inside",
            &["b", "abc"],
            &["ab", "x"],
            &["", "a[MASKED]x", ""],
        ),
        (
            "restart inside (leak of others)",
            &["aab"],
            &["aa", "ab"],
            &["", "a[MASKED]", ""],
        ),
        (
            "... with a longer period",
            &["xyxyz9"],
            &["xyxy", "xyz9"],
            &["", "xy[MASKED]", ""],
        ),
        (
            "... with another",
            &["abcabd"],
            &["abcab", "cabd"],
            &["", "abc[MASKED]", ""],
        ),
        (
            "with a line break inside",
            &["a\nb"],
            &["xa\n", "bx"],
            &["x", "[MASKED]x", ""],
        ),
        (
            "its line may end",
            &["key\n"],
            &["key\nnext"],
            &["[MASKED]\nnext", ""],
        ),
        (
            "one byte",
            &["1"],
            &["1 + 1 = 2"],
            &["[MASKED] + [MASKED] = 2", ""],
        ),
    ];
    for (what, texts, writes, shown) in table {
        assert_eq!(shown_after_each(texts, writes), shown, "{what}");
        let whole = oracle(
            &texts
                .iter()
                .map(|text| text.trim_end().as_bytes().to_vec())
                .collect::<Vec<_>>(),
            writes.concat().as_bytes(),
        );
        assert_eq!(
            shown.concat().as_bytes(),
            whole,
            "{what}: the oracle agrees"
        );
    }
}

#[test]
fn a_prompt_that_cannot_become_a_secret_is_not_held_up() {
    let texts = ["correct horse battery staple", "p4ssw0rd"];
    assert_eq!(
        shown_after_each(&texts, &["Continue? [y/N] "]),
        ["Continue? [y/N] ", ""]
    );
    assert_eq!(
        shown_after_each(&texts, &["enter p", "in: "]),
        ["enter ", "pin: ", ""]
    );
}

#[test]
fn a_masker_is_as_good_as_new_after_the_end_of_a_stream() {
    let mut masker = Masker::new(&secrets(&["abcd", "cdef"]));
    let mut out = Vec::new();
    for stream in ["xab", "cd", "abcde", "f", "abcdef"] {
        masker.push(stream.as_bytes(), &mut out);
        masker.finish(&mut out);
    }
    assert_eq!(String::from_utf8_lossy(&out), "xabcd[MASKED]ef[MASKED]");
}

#[test]
fn new_secrets_hide_what_waits_and_what_comes() {
    let table: [(&str, Texts, &str, Texts, &str, &str); 7] = [
        // what, first secrets, first write, then secrets, second write, shown in all
        (
            "waiting bytes are a secret now",
            &["abcd"],
            "xabc",
            &["bc"],
            "y",
            "xa[MASKED]y",
        ),
        (
            "... or the beginning of one",
            &["abcd"],
            "xabc",
            &["bcy"],
            "y",
            "xa[MASKED]",
        ),
        (
            "they still become the old one",
            &["abcd"],
            "xabc",
            &["bc"],
            "d",
            "x[MASKED]",
        ),
        (
            "a mark that is out stays one",
            &["abcd", "cdef"],
            "abcde",
            &["defg"],
            "fg",
            "[MASKED]",
        ),
        (
            "... and hides all it hid",
            &["abcd", "bcdx"],
            "abcd",
            &["b"],
            "y",
            "[MASKED]y",
        ),
        (
            "what is out stays out",
            &["q"],
            "hun",
            &["hunter2"],
            "ter2 hunter2",
            "hunter2 [MASKED]",
        ),
        (
            "the first secrets at all",
            &[],
            "hunter2 ",
            &["hunter2"],
            "hunter2",
            "hunter2 [MASKED]",
        ),
    ];
    for (what, first, write, more, next, shown) in table {
        let first = secrets(first);
        let mut masker = Masker::new(&first);
        let mut out = Vec::new();
        masker.push(write.as_bytes(), &mut out);
        masker.replace(&first.with(more.iter().map(|text| text.as_bytes().to_vec())));
        masker.push(next.as_bytes(), &mut out);
        masker.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "{what}");
    }
}

#[test]
fn bytes_that_waited_for_a_withdrawn_secret_are_not_lost() {
    let mut masker = Masker::new(&secrets(&["abcd"]));
    let mut out = Vec::new();
    masker.push(b"xabc", &mut out);
    masker.replace(&Secrets::default());
    masker.push(b"d", &mut out);
    assert_eq!(out, b"xabcd");
}

#[test]
fn what_waits_is_shorter_than_the_longest_secret() {
    let secret = [vec![b'a'; 100_000], vec![b'b']].concat();
    let mut masker = Masker::new(&Secrets::new([secret.clone()]));
    let mut out = Vec::new();
    for _ in 0..300 {
        masker.push(&vec![b'a'; 1_000], &mut out);
        assert!(masker.held.len() < secret.len());
        assert!(masker.marks.is_empty());
    }
    masker.push(b"b", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, [vec![b'a'; 200_000], MASK.to_vec()].concat());
}

#[test]
fn a_large_write_full_of_secrets_is_hidden_in_parts() {
    let stream = b"ab.".repeat(PART_BYTES_MAX);
    let mut masker = Masker::new(&secrets(&["ab", "abcabc"]));
    let mut out = Vec::new();
    masker.push(&stream, &mut out);
    masker.finish(&mut out);
    assert_eq!(out, b"[MASKED].".repeat(PART_BYTES_MAX));
}

/// Cuts `stream` at `cuts` (any numbers).
fn writes<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect()
}

fn masked(texts: &[Vec<u8>], writes: &[&[u8]]) -> Vec<u8> {
    let mut masker = Masker::new(&Secrets::new(texts.iter().cloned()));
    let mut out = Vec::new();
    for write in writes {
        masker.push(write, &mut out);
    }
    masker.finish(&mut out);
    out
}

/// Bytes of a small alphabet, so that secrets begin, fail and overlap all the time.
fn letters(letters: u8, len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((0..letters).prop_map(|letter| b'a' + letter), len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_cut_of_a_stream_gives_what_the_oracle_says(
        texts in proptest::collection::vec(letters(2, 1..7), 1..6),
        stream in letters(3, 0..60),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        prop_assert_eq!(masked(&texts, &writes(&stream, &cuts)), oracle(&texts, &stream));
    }

    #[test]
    fn secrets_of_all_lengths_are_found_among_their_own_pieces(
        texts in proptest::collection::vec(letters(2, 4..40), 1..6),
        pieces in proptest::collection::vec((any::<usize>(), any::<usize>(), any::<usize>(), letters(4, 0..30)), 0..12),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut stream = Vec::new();
        for (which, from, to, between) in pieces {
            let text = &texts[which % texts.len()];
            let from = if from % 2 == 0 { 0 } else { from % text.len() };
            let to = if to % 2 == 0 { text.len() } else { from + to % (text.len() - from) };
            stream.extend_from_slice(&text[from..to]);
            stream.extend_from_slice(&between);
        }
        prop_assert_eq!(masked(&texts, &writes(&stream, &cuts)), oracle(&texts, &stream));
    }

    #[test]
    fn secrets_that_arrive_late_hide_all_that_waits(
        first in proptest::collection::vec(letters(2, 1..7), 0..4),
        more in proptest::collection::vec(letters(2, 1..7), 1..4),
        before in letters(2, 0..20),
        after in letters(2, 0..20),
    ) {
        let mut masker = Masker::new(&Secrets::new(first.clone()));
        let mut out = Vec::new();
        masker.push(&before, &mut out);
        let waits = masker.held.len();
        let shown_before = out.len();
        let split_mark = masker.marks.front().is_some_and(|mark| mark.shown);
        masker.replace(&Secrets::new(first.iter().chain(&more).cloned()));
        masker.push(&after, &mut out);
        masker.finish(&mut out);
        // A mark that was out before has hidden the first of the waiting bytes already.
        if !split_mark {
            let all: Vec<Vec<u8>> = first.into_iter().chain(more).collect();
            let rest = [&before[before.len() - waits..], &after[..]].concat();
            prop_assert_eq!(&out[shown_before..], oracle(&all, &rest));
        }
    }
}

#[test]
fn no_bytes_at_all_break_the_masker() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(|input: &[u8]| {
            // The first bytes say where secrets and writes are in the rest.
            let Some((plan, stream)) = input.split_at_checked(6) else {
                return;
            };
            let stream = &stream[..stream.len().min(400)];
            let cuts: Vec<usize> = plan.iter().map(|&cut| usize::from(cut)).collect();
            let texts: Vec<Vec<u8>> = writes(stream, &cuts[..3])
                .into_iter()
                .map(|text| {
                    text.iter()
                        .copied()
                        .take(20)
                        .filter(|byte| !b"\r\n".contains(byte))
                        .collect()
                })
                .collect();
            assert_eq!(
                masked(&texts, &writes(stream, &cuts[3..])),
                oracle(&texts, stream)
            );
        });
}
