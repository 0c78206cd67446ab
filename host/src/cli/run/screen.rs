//! The two streams of this program while a job runs: its log, live, and a line of progress that never touches it.
//!
//! Promises: the bytes of steps come out as they are, each stream on its own, in the order of the log; nothing of ours
//! is put between them but whole lines on stderr, and those only where a line has just ended. Progress is drawn on a
//! terminal only, and taken away before anything else is written. That a stream is closed changes nothing: the job
//! goes on; a log that could not be written is told at the end ([`Screen::lost`]). Called by `cli::run`.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use stephost_joblog::{Stream, Unstamper};

/// Takes the line of progress away.
const CLEAR: &str = "\r\x1b[2K";

/// What is shown, and where the cursor stands.
pub(super) struct Screen<O, E> {
    out: O,
    err: E,
    /// Where the log's stdout goes.
    log_out: Stream,
    unstamper: Unstamper,
    progress: bool,
    /// Whether progress is drawn fainter than the log.
    faint: bool,
    /// Whether the line of progress is on the terminal now.
    drawn: bool,
    /// Whether the last byte on a terminal ended a line.
    at_line_start: bool,
    out_is_terminal: bool,
    /// Lines of ours that wait for the end of a line.
    notes: Vec<String>,
    /// Why something of the log is not where it should be.
    lost: Option<io::Error>,
}

impl Screen<io::Stdout, io::Stderr> {
    /// The streams of this program. With `all_on_stderr`, stdout is kept for something else.
    pub(super) fn of_program(all_on_stderr: bool) -> Screen<io::Stdout, io::Stderr> {
        let (out, err) = (io::stdout(), io::stderr());
        let out_is_terminal = out.is_terminal() && !all_on_stderr;
        let progress = err.is_terminal() && !crate::config::terminal_is_dumb();
        let faint = anstream::AutoStream::choice(&err) != anstream::ColorChoice::Never;
        let screen = Screen::new(out, err, out_is_terminal, progress, all_on_stderr);
        Screen { faint, ..screen }
    }
}

impl<O: Write, E: Write> Screen<O, E> {
    fn new(
        out: O,
        err: E,
        out_is_terminal: bool,
        progress: bool,
        all_on_stderr: bool,
    ) -> Screen<O, E> {
        Screen {
            out,
            err,
            log_out: if all_on_stderr {
                Stream::Err
            } else {
                Stream::Out
            },
            unstamper: Unstamper::new(),
            progress,
            faint: true,
            drawn: false,
            at_line_start: true,
            out_is_terminal,
            notes: Vec::new(),
            lost: None,
        }
    }

    /// Why the log is not whole where it was written to. A reader that went away has seen enough, and is no reason.
    pub(super) fn lost(&mut self) -> Option<io::Error> {
        self.lost.take()
    }

    /// Whether progress is worth being told.
    pub(super) fn has_progress(&self) -> bool {
        self.progress
    }

    /// Shows stored bytes of the log.
    pub(super) fn log(&mut self, stored: &[u8]) {
        let mut unstamper = std::mem::take(&mut self.unstamper);
        self.shown(|show| unstamper.push(stored, show));
        self.unstamper = unstamper;
    }

    /// Shows what is left of the log.
    pub(super) fn log_ended(&mut self) {
        let mut unstamper = std::mem::take(&mut self.unstamper);
        self.shown(|show| unstamper.finish(show));
        self.clear();
        // Whatever the log ended with, what comes next begins a line.
        if !self.at_line_start {
            self.write(Stream::Err, b"\n");
        }
        self.say_notes();
    }

    /// Writes what `give` gives, as few writes as the order of the streams allows.
    fn shown(&mut self, give: impl FnOnce(&mut dyn FnMut(Stream, &[u8]))) {
        let mut pending = Vec::new();
        let mut pending_for = self.log_out;
        let log_out = self.log_out;
        self.clear();
        give(&mut |stream, bytes| {
            let stream = match stream {
                Stream::Out => log_out,
                Stream::Err => Stream::Err,
            };
            if stream != pending_for {
                self.write(pending_for, &pending);
                pending.clear();
                pending_for = stream;
            }
            pending.extend_from_slice(bytes);
        });
        self.write(pending_for, &pending);
        self.say_notes();
    }

