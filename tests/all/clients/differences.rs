//! The one table of what libraries do differently, each row with its reason and shown by a test. docs/clients.md has it too.
//!
//! Whatever is not in it is the same in all of them: the faults of the host and the calls of
//! [`conformance`](super::conformance).

use std::path::Path;
use std::time::Duration;

use stephost_tests::wire::step_runner_client::StepRunnerClient;
use stephost_tests::wire::step_runner_server::{StepRunner, StepRunnerServer};
use stephost_tests::wire::{
    CancelRequest, CancelResponse, CloseRequest, CloseResponse, FollowLogsRequest,
    FollowLogsResponse, RunRequest, RunResponse, StatusRequest, StatusResponse,
};
use stephost_tests::{Driver, Language, block_on, with_host};
use stephost_tests::{Host, Options};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use super::{Foreign, data, following};

/// What happens, and the code that each library makes of it.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) tonic: Code,
    pub(super) grpc_go: Code,
    pub(super) grpcio: Code,
    pub(super) why: &'static str,
}

pub(super) const LONG_TEXT: Difference = Difference {
    what: "an error comes with a text of 15 000 bytes",
    tonic: Code::FailedPrecondition,
    grpc_go: Code::FailedPrecondition,
    grpcio: Code::ResourceExhausted,
    why: "grpcio takes 8 KiB of metadata; texts of the host have 512 bytes at most",
};
pub(super) const BROKEN_CONNECTION: Difference = Difference {
    what: "the connection breaks while a log is followed",
    tonic: Code::Unknown,
    grpc_go: Code::Unavailable,
    grpcio: Code::Unavailable,
    why: "tonic passes on what the connection said; whoever resumes takes both codes for it",
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

/// Every language whose client was prepared.
fn prepared() -> impl Iterator<Item = Language> {
    let all = Language::ALL.into_iter();
    all.filter(|language| language.prepared().is_some())
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
    Err(Status::failed_precondition("x".repeat(15_000)))
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

/// Carries connections to a host; the first one breaks when so many bytes have come from the host.
async fn carry(listener: UnixListener, host: std::path::PathBuf, breaks_after: u64) {
    let mut is_first = true;
    while let Ok((client, _)) = listener.accept().await {
        let host = UnixStream::connect(&host).await.expect("the host listens");
        let bytes_max = if is_first { breaks_after } else { u64::MAX };
        is_first = false;
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (from_host, mut to_host) = host.into_split();
            let mut from_host = from_host.take(bytes_max);
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_host) => {}
                _ = tokio::io::copy(&mut from_host, &mut to_client) => {}
            }
        });
    }
}

/// Follows a log over a connection that breaks, and over the next one; what was told in between.
async fn followed_twice(
    language: Option<Language>,
    socket: &Path,
    id: &str,
) -> (Vec<u8>, Result<(), Status>) {
    let mut log = Vec::new();
    let Some(language) = language else {
        let mut client = connected(socket).await;
        let mut told = Ok(());
        for _ in 0..2 {
            let request = FollowLogsRequest {
                id: id.to_owned(),
                offset: i64::try_from(log.len()).expect("it is small"),
            };
            let pieces = client.follow_logs(request).await;
            let mut pieces = pieces.expect("the host follows").into_inner();
            loop {
                match pieces.message().await {
                    Ok(Some(piece)) => log.extend_from_slice(&piece.data),
                    Ok(None) => return (log, told),
                    Err(status) => break told = Err(status),
                }
            }
        }
        return (log, told);
    };
    let driver = Driver::start(language, socket);
    let (pieces, told) = driver.begin(&following(id, 0)).await.ended().await;
    log.extend(pieces.iter().flat_map(|piece| data(piece)));
    let (pieces, ended) = driver.begin(&following(id, log.len())).await.ended().await;
    ended.expect("a new connection brings the rest");
    log.extend(pieces.iter().flat_map(|piece| data(piece)));
    (log, told)
}

#[test]
fn a_log_goes_on_from_its_offset_when_the_connection_has_broken() {
    with_host(Options::default(), async |host: &Host| {
        let job = host.script("seq 200000").start().await;
        let whole = job.ended().await.log;
        let dir = directory();
        for language in prepared().map(Some).chain([None]) {
            let socket = dir.path().join(format!("{language:?}"));
            let listener = UnixListener::bind(&socket).expect("a socket can be made");
            let carrier = carry(listener, host.socket().to_owned(), whole.len() as u64 / 2);
            let carrier = tokio::spawn(carrier);
            let (log, told) = followed_twice(language, &socket, job.id()).await;
            match language {
                Some(language) => BROKEN_CONNECTION.is(language, &told),
                None => assert_eq!(code_of(&told), BROKEN_CONNECTION.tonic, "{told:?}"),
            }
            assert!(log == whole, "{language:?}: every byte, and none twice");
            carrier.abort();
        }
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
