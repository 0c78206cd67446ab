//! The caller's own deadline, told as what it is: `DeadlineExceeded`.
//!
//! The gRPC library keeps deadlines too, and says `Cancelled` when one has passed. Whether a client reads that or what its
//! own clock says is a matter of who was first, and a job that was cancelled looks the same. Ends the call, never what
//! the call has begun: no job has its timeout from here (design D3).

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::around::{Answer, Calls};

/// Where a caller says how long it waits: at most eight digits and a unit.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// So much before the library's clock, whose ticks are as long, ours has been heard.
const BEFORE_THE_LIBRARY: Duration = Duration::from_millis(1);

/// What the caller reads.
const PASSED: &str = "the deadline of this call has passed; what it began goes on";

/// Makes a call whose answer begins before the caller's deadline. How long a stream goes on afterwards is the caller's to watch.
pub(super) fn kept<S: Calls>(inner: &mut S, request: http::Request<Body>) -> Answer<S> {
    let waits = asked(request.headers());
    let until = waits
        .and_then(|waits| Instant::now().checked_add(waits.saturating_sub(BEFORE_THE_LIBRARY)));
    let answer = inner.call(request);
    Box::pin(async move {
        let Some(until) = until else {
            return answer.await;
        };
        let answered = tokio::time::timeout_at(until, answer).await;
        answered.unwrap_or_else(|_| Ok(Status::deadline_exceeded(PASSED).into_http()))
    })
}

/// How long the caller waits; `None` when it does not say, or says it in no form that there is.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_eight_digits_and_a_unit_or_none() {
        let table = [
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("4u", Some(Duration::from_micros(4))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("m", None),
            ("5", None),
            ("+5m", None),
            ("5s", None),
            ("123456789m", None),
        ];
        for (text, expected) in table {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(GRPC_TIMEOUT),
                text.parse().unwrap(),
            )]);
            assert_eq!(asked(&headers), expected, "{text:?}");
        }
        assert_eq!(asked(&HeaderMap::new()), None);
    }
}
