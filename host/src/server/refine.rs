//! Answers that the gRPC library gives in our name, in our words (design D3).
//!
//! The library says `OutOfRange` for a request that is too large, where gRPC servers say
//! `ResourceExhausted`; and `Internal` for bytes that are no gRPC message, which a runner would read as
//! "the host broke". Both come as headers without a body, before any handler has run. Every `Internal` of
//! ours begins with `internal error`, so it is told apart by its text.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use tonic::Code;
use tonic::body::Body;
use tower::{Layer, Service};

/// Wraps a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefineLayer;

impl<S> Layer<S> for RefineLayer {
    type Service = Refine<S>;

    fn layer(&self, inner: S) -> Refine<S> {
        Refine { inner }
    }
}

/// A service whose answers are looked over.
#[derive(Debug, Clone)]
pub(super) struct Refine<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for Refine<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut response = call.await?;
            refine(response.headers_mut());
            Ok(response)
        })
    }
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

/// Every `Internal` of ours begins with these words; on the wire their space is coded.
fn is_ours(headers: &http::HeaderMap) -> bool {
    let text = headers
        .get("grpc-message")
        .and_then(|text| text.to_str().ok())
        .unwrap_or_default();
    text.starts_with("internal error") || text.starts_with("internal%20error")
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
