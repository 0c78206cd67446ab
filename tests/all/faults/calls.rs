//! Every call of every service on the socket, by its name in the descriptors.

use futures_util::StreamExt as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use stephost_tests::wire::step_runner_client::StepRunnerClient;
use stephost_tests::wire::{
    CancelRequest, CloseRequest, FILE_DESCRIPTOR_SET, FollowLogsRequest, RunRequest, StatusRequest,
};
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Whom a call is about.
#[derive(Debug, Clone)]
pub(super) struct Of {
    /// What Run sends; the other calls take the id.
    pub(super) run: RunRequest,
    /// Whether the log will end.
    pub(super) ends: bool,
}

/// What the host serves, by the descriptors of its services.
pub(super) fn methods() -> Vec<String> {
    let sets = [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let mut methods = Vec::new();
    for set in sets {
        let set = FileDescriptorSet::decode(set).expect("a descriptor is one");
        let services = set.file.iter().flat_map(|file| &file.service);
        methods.extend(
            services
                .flat_map(|service| &service.method)
                .map(|method| method.name().to_owned()),
        );
    }
    methods
}

/// Whether a call is about one job. A call that is not known here fails the tests: it needs a row in [`call`].
pub(super) fn is_about_a_job(method: &str) -> bool {
    match method {
        "Run" | "FollowLogs" | "Status" | "Cancel" | "Close" => true,
        "Check" | "Watch" | "List" => false,
        unknown => {
            panic!("{unknown} is a new call: say here what it is about, and below how it is made")
        }
    }
}

/// Makes a call. Of a stream that will not end it waits for the first message.
pub(super) async fn call(channel: &Channel, method: &str, of: &Of) -> Result<(), Status> {
    let mut steps = StepRunnerClient::new(channel.clone());
    let mut health = HealthClient::new(channel.clone());
    let id = of.run.id.clone();
    let service = "proto.StepRunner".to_owned();
    match method {
        "Run" => drop(steps.run(of.run.clone()).await?),
        "FollowLogs" => {
            let request = FollowLogsRequest { id, offset: 0 };
            let mut pieces = steps.follow_logs(request).await?.into_inner();
            while let Some(piece) = pieces.next().await {
                piece?;
                if !of.ends {
                    break;
                }
            }
        }
        "Status" => drop(steps.status(StatusRequest { id }).await?),
        "Cancel" => drop(steps.cancel(CancelRequest { id }).await?),
        "Close" => drop(steps.close(CloseRequest { id }).await?),
        "Check" => drop(health.check(HealthCheckRequest { service }).await?),
        "Watch" => {
            let watched = health.watch(HealthCheckRequest { service }).await?;
            if let Some(first) = watched.into_inner().next().await {
                first?;
            }
        }
        unknown => panic!("{unknown} is a new call: say here how it is made"),
    }
    Ok(())
}
