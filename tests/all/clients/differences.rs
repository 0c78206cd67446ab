//! The one table of what libraries do differently, each row with its reason and shown by a test. docs/clients.md has it too.
//!
//! Whatever is not in it is the same in all of them: the faults of the host and the calls of
//! [`conformance`](super::conformance).

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use stephost_tests::wire::step_runner_client::StepRunnerClient;
use stephost_tests::wire::step_runner_server::{StepRunner, StepRunnerServer};
use stephost_tests::wire::{
    CancelRequest, CancelResponse, CloseRequest, CloseResponse, FollowLogsRequest,
    FollowLogsResponse, RunRequest, RunResponse, StatusRequest, StatusResponse,
};
use stephost_tests::{Client, Driver, Host, Language, Options, block_on, with_host};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use super::carrier::Carrier;
use super::{Foreign, data, following, prepared};

/// What happens, and the code that each library makes of it.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) tonic: Code,
    pub(super) grpc_go: Code,
    pub(super) grpcio: Code,
    pub(super) why: &'static str,
}

pub(super) const LONG_TEXT: Difference = Difference {
    what: "an error comes with a text of 20 000 bytes",
    tonic: Code::Internal,
    grpc_go: Code::FailedPrecondition,
    grpcio: Code::ResourceExhausted,
    why: "tonic takes 16 KiB of metadata, grpcio 8 KiB and by chance up to 16; texts of the host have 512 bytes at most",
};
pub(super) const BROKEN_CONNECTION: Difference = Difference {
    what: "the connection breaks while a log is followed",
    tonic: Code::Unknown,
    grpc_go: Code::Unavailable,
    grpcio: Code::Unavailable,
    why: "tonic passes on what the connection said, and may say `CANCELLED` to the next call; `stephost-client` goes on by itself",
};
pub(super) const OWN_DEADLINE: Difference = Difference {
    what: "a deadline of the caller's own passes while a log is followed",
    tonic: Code::Ok,
    grpc_go: Code::DeadlineExceeded,
    grpcio: Code::DeadlineExceeded,
    why: "tonic's deadline is for the beginning of a stream; `tokio::time::timeout` is for the rest",
};

pub(super) const NO_AUTHORITY: Difference = Difference {
    what: "no authority is given",
    tonic: Code::Ok,
    grpc_go: Code::Ok,
    grpcio: Code::Internal,
    why: "grpcio sends the path of the socket, the others send `localhost`; no server can take a path for a name",
};

/// All of them.
pub(super) const DIFFERENCES: [Difference; 4] =
    [NO_AUTHORITY, BROKEN_CONNECTION, OWN_DEADLINE, LONG_TEXT];

impl Difference {
    fn is(&self, language: Language, found: &Result<(), Status>) {
        let expected = match language {
            Language::Go => self.grpc_go,
            Language::Python => self.grpcio,
        };
        assert_eq!(code_of(found), expected, "{}: {found:?}", self.what);
    }
}

fn code_of(ended: &Result<(), Status>) -> Code {
    ended.as_ref().map_or_else(Status::code, |()| Code::Ok)
}

async fn connected(socket: &Path) -> StepRunnerClient<Channel> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()));
    let channel = endpoint.expect("a path makes an address").connect().await;
    StepRunnerClient::new(channel.expect("somebody listens"))
}

fn directory() -> TempDir {
    TempDir::with_prefix_in("sh", "/tmp").expect("a directory can be made")
}

#[test]
fn a_client_of_grpcio_that_names_no_authority_is_refused_by_its_own_connection() {
    const PROGRAM: &str = "\
import grpc, step_runner_pb2 as wire, step_runner_pb2_grpc as services, sys
with grpc.insecure_channel('unix:' + sys.argv[1]) as channel:
    try:
        services.StepRunnerStub(channel).Status(wire.StatusRequest())
    except grpc.RpcError as error:
        print(error.code().value[0])
";
    let Some(python) = Language::Python.prepared() else {
        return;
    };
    with_host(Options::default(), async |host: &Host| {
        let told = tokio::process::Command::new(python)
            .args(["-c", PROGRAM])
            .arg(host.socket())
            .env_clear()
            .output()
            .await
            .expect("what was prepared starts");
        let code = String::from_utf8_lossy(&told.stdout);
        let code = code.trim().parse().expect("the code of an error");
        assert_eq!(Code::from_i32(code), NO_AUTHORITY.grpcio);
        // The others name none in any test: the calls of all of them are its test.
        let mut ours = connected(host.socket()).await;
        let ours = ours.status(StatusRequest::default()).await.map(drop);
        assert_eq!(code_of(&ours), NO_AUTHORITY.tonic);
        if Language::Go.prepared().is_some() {
            let client = Foreign::connect(Language::Go, host);
            NO_AUTHORITY.is(Language::Go, &client.status("").await.map(drop));
        }
    });
}

/// A host of another make, which tells more than clients can take.
struct Talkative;

