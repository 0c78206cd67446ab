//! A log's stream is closed in every path, against a host of the test's own that counts who reads.
#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use stephost_client::follow::TRIES_WITHOUT_PROGRESS;
use stephost_client::{Client, ClientError, Request, State};
use stephost_proto::step_runner_server::{StepRunner, StepRunnerServer};
use stephost_proto::{
    CancelRequest, CancelResponse, CloseRequest, CloseResponse, FollowLogsRequest,
    FollowLogsResponse, RunRequest, RunResponse, Status as WireStatus, StatusRequest,
    StatusResponse, step_result,
};
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Response, Status};

/// Longest wait for what happens at once.
const GUARD: Duration = Duration::from_secs(30);

/// How each stream of the log ends after its one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    With(Code),
    Never,
}

/// A host that has one job, whose log is one piece.
struct Fake {
    end: End,
    /// How many streams are open, and how many have been.
    open: Arc<watch::Sender<(usize, usize)>>,
    /// What Status is answered with.
    status: Code,
    closes: Arc<watch::Sender<usize>>,
}

/// A stream that somebody reads.
struct Reader(Arc<watch::Sender<(usize, usize)>>);

impl Reader {
    fn new(open: &Arc<watch::Sender<(usize, usize)>>) -> Reader {
        open.send_modify(|(now, ever)| {
            *now += 1;
            *ever += 1;
        });
        Reader(Arc::clone(open))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.send_modify(|(now, _)| *now -= 1);
    }
}

#[tonic::async_trait]
impl StepRunner for Fake {
    type FollowLogsStream =
        Pin<Box<dyn Stream<Item = Result<FollowLogsResponse, Status>> + Send + 'static>>;

    async fn run(&self, _: tonic::Request<RunRequest>) -> Result<Response<RunResponse>, Status> {
        Ok(Response::new(RunResponse::default()))
    }

    async fn follow_logs(
        &self,
        request: tonic::Request<FollowLogsRequest>,
    ) -> Result<Response<Self::FollowLogsStream>, Status> {
        let reader = Reader::new(&self.open);
        let first = (request.into_inner().offset == 0).then(|| {
            Ok(FollowLogsResponse {
                data: "piece".into(),
            })
        });
        let end = self.end;
        let last = async move {
            match end {
                End::Well => None,
                End::With(code) => Some(Err(Status::new(code, "injected"))),
                End::Never => std::future::pending().await,
            }
        };
        let pieces = futures_util::stream::iter(first)
            .chain(futures_util::stream::once(last).filter_map(std::future::ready));
        // Dropped with the stream.
        let pieces = pieces.map(move |piece| {
            let _held = &reader;
            piece
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn status(
        &self,
        _: tonic::Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        if self.status != Code::Ok {
            return Err(Status::new(self.status, "injected"));
        }
        let job = WireStatus {
            id: "7".into(),
            status: step_result::Status::Success.into(),
            ..WireStatus::default()
        };
        Ok(Response::new(StatusResponse { jobs: vec![job] }))
    }

    async fn cancel(
        &self,
        _: tonic::Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        Ok(Response::new(CancelResponse {}))
    }

    /// Answers when nobody reads the log any more: a caller who did not let go would wait for ever.
    async fn close(
        &self,
        _: tonic::Request<CloseRequest>,
    ) -> Result<Response<CloseResponse>, Status> {
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|(now, _)| *now == 0).await;
        self.closes.send_modify(|closes| *closes += 1);
        Ok(Response::new(CloseResponse {}))
    }
}

/// What the test sees of the host.
struct Host {
    client: Client,
    open: Arc<watch::Sender<(usize, usize)>>,
    closes: Arc<watch::Sender<usize>>,
    _dir: tempfile::TempDir,
}

impl Host {
    async fn start(end: End, status: Code) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let (open, closes) = (Arc::default(), Arc::default());
        let fake = Fake {
            end,
            open: Arc::clone(&open),
            status,
            closes: Arc::clone(&closes),
        };
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(StepRunnerServer::new(fake))
                .serve_with_incoming(UnixListenerStream::new(listener)),
        );
        Host {
            client: Client::connect(&socket).await.unwrap(),
            open,
            closes,
            _dir: dir,
        }
    }

