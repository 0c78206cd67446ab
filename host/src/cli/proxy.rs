//! `steps proxy`: bytes from stdin to the host's socket, bytes from there to stdout, nothing else.
//!
//! Ends when the host closes the connection, even while stdin stays open. When stdin ends first, the host
//! is told, and what it still has to say is passed on.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

use super::exit::{self, Failure};
use crate::config;

/// Bytes moved at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long the host may go on talking after stdin has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Which direction has ended.
enum Ended {
    FromHost,
    ToHost,
}

/// Connects stdin and stdout to the host.
pub(super) fn proxy(socket: Option<&Path>) -> Result<u8, Failure> {
    let path = socket.map_or_else(config::default_socket, Path::to_owned);
    let host = UnixStream::connect(&path)
        .with_context(|| format!("connecting to the step host at {}", path.display()))
        .map_err(Failure::unavailable)?;
    let towards = host
        .try_clone()
        .context("sharing the connection")
        .map_err(Failure::internal)?;
    let (ended, endings) = mpsc::channel();
    let to_host_ended = ended.clone();
    // Neither thread is waited for: one of them may sit in a read of stdin until the process ends.
    std::thread::spawn(move || {
        copy(&mut std::io::stdin().lock(), &mut &towards);
        // A connection that is gone already needs no goodbye.
        let _ = towards.shutdown(Shutdown::Write);
        let _ = to_host_ended.send(Ended::ToHost);
    });
    std::thread::spawn(move || {
        copy(&mut &host, &mut std::io::stdout().lock());
        let _ = ended.send(Ended::FromHost);
    });
    if let Ok(Ended::ToHost) = endings.recv() {
        // Waits for the other direction, but not for ever.
        let _ = endings.recv_timeout(LAST_WORDS);
    }
    Ok(exit::FINE)
}

/// Copies until either side ends; each block is passed on at once.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut block) {
            Ok(0) => return,
            Ok(read) => {
                if to
                    .write_all(&block[..read])
                    .and_then(|()| to.flush())
                    .is_err()
                {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
