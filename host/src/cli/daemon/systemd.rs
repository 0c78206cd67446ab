//! What systemd and the daemon say to each other: a socket handed over, readiness, reloads, the end, and that the host lives. Elsewhere
//! `absent_systemd.rs` has the same names.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::UnixListener;

use crate::server::listen::Listener;

/// A socket that systemd made.
pub(super) struct HandedOver(StdUnixListener);

impl HandedOver {
    /// The first one, if there is any. Takes variables out of the environment: before there are other threads.
    ///
    /// # Errors
    ///
    /// When what was handed over is no such socket.
    pub(super) fn take() -> io::Result<Option<HandedOver>> {
        Ok(ListenFd::from_env().take_unix_listener(0)?.map(HandedOver))
    }

    /// Makes a listener of it, and says where that is, if it has a name.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn adopt(self) -> io::Result<(Listener, Option<PathBuf>)> {
        self.0.set_nonblocking(true)?;
        let place = self.0.local_addr().ok();
        let place = place.and_then(|address| address.as_pathname().map(Path::to_owned));
        Ok((UnixListener::from_std(self.0)?, place))
    }
}

/// What systemd wants to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    /// Jobs are taken, under the policy that is in force.
    Ready,
    /// The policy is read again.
    Reloading,
    /// No new jobs are taken.
    Stopping,
}

/// Tells systemd, if it listens; that it does not changes nothing.
pub(super) fn tell(news: News) {
    let told = match news {
        News::Ready => sd_notify::notify(&[NotifyState::Ready]),
        News::Reloading => match NotifyState::monotonic_usec_now() {
            // In one message, or systemd waits for the other half.
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(_) => sd_notify::notify(&[NotifyState::Reloading]),
        },
        News::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    let _ = told;
}

/// Tells systemd's watchdog, if there is one, that the host still runs its tasks.
pub(super) async fn live() {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut tick = tokio::time::interval(patience / 2);
    loop {
        tick.tick().await;
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}
