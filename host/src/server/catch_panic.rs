//! The last net under every call: a panic becomes `Internal`, never a broken stream.
//!
//! Without it a client sees a reset stream, which every gRPC library reports as "cancelled". Covers the
//! call's synchronous part, its future, and each poll of its response body; a body that panics ends with
//! proper trailers. The text names an incident and nothing else; the operator's log has the rest
//! ([`crate::observe::panics`]). What a panic leaves behind is not cleaned up here: who laid the net is told which job
//! the call had named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use stephost_job::JobId;
use tonic::Status;
use tonic::body::Body;

use super::around::{Answer, Calls};
use super::calls;
use crate::observe::panics::{Incident, Scope};

/// Hears of a call that broke: its path, the job it had named, the incident.
pub(super) type OnBroken = Arc<dyn Fn(&str, &JobId, &Incident) + Send + Sync>;

/// Makes a call in the net.
pub(super) fn caught<S: Calls>(
    inner: &mut S,
    request: http::Request<Body>,
    on_broken: &OnBroken,
) -> Answer<S> {
    let call = Call::new(request.uri().path(), on_broken);
    let begun = call.scope.around_now(|| {
        stephost_fault::stage!(call.name(), "call");
        inner.call(request)
    });
    let begun = match begun {
        Ok(begun) => begun,
        Err(incident) => {
            let response = call.broken(&incident).into_http();
            return Box::pin(std::future::ready(Ok(response)));
        }
    };
    Box::pin(async move {
        let answer = call.scope.clone().around(async {
            stephost_fault::stage!(
                call.name(),
                "begin",
                waits,
                fails: Ok(Status::unavailable("injected").into_http())
            );
            let answer = begun.await;
            stephost_fault::stage!(call.name(), "answer", waits);
            answer
        });
        match answer.await {
            Err(incident) => Ok(call.broken(&incident).into_http()),
            Ok(response) => response.map(|response| {
                response.map(|body| {
                    Body::new(CaughtBody {
                        call,
                        inner: Some(body),
                    })
                })
            }),
        }
    })
}

/// What the net knows of a call.
struct Call {
    path: String,
    scope: Scope,
    on_broken: OnBroken,
}

impl Call {
    fn new(path: &str, on_broken: &OnBroken) -> Call {
        Call {
            path: path.to_owned(),
            scope: Scope::call(calls::name(path)),
            on_broken: Arc::clone(on_broken),
        }
    }

    #[cfg(feature = "fault")]
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What the client hears. Whoever looks after jobs hears it before.
    fn broken(&self, incident: &Incident) -> Status {
        if let Some(job) = self.scope.named_job() {
            // A second panic is not worth a second answer.
            let told = || (self.on_broken)(&self.path, job, incident);
            let _ = self.scope.at("break").around_now(told);
        }
        Status::internal(incident.to_string())
    }
}

/// A response body in the net; `inner` is gone after a panic.
struct CaughtBody {
    call: Call,
    inner: Option<Body>,
}

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let CaughtBody { call, inner } = &mut *self;
        let Some(body) = inner.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = call.scope.at("body").around_now(|| {
            stephost_fault::stage!(call.name(), "frame");
            let polled = Pin::new(body).poll_frame(cx);
            if matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()) {
                stephost_fault::stage!(call.name(), "trailers");
            }
            polled
        });
        match polled {
            Ok(polled) => polled,
            Err(incident) => {
                let body = inner.take();
                // A drop that panics too must not get out.
                let _ = catch_unwind(AssertUnwindSafe(move || drop(body)));
                let mut trailers = http::HeaderMap::new();
                match call.broken(&incident).add_header(&mut trailers) {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::future::BoxFuture;
    use http_body::Body as _;
    use tower::Service;

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
            let on_broken: OnBroken = Arc::new(|_, _, _| {});
            let request = http::Request::new(Body::empty());
            let response = caught(&mut Panics(at), request, &on_broken).await.unwrap();
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
