//! The producer rules of contract 5.7, row by row, and a reader that undoes them.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

/// 2026-11-24T18:38:05Z and some milliseconds.
fn clock(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_545_485) + Duration::from_millis(ms)
}

/// Undoes the stamps as a runner does (contract 5.7, consumer rules): returns both streams.
///
/// Checks on the way what each stored line must look like.
pub(crate) fn streams(stored: &[u8]) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    for line in stored.split_inclusive(|&byte| byte == b'\n') {
        let shown = String::from_utf8_lossy(line).into_owned();
        assert!(line.ends_with(b"\n"), "no line end: {shown:?}");
        assert!(
            line.len() > HEADER_BYTES,
            "a reader drops a line this short: {shown:?}"
        );
        assert!(
            line.len() <= LINE_BYTES_MAX + 1,
            "{} bytes in a line",
            line.len()
        );
        let (header, text) = line.split_at(HEADER_BYTES);
        let form = *b"dddd-dd-ddTdd:dd:dd.ddddddZ 00";
        for (at, (&byte, form)) in header.iter().zip(form).enumerate() {
            let fits = if form == b'd' {
                byte.is_ascii_digit()
            } else {
                byte == form
            };
            assert!(fits, "byte {at} of the header: {shown:?}");
        }
        let stream = match header[30] {
            b'O' => &mut streams[0],
            b'E' => &mut streams[1],
            other => panic!("stream {other}: {shown:?}"),
        };
        match header[31] {
            b' ' => assert!(
                stream.is_empty() || stream.ends_with(b"\n"),
                "glued: {shown:?}"
            ),
            b'+' => assert_eq!(stream.pop(), Some(b'\n'), "continues nothing: {shown:?}"),
            other => panic!("flag {other}: {shown:?}"),
        }
        stream.extend_from_slice(text);
    }
    streams
}

/// The stored lines without their times.
fn untimed(stored: &[u8]) -> Vec<String> {
    let lines = stored.split_inclusive(|&byte| byte == b'\n');
    lines
        .map(|line| String::from_utf8_lossy(&line[28..]).into_owned())
        .collect()
}

/// Pushes writes (`O` or `E` in front says where to). Returns the lines that each of them made ready, and
/// those of the end.
fn ready_after_each(writes: &[&str]) -> Vec<Vec<String>> {
    let mut stamper = Stamper::new();
    let mut log = Vec::new();
    let mut steps = Vec::new();
    for write in writes {
        let stream = if write.starts_with('O') {
            Stream::Out
        } else {
            Stream::Err
        };
        let mut ready = Vec::new();
        stamper.push(stream, &write.as_bytes()[1..], clock(0), &mut ready);
        steps.push(untimed(&ready));
        log.append(&mut ready);
    }
    let mut ready = Vec::new();
    stamper.finish(clock(0), &mut ready);
    steps.push(untimed(&ready));
    log.append(&mut ready);
    let _ = streams(&log);
    steps
}

