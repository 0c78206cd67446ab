//! The example in Rust of docs/clients.md, which holds the text between the imports and the end.

use std::path::Path;

use stephost_client::reason::{Seen, report};
use stephost_client::{Client, ClientError, Request};

/// What `follow` and the endings look like with our client.
pub(super) async fn run(socket: &Path, id: &str) -> Result<String, ClientError> {
    let host = Client::connect(socket).await?;
    let request = Request {
        id: id.to_owned(),
        steps: "{}\n---\nrun:\n- {name: greet, script: echo hello from rust; exit 3}\n".to_owned(),
        ..Request::default()
    };
    let mut log = Vec::new();
    // Runs, follows over as many connections as it takes, asks for the status, and closes in every case.
    let status = host
        .run_and_follow(request, |piece| log.extend_from_slice(piece))
        .await?;
    let reason = report(Seen::Status(&status)).map_or("none", |report| report.reason.as_str());
    let log = String::from_utf8_lossy(&log);
    Ok(format!(
        "{log}{:?}, {reason}: {}\n",
        status.state, status.message
    ))
}
