//! How a host is reached: over its socket on Unix, over its named pipe on Windows.
//!
//! Never decides where a host listens. Called by `client`, and by the host for its questions to another one.

use std::path::Path;

use tonic::transport::{Channel, Endpoint, Error};

#[cfg(windows)]
pub use self::pipe::{ERROR_PIPE_BUSY, PREFIX as PIPE_PREFIX, open as open_pipe};

/// Connects to the host that listens at `socket`, by an endpoint that `tune` has changed.
///
/// # Errors
///
/// When nobody listens there.
#[cfg(unix)]
pub async fn connect(
    socket: &Path,
    tune: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, Error> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()))?;
    tune(endpoint).connect().await
}

/// Connects to the host that listens at `socket`, by an endpoint that `tune` has changed.
///
/// # Errors
///
/// When nobody listens there.
#[cfg(windows)]
pub async fn connect(
    socket: &Path,
    tune: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(open_pipe(&socket).await?)) }
    });
    // Who is spoken to is the connector's to know; the wire wants some name.
    let endpoint = Endpoint::from_static("http://localhost");
    tune(endpoint).connect_with_connector(connector).await
}

#[cfg(windows)]
mod pipe {
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
    use tokio::time::{Instant, sleep};

    /// What the names of all pipes begin with.
    pub const PREFIX: &str = r"\\.\pipe\";
    /// What Windows says when all places of a pipe are taken; its host is about to make another one.
    pub const ERROR_PIPE_BUSY: i32 = 231;
    /// How long a place is waited for.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// Pause between two attempts: nobody says when there is a place.
    const PAUSE: Duration = Duration::from_millis(5);

    /// Opens the pipe of a host. The host learns who we are, and cannot act as if it were us.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn open(socket: &Path) -> io::Result<NamedPipeClient> {
        if !socket.to_string_lossy().starts_with(PREFIX) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                r"a host listens at a named pipe, such as \\.\pipe\stephost",
            ));
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            match ClientOptions::new().open(socket) {
                Err(error)
                    if error.raw_os_error() == Some(ERROR_PIPE_BUSY)
                        && Instant::now() < give_up =>
                {
                    sleep(PAUSE).await;
                }
                opened => return opened,
            }
        }
    }
}
