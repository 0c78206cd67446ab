//! What background processes of a step that is over go on to say: whole lines with the step's name before them.
//!
//! ```text
//! 2026-11-24T18:38:05.123456Z 01O [background server] listening on 8080
//! ```
//!
//! Promises: every stored line has the tag and stream number `01`, which is for programs: the process has no hand in it;
//! a line is never broken off, so that it cannot get between a step's line and its continuation: one that is too long
//! becomes several. Masked like everything else, with a masker of its own for each stream of each step.
//! Memory: per step and stream one unfinished line, and less than the longest secret.
//! Called by: [`JobLog`](crate::JobLog).

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::mask::Masker;
use crate::secrets::Secrets;
use crate::stamp::{HEADER_BYTES, LINE_BYTES_MAX, Stamper, Stream};

/// Longest name in a tag, in bytes. The rest of a longer one says nothing that a reader could use.
const NAME_BYTES_MAX: usize = 100;

const _: () = assert!(
    HEADER_BYTES + NAME_BYTES_MAX + 32 < LINE_BYTES_MAX,
    "a tag must leave room for text"
);

/// One step's background processes, to whoever reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackgroundId(u64);

/// Everybody who speaks from the background.
#[derive(Default)]
pub(crate) struct Background {
    speakers: BTreeMap<BackgroundId, Speaker>,
    begun: u64,
    /// Masked and not yet split; empty between calls.
    masked: Vec<u8>,
}

struct Speaker {
    /// As the step is called, secrets included.
    step: String,
    tag: String,
    out: Voice,
    err: Voice,
}

/// One stream: what may be a secret, and the line that has not ended.
struct Voice {
    masker: Masker,
    unfinished: Vec<u8>,
}

impl Background {
    pub(crate) fn begin(&mut self, step: &str, secrets: &Secrets) -> BackgroundId {
        let id = BackgroundId(self.begun);
        self.begun += 1;
        let voice = || Voice {
            masker: Masker::new(secrets),
            unfinished: Vec::new(),
        };
        let speaker = Speaker {
            step: step.to_owned(),
            tag: tag(step, secrets),
            out: voice(),
            err: voice(),
        };
        self.speakers.insert(id, speaker);
        id
    }

    /// Takes one write. One who has ended says nothing any more.
    pub(crate) fn push(
        &mut self,
        id: BackgroundId,
        stream: Stream,
        bytes: &[u8],
        stamp: &mut Stamp<'_>,
    ) {
        let Some(speaker) = self.speakers.get_mut(&id) else {
            return;
        };
        let voice = speaker.voice(stream);
        voice.masker.push(bytes, &mut self.masked);
        speaker.say(stream, &self.masked, stamp);
        self.masked.clear();
    }

    /// Lets go what waits, and forgets the speaker.
    pub(crate) fn end(&mut self, id: BackgroundId, stamp: &mut Stamp<'_>) {
        let Some(mut speaker) = self.speakers.remove(&id) else {
            return;
        };
        for stream in [Stream::Out, Stream::Err] {
            speaker.voice(stream).masker.finish(&mut self.masked);
            speaker.say(stream, &self.masked, stamp);
            self.masked.clear();
            let rest = std::mem::take(&mut speaker.voice(stream).unfinished);
            if !rest.is_empty() {
                stamp.line(stream, &speaker.tag, &rest);
            }
        }
    }

    pub(crate) fn end_all(&mut self, stamp: &mut Stamp<'_>) {
        while let Some((&id, _)) = self.speakers.first_key_value() {
            self.end(id, stamp);
        }
    }

    pub(crate) fn hide(&mut self, secrets: &Secrets) {
        for speaker in self.speakers.values_mut() {
            speaker.tag = tag(&speaker.step, secrets);
            speaker.out.masker.replace(secrets);
            speaker.err.masker.replace(secrets);
        }
    }
}

impl Speaker {
    fn voice(&mut self, stream: Stream) -> &mut Voice {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    /// Stores every line that `text` ends, in pieces if it is long.
    fn say(&mut self, stream: Stream, mut text: &[u8], stamp: &mut Stamp<'_>) {
        let tag = std::mem::take(&mut self.tag);
        let room = LINE_BYTES_MAX - HEADER_BYTES - tag.len();
        let unfinished = &mut self.voice(stream).unfinished;
        while !text.is_empty() {
            let line_end = memchr::memchr(b'\n', text);
            let free = room - unfinished.len();
            let taken = line_end.unwrap_or(text.len()).min(free);
            unfinished.extend_from_slice(&text[..taken]);
            let ended = line_end == Some(taken);
            text = &text[taken + usize::from(ended)..];
            // A full piece goes out only when more arrives: what arrives may be its line end.
            if ended || (unfinished.len() == room && !text.is_empty()) {
                stamp.line(stream, &tag, unfinished);
                unfinished.clear();
            }
        }
        self.tag = tag;
    }
}

fn tag(step: &str, secrets: &Secrets) -> String {
    // Masked before it is cut: half a secret would not be found any more.
    let name = secrets.mask_text(step).replace(['\n', '\r'], " ");
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    format!("[background {name}] ")
}

/// Where lines go.
pub(crate) struct Stamp<'a> {
    pub(crate) stamper: &'a mut Stamper,
    pub(crate) now: SystemTime,
    pub(crate) ready: &'a mut Vec<u8>,
}

