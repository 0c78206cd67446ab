//! What spans and fields are called outside of the host: the names of OpenTelemetry's conventions for CI/CD and
//! processes where they have one, else `stephost.` and our own.
//!
//! Pure. Promises: a text is cut at [`TEXT_BYTES_MAX`]; a span says how it ended, whatever happened to who should have
//! said so. docs/tracing.md has the same table for readers.

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

/// Who says all this.
pub(super) const SCOPE: &str = "stephost";
/// The event of a panic.
pub(super) const EXCEPTION: &str = "exception";

/// Longest text of an attribute, in bytes: a panic's stack has as many.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A span as it leaves the host.
pub(super) fn span(mut span: Span) -> Span {
    let ending = take(&mut span.attributes, "ending");
    let result = match span.name.as_str() {
        "job" => {
            // The conventions want this of a pipeline's run.
            span.kind = SpanKind::Server.into();
            Some("cicd.pipeline.result")
        }
        "step" => {
            if let Some(name) = text(&span.attributes, "step.name") {
                span.name = format!("step {}", cut(name));
            }
            Some("cicd.pipeline.task.run.result")
        }
        _ => None,
    };
    rename(&mut span.attributes);
    let ends_with_a_word = result.is_some() || span.name == "guest";
    if ends_with_a_word {
        let panicked = span.events.iter().any(|event| event.name == EXCEPTION);
        let ending = ending.unwrap_or_else(|| {
            // Whoever would have said it was dropped.
            let word = if panicked { "internal" } else { "lost" };
            word.to_owned()
        });
        let outcome = Outcome::of(&ending);
        if let Some(key) = result {
            span.attributes.push(pair(key, outcome.as_str().to_owned()));
        }
        if outcome.is_error() {
            span.attributes.push(pair("error.type", ending.clone()));
            span.status = Some(Status {
                code: StatusCode::Error.into(),
                message: String::new(),
            });
        }
        span.attributes.push(pair("stephost.ending", ending));
    }
    span
}

/// A line of the operator's log as it leaves the host; `target` says of which part.
pub(super) fn log(mut log: LogRecord, target: Option<&Cow<'static, str>>) -> LogRecord {
    if log.time_unix_nano == 0 {
        log.time_unix_nano = log.observed_time_unix_nano;
    }
    // The place in our source, which is nobody's business and no event's name.
    log.event_name.clear();
    rename(&mut log.attributes);
    if let Some(target) = target {
        let target = target.clone().into_owned();
        log.attributes.push(pair("stephost.target", target));
    }
    log
}

/// What the conventions know of endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    Error,
    Cancellation,
    Timeout,
}

impl Outcome {
    fn of(ending: &str) -> Outcome {
        match ending {
            "success" => Outcome::Success,
            "failed" | "denied" | "limit" => Outcome::Failure,
            "cancelled" => Outcome::Cancellation,
            "timed-out" => Outcome::Timeout,
            _ => Outcome::Error,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Error => "error",
            Outcome::Cancellation => "cancellation",
            Outcome::Timeout => "timeout",
        }
    }

    fn is_error(self) -> bool {
        match self {
            Outcome::Success | Outcome::Cancellation => false,
            Outcome::Failure | Outcome::Error | Outcome::Timeout => true,
        }
    }
}

fn rename(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        let outside = match attribute.key.as_str() {
            "job.id" => "cicd.pipeline.run.id",
            "step.name" => "cicd.pipeline.task.name",
            "payload" => "exception.message",
            "stack" => "exception.stacktrace",
            known @ ("process.pid" | "process.exit.code" | "rpc.method" | "exception.message") => known,
            own => &format!("stephost.{own}"),
        };
        attribute.key = outside.to_owned();
        if let Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) = &mut attribute.value
        {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
    }
}

fn pair(key: &str, text: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }),
        ..KeyValue::default()
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Takes a text out.
fn take(attributes: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    let found = text(attributes, key).map(str::to_owned);
    attributes.retain(|attribute| attribute.key != key);
    found
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::span::Event;

    use super::*;

    fn sent(name: &str, attributes: &[(&str, &str)], events: &[&str]) -> Span {
        let attributes = attributes.iter();
        let events = events.iter().map(|name| Event {
            name: (*name).to_owned(),
            ..Event::default()
        });
        span(Span {
            name: name.to_owned(),
            attributes: attributes
                .map(|(key, value)| pair(key, (*value).to_owned()))
                .collect(),
            events: events.collect(),
            ..Span::default()
        })
    }

    fn is_error(span: &Span) -> bool {
        let error = i32::from(StatusCode::Error);
        span.status.as_ref().is_some_and(|status| status.code == error)
    }

    #[test]
    fn every_ending_has_a_result_of_the_conventions() {
        let table = [
            ("success", "success", false),
            ("failed", "failure", true),
            ("denied", "failure", true),
            ("limit", "failure", true),
            ("internal", "error", true),
            ("cancelled", "cancellation", false),
            ("timed-out", "timeout", true),
        ];
        for (ending, result, error) in table {
            let span = sent("step", &[("step.name", "build"), ("ending", ending)], &[]);
            let key = "cicd.pipeline.task.run.result";
            assert_eq!(text(&span.attributes, key), Some(result), "{ending}");
            assert_eq!(is_error(&span), error, "{ending}");
            assert_eq!(span.name, "step build");
            let kept = text(&span.attributes, "stephost.ending");
            assert_eq!(kept, Some(ending));
            let job = sent("job", &[("job.id", "7"), ("ending", ending)], &[]);
            let key = "cicd.pipeline.result";
            assert_eq!(text(&job.attributes, key), Some(result), "{ending}");
            let id = text(&job.attributes, "cicd.pipeline.run.id");
            assert_eq!((id, job.name.as_str()), (Some("7"), "job"));
        }
    }

    #[test]
    fn who_could_not_say_how_it_ended_is_an_error() {
        for (events, ending) in [(&["exception"][..], "internal"), (&[], "lost")] {
            let span = sent("step", &[("step.name", "build")], events);
            assert!(is_error(&span));
            assert_eq!(text(&span.attributes, "error.type"), Some(ending));
        }
        let process = sent("process", &[], &[]);
        assert!(process.attributes.is_empty() && process.status.is_none());
    }

    #[test]
    fn a_long_text_is_cut_and_an_own_name_is_marked() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        let span = sent("guest", &[("builtin", &long), ("ending", "success")], &[]);
        let cut = text(&span.attributes, "stephost.builtin").unwrap();
        assert_eq!(cut.len(), TEXT_BYTES_MAX);
    }
}
