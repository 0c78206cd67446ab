//! Answers that the gRPC library gives in our name, in our words (design D3).
//!
//! The library says `OutOfRange` for a request that is too large, where gRPC servers say
//! `ResourceExhausted`; and `Internal` for bytes that are no gRPC message, which a runner would read as
//! "the host broke". Both come as headers without a body, before any handler has run. Every `Internal` of
//! ours begins with `internal error`, so it is told apart by its text.

use http::HeaderValue;
use tonic::Code;
use tonic::body::Body;

/// A response whose code is ours. Laid round the whole service.
pub(super) fn refined(mut response: http::Response<Body>) -> http::Response<Body> {
    refine(response.headers_mut());
    response
}

fn refine(headers: &mut http::HeaderMap) {
    let code = headers
        .get("grpc-status")
        .map(|code| Code::from_bytes(code.as_bytes()));
    let better = match code {
        Some(Code::OutOfRange) => Code::ResourceExhausted,
        Some(Code::Internal) if !is_ours(headers) => Code::InvalidArgument,
        _ => return,
    };
    headers.insert("grpc-status", HeaderValue::from(i32::from(better)));
}

/// Every `Internal` of ours begins with these words; whatever does not is taken for the library's.
pub(super) const OURS: &str = "internal error";

/// On the wire their space is coded.
fn is_ours(headers: &http::HeaderMap) -> bool {
    let text = headers
        .get("grpc-message")
        .and_then(|text| text.to_str().ok())
        .unwrap_or_default();
    text.replacen("%20", " ", 1).starts_with(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_codes_are_refined_and_ours_are_kept() {
        let table = [
            ("11", "message length too large", "8"),
            (
                "13",
                "protocol error: received message with invalid compression flag",
                "3",
            ),
            ("13", "internal error (incident 1)", "13"),
            ("5", "no job `7`", "5"),
        ];
        for (code, text, refined) in table {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static(code));
            headers.insert("grpc-message", HeaderValue::from_static(text));
            refine(&mut headers);
            assert_eq!(headers["grpc-status"], refined, "{text}: see design D3");
        }
    }
}
