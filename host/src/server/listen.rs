//! The socket: made so that only its owner can reach it, and whose connections are looked at (design D12). On Windows
//! `listen/windows.rs` has the same names, for a named pipe.
//!
//! Refused, each with a sentence: a path that is too long for a socket, a symbolic link or anything but a
//! socket in its place, a socket of another user, one that somebody still answers on, a parent directory in
//! which others may replace it. Accepted peers are our own effective user and root. What this does not stop:
//! processes of the same user, all jobs of this host included (docs/threat-model.md).

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt as _};
use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;

use crate::config;

/// What connections come in by.
pub(crate) type Listener = UnixListener;

/// Longest path of a socket in bytes: what `sockaddr_un` holds beside its final NUL.
const PATH_BYTES_MAX: usize = if cfg!(target_vendor = "apple") {
    103
} else {
    107
};

/// What names a socket that could stand elsewhere.
type Flag = &'static str;
/// Of the socket for clients.
const SOCKET: Flag = "--socket";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(
        "the socket path is {} bytes long, and a socket's may have {PATH_BYTES_MAX}; use {} with a \
         shorter one: {}",
        .0.as_os_str().len(), .1, .0.display()
    )]
    TooLong(PathBuf, Flag),
    #[error("{} exists and is not a socket; remove it or use another {}", .0.display(), .1)]
    NotASocket(PathBuf, Flag),
    #[error("{} belongs to another user; use another {}", .0.display(), .1)]
    Foreign(PathBuf, Flag),
    #[error("another step host answers at {}; stop it or use another {}", .0.display(), .1)]
    InUse(PathBuf, Flag),
    #[error(
        "others may write to {}, so they could replace the socket; use {} in a directory of your own",
        .0.display(), .1
    )]
    OpenDirectory(PathBuf, Flag),
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
            ListenError::TooLong(..)
            | ListenError::NotASocket(..)
            | ListenError::Foreign(..)
            | ListenError::InUse(..)
            | ListenError::OpenDirectory(..) => true,
            ListenError::Io { .. } => false,
        }
    }
}

/// Listens at `explicit`, or at the default path; returns the listener and where it is.
///
/// # Errors
///
/// [`ListenError`].
pub(crate) fn listen(explicit: Option<&Path>) -> Result<(Listener, PathBuf), ListenError> {
    match explicit {
        Some(path) => listen_at(path, SOCKET),
        None => bind(default_path()?, SOCKET),
    }
}

/// Listens at `path`, which `flag` has named, with the same care.
///
/// # Errors
///
/// [`ListenError`].
pub(super) fn listen_at(path: &Path, flag: Flag) -> Result<(Listener, PathBuf), ListenError> {
    let path = std::path::absolute(path).map_err(io_error("resolving", path))?;
    bind(path, flag)
}

fn bind(path: PathBuf, flag: Flag) -> Result<(Listener, PathBuf), ListenError> {
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(ListenError::TooLong(path, flag));
    }
    check_parent(&path, flag)?;
    remove_dead(&path, flag)?;
    // The socket is born with its mode: between bind and a later chmod others could connect.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(&path);
    rustix::process::umask(before);
    match bound {
        Ok(listener) => Ok((listener, path)),
        Err(error) => Err(io_error("listening at", &path)(error)),
    }
}

/// Takes away what a listener leaves at its place. It is ours; that somebody removed it first is as good.
pub(crate) fn leave(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// A place that nobody else knows, for who has a directory of his own.
pub(crate) fn private_place(dir: &Path) -> PathBuf {
    dir.join("s")
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_owned();
    move |source| ListenError::Io { what, path, source }
}

/// The default path; its directory is made, mode 0700.
fn default_path() -> Result<PathBuf, ListenError> {
    let path = config::default_socket();
    let dir = path.parent().unwrap_or(&path);
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("creating", dir)(error)),
    }
    let metadata = std::fs::symlink_metadata(dir).map_err(io_error("looking at", dir))?;
    check_private(dir, &metadata)?;
    Ok(path)
}

/// Nobody but us may get into the directory of the default path.
fn check_private(dir: &Path, metadata: &Metadata) -> Result<(), ListenError> {
    if metadata.uid() != own_user() {
        return Err(ListenError::Foreign(dir.to_owned(), SOCKET));
    }
    let private = metadata.is_dir() && metadata.mode() & 0o077 == 0;
    if !private {
        return Err(ListenError::OpenDirectory(dir.to_owned(), SOCKET));
    }
    Ok(())
}

/// Looks whether a host could listen at the default path, and who does already. Makes and removes nothing.
///
/// # Errors
///
/// [`ListenError`], as [`listen`] would give it.
pub(crate) fn look() -> Result<(PathBuf, Occupant), ListenError> {
    let path = config::default_socket();
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(ListenError::TooLong(path, SOCKET));
    }
    let dir = path.parent().unwrap_or(&path);
    match std::fs::symlink_metadata(dir) {
        Ok(metadata) => check_private(dir, &metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path, Occupant::None)),
        Err(error) => return Err(io_error("looking at", dir)(error)),
    }
    let occupant = occupant(&path, SOCKET)?;
    Ok((path, occupant))
}

/// Others must not be able to replace the socket.
fn check_parent(path: &Path, flag: Flag) -> Result<(), ListenError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let metadata = std::fs::metadata(parent).map_err(io_error("looking at", parent))?;
    let writable_by_others = metadata.mode() & 0o022 != 0;
    let sticky = metadata.mode() & 0o1000 != 0;
    if writable_by_others && !sticky {
        return Err(ListenError::OpenDirectory(parent.to_owned(), flag));
    }
    Ok(())
}

/// Who has the place of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Nobody.
    None,
    /// An earlier host of ours, which is gone.
    Dead,
    /// Somebody who answers, or is too busy to.
    Alive,
}

fn occupant(path: &Path, flag: Flag) -> Result<Occupant, ListenError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::None),
        Err(error) => return Err(io_error("looking at", path)(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned(), flag));
    }
    if metadata.uid() != own_user() {
        return Err(ListenError::Foreign(path.to_owned(), flag));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Occupant::Dead),
        Ok(_) | Err(_) => Ok(Occupant::Alive),
    }
}

/// Removes what an earlier host of ours left at `path`, if nobody answers there.
fn remove_dead(path: &Path, flag: Flag) -> Result<(), ListenError> {
    match occupant(path, flag)? {
        Occupant::None => Ok(()),
        Occupant::Dead => std::fs::remove_file(path).map_err(io_error("removing", path)),
        Occupant::Alive => Err(ListenError::InUse(path.to_owned(), flag)),
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Connections of peers that may talk to us.
pub(super) fn accepted(listener: Listener) -> impl Stream<Item = io::Result<UnixStream>> {
    UnixListenerStream::new(listener).filter_map(|connection| async {
        match connection {
            Ok(stream) => is_allowed(&stream).then_some(Ok(stream)),
            Err(error) => Some(Err(error)),
        }
    })
}

fn is_allowed(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        tracing::warn!("a connection without credentials was refused");
        return false;
    };
    // Users that our namespace has no number for all look like the overflow user, which is thus refused
    // unless it is us.
    let allowed = peer.uid() == own_user() || peer.uid() == 0;
    if !allowed {
        tracing::warn!(
            peer.uid = peer.uid(),
            "a connection of another user was refused"
        );
    }
    allowed
}
