//! Every call of every service on the socket, by its name in the descriptors, made by our client or one in another language.

use futures_util::StreamExt as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use stephost_tests::wire::step_runner_client::StepRunnerClient;
use stephost_tests::wire::{
    CancelRequest, CloseRequest, FILE_DESCRIPTOR_SET, FollowLogsRequest, RunRequest, StatusRequest,
};
use stephost_tests::{Call, Driver, Host, Language};
use tonic::transport::Channel;
use tonic::{Code, Status};
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

/// Who makes the calls.
pub(super) enum Caller {
    /// Our client.
    Ours(Channel),
    /// One in another language.
    Foreign(Box<Driver>),
}

impl Caller {
    /// Ours, or that of another language, connected to the host.
    pub(super) async fn connect(language: Option<Language>, host: &Host) -> Caller {
        match language {
            None => Caller::Ours(host.channel().await),
            Some(language) => Caller::Foreign(Box::new(Driver::start(language, host.socket()))),
        }
    }

    /// Makes a call. Of a stream that will not end it waits for the first message.
    pub(super) async fn call(&self, method: &str, of: &Of) -> Result<(), Status> {
        match self {
            Caller::Ours(channel) => call(channel, method, of).await,
            Caller::Foreign(driver) => {
                let call = foreign_call(method, of);
                driver.begin(&call).await.ended().await.1
            }
        }
    }

    /// Makes a call and gives it up as soon as something is reached, which has to be before any end of the call.
    pub(super) async fn give_up(&self, method: &str, of: &Of, reached: impl Future<Output = ()>) {
        match self {
            Caller::Ours(channel) => tokio::select! {
                biased;
                () = reached => {}
                answer = call(channel, method, of) => panic!("an answer past the point: {answer:?}"),
            },
            Caller::Foreign(driver) => {
                // All answers are waited for, so that none of them ends the call.
                let call = Call {
                    enough: 0,
                    ..foreign_call(method, of)
                };
                let begun = driver.begin(&call).await;
                reached.await;
                begun.cancel().await;
                // A point that keeps a thread lets go after a while, so on a loaded machine the answer may be faster; that
                // the call was given up and how its library says so are the two ends that there are.
                if let (_, Err(status)) = begun.ended().await {
                    assert_eq!(status.code(), Code::Cancelled, "{}", status.message());
                }
            }
        }
    }
}

/// A call as one in another language is told of it.
fn foreign_call(method: &str, of: &Of) -> Call {
    let id = of.run.id.clone();
    let health = HealthCheckRequest {
        service: "proto.StepRunner".to_owned(),
    };
    let (service, request, enough) = match method {
        "Run" => ("proto.StepRunner", of.run.encode_to_vec(), 0),
        "FollowLogs" => {
            let request = FollowLogsRequest { id, offset: 0 };
            let enough = usize::from(!of.ends);
            ("proto.StepRunner", request.encode_to_vec(), enough)
        }
        "Status" => ("proto.StepRunner", StatusRequest { id }.encode_to_vec(), 0),
        "Cancel" => ("proto.StepRunner", CancelRequest { id }.encode_to_vec(), 0),
        "Close" => ("proto.StepRunner", CloseRequest { id }.encode_to_vec(), 0),
        "Check" => ("grpc.health.v1.Health", health.encode_to_vec(), 0),
        "Watch" => ("grpc.health.v1.Health", health.encode_to_vec(), 1),
        unknown => {
            panic!("{unknown} is a new call: say here how a client in another language makes it")
        }
    };
    Call {
        method: format!("{service}/{method}"),
        request,
        enough,
        ..Call::default()
    }
}

/// Makes a call with our client.
async fn call(channel: &Channel, method: &str, of: &Of) -> Result<(), Status> {
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