/// Texts in a table.
type Texts<'a> = &'a [&'a str];

#[test]
fn every_rule_for_producers_holds() {
    let table: [(&str, Texts, &[Texts]); 16] = [
        // rule of contract 5.7, writes, lines after each write and at the end (headers from the stream on)
        ("a complete line", &["Oone\n"], &[&["00O one\n"], &[]]),
        (
            "several lines in a write",
            &["Oa\nb\n"],
            &[&["00O a\n", "00O b\n"], &[]],
        ),
        (
            "an empty line (S23)",
            &["O\n\n"],
            &[&["00O \n", "00O \n"], &[]],
        ),
        ("an empty write", &["O"], &[&[], &[]]),
        (
            "a line in two writes",
            &["Oa", "Ob\n"],
            &[&[], &["00O ab\n"], &[]],
        ),
        (
            "its line end alone",
            &["Oa", "O\nb\n"],
            &[&[], &["00O a\n", "00O b\n"], &[]],
        ),
        ("end of stream (S23)", &["Oa"], &[&[], &["00O a\n"]]),
        (
            "both streams (S26)",
            &["Oa", "Eb\n", "Oc\n"],
            &[&[], &["00E b\n"], &["00O ac\n"], &[]],
        ),
        (
            "both at the end",
            &["Eb", "Oa"],
            &[&[], &[], &["00O a\n", "00E b\n"]],
        ),
        (
            "CR without LF (S25)",
            &["O1%\r", "O2%\n"],
            &[&["00O 1%\r\n"], &["00O+2%\n"], &[]],
        ),
        (
            "... flushed whole",
            &["Oa", "O1%\r2"],
            &[&[], &["00O a1%\r2\n"], &[]],
        ),
        (
            "... behind a line",
            &["Oa\n1%\r"],
            &[&["00O a\n", "00O 1%\r\n"], &[]],
        ),
        (
            "CR before LF is text",
            &["Oa\r\nb"],
            &[&["00O a\r\n"], &["00O b\n"]],
        ),
        (
            "CR and LF apart",
            &["Oa\r", "O\nb\n"],
            &[&["00O a\r\n"], &["00O+\n", "00O b\n"], &[]],
        ),
        (
            "`+` is one-shot",
            &["O1\r", "O2\n3\n"],
            &[&["00O 1\r\n"], &["00O+2\n", "00O 3\n"], &[]],
        ),
        (
            "`+` is per stream",
            &["O1\r", "E2\n", "O3\n"],
            &[&["00O 1\r\n"], &["00E 2\n"], &["00O+3\n"], &[]],
        ),
    ];
    for (rule, writes, lines) in table {
        assert_eq!(ready_after_each(writes), lines, "{rule}: see contract 5.7");
    }
}

#[test]
fn a_header_tells_when_its_line_began() {
    let mut stamper = Stamper::new();
    let mut log = Vec::new();
    stamper.push(Stream::Out, b"began", clock(1), &mut log);
    stamper.push(Stream::Err, b"between\n", clock(2), &mut log);
    stamper.push(Stream::Out, b" ended\nnext\n", clock(3), &mut log);
    stamper.push(Stream::Out, b"waits", clock(4), &mut log);
    stamper.finish(clock(5), &mut log);
    let expected = "\
        2026-11-24T18:38:05.002000Z 00E between\n\
        2026-11-24T18:38:05.001000Z 00O began ended\n\
        2026-11-24T18:38:05.003000Z 00O next\n\
        2026-11-24T18:38:05.004000Z 00O waits\n";
    assert_eq!(String::from_utf8_lossy(&log), expected);
}

#[test]
fn the_first_bytes_of_a_log_are_a_whole_header() {
    // S24: the reader decides by them, once, whether the log is stamped at all.
    let mut log = Vec::new();
    Stamper::new().push(Stream::Out, b"\n", clock(7), &mut log);
    assert_eq!(log, b"2026-11-24T18:38:05.007000Z 00O \n");
    assert_eq!(log.len(), HEADER_BYTES + 1);
}

#[test]
fn nothing_begins_in_the_middle_of_a_line_after_the_end_of_a_step() {
    let mut stamper = Stamper::new();
    let mut log = Vec::new();
    for step in ["progress\r", "waits", "whole\n"] {
        stamper.push(Stream::Out, step.as_bytes(), clock(0), &mut log);
        stamper.finish(clock(0), &mut log);
    }
    assert_eq!(
        untimed(&log),
        ["00O progress\r\n", "00O waits\n", "00O whole\n"]
    );
}

#[test]
fn a_long_line_is_stored_in_pieces_and_only_as_many_as_it_needs() {
    let text_max = LINE_BYTES_MAX - HEADER_BYTES;
    let table = [
        // text bytes, pieces
        (text_max - 1, 1),
        (text_max, 1),
        (text_max + 1, 2),
        (2 * text_max, 2),
        (2 * text_max + 1, 3),
        (1 << 20, (1 << 20) / text_max + 1), // S22
    ];
    for (len, pieces) in table {
        let text = vec![b'x'; len];
        for line_end in ["\n", ""] {
            for write in [1 + len / 3, len, 100_000_000] {
                let mut stamper = Stamper::new();
                let mut log = Vec::new();
                let whole = [&text[..], line_end.as_bytes()].concat();
                for write in whole.chunks(write) {
                    stamper.push(Stream::Err, write, clock(0), &mut log);
                    assert!(stamper.err.unfinished.len() <= LINE_BYTES_MAX);
                }
                stamper.finish(clock(0), &mut log);
                let case = format!("{len} bytes, line end {line_end:?}, writes of {write}");
                let flags: Vec<u8> = log
                    .split_inclusive(|&byte| byte == b'\n')
                    .map(|line| line[31])
                    .collect();
                assert_eq!(
                    flags,
                    [b" ", &vec![b'+'; pieces - 1][..]].concat(),
                    "{case}"
                );
                assert_eq!(streams(&log)[1], [&text[..], b"\n"].concat(), "{case}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let all: Vec<u8> = (0..=255).collect();
    let mut stamper = Stamper::new();
    let mut log = Vec::new();
    stamper.push(Stream::Out, &all, clock(0), &mut log);
    stamper.finish(clock(0), &mut log);
    assert_eq!(streams(&log)[0], [&all[..], b"\n"].concat());
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), Just(b'+'), any::<u8>()], 0..12),
        1 => (7_000_usize..10_000).prop_map(|len| vec![b'l'; len]),
        1 => Just(b"\r\n".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_reader_gets_both_streams_back(writes in proptest::collection::vec((any::<bool>(), pieces()), 0..20)) {
        let mut stamper = Stamper::new();
        let mut log = Vec::new();
        let mut said = [Vec::new(), Vec::new()];
        for (at, (err, text)) in writes.iter().enumerate() {
            let stream = if *err { Stream::Err } else { Stream::Out };
            stamper.push(stream, text, clock(at as u64), &mut log);
            said[usize::from(*err)].extend_from_slice(text);
            let _ = streams(&log);
        }
        stamper.finish(clock(999), &mut log);
        for stream in &mut said {
            if !stream.is_empty() && !stream.ends_with(b"\n") {
                stream.push(b'\n');
            }
        }
        prop_assert_eq!(streams(&log), said);
    }
}