    /// Waits until nobody reads; says how many streams there have been.
    async fn nobody_reads(&self) -> usize {
        let mut open = self.open.subscribe();
        let all = tokio::time::timeout(GUARD, open.wait_for(|(now, _)| *now == 0)).await;
        all.expect("every stream is closed").unwrap().1
    }
}

fn job() -> Request {
    Request {
        id: "7".into(),
        ..Request::default()
    }
}

#[tokio::test]
async fn the_log_is_let_go_before_its_job_is_closed_however_it_ended() {
    let tries = 1 + usize::try_from(TRIES_WITHOUT_PROGRESS).unwrap();
    // (how streams end, how Status is answered, what the caller is told, streams)
    let table = [
        (End::Well, Code::Ok, None, 1),
        (End::Well, Code::Internal, Some(Code::Internal), 1),
        (End::Well, Code::NotFound, Some(Code::NotFound), 1),
        (End::With(Code::Internal), Code::Ok, Some(Code::Internal), 1),
        (
            End::With(Code::Internal),
            Code::NotFound,
            Some(Code::Internal),
            1,
        ),
        (End::With(Code::NotFound), Code::Ok, Some(Code::NotFound), 1),
        // Tried again after its one piece, and then for nothing.
        (
            End::With(Code::Unavailable),
            Code::Ok,
            Some(Code::Unavailable),
            tries,
        ),
    ];
    for (end, status, told, streams) in table {
        let row = format!("{end:?}, {status:?}");
        let host = Host::start(end, status).await;
        let mut log = Vec::new();
        let run = host
            .client
            .run_and_follow(job(), |piece| log.extend_from_slice(piece));
        let outcome = tokio::time::timeout(GUARD, run).await.expect(&row);
        match (&outcome, told) {
            (Ok(status), None) => assert_eq!(status.state, State::Success, "{row}"),
            (Err(error), Some(code)) => {
                assert_eq!(error.code(), Some(code), "{row}");
                let is_internal = matches!(error, ClientError::Internal(_));
                assert_eq!(is_internal, code == Code::Internal, "{row}");
            }
            _ => panic!("{row}: {outcome:?}"),
        }
        assert_eq!(log, b"piece", "{row}");
        assert_eq!(*host.closes.borrow(), 1, "{row}");
        assert_eq!(host.nobody_reads().await, streams, "{row}");
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_or_breaks_lets_the_log_go() {
    let host = Host::start(End::Never, Code::Ok).await;
    let (arrived, piece) = oneshot::channel();
    let mut arrived = Some(arrived);
    let run = host.client.run_and_follow(job(), |_| {
        if let Some(arrived) = arrived.take() {
            let _ = arrived.send(());
        }
    });
    tokio::select! {
        outcome = run => panic!("a log without end has ended: {outcome:?}"),
        piece = piece => piece.unwrap(),
    }
    assert_eq!(host.nobody_reads().await, 1);

    let client = host.client.clone();
    let broken = tokio::spawn(async move {
        let outcome = client.run_and_follow(job(), |_| panic!("a sink that breaks"));
        outcome.await.map(|_| ())
    });
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(host.nobody_reads().await, 2);
}

#[tokio::test]
async fn a_follower_that_was_refused_or_dropped_holds_nothing() {
    let host = Host::start(End::With(Code::Internal), Code::Ok).await;
    let mut log = host.client.follow("7", 0);
    assert_eq!(log.next().await.unwrap().unwrap(), "piece");
    let error = log.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Internal(_)), "{error}");
    // Alive, and without a stream.
    assert_eq!(host.nobody_reads().await, 1);
    assert_eq!(log.offset(), 5);

    let host = Host::start(End::Never, Code::Ok).await;
    let mut log = host.client.follow("7", 0);
    assert_eq!(log.next().await.unwrap().unwrap(), "piece");
    drop(log);
    assert_eq!(host.nobody_reads().await, 1);
}
