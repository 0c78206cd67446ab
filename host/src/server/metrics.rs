//! Where an operator reads the host's figures: `GET /metrics`, and nothing else.
//!
//! Listens at a port that only this machine reaches, or at a socket made with the care of `super::listen`. There is no
//! password, and nothing worth one: counts, no name that a job chose. Promises: whoever connects can neither hold up a
//! job nor use up the host: connections, their heads and their time are bounded, one request is answered on each.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

use super::listen::{self, ListenError, Listener};
use crate::config::MetricsAddress;
use crate::observe::metrics;

/// Where the figures are.
const PATH: &str = "/metrics";
/// What they are written in.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 8;
/// Longest head of a request in bytes; the library takes no less.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header lines of it.
const HEADERS_MAX: usize = 64;
/// How long a connection may take from its first byte to its last.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long to wait before connections are taken again, when the system had no descriptor for one.
const BREATH: Duration = Duration::from_millis(200);

/// A place at which figures can be read.
pub(crate) enum MetricsListener {
    Loopback(TcpListener),
    Unix(Listener, PathBuf),
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsListenError {
    #[error("listening for readers of metrics at {address}")]
    Loopback {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Unix(#[from] ListenError),
}

impl MetricsListener {
    /// Listens there.
    ///
    /// # Errors
    ///
    /// [`MetricsListenError`].
    pub(crate) async fn bind(
        address: &MetricsAddress,
    ) -> Result<MetricsListener, MetricsListenError> {
        match address {
            MetricsAddress::Loopback(address) => {
                let bound = TcpListener::bind(address).await;
                let listener = bound.map_err(|source| MetricsListenError::Loopback {
                    address: *address,
                    source,
                })?;
                Ok(MetricsListener::Loopback(listener))
            }
            MetricsAddress::Unix(path) => {
                let (listener, path) = listen::listen_at(path, "--metrics-listen")?;
                Ok(MetricsListener::Unix(listener, path))
            }
        }
    }

    /// Where it is; of a port that the system chose, which one.
    pub(crate) fn address(&self) -> io::Result<MetricsAddress> {
        Ok(match self {
            MetricsListener::Loopback(listener) => MetricsAddress::Loopback(listener.local_addr()?),
            MetricsListener::Unix(_, path) => MetricsAddress::Unix(path.clone()),
        })
    }

    /// Answers whoever connects. Never ends by itself; connections end with it.
    pub(crate) async fn serve(self) {
        // Before the first reader: a series that appears later looks like one that began late.
        super::count::begin();
        match self {
            MetricsListener::Loopback(listener) => answer(TcpListenerStream::new(listener)).await,
            MetricsListener::Unix(listener, _) => answer(listen::accepted(listener)).await,
        }
    }
}

async fn answer<C>(connections: impl Stream<Item = io::Result<C>>)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = pin!(connections);
    let mut open = JoinSet::new();
    loop {
        let connection = tokio::select! {
            Some(_) = open.join_next() => continue,
            connection = connections.next() => connection,
        };
        match connection {
            Some(Ok(connection)) if open.len() < CONNECTIONS_MAX => {
                open.spawn(tokio::time::timeout(CONNECTION, converse(connection)));
            }
            Some(Ok(_one_too_many)) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "a reader of metrics could not be let in");
                tokio::time::sleep(BREATH).await;
            }
            None => return,
        }
    }
}

async fn converse(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(connection), service_fn(respond));
    // Whatever a reader does wrong is his business.
    let _ = conversation.await;
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Of an answer to HEAD the library leaves out the body.
    Ok(if request.uri().path() != PATH {
        plain(StatusCode::NOT_FOUND, "figures are at /metrics\n")
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "figures can only be read\n");
        let allowed = header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allowed);
        refused
    } else {
        // It asks the system, which may take its time.
        match tokio::task::spawn_blocking(metrics::text).await {
            Ok(text) => typed(StatusCode::OK, OPENMETRICS, text.into()),
            Err(_panicked) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the host's log says why\n",
            ),
        }
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
