//! What systemd and the daemon say to each other, where there is no systemd: nothing.

use std::io;
use std::path::PathBuf;

use crate::server::listen::Listener;

/// A socket that systemd made; there is none.
pub(super) enum HandedOver {}

impl HandedOver {
    /// None.
    ///
    /// # Errors
    ///
    /// None here.
    #[expect(clippy::unnecessary_wraps, reason = "with systemd it can fail")]
    pub(super) fn take() -> io::Result<Option<HandedOver>> {
        Ok(None)
    }

    /// Makes a listener of it.
    ///
    /// # Errors
    ///
    /// None here.
    pub(super) fn adopt(self) -> io::Result<(Listener, Option<PathBuf>)> {
        match self {}
    }
}

/// What systemd would want to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    /// Jobs are taken, under the policy that is in force.
    Ready,
    /// The policy is read again.
    Reloading,
    /// No new jobs are taken.
    Stopping,
}

/// Tells nobody.
pub(super) fn tell(_: News) {}

/// Ends at once: nobody wants to know whether the host lives.
pub(super) async fn live() {}
