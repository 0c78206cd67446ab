//! The last net under every call: a panic becomes `Internal`, never a broken stream.
//!
//! Without it a client sees a reset stream, which every gRPC library reports as "cancelled". Covers the
//! call's synchronous part, its future, and each poll of its response body; a body that panics ends with
//! proper trailers. The text names an incident and nothing else; the operator's log has the rest. What a
//! panic leaves behind is not cleaned up here: that is the job's scope.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Wraps a service in the net.
#[derive(Debug, Clone, Copy)]
pub(super) struct CatchPanicLayer;

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner }
    }
}

/// A service in the net.
#[derive(Debug, Clone)]
pub(super) struct CatchPanic<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for CatchPanic<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().to_owned();
        match catch_unwind(AssertUnwindSafe(|| self.inner.call(request))) {
            Err(payload) => {
                let response = incident(&method, payload).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
            Ok(call) => Box::pin(async move {
                match AssertUnwindSafe(call).catch_unwind().await {
                    Err(payload) => Ok(incident(&method, payload).into_http()),
                    Ok(response) => response.map(|response| {
                        response.map(|body| {
                            Body::new(CaughtBody {
                                method,
                                inner: Some(body),
                            })
                        })
                    }),
                }
            }),
        }
    }
}

/// A response body in the net; `inner` is gone after a panic.
struct CaughtBody {
    method: String,
    inner: Option<Body>,
}

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
            Ok(polled) => polled,
            Err(payload) => {
                let body = self.inner.take();
                // A drop that panics too must not get out.
                let _ = catch_unwind(AssertUnwindSafe(move || drop(body)));
                let mut trailers = http::HeaderMap::new();
                let status = incident(&self.method, payload);
                match status.add_header(&mut trailers) {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    Err(status) => Poll::Ready(Some(Err(status))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, |body| body.size_hint())
    }
}

fn incident(method: &str, payload: Box<dyn Any + Send>) -> Status {
    // The payload may hold a job's values, and its drop may panic.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
    let incident = uuid::Uuid::new_v4().simple();
    tracing::error!(rpc.method = method, error.kind = "internal", %incident, "a call panicked");
    Status::internal(format!("internal error (incident {incident})"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Body as _;

    use super::*;

    /// Where the service below panics.
    #[derive(Clone, Copy, Debug)]
    enum At {
        Call,
        Future,
        FirstFrame,
        SecondFrame,
    }

    #[derive(Clone)]
    struct Panics(At);

    impl Service<http::Request<Body>> for Panics {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            let at = self.0;
            assert!(!matches!(at, At::Call), "asked to");
            Box::pin(async move {
                assert!(!matches!(at, At::Future), "asked to");
                let good = usize::from(matches!(at, At::SecondFrame));
                Ok(http::Response::new(Body::new(PanickingBody { good })))
            })
        }
    }

    struct PanickingBody {
        good: usize,
    }

    impl http_body::Body for PanickingBody {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.good = self.good.checked_sub(1).expect("asked to");
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"good")))))
        }
    }

    #[tokio::test]
    async fn a_panic_anywhere_in_a_call_is_internal_with_an_incident_and_no_payload() {
        for at in [At::Call, At::Future, At::FirstFrame, At::SecondFrame] {
            let mut service = CatchPanicLayer.layer(Panics(at));
            let response = service
                .call(http::Request::new(Body::empty()))
                .await
                .unwrap();
            let (head, mut body) = response.into_parts();
            let mut headers = head.headers;
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                if let Ok(trailers) = frame.unwrap().into_trailers() {
                    headers = trailers;
                }
            }
            assert_eq!(headers["grpc-status"], "13", "{at:?}");
            let message = headers["grpc-message"].to_str().unwrap();
            assert!(message.contains("incident"), "{at:?}: {message}");
            assert!(!message.contains("asked"), "{at:?}: {message}");
        }
    }
}
