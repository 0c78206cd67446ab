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
    let ended = match span.name.as_str() {
        "job" => {
            // The conventions want this of a pipeline's run.
            span.kind = SpanKind::Server.into();
            Some(("job.result", "cicd.pipeline.result"))
        }
        "step" => {
            if let Some(name) = text(&span.attributes, "step.name") {
                span.name = format!("step {}", cut(name));
            }
            Some(("step.result", "cicd.pipeline.task.run.result"))
        }
        "guest" => Some(("guest.result", "stephost.guest.result")),
        _ => None,
    };
    let ended = ended.map(|(inside, outside)| (take(&mut span.attributes, inside), outside));
    rename(&mut span.attributes);
    if let Some((word, key)) = ended {
        // Without one, whoever would have said it was dropped: the host broke.
        let word = word.unwrap_or_else(|| "internal".to_owned());
        let (result, is_error) = result(&word);
        span.attributes.push(pair(key, result.to_owned()));
        if is_error {
            span.attributes.push(pair("error.type", word));
            span.status = Some(Status {
                code: StatusCode::Error.into(),
                message: String::new(),
            });
        }
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

/// The conventions' word for one of ours, and whether it is an error there.
fn result(word: &str) -> (&'static str, bool) {
    match word {
        "success" => ("success", false),
        "step_failure" => ("failure", true),
        "cancelled" => ("cancellation", false),
        "timeout" => ("timeout", true),
        _ => ("error", true),
    }
}

fn rename(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        let outside = match attribute.key.as_str() {
            "job.id" => "cicd.pipeline.run.id",
            "step.name" => "cicd.pipeline.task.name",
            "payload" => "exception.message",
            "stack" => "exception.stacktrace",
            known @ ("process.pid" | "process.exit.code" | "rpc.method" | "exception.message") => {
                known
            }
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
    use super::*;
    use crate::observe::metrics::Ended;

    fn sent(name: &str, attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter();
        span(Span {
            name: name.to_owned(),
            attributes: attributes
                .map(|(key, value)| pair(key, (*value).to_owned()))
                .collect(),
            ..Span::default()
        })
    }

    fn is_error(span: &Span) -> bool {
        let error = i32::from(StatusCode::Error);
        span.status
            .as_ref()
            .is_some_and(|status| status.code == error)
    }

    #[test]
    fn every_ending_has_a_result_of_the_conventions() {
        use Ended::{Cancelled, Internal, StepFailure, Success, Timeout};
        let table = [
            (Success, "success", false),
            (StepFailure, "failure", true),
            (Internal, "error", true),
            (Cancelled, "cancellation", false),
            (Timeout, "timeout", true),
        ];
        for (ended, result, error) in table {
            let word = ended.as_str();
            let step = sent("step", &[("step.name", "build"), ("step.result", word)]);
            let key = "cicd.pipeline.task.run.result";
            assert_eq!(text(&step.attributes, key), Some(result), "{word}");
            assert_eq!(step.name, "step build");
            let job = sent("job", &[("job.id", "7"), ("job.result", word)]);
            let key = "cicd.pipeline.result";
            assert_eq!(text(&job.attributes, key), Some(result), "{word}");
            let id = text(&job.attributes, "cicd.pipeline.run.id");
            assert_eq!((id, job.name.as_str()), (Some("7"), "job"));
            let guest = sent("guest", &[("builtin", "hello"), ("guest.result", word)]);
            for span in [step, job, guest] {
                assert_eq!(is_error(&span), error, "{word}");
                let kind = text(&span.attributes, "error.type");
                assert_eq!(kind, error.then_some(word));
            }
        }
    }

    #[test]
    fn who_could_not_say_how_it_ended_is_an_error() {
        let step = sent("step", &[("step.name", "build")]);
        assert!(is_error(&step));
        assert_eq!(text(&step.attributes, "error.type"), Some("internal"));
        let process = sent("process", &[]);
        assert!(process.attributes.is_empty() && process.status.is_none());
    }

    #[test]
    fn a_long_text_is_cut_and_an_own_name_is_marked() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        let span = sent("guest", &[("builtin", &long)]);
        let cut = text(&span.attributes, "stephost.builtin").unwrap();
        assert_eq!(cut.len(), TEXT_BYTES_MAX);
    }
}
