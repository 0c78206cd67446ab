//! Mask and stamp together, as a job's log sees them.

use std::time::UNIX_EPOCH;

use super::*;
use crate::mask::tests::oracle;
use crate::stamp::tests::streams;
use crate::{HEADER_BYTES, LINE_BYTES_MAX};

fn log(secrets: &[&str]) -> JobLog {
    JobLog::new(Secrets::new(
        secrets.iter().map(|text| text.as_bytes().to_vec()),
    ))
}

/// Pushes the writes to standard output, ends the log, returns what is stored of it.
fn said(log: &mut JobLog, writes: &[&str]) -> String {
    let mut ready = Vec::new();
    for write in writes {
        log.push(Stream::Out, write.as_bytes(), UNIX_EPOCH, &mut ready);
    }
    log.flush(UNIX_EPOCH, &mut ready);
    let [out, err] = streams(&ready);
    assert!(err.is_empty());
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_secret_is_hidden_before_lines_are_made() {
    let long = "s".repeat(LINE_BYTES_MAX);
    let table: [(&str, &str, &[&str], &str); 7] = [
        // what, secret, writes, stored text
        (
            "in two writes (S27)",
            "hunter2",
            &["is hun", "ter2\n"],
            "is [MASKED]\n",
        ),
        (
            "across a carriage return's flush",
            "a\rb",
            &["xa\r", "b\n"],
            "x[MASKED]\n",
        ),
        ("across lines", "a\nb", &["xa\n", "by\n"], "x[MASKED]y\n"),
        ("across pieces", &long, &["x", &long, "\n"], "x[MASKED]\n"),
        (
            "at the end of the log",
            "hunter2",
            &["hunter2"],
            "[MASKED]\n",
        ),
        (
            "only its beginning, at the end",
            "hunter2",
            &["hunter"],
            "hunter\n",
        ),
        ("a beginning with line ends", "a\n\nb", &["a\n\n"], "a\n\n"),
    ];
    for (what, secret, writes, stored) in table {
        assert_eq!(said(&mut log(&[secret]), writes), stored, "{what}");
    }
}

#[test]
fn the_end_of_a_step_lets_go_what_waits() {
    let mut log = log(&["hunter2"]);
    assert_eq!(said(&mut log, &["hunt"]), "hunt\n");
    assert_eq!(
        said(&mut log, &["er2\n"]),
        "er2\n",
        "the next step begins a line and a stream"
    );
    assert_eq!(said(&mut log, &["hunter2\n"]), "[MASKED]\n");
}

#[test]
fn the_two_streams_do_not_complete_each_others_secrets() {
    let mut log = log(&["hunter2"]);
    let mut ready = Vec::new();
    log.push(Stream::Out, b"hun", UNIX_EPOCH, &mut ready);
    log.push(Stream::Err, b"hunter2 ter2\n", UNIX_EPOCH, &mut ready);
    log.push(Stream::Out, b"ter2\n", UNIX_EPOCH, &mut ready);
    log.flush(UNIX_EPOCH, &mut ready);
    assert_eq!(
        streams(&ready),
        [b"[MASKED]\n".to_vec(), b"[MASKED] ter2\n".to_vec()]
    );
}

#[test]
fn secrets_that_arrive_while_the_job_runs_are_hidden_in_both_streams() {
    let mut log = log(&["first"]);
    let mut ready = Vec::new();
    log.push(Stream::Out, b"second fir", UNIX_EPOCH, &mut ready);
    log.hide(log.secrets().with(vec![b"first".to_vec(), Vec::new()]));
    log.hide(
        log.secrets()
            .with(vec![b"second".to_vec(), b"irs".to_vec()]),
    );
    log.push(Stream::Out, b"st second\n", UNIX_EPOCH, &mut ready);
    log.push(Stream::Err, b"second\n", UNIX_EPOCH, &mut ready);
    log.flush(UNIX_EPOCH, &mut ready);
    assert_eq!(
        streams(&ready),
        [
            b"second [MASKED] [MASKED]\n".to_vec(),
            b"[MASKED]\n".to_vec()
        ]
    );
    assert_eq!(
        log.secrets().mask_text("first, second"),
        "[MASKED], [MASKED]"
    );
}

#[test]
fn a_large_write_does_not_keep_its_memory() {
    let mut log = log(&["a"]);
    let mut ready = Vec::new();
    log.push(Stream::Out, &b"a\n".repeat(1 << 18), UNIX_EPOCH, &mut ready);
    assert!(log.masked.capacity() <= KEPT_BYTES_MAX);
    assert_eq!(ready.len(), (HEADER_BYTES + crate::MASK.len() + 1) << 18);
}

#[test]
fn whatever_two_streams_say_a_reader_gets_them_back_masked() {
    bolero::check!()
        .with_iterations(2_000)
        .for_each(|input: &[u8]| {
            let Some((&[first, second], mut rest)) = input.split_first_chunk::<2>() else {
                return;
            };
            let mut texts = Vec::new();
            for len in [first % 8, second % 32] {
                let Some((text, after)) = rest.split_at_checked(usize::from(len)) else {
                    return;
                };
                texts.push(text.to_vec());
                rest = after;
            }
            let mut log = JobLog::new(Secrets::new(texts.iter().cloned()));
            let mut ready = Vec::new();
            let mut raw = [Vec::new(), Vec::new()];
            // A byte says where the next write goes and how long it is; a long one repeats a secret.
            while let Some((&plan, after)) = rest.split_first() {
                let (which, stream) = if plan % 2 == 0 {
                    (0, Stream::Out)
                } else {
                    (1, Stream::Err)
                };
                let write = match plan >> 1 {
                    len @ 0..=63 => after[..usize::from(len).min(after.len())].to_vec(),
                    repeat => texts[usize::from(repeat) % 2].repeat(usize::from(repeat)),
                };
                rest = if plan < 128 {
                    &after[write.len()..]
                } else {
                    after
                };
                log.push(stream, &write, UNIX_EPOCH, &mut ready);
                raw[which].extend_from_slice(&write);
                let _ = streams(&ready);
            }
            log.flush(UNIX_EPOCH, &mut ready);
            for text in &mut texts {
                while text.ends_with(b"\n") || text.ends_with(b"\r") {
                    text.pop();
                }
            }
            let expected = raw.map(|stream| {
                let mut masked = oracle(&texts, &stream);
                if !masked.is_empty() && !masked.ends_with(b"\n") {
                    masked.push(b'\n');
                }
                masked
            });
            assert_eq!(streams(&ready), expected);
        });
}
