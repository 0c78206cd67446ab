//! The gRPC edge: requests to calls of [`Jobs`], answers and errors back.
//!
//! Owns the translation between the wire and the host, both ways, and nothing else: [`convert`] for values,
//! [`status_code`] for every error and ending, [`catch_panic`], [`refine`] and [`count`] round the whole service,
//! [`listen`] for the socket; and [`metrics`], where an operator reads figures. Promises: `Internal` is only ever answered for a fault of the host itself;
//! an error text is one line, without paths of the host, at most 512 bytes. Never decides about a job.

mod around;
mod calls;
mod catch_panic;
mod convert;
mod count;
mod deadline;
#[cfg_attr(windows, path = "server/listen/windows.rs")]
pub(crate) mod listen;
pub(crate) mod metrics;
mod refine;
mod status_code;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use stephost_fault::point;
use stephost_job::JobId;
use stephost_proto::step_runner_server::{StepRunner, StepRunnerServer};
use stephost_proto::{
    CancelRequest, CancelResponse, CloseRequest, CloseResponse, FollowLogsRequest,
    FollowLogsResponse, RunRequest, RunResponse, StatusRequest, StatusResponse,
};
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status};
use tower::layer::layer_fn;

use self::around::Around;
use self::listen::Listener;
use crate::jobs::Jobs;
use crate::observe;
use crate::observe::metrics::Following;
use crate::observe::panics::names_job;

/// Largest request in bytes (design D3).
const REQUEST_BYTES_MAX: usize = 32 << 20;
/// How long a client whose log ended has to ask for the status and to close, when the host is ending.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long connections have to end when everything else has.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a runner calls.
struct Service {
    jobs: Arc<Jobs>,
    followers: Arc<Followers>,
}

/// Open log streams, counted, so that a drain can wait for them.
#[derive(Default)]
struct Followers {
    open: AtomicUsize,
    none_left: Notify,
}

struct FollowerGuard {
    followers: Arc<Followers>,
    _counted: Following,
}

impl Followers {
    fn enter(self: &Arc<Self>) -> FollowerGuard {
        self.open.fetch_add(1, Ordering::SeqCst);
        FollowerGuard {
            followers: Arc::clone(self),
            _counted: Following::new(),
        }
    }

