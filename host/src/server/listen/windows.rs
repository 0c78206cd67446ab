//! The named pipe: made so that only its owner and the system can reach it; `listen.rs` says what for.
//!
//! Refused, each with a sentence: a name that is none of a pipe, and one that somebody has already. From its first to its last moment a pipe has
//! a place that is free, so that nobody else can take the name, and nobody who connects finds it gone. Programs on other machines are not let in.
//! Who may connect is written on the pipe itself, so no peer is looked at here.

mod sys;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use stephost_proto::connect::{ERROR_PIPE_BUSY, PIPE_PREFIX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeServer, PipeMode, ServerOptions};
use tonic::transport::server::Connected;

use self::sys::Guard;
use crate::config;

/// What a pipe holds in each direction.
const PIPE_BYTES: u32 = 64 * 1024;
/// Pause after a place could not be made: memory may be there again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Whoever may not connect, or make a place of a pipe that is another's, is told this.
const ERROR_ACCESS_DENIED: i32 = 5;

/// What names a pipe that could be called otherwise.
type Flag = &'static str;
/// Of the pipe for clients.
const SOCKET: Flag = "--socket";

/// Why there is no pipe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(r"{} is no name of a pipe; use {} with one like \\.\pipe\stephost", .0.display(), .1)]
    NotAPipe(PathBuf, Flag),
    #[error("somebody listens at {} already; stop that host or use another {}", .0.display(), .1)]
    InUse(PathBuf, Flag),
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    /// Whether another place would do, so that whoever chose this one is to blame.
    pub(crate) fn is_about_the_place(&self) -> bool {
        match self {
            ListenError::NotAPipe(..) | ListenError::InUse(..) => true,
            ListenError::Io { .. } => false,
        }
    }
}

/// What connections come in by.
#[derive(Debug)]
pub(crate) struct Listener {
    name: OsString,
    guard: Guard,
    /// The place that is free.
    next: NamedPipeServer,
}

impl Listener {
    /// Waits for a connection. The next place is made before this one is given away.
    async fn accept(&mut self) -> io::Result<NamedPipeServer> {
        let connected = self.next.connect().await;
        let taken = std::mem::replace(&mut self.next, place(&self.name, &self.guard, false)?);
        // Somebody who is gone again already.
        connected.map(|()| taken)
    }
}

/// Makes a place of a pipe.
fn place(name: &OsString, guard: &Guard, first: bool) -> io::Result<NamedPipeServer> {
    let mut options = ServerOptions::new();
    options
        .first_pipe_instance(first)
        .reject_remote_clients(true)
        .pipe_mode(PipeMode::Byte)
        .in_buffer_size(PIPE_BYTES)
        .out_buffer_size(PIPE_BYTES);
    guard.create(&options, name)
}

/// Listens at `explicit`, or at the default pipe; returns the listener and where it is. Needs the context of a runtime.
///
/// # Errors
///
/// [`ListenError`].
pub(crate) fn listen(explicit: Option<&Path>) -> Result<(Listener, PathBuf), ListenError> {
    let path = explicit.map_or_else(config::default_socket, Path::to_owned);
    listen_at(&path, SOCKET)
}

/// Listens at `path`, which `flag` has named, with the same care.
///
/// # Errors
///
/// [`ListenError`].
pub(super) fn listen_at(path: &Path, flag: Flag) -> Result<(Listener, PathBuf), ListenError> {
    let path = path.to_owned();
    check_name(&path, flag)?;
    // The pipe itself refuses a second owner; this is for who emulates Windows and does not.
    if occupant(&path) != Occupant::None {
        return Err(ListenError::InUse(path, flag));
    }
    let failed = |what, source: io::Error| match source.raw_os_error() {
        Some(ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY) => ListenError::InUse(path.clone(), flag),
        _ => ListenError::Io {
            what,
            path: path.clone(),
            source,
        },
    };
    let user = config::own_user().map_err(|error| failed("finding out whose is", error))?;
    let guard = Guard::for_user(&user).map_err(|error| failed("protecting", error))?;
    let name = path.clone().into_os_string();
    let next = place(&name, &guard, true).map_err(|error| failed("listening at", error))?;
    Ok((Listener { name, guard, next }, path))
}

fn check_name(path: &Path, flag: Flag) -> Result<(), ListenError> {
    let is_one = path.to_str().is_some_and(|path| {
        let name = path.strip_prefix(PIPE_PREFIX);
        name.is_some_and(|name| !name.is_empty() && !name.contains(['\\', '\0']))
    });
    if is_one {
        Ok(())
    } else {
        Err(ListenError::NotAPipe(path.to_owned(), flag))
    }
}

/// Does nothing: a pipe goes with its host.
pub(crate) fn leave(_: &Path) {}

/// A place that nobody else knows.
pub(crate) fn private_place(_: &Path) -> PathBuf {
    let name = uuid::Uuid::new_v4().simple().to_string();
    PathBuf::from(format!("{PIPE_PREFIX}stephost-{name}"))
}

/// Who has the place of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Nobody.
    None,
    /// Nobody can be: a pipe goes with its host.
    #[expect(dead_code, reason = "a socket on Unix can be left")]
    Dead,
    /// Somebody who answers, or is too busy to.
    Alive,
}

/// Looks whether a host could listen at the default pipe, and who does already. Makes and removes nothing. Needs the context of a runtime.
///
/// # Errors
///
/// None: what cannot be found out is somebody who does not answer.
#[expect(clippy::unnecessary_wraps, reason = "on Unix it can fail")]
pub(crate) fn look() -> Result<(PathBuf, Occupant), ListenError> {
    let path = config::default_socket();
    let occupant = occupant(&path);
    Ok((path, occupant))
}

fn occupant(path: &Path) -> Occupant {
    match ClientOptions::new().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Occupant::None,
        Ok(_) | Err(_) => Occupant::Alive,
    }
}

/// Connections as they come in.
pub(super) fn accepted(listener: Listener) -> impl Stream<Item = io::Result<Connection>> {
    futures_util::stream::unfold(listener, |mut listener| async move {
        loop {
            match listener.accept().await {
                Ok(pipe) => return Some((Ok(Connection(pipe)), listener)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    })
}

/// A connection.
pub(super) struct Connection(NamedPipeServer);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(context, buffer) {
            // Whoever closes his end has said all he had to say.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
