//! What is laid round every call of the service: a piece of code that is given the service and a request, and makes the
//! answer. Owns the frame that the server's layers have in common, and nothing of what any of them does.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A service that calls can be laid round.
pub(super) trait Calls:
    Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send + 'static>
{
}

impl<S> Calls for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Future: Send + 'static,
            Error: Send + 'static,
        >
{
}

/// An answer to come.
pub(super) type Answer<S> =
    BoxFuture<'static, Result<Response<Body>, <S as Service<Request<Body>>>::Error>>;

/// A service whose calls are made by `call`, from the service within.
#[derive(Clone)]
pub(super) struct Around<S, C> {
    inner: S,
    call: C,
}

impl<S, C> Around<S, C>
where
    S: Calls,
    C: Fn(&mut S, Request<Body>) -> Answer<S>,
{
    pub(super) fn new(inner: S, call: C) -> Around<S, C> {
        Around { inner, call }
    }
}

impl<S, C> Service<Request<Body>> for Around<S, C>
where
    S: Calls,
    C: Fn(&mut S, Request<Body>) -> Answer<S>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer<S> {
        (self.call)(&mut self.inner, request)
    }
}