    async fn gone(&self) {
        loop {
            let notified = self.none_left.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for FollowerGuard {
    fn drop(&mut self) {
        if self.followers.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.followers.none_left.notify_waiters();
        }
    }
}

type LogStream = Pin<Box<dyn Stream<Item = Result<FollowLogsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl StepRunner for Service {
    type FollowLogsStream = LogStream;

    async fn run(&self, request: Request<RunRequest>) -> Result<Response<RunResponse>, Status> {
        point!("run.received", waits);
        let trace = convert::trace_context(request.metadata());
        let submission = convert::submission(request.into_inner(), trace)?;
        names_job(&submission.id);
        point!("run.named", waits);
        self.jobs.run(submission).await.map_err(status_code::run)?;
        point!("run.answered", waits);
        Ok(Response::new(RunResponse {}))
    }

    async fn follow_logs(
        &self,
        request: Request<FollowLogsRequest>,
    ) -> Result<Response<LogStream>, Status> {
        let FollowLogsRequest { id, offset } = request.into_inner();
        let id = named(&id)?;
        point!("follow.named", waits);
        let offset = convert::offset(offset)?;
        let followed = self.jobs.log(&id).await.map_err(status_code::lookup)?;
        point!("follow.found", waits);
        let guard = self.followers.enter();
        let pieces = followed.log.follow(offset).map(move |piece| {
            let _open = &guard;
            point!("follow.piece");
            match piece {
                Ok(data) => Ok(FollowLogsResponse { data }),
                Err(error) => Err(status_code::follow(&error)),
            }
        });
        // A job may be broken after its log had ended well; who follows it then hears of no good end. After an
        // error nothing of this is looked at any more.
        let last = futures_util::stream::once(async move { followed.broken() });
        let last = last.filter_map(async |broken| Some(Err(status_code::lookup(broken?))));
        Ok(Response::new(Box::pin(pieces.chain(last))))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let id = request.into_inner().id;
        let views = if id.is_empty() {
            self.jobs.list()
        } else {
            let id = named(&id)?;
            point!("status.named", waits);
            vec![self.jobs.status(&id).await.map_err(status_code::lookup)?]
        };
        point!("status.found", waits);
        let jobs = views.into_iter().map(convert::status).collect();
        point!("status.listed", waits);
        Ok(Response::new(StatusResponse { jobs }))
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let id = named(&request.into_inner().id)?;
        point!("cancel.named", waits);
        self.jobs.cancel(&id).await.map_err(status_code::lookup)?;
        point!("cancel.asked", waits);
        Ok(Response::new(CancelResponse {}))
    }

    async fn close(
        &self,
        request: Request<CloseRequest>,
    ) -> Result<Response<CloseResponse>, Status> {
        // An id that no job can have belongs to no job, and closing no job is fine.
        if let Ok(id) = named(&request.into_inner().id) {
            point!("close.named", waits);
            self.jobs.close(&id).await;
        }
        Ok(Response::new(CloseResponse {}))
    }
}

/// The job that a call is about, which is from now on known to whoever catches its panics.
fn named(id: &str) -> Result<JobId, Status> {
    let id = convert::id(id)?;
    names_job(&id);
    Ok(id)
}

/// How urgently the server must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Not at all.
    No,
    /// The host has panicked too often: takes no new jobs, lets the others finish.
    WornOut,
    /// Somebody asked it to end: the same.
    Patient,
    /// Stops every job.
    Now,
}

/// Serves until a drain that was asked for is complete. A drain takes at most `patience`, then jobs are
/// stopped with the grace they were given.
///
/// # Errors
///
/// When the connections cannot be served at all.
pub(crate) async fn serve(
    listener: Listener,
    jobs: Arc<Jobs>,
    mut drain: watch::Receiver<Drain>,
    patience: Duration,
) -> Result<(), tonic::transport::Error> {
    let followers = Arc::new(Followers::default());
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter
        .set_serving::<StepRunnerServer<Service>>()
        .await;
    let service = StepRunnerServer::new(Service {
        jobs: Arc::clone(&jobs),
        followers: Arc::clone(&followers),
    })
    .max_decoding_message_size(REQUEST_BYTES_MAX);

    let breaking = Arc::clone(&jobs);
    let on_broken: catch_panic::OnBroken = Arc::new(move |path, job, incident| {
        breaking.broke(job, incident, path == calls::RUN);
    });
    let (stop_listening, stopped_listening) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .layer(layer_fn(|service| Around::new(service, count::counted)))
        .layer(tower::util::MapResponseLayer::new(refine::refined))
        .layer(layer_fn(|service| Around::new(service, deadline::kept)))
        .layer(layer_fn(move |service| {
            let on_broken = Arc::clone(&on_broken);
            Around::new(service, move |inner, request| {
                catch_panic::caught(inner, request, &on_broken)
            })
        }))
        .add_service(health)
        .add_service(service)
        .serve_with_incoming_shutdown(listen::accepted(listener), async {
            // An error means that the sender is gone, which is the same.
            let _ = stopped_listening.await;
        });
    let mut server = std::pin::pin!(server);
    observe::metrics::serving();

    tokio::select! {
        served = &mut server => return served,
        _ = drain.wait_for(|drain| *drain != Drain::No) => {}
    }
    observe::metrics::draining();
    // In this order: who looks sees that no jobs are taken before one is refused.
    health_reporter
        .set_not_serving::<StepRunnerServer<Service>>()
        .await;
    health_reporter
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    jobs.refuse_new();
    tokio::select! {
        served = &mut server => return served,
        () = drained(&jobs, &followers, &mut drain, patience) => {}
    }
    drop(stop_listening);
    // Connections may stay half open for ever; nobody waits for them longer than this.
    match tokio::time::timeout(GOODBYE, server).await {
        Ok(served) => served,
        Err(_) => Ok(()),
    }
}

async fn drained(
    jobs: &Jobs,
    followers: &Followers,
    drain: &mut watch::Receiver<Drain>,
    patience: Duration,
) {
    let patient = async {
        jobs.idle().await;
        followers.gone().await;
    };
    tokio::select! {
        () = patient => {}
        _ = drain.wait_for(|drain| *drain == Drain::Now) => {}
        () = tokio::time::sleep(patience) => {}
    }
    // What runs still is stopped as a Close would; Close itself is bounded by the grace.
    if tokio::time::timeout(Duration::ZERO, jobs.idle())
        .await
        .is_err()
    {
        let bound = jobs.grace_left().saturating_add(LAST_WORDS);
        if tokio::time::timeout(bound, jobs.stop_all()).await.is_err() {
            tracing::error!("jobs outlived their grace; the host ends without them");
        }
        let _ = tokio::time::timeout(LAST_WORDS, followers.gone()).await;
    }
    let _ = tokio::time::timeout(LAST_WORDS, jobs.all_closed()).await;
}