impl Stamp<'_> {
    fn line(&mut self, stream: Stream, tag: &str, text: &[u8]) {
        self.stamper
            .background_line(stream, &[tag.as_bytes(), text], self.now, self.ready);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{JobLog, Unstamper};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn log(secrets: &[&str]) -> JobLog {
        let secrets = secrets.iter().map(|secret| secret.as_bytes().to_vec());
        JobLog::new(Secrets::new(secrets))
    }

    /// Stream number, letter, flag and text of every stored line.
    fn stored(ready: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(ready).into_owned();
        text.lines().map(|line| line[28..].to_owned()).collect()
    }

    #[test]
    fn a_line_from_the_background_says_so_to_people_and_to_programs() {
        let mut log = log(&[]);
        let mut ready = Vec::new();
        let server = log.begin_background("server");
        log.push_background(server, Stream::Out, b"list", NOW, &mut ready);
        assert_eq!(ready, b"", "a line is stored when it is whole");
        log.push_background(server, Stream::Err, b"oops\n", NOW, &mut ready);
        log.push_background(server, Stream::Out, b"ening\n\nlast", NOW, &mut ready);
        log.push(Stream::Out, b"the step\n", NOW, &mut ready);
        log.end_background(server, NOW, &mut ready);
        log.push_background(server, Stream::Out, b"a ghost\n", NOW, &mut ready);
        assert_eq!(
            stored(&ready),
            [
                "01E [background server] oops",
                "01O [background server] listening",
                "01O [background server] ",
                "00O the step",
                "01O [background server] last",
            ]
        );
    }

    #[test]
    fn secrets_are_hidden_in_the_background_too_and_in_the_tag() {
        let mut log = log(&["hunter2"]);
        let mut ready = Vec::new();
        let step = log.begin_background("hunter2 later");
        log.push_background(step, Stream::Out, b"a hunt", NOW, &mut ready);
        log.push_background(step, Stream::Out, b"er2 and ", NOW, &mut ready);
        log.hide(log.secrets().with(vec![b"later".to_vec()]));
        log.push_background(step, Stream::Out, b"later\n", NOW, &mut ready);
        assert_eq!(
            stored(&ready),
            ["01O [background [MASKED] [MASKED]] a [MASKED] and [MASKED]"]
        );
    }

    #[test]
    fn a_long_line_becomes_several_and_each_has_the_tag() {
        let mut log = log(&[]);
        let mut ready = Vec::new();
        let step = log.begin_background(&"ü".repeat(200));
        let long = [&[b'x'; 20_000][..], b"\n"].concat();
        for chunk in long.chunks(777) {
            log.push_background(step, Stream::Out, chunk, NOW, &mut ready);
        }
        log.end_background(step, NOW, &mut ready);
        let lines = stored(&ready);
        assert_eq!(lines.len(), 3);
        let tag = format!("01O [background {}] ", "ü".repeat(50));
        let text: String = lines
            .iter()
            .map(|line| line.strip_prefix(&tag).expect("the tag"))
            .collect();
        assert_eq!(text, "x".repeat(20_000));
        let longest = ready.split(|&byte| byte == b'\n').map(<[u8]>::len).max();
        assert!(longest <= Some(LINE_BYTES_MAX), "{longest:?}");
    }

    /// A runner joins a continuation to the line before it of the same letter, whatever its stream number.
    #[test]
    fn no_line_of_a_step_goes_on_behind_one_of_the_background() {
        for waits in [&b""[..], b" 60%"] {
            let mut log = log(&[]);
            let mut ready = Vec::new();
            let server = log.begin_background("server");
            log.push(Stream::Out, b"50%\r", NOW, &mut ready);
            log.push(Stream::Out, waits, NOW, &mut ready);
            log.push_background(server, Stream::Out, b"hello\n", NOW, &mut ready);
            log.push(Stream::Out, b" done\n", NOW, &mut ready);
            let mut shown = Vec::new();
            let mut unstamper = Unstamper::new();
            unstamper.push(&ready, |_, text| shown.extend_from_slice(text));
            unstamper.finish(|_, text| shown.extend_from_slice(text));
            let waits = String::from_utf8_lossy(waits);
            assert_eq!(
                String::from_utf8_lossy(&shown),
                format!("50%\r\n[background server] hello\n{waits} done\n")
            );
        }
    }

    #[test]
    fn the_end_of_the_log_lets_everybody_finish() {
        let mut log = log(&["secret"]);
        let mut ready = Vec::new();
        for step in ["one", "two"] {
            let id = log.begin_background(step);
            log.push_background(id, Stream::Out, b"secr", NOW, &mut ready);
        }
        log.finish(NOW + Duration::from_secs(1), &mut ready);
        assert_eq!(
            stored(&ready),
            ["01O [background one] secr", "01O [background two] secr"]
        );
    }
}
