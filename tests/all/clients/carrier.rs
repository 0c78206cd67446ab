//! Carries connections to a host, and breaks the first of them: what a proxy that is restarted does to a client.

use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Listens at a socket of its own until it is dropped.
pub(super) struct Carrier {
    listening: JoinHandle<()>,
    first: oneshot::Receiver<()>,
}

impl Carrier {
    /// Listens at `socket` for clients of `host`. The first connection breaks when so many bytes have come from the host,
    /// or when `breaks` is over.
    pub(super) fn start(
        socket: &Path,
        host: &Path,
        bytes_max: u64,
        breaks: impl Future<Output = ()> + Send + 'static,
    ) -> Carrier {
        let listener = UnixListener::bind(socket).expect("a socket can be made");
        let (over, first) = oneshot::channel();
        let listening = tokio::spawn(listen(listener, host.to_owned(), bytes_max, breaks, over));
        Carrier { listening, first }
    }

    /// Waits until the first connection has broken, or was closed.
    pub(super) async fn first_is_over(&mut self) {
        // Dropped with the connection, whatever ended it.
        let _ = (&mut self.first).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    listener: UnixListener,
    host: PathBuf,
    bytes_max: u64,
    breaks: impl Future<Output = ()> + Send + 'static,
    over: oneshot::Sender<()>,
) {
    let client = accepted(&listener).await;
    let first = carry(client, host.clone(), bytes_max);
    tokio::spawn(async move {
        tokio::select! {
            () = first => {}
            () = breaks => {}
        }
        drop(over);
    });
    loop {
        let client = accepted(&listener).await;
        tokio::spawn(carry(client, host.clone(), u64::MAX));
    }
}

async fn accepted(listener: &UnixListener) -> UnixStream {
    let (client, _) = listener.accept().await.expect("a socket takes connections");
    client
}

/// Carries one connection until either side has closed it, or the host has said so many bytes.
async fn carry(client: UnixStream, host: PathBuf, bytes_max: u64) {
    let host = UnixStream::connect(&host).await.expect("the host listens");
    let (mut from_client, mut to_client) = client.into_split();
    let (from_host, mut to_host) = host.into_split();
    let mut from_host = from_host.take(bytes_max);
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_host) => {}
        _ = tokio::io::copy(&mut from_host, &mut to_client) => {}
    }
}
