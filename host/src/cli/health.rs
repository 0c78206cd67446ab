//! `health`: asks a running host whether it takes jobs, as an orchestrator's probe would (`grpc.health.v1`).

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use stephost_proto::connect::connect;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::exit::{self, Failure};
use super::print;
use crate::config;

/// Asks the host at `socket`, or at the default one.
pub(super) fn health(socket: Option<&Path>, timeout: Duration) -> Result<u8, Failure> {
    let socket = socket.map_or_else(config::default_socket, Path::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .map_err(Failure::internal)?;
    let answer = runtime
        .block_on(async { tokio::time::timeout(timeout, ask(&socket)).await })
        .unwrap_or_else(|_elapsed| Err(anyhow!("no answer within {timeout:?}")))
        .with_context(|| format!("asking the step host at {}", socket.display()))
        .map_err(Failure::unavailable)?;
    if answer == ServingStatus::Serving as i32 {
        print("serving\n")?;
        Ok(exit::FINE)
    } else {
        print("not serving\n")?;
        Ok(exit::NO)
    }
}

async fn ask(socket: &Path) -> anyhow::Result<i32> {
    let mut client = HealthClient::new(channel(socket).await?);
    let whole_host = HealthCheckRequest {
        service: String::new(),
    };
    let answer = client
        .check(whole_host)
        .await
        .map_err(|status| anyhow!("it answered: {} {:?}", status.code(), status.message()))?;
    Ok(answer.into_inner().status)
}

/// Connects to a host.
pub(super) async fn channel(socket: &Path) -> anyhow::Result<Channel> {
    let connected = connect(socket, |endpoint| endpoint).await;
    // Each layer of the transport repeats what the system said.
    connected.map_err(|error| {
        let error = anyhow::Error::from(error);
        let cause = error.root_cause();
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => {
                anyhow!("there is none; where a host listens is for --socket to say")
            }
            Some(io::ErrorKind::ConnectionRefused) => {
                anyhow!("nobody listens there any more")
            }
            _ => anyhow!("{cause}"),
        }
    })
}
