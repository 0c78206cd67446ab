//! The keys and events of a console by which Windows asks a program to end; `signals.rs` says what for.
//!
//! After the last of them Windows gives a program a few seconds, whatever it does.

use std::future::pending;
use std::io;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// How a program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// There is no such thing here: a terminal that goes terminates.
    Hangup,
    /// Somebody has pressed Ctrl-C or Ctrl-Break.
    Interrupt,
    /// Its console is closed, or the machine shuts down.
    Terminate,
}

/// One way of asking, listened to.
pub(super) enum Listening {
    Never,
    Keys(CtrlC, CtrlBreak),
    Ends(CtrlClose, CtrlShutdown),
}

impl Listening {
    /// Listens from now on. Needs the context of a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn to(asked: Asked) -> io::Result<Listening> {
        Ok(match asked {
            Asked::Hangup => Listening::Never,
            Asked::Interrupt => Listening::Keys(ctrl_c()?, ctrl_break()?),
            Asked::Terminate => Listening::Ends(ctrl_close()?, ctrl_shutdown()?),
        })
    }

    /// Waits until it is asked so, for the first time or again; `None` when that cannot happen any more.
    pub(super) async fn heard(&mut self) -> Option<()> {
        match self {
            Listening::Never => pending().await,
            Listening::Keys(c, interrupt) => tokio::select! {
                heard = c.recv() => heard,
                heard = interrupt.recv() => heard,
            },
            Listening::Ends(close, shutdown) => tokio::select! {
                heard = close.recv() => heard,
                heard = shutdown.recv() => heard,
            },
        }
    }
}