    /// Says a line of ours on stderr, as soon as no line of the log is open.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(format!("{text}\n"));
        self.clear();
        self.say_notes();
    }

    fn say_notes(&mut self) {
        if self.at_line_start {
            for note in std::mem::take(&mut self.notes) {
                self.write(Stream::Err, note.as_bytes());
            }
        }
    }

    /// Draws which step runs, and for how long. Not while a line of the log is open.
    pub(super) fn progress(&mut self, step: &str, elapsed: Duration) {
        if !self.progress || !self.at_line_start {
            return;
        }
        let seconds = elapsed.as_secs();
        // Without line wrap, so that one line is one line on a narrow terminal too.
        let (faint, usual) = if self.faint {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = format!(
            "{CLEAR}\x1b[?7l{faint}[{:02}:{:02}] {step}{usual}\x1b[?7h",
            seconds / 60,
            seconds % 60
        );
        self.put(Stream::Err, line.as_bytes());
        self.drawn = true;
    }

    /// Takes the line of progress away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.put(Stream::Err, CLEAR.as_bytes());
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.put(stream, bytes);
        // Where stdout goes elsewhere, its lines do not matter on the terminal.
        if stream == Stream::Err || self.out_is_terminal {
            self.at_line_start = *last == b'\n';
        }
    }

    fn put(&mut self, stream: Stream, bytes: &[u8]) {
        let written = match stream {
            Stream::Out => self.out.write_all(bytes).and_then(|()| self.out.flush()),
            Stream::Err => self.err.write_all(bytes).and_then(|()| self.err.flush()),
        };
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::UNIX_EPOCH;

    use stephost_joblog::Stamper;

    use super::*;

    /// One of two streams, and everything that both got in its order, as on a terminal.
    struct Both {
        own: Vec<u8>,
        terminal: Rc<RefCell<Vec<u8>>>,
    }

    impl Write for Both {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.own.extend_from_slice(bytes);
            self.terminal.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn screen(progress: bool, all_on_stderr: bool) -> (Screen<Both, Both>, Rc<RefCell<Vec<u8>>>) {
        let terminal = Rc::default();
        let stream = || Both {
            own: Vec::new(),
            terminal: Rc::clone(&terminal),
        };
        let screen = Screen::new(stream(), stream(), true, progress, all_on_stderr);
        (screen, terminal)
    }

    fn stamped(writes: &[(Stream, &[u8])]) -> Vec<u8> {
        let mut stamper = Stamper::new();
        let mut stored = Vec::new();
        for (stream, bytes) in writes {
            stamper.push(*stream, bytes, UNIX_EPOCH, &mut stored);
        }
        stamper.finish(UNIX_EPOCH, &mut stored);
        stored
    }

    #[test]
    fn the_bytes_of_steps_come_out_as_they_are_on_their_own_streams() {
        let all: Vec<u8> = (0..=u8::MAX).chain([b'\n']).collect();
        let stored = stamped(&[
            (Stream::Out, b"\x1b[31mred\x1b[0m\n"),
            (Stream::Err, &all),
            (Stream::Out, &all),
        ]);
        let (mut screen, _) = screen(false, false);
        for piece in stored.chunks(7) {
            screen.log(piece);
        }
        screen.log_ended();
        assert_eq!(screen.out.own, [b"\x1b[31mred\x1b[0m\n", &all[..]].concat());
        assert_eq!(screen.err.own, all);
    }

    #[test]
    fn everything_goes_to_stderr_when_stdout_is_kept() {
        let stored = stamped(&[(Stream::Out, b"a\n"), (Stream::Err, b"b\n")]);
        let (mut screen, _) = screen(false, true);
        screen.log(&stored);
        assert_eq!(
            (&*screen.out.own, &*screen.err.own),
            (&b""[..], &b"a\nb\n"[..])
        );
    }

    #[test]
    fn without_colours_progress_is_not_faint() {
        let (mut screen, terminal) = screen(true, false);
        screen.faint = false;
        screen.progress("build", Duration::ZERO);
        let drawn = b"\r\x1b[2K\x1b[?7l[00:00] build\x1b[?7h";
        assert_eq!(*terminal.borrow(), drawn);
    }

    #[test]
    fn progress_stands_between_lines_and_is_gone_before_the_next() {
        let (mut screen, terminal) = screen(true, false);
        screen.progress("build", Duration::from_secs(61));
        assert!(terminal.borrow().ends_with(b"[01:01] build\x1b[0m\x1b[?7h"));
        terminal.borrow_mut().clear();
        screen.log(&stamped(&[(Stream::Out, b"50%\r")]));
        assert_eq!(*terminal.borrow(), b"\r\x1b[2K50%\r");
        screen.progress("build", Duration::from_secs(62));
        screen.note("stopping");
        assert_eq!(*terminal.borrow(), b"\r\x1b[2K50%\r", "a line is open");
        screen.log_ended();
        assert_eq!(*terminal.borrow(), b"\r\x1b[2K50%\r\nstopping\n");
    }
}