fn told<T>() -> Result<Response<T>, Status> {
    Err(Status::failed_precondition("x".repeat(20_000)))
}

#[tonic::async_trait]
impl StepRunner for Talkative {
    type FollowLogsStream = tokio_stream::Empty<Result<FollowLogsResponse, Status>>;

    async fn run(&self, _: Request<RunRequest>) -> Result<Response<RunResponse>, Status> {
        told()
    }

    async fn follow_logs(
        &self,
        _: Request<FollowLogsRequest>,
    ) -> Result<Response<Self::FollowLogsStream>, Status> {
        told()
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        told()
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        told()
    }

    async fn close(&self, _: Request<CloseRequest>) -> Result<Response<CloseResponse>, Status> {
        told()
    }
}

#[test]
fn a_text_that_is_longer_than_any_of_ours_reaches_some_clients_only() {
    block_on(async {
        let dir = directory();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        let server = Server::builder()
            .add_service(StepRunnerServer::new(Talkative))
            .serve_with_incoming(UnixListenerStream::new(listener));
        let server = tokio::spawn(server);
        let request = StatusRequest { id: "it".into() };
        let ours = connected(&socket).await.status(request).await.map(drop);
        assert_eq!(code_of(&ours), LONG_TEXT.tonic, "{ours:?}");
        for language in prepared() {
            let client = Foreign {
                driver: Driver::start(language, &socket),
            };
            let theirs = client.status("it").await.map(drop);
            LONG_TEXT.is(language, &theirs);
        }
        server.abort();
    });
}

#[test]
fn a_log_goes_on_from_its_offset_when_the_connection_has_broken() {
    with_host(Options::default(), async |host: &Host| {
        let job = host.script("seq 200000").start().await;
        let whole = job.ended().await.log;
        let bytes_max = whole.len() as u64 / 2;
        let dir = directory();
        let carrier = |name: &str| {
            let socket = dir.path().join(name);
            let carrier = Carrier::start(&socket, host.socket(), bytes_max, pending());
            (socket, carrier)
        };
        for language in prepared() {
            let (socket, _carrier) = carrier(&format!("{language:?}"));
            let driver = Driver::start(language, &socket);
            let follow = async |offset| {
                let call = following(job.id(), offset);
                let (pieces, ended) = driver.begin(&call).await.ended().await;
                let log: Vec<u8> = pieces.iter().flat_map(|piece| data(piece)).collect();
                (log, ended)
            };
            let (log, told) = follow(0).await;
            BROKEN_CONNECTION.is(language, &told);
            let (rest, ended) = follow(log.len()).await;
            ended.expect("a new connection brings the rest");
            assert!([log, rest].concat() == whole, "{language:?}");
        }

        let (socket, _carrier) = carrier("tonic");
        let request = FollowLogsRequest {
            id: job.id().to_owned(),
            offset: 0,
        };
        let pieces = connected(&socket).await.follow_logs(request).await;
        let mut pieces = pieces.expect("the host follows").into_inner();
        let told = loop {
            match pieces.message().await {
                Ok(Some(_piece)) => {}
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        assert_eq!(code_of(&told), BROKEN_CONNECTION.tonic, "{told:?}");
        // What our client makes of it: nothing at all.
        let (socket, _carrier) = carrier("ours");
        let client = Client::connect(&socket).await.expect("it is carried");
        let mut follow = client.follow(job.id(), 0);
        let mut log = Vec::new();
        while let Some(piece) = follow.next().await.expect("it goes on") {
            log.extend_from_slice(&piece);
        }
        assert!(log == whole, "ours");
    });
}

#[test]
fn a_deadline_of_the_callers_own_ends_what_its_library_says() {
    with_host(Options::default(), async |host: &Host| {
        const DEADLINE: Duration = Duration::from_millis(200);
        host.gate("gate");
        let job = host.script("echo ready; read _ < gate").start().await;
        job.wait_for("ready").await;
        for language in prepared() {
            let client = Foreign::connect(language, host);
            let call = stephost_tests::Call {
                timeout: Some(DEADLINE),
                ..following(job.id(), 0)
            };
            let (_, ended) = client.driver.begin(&call).await.ended().await;
            OWN_DEADLINE.is(language, &ended);
        }
        let mut request = Request::new(FollowLogsRequest {
            id: job.id().to_owned(),
            offset: 0,
        });
        request.set_timeout(DEADLINE);
        let began = tokio::time::Instant::now();
        let pieces = host.raw().await.follow_logs(request).await;
        let mut pieces = pieces.expect("it follows").into_inner();
        let followed = async {
            while pieces.message().await?.is_some() {}
            Ok(())
        };
        // The gate is opened past the deadline, and the log has its good end all the same.
        let opened = async {
            tokio::time::sleep_until(began + DEADLINE * 2).await;
            host.open_gate("gate").await;
        };
        let (ours, ()) = tokio::join!(followed, opened);
        assert_eq!(code_of(&ours), OWN_DEADLINE.tonic, "{ours:?}");
    });
}
