//! What a line of the operator's log looks like, and which events become one.
//!
//! Two shapes: a text for people, and JSON, one object a line, for programs. Both: UTC with microseconds, every field of
//! the event and of the spans it happened in, no colours. What a terminal would act on, or not show, stands as its number
//! in either of them, wherever it came from: names of steps, of programs and of jobs are a stranger's.

use std::fmt::{self, Write as _};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::clock;

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The line that says that so many are missing before it.
    pub(super) fn notice(self, lost: u64) -> String {
        const TARGET: &str = "stephost::observe::outlet";
        const MESSAGE: &str =
            "lines of this log are missing here: it could not be written, or nobody read it";
        let now = jiff::Timestamp::try_from(clock::wall()).unwrap_or_default();
        match self {
            LogFormat::Text => format!("{now:.6}  WARN {TARGET}: {MESSAGE} lost={lost}\n"),
            LogFormat::Json => format!(
                r#"{{"timestamp":"{now:.6}","level":"WARN","message":"{MESSAGE}","lost":{lost},"target":"{TARGET}"}}{}"#,
                "\n"
            ),
        }
    }
}

/// The least serious events that are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogLevel {
    /// Faults of the host, and builtins that broke.
    Error,
    /// Also refusals, and what the operator ought to look at.
    Warn,
    /// Also what jobs did.
    Info,
    /// Also each step.
    Debug,
}

impl LogLevel {
    pub(super) fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

/// What writes lines of this shape to `writer`, of what passes `filter`.
pub(super) fn layer<W, F>(
    writer: W,
    format: LogFormat,
    filter: F,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    F: Filter<Registry> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(writer);
    match format {
        LogFormat::Text => layer
            .event_format(OneLine::text())
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(OneLine::json())
            .with_filter(filter)
            .boxed(),
    }
}

/// The lines of `F`, with nothing in them that a terminal acts on.
struct OneLine<F> {
    format: F,
    /// Writes the number of a letter.
    escape: fn(char, &mut String),
}

impl OneLine<Format> {
    fn text() -> Self {
        OneLine {
            format: Format::default().with_ansi(false),
            escape: |letter, line| line.extend(letter.escape_debug()),
        }
    }
}

impl OneLine<Format<Json>> {
    fn json() -> Self {
        let format = Format::default().with_ansi(false).json();
        OneLine {
            format: format
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true),
            // Only within strings is there anything to escape.
            escape: |letter, line| {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            },
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut raw = String::new();
        self.format
            .format_event(context, Writer::new(&mut raw), event)?;
        let mut line = String::with_capacity(raw.len());
        for letter in raw.trim_end().chars() {
            if is_plain(letter) {
                line.push(letter);
            } else {
                (self.escape)(letter, &mut line);
            }
        }
        writeln!(writer, "{line}")
    }
}

/// Whether a letter can stand in a line as it is.
fn is_plain(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel, tell: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = layer(move || writer.clone(), format, level.filter());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), tell);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// A line break, a terminal's command, its one-byte form, and a text that reads backwards.
    const HOSTILE: &str = "a\nb\u{1b}[2J\u{9b}2J\u{202e}txt\u{7f} \"q\" ü";

    fn tell() {
        let span = tracing::info_span!("job", job.id = HOSTILE, number = 7);
        let _entered = span.enter();
        tracing::info!(step.name = %HOSTILE, quoted = ?HOSTILE, count = 3_u64, "{HOSTILE}");
    }

    #[test]
    fn a_line_of_text_is_one_line_that_no_terminal_acts_on() {
        let log = logged(LogFormat::Text, LogLevel::Info, tell);
        let line = log.strip_suffix('\n').expect("it ends");
        assert!(line.chars().all(is_plain), "{line:?}");
        for words in [
            " INFO ",
            "job{",
            "number=7",
            "count=3",
            "step.name=a\\nb",
            "\\u{202e}txt",
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
    }

    #[test]
    fn a_line_of_json_is_one_object_with_every_field_as_it_was() {
        let log = logged(LogFormat::Json, LogLevel::Info, tell);
        let line = log.strip_suffix('\n').expect("it ends");
        assert!(line.chars().all(is_plain), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["message"], HOSTILE);
        assert_eq!(object["step.name"], HOSTILE);
        assert_eq!(object["count"], 3);
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["spans"][0]["name"], "job");
        assert_eq!(object["spans"][0]["job.id"], HOSTILE);
        assert_eq!(object["spans"][0]["number"], 7);
        let timestamp = object["timestamp"].as_str().unwrap();
        let parsed: jiff::Timestamp = timestamp.parse().unwrap();
        assert!(timestamp.ends_with('Z') && parsed.as_second() > 0);
        assert_eq!(timestamp.len(), "2026-01-01T00:00:00.000000Z".len());
    }

    #[test]
    fn what_is_less_serious_than_was_asked_for_is_not_told() {
        let table = [
            (LogLevel::Error, 1),
            (LogLevel::Warn, 2),
            (LogLevel::Info, 3),
            (LogLevel::Debug, 4),
        ];
        for (level, lines) in table {
            for format in [LogFormat::Text, LogFormat::Json] {
                let log = logged(format, level, || {
                    tracing::error!("one");
                    tracing::warn!("two");
                    tracing::info!("three");
                    tracing::debug!("four");
                    tracing::trace!("five");
                });
                assert_eq!(log.lines().count(), lines, "{level:?}: {log}");
            }
        }
    }
}
