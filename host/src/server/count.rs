//! Counts every call once, by its name and by the code that its client reads.
//!
//! Laid outermost, so that the code is the final one: in the headers of an answer without a body, else in the trailers.
//! It is counted before it is sent, so that who has read an answer finds it in the figures. A call whose client goes
//! before there is a code was cancelled.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::around::{Answer, Calls};
use super::calls;
use crate::observe::metrics;

/// Every code, in the order of their numbers, as it is written in the figures.
const CODES: [&str; 17] = [
    "OK",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Where a code is sent.
const GRPC_STATUS: &str = "grpc-status";

/// Makes the series of every call and code.
pub(super) fn begin() {
    metrics::know_calls(calls::names(), &CODES);
}

fn name(code: Code) -> &'static str {
    // Numbers of codes are 0 to 16.
    let number = usize::try_from(i32::from(code)).unwrap_or_default();
    CODES.get(number).copied().unwrap_or("Unknown")
}

fn code(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get(GRPC_STATUS)?;
    Some(Code::from_bytes(code.as_bytes()))
}

/// A call whose code is not known yet. Dropped before, it is cancelled.
struct Counted {
    call: &'static str,
    done: bool,
}

impl Counted {
    fn new(path: &str) -> Counted {
        Counted {
            call: calls::name(path).unwrap_or(metrics::UNKNOWN_CALL),
            done: false,
        }
    }

    /// This is what its client will read. The first one counts.
    fn ends(&mut self, code: Code) {
        if !self.done {
            self.done = true;
            metrics::called(self.call, name(code));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ends(Code::Cancelled);
    }
}

/// Makes a call that is counted.
pub(super) fn counted<S: Calls>(inner: &mut S, request: http::Request<Body>) -> Answer<S> {
    let mut counted = Counted::new(request.uri().path());
    let answer = inner.call(request);
    Box::pin(async move {
        let answer = answer.await;
        match answer {
            Ok(response) => {
                if let Some(code) = code(response.headers()) {
                    counted.ends(code);
                }
                Ok(response.map(|inner| Body::new(CountedBody { inner, counted })))
            }
            Err(error) => {
                counted.ends(Code::Unknown);
                Err(error)
            }
        }
    })
}

/// A body whose trailers are looked at.
struct CountedBody {
    inner: Body,
    counted: Counted,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    self.counted.ends(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.counted.ends(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_name() {
        for (number, name_in_figures) in (0..).zip(CODES) {
            let code = Code::from_i32(number);
            let expected = match code {
                Code::Ok => "OK".to_owned(),
                code => format!("{code:?}"),
            };
            assert_eq!(
                (name(code), name_in_figures),
                (expected.as_str(), expected.as_str())
            );
        }
    }

    #[test]
    fn a_code_is_read_where_it_is_and_a_strange_one_is_unknown() {
        let mut headers = HeaderMap::new();
        assert_eq!(code(&headers), None);
        for (text, expected) in [
            ("0", Code::Ok),
            ("14", Code::Unavailable),
            ("99", Code::Unknown),
            ("x", Code::Unknown),
        ] {
            headers.insert(GRPC_STATUS, text.parse().unwrap());
            assert_eq!(code(&headers), Some(expected), "{text}");
        }
    }
}
