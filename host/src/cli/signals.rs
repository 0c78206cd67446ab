//! The signals by which Unix asks a program to end; on Windows `signals/windows.rs` has the same names.
//!
//! From the first call on, none of those that are listened to ends the program by itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its terminal is gone.
    Hangup,
    /// Somebody has pressed Ctrl-C.
    Interrupt,
    /// Somebody wants it to end.
    Terminate,
}

/// One way of asking, listened to.
pub(super) struct Listening(Signal);

impl Listening {
    /// Listens from now on. Needs the context of a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn to(asked: Asked) -> io::Result<Listening> {
        let kind = match asked {
            Asked::Hangup => SignalKind::hangup(),
            Asked::Interrupt => SignalKind::interrupt(),
            Asked::Terminate => SignalKind::terminate(),
        };
        Ok(Listening(signal(kind)?))
    }

    /// Waits until it is asked so, for the first time or again; `None` when that cannot happen any more.
    pub(super) async fn heard(&mut self) -> Option<()> {
        self.0.recv().await
    }
}
