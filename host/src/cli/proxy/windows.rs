//! `steps proxy` on Windows: bytes from stdin to the host's pipe, bytes from there to stdout, nothing else.
//!
//! Ends when the host closes the connection, even while stdin stays open. A pipe cannot be closed in one direction: when stdin ends first, the
//! host is not told, what it still has to say is passed on, and the end of the connection is what it hears.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use stephost_proto::connect::open_pipe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::exit::{self, Failure};
use crate::config;

/// Bytes moved at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks that were read and are not written yet.
const BLOCKS: usize = 4;
/// How long the host may be silent after stdin has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connects stdin and stdout to the host.
pub(super) fn proxy(socket: Option<&Path>) -> Result<u8, Failure> {
    let path = socket.map_or_else(config::default_socket, Path::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(Failure::internal)?;
    let done = runtime.block_on(async {
        let host = open_pipe(&path)
            .await
            .with_context(|| format!("connecting to the step host at {}", path.display()))
            .map_err(Failure::unavailable)?;
        let (from_host, to_host) = tokio::io::split(host);
        pass_on(from_host, to_host).await;
        Ok(exit::FINE)
    });
    // The thread that reads stdin is not waited for: it may sit there until the process ends.
    runtime.shutdown_background();
    done
}

async fn pass_on(
    mut from_host: impl tokio::io::AsyncRead + Unpin,
    mut to_host: impl tokio::io::AsyncWrite + Unpin,
) {
    let mut input = stdin();
    let mut has_input = true;
    let mut block = vec![0; BLOCK_BYTES];
    let towards = async {
        while let Some(bytes) = input.recv().await {
            if to_host.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let mut towards = std::pin::pin!(towards);
    loop {
        tokio::select! {
            () = &mut towards, if has_input => has_input = false,
            read = from_host.read(&mut block) => match read {
                Ok(read) if read > 0 && written(&block[..read]) => {}
                Ok(_) | Err(_) => return,
            },
            () = tokio::time::sleep(LAST_WORDS), if !has_input => return,
        }
    }
}

/// Passes bytes on at once. False when nobody reads them.
fn written(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// What comes in, until it ends or nobody wants it any more.
fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (give, input) = mpsc::channel(BLOCKS);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match stdin.read(&mut block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    if give.blocking_send(block[..read].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    input
}
