//! Takes the stamps off again: what [`Stamper`](crate::Stamper) made of two streams, as the streams were.
//!
//! Promises: whatever the pieces in which stored lines arrive, both streams come out byte for byte, with the line end
//! that a step left out at its end. Text goes out as soon as it is there. Only a line end that the stamper may have
//! made up waits until the next line of its stream says whether it did.
//! Memory: one stored line. Never fails: a line without a header comes out as it is, on stdout.
//! Called by: whoever shows a log of this host to a person.

use crate::stamp::{HEADER_BYTES, LINE_BYTES_MAX, Stream};

/// Undoes stamps.
#[derive(Debug, Default)]
pub struct Unstamper {
    /// The beginning of a stored line whose rest has not arrived.
    begun: Vec<u8>,
    out_waits: bool,
    err_waits: bool,
}

impl Unstamper {
    /// An unstamper at the start of a log, or of any of its lines.
    pub fn new() -> Unstamper {
        Unstamper::default()
    }

    /// Takes the next stored bytes and gives `show` what they hold of each stream.
    pub fn push(&mut self, mut stored: &[u8], mut show: impl FnMut(Stream, &[u8])) {
        while let Some(end) = memchr::memchr(b'\n', stored) {
            let (line, rest) = stored.split_at(end);
            if self.begun.is_empty() {
                self.line(line, &mut show);
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.line(&whole, &mut show);
            }
            stored = &rest[1..];
        }
        self.begun.extend_from_slice(stored);
    }

    /// Ends the log: gives what waits.
    pub fn finish(&mut self, mut show: impl FnMut(Stream, &[u8])) {
        for stream in [Stream::Out, Stream::Err] {
            if std::mem::take(self.waits(stream)) {
                show(stream, b"\n");
            }
        }
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() {
            show(Stream::Out, &begun);
        }
    }

    /// Takes one stored line without its line end.
    fn line(&mut self, line: &[u8], show: &mut impl FnMut(Stream, &[u8])) {
        let (stream, continues, text) = match line.split_at_checked(HEADER_BYTES) {
            Some((header, text)) => match (header[HEADER_BYTES - 2], header[HEADER_BYTES - 1]) {
                (b'O', flag) => (Stream::Out, flag == b'+', text),
                (b'E', flag) => (Stream::Err, flag == b'+', text),
                _ => (Stream::Out, false, line),
            },
            None => (Stream::Out, false, line),
        };
        let waits = self.waits(stream);
        if std::mem::take(waits) && !continues {
            show(stream, b"\n");
        }
        // The two reasons for which a stamper breaks a line off: it is full, or it is a progress bar.
        *waits = line.len() == LINE_BYTES_MAX || memchr::memchr(b'\r', text).is_some();
        let waits = *waits;
        if !text.is_empty() {
            show(stream, text);
        }
        if !waits {
            show(stream, b"\n");
        }
    }

    fn waits(&mut self, stream: Stream) -> &mut bool {
        match stream {
            Stream::Out => &mut self.out_waits,
            Stream::Err => &mut self.err_waits,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::stamp::Stamper;
    use crate::stamp::tests::streams;

    fn unstamped(stored: &[u8], piece_bytes: usize) -> [Vec<u8>; 2] {
        let mut streams = [Vec::new(), Vec::new()];
        let mut show = |stream, text: &[u8]| {
            streams[usize::from(stream == Stream::Err)].extend_from_slice(text)
        };
        let mut unstamper = Unstamper::new();
        for piece in stored.chunks(piece_bytes) {
            unstamper.push(piece, &mut show);
        }
        unstamper.finish(&mut show);
        streams
    }

    fn writes() -> impl Strategy<Value = Vec<(bool, Vec<u8>, bool)>> {
        let text = prop_oneof![
            proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'+'), any::<u8>()],
                0..40
            ),
            // Around the length at which lines are broken.
            (8150_usize..8170, any::<bool>()).prop_map(|(length, ends)| {
                let mut text = vec![b'x'; length];
                text.extend(ends.then_some(b'\n'));
                text
            }),
        ];
        proptest::collection::vec((any::<bool>(), text, proptest::bool::weighted(0.2)), 0..12)
    }

    proptest! {
        #[test]
        fn both_streams_come_out_byte_for_byte(writes in writes(), piece_bytes in 1_usize..9000) {
            let mut stamper = Stamper::new();
            let mut stored = Vec::new();
            let mut given = [Vec::new(), Vec::new()];
            for (is_error, text, step_ends) in &writes {
                let stream = if *is_error { Stream::Err } else { Stream::Out };
                stamper.push(stream, text, UNIX_EPOCH, &mut stored);
                given[usize::from(*is_error)].extend_from_slice(text);
                if *step_ends {
                    stamper.finish(UNIX_EPOCH, &mut stored);
                    end_lines(&mut given);
                }
            }
            stamper.finish(UNIX_EPOCH, &mut stored);
            end_lines(&mut given);
            prop_assert_eq!(&unstamped(&stored, piece_bytes), &given);
            prop_assert_eq!(&streams(&stored), &given);
        }

        #[test]
        fn no_bytes_are_too_odd_and_none_without_a_header_is_lost(stored in proptest::collection::vec(any::<u8>(), 0..200)) {
            let [out, err] = unstamped(&stored, 7);
            let lines = stored.split(|byte| *byte == b'\n').count();
            prop_assert!(out.len() + err.len() + lines * (HEADER_BYTES + 1) >= stored.len());
        }
    }

    fn end_lines(streams: &mut [Vec<u8>; 2]) {
        for stream in streams {
            if !stream.is_empty() && !stream.ends_with(b"\n") {
                stream.push(b'\n');
            }
        }
    }

    /// A carriage return that fills a piece leaves nothing in the next one that says why it was broken off.
    #[test]
    fn a_progress_bar_across_a_full_piece_gets_no_line_end_of_ours() {
        for returns in 1..8 {
            let start = vec![b'x'; LINE_BYTES_MAX - HEADER_BYTES - 5];
            let bar = [&vec![b'\r'; returns][..], b"+"].concat();
            let mut stamper = Stamper::new();
            let mut stored = Vec::new();
            for write in [&start[..], &bar, b"\n"] {
                stamper.push(Stream::Out, write, UNIX_EPOCH, &mut stored);
            }
            stamper.finish(UNIX_EPOCH, &mut stored);
            let given = [&start[..], &bar, b"\n"].concat();
            assert_eq!(unstamped(&stored, 1), [given, Vec::new()], "{returns}");
        }
    }

    #[test]
    fn text_is_shown_when_it_arrives_and_only_a_doubtful_line_end_waits() {
        let mut stamper = Stamper::new();
        let mut stored = Vec::new();
        stamper.push(Stream::Out, b"sure\n50%\r", UNIX_EPOCH, &mut stored);
        let mut unstamper = Unstamper::new();
        let mut shown = Vec::new();
        unstamper.push(&stored, |_, text| shown.extend_from_slice(text));
        assert_eq!(shown, b"sure\n50%\r");
        stored.clear();
        stamper.push(Stream::Out, b"100%\n", UNIX_EPOCH, &mut stored);
        unstamper.push(&stored, |_, text| shown.extend_from_slice(text));
        assert_eq!(shown, b"sure\n50%\r100%\n");
    }
}
