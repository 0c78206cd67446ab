//! The host as clients in other languages see it, by the libraries that runners and scripts use: grpc-go and grpcio.
//!
//! [`conformance`] makes every call with each of them, [`differences`] has the one table of what libraries do differently,
//! [`page`] and [`codes`] hold docs/clients.md to all of that. When the host breaks is told by [`faults`](super::faults), with the same
//! clients. Without a client that was prepared its tests are skipped aloud.

mod carrier;
mod codes;
mod conformance;
mod differences;
mod example;
mod page;

use prost::Message;
use stephost_tests::wire::{
    CancelRequest, CancelResponse, CloseRequest, CloseResponse, FollowLogsRequest,
    FollowLogsResponse, RunRequest, RunResponse, StatusRequest, StatusResponse,
};
use stephost_tests::{Begun, Call, Driver, Host, JobStatus, Language, Options, Request, with_host};
use tonic::Status;

/// The service of this host.
const SERVICE: &str = "proto.StepRunner";

/// A client in another language, call by call.
struct Foreign {
    driver: Driver,
}

impl Foreign {
    fn connect(language: Language, host: &Host) -> Foreign {
        let driver = Driver::start(language, host.socket());
        Foreign { driver }
    }

    async fn run(&self, request: Request) -> Result<(), Status> {
        let request = RunRequest::from(request);
        let _: RunResponse = self.unary("Run", &request).await?;
        Ok(())
    }

    /// All that a log brings from an offset on, and how that ended.
    async fn follow(&self, id: &str, offset: usize) -> (Vec<u8>, Result<(), Status>) {
        let call = following(id, offset);
        let (pieces, ended) = self.driver.begin(&call).await.ended().await;
        let log = pieces.iter().flat_map(|piece| data(piece)).collect();
        (log, ended)
    }

    async fn status(&self, id: &str) -> Result<Vec<JobStatus>, Status> {
        let request = StatusRequest { id: id.to_owned() };
        let answer: StatusResponse = self.unary("Status", &request).await?;
        Ok(answer.jobs.into_iter().map(JobStatus::from).collect())
    }

    /// The status of a job that is there.
    async fn status_of(&self, id: &str) -> JobStatus {
        let answer = self.status(id).await.expect("a registered job has one");
        let [status] = <[JobStatus; 1]>::try_from(answer).expect("of one job");
        status
    }

    async fn cancel(&self, id: &str) -> Result<(), Status> {
        let request = CancelRequest { id: id.to_owned() };
        let _: CancelResponse = self.unary("Cancel", &request).await?;
        Ok(())
    }

    async fn close(&self, id: &str) -> Result<(), Status> {
        let request = CloseRequest { id: id.to_owned() };
        let _: CloseResponse = self.unary("Close", &request).await?;
        Ok(())
    }

    async fn unary<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<A, Status> {
        let call = Call {
            method: format!("{SERVICE}/{method}"),
            request: request.encode_to_vec(),
            ..Call::default()
        };
        answer_of(self.driver.begin(&call).await).await
    }
}

/// Every language whose client was prepared.
fn prepared() -> impl Iterator<Item = Language> {
    let all = Language::ALL.into_iter();
    all.filter(|language| language.prepared().is_some())
}

/// The one answer of a call.
async fn answer_of<A: Message + Default>(begun: Begun<'_>) -> Result<A, Status> {
    let (answers, ended) = begun.ended().await;
    ended?;
    let [answer] = <[Vec<u8>; 1]>::try_from(answers).expect("a unary call has one answer");
    Ok(A::decode(answer.as_slice()).expect("it is of its type"))
}

/// A FollowLogs, to be begun.
fn following(id: &str, offset: usize) -> Call {
    let request = FollowLogsRequest {
        id: id.to_owned(),
        offset: i64::try_from(offset).expect("the offset of a test is small"),
    };
    Call {
        method: format!("{SERVICE}/FollowLogs"),
        request: request.encode_to_vec(),
        ..Call::default()
    }
}

/// What a piece of a log holds.
fn data(piece: &[u8]) -> bytes::Bytes {
    let piece = FollowLogsResponse::decode(piece).expect("a piece of a log");
    piece.data
}

/// Runs a test with a host and a client of that language; without the client, the test says so and is over.
fn with_client(language: Language, test: impl AsyncFnOnce(&Host, &Foreign)) {
    if language.prepared().is_none() {
        return;
    }
    with_host(Options::default(), async |host: &Host| {
        let client = Foreign::connect(language, host);
        test(host, &client).await;
    });
}

/// A test for each language: `client_test!(name_as_a_sentence, |host, client| { … });`
macro_rules! client_test {
    ($name:ident, |$host:ident, $client:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports, reason = "not every test uses what its module imports")]
            use super::*;

            async fn test($host: &stephost_tests::Host, $client: &$crate::clients::Foreign) $body

            #[test]
            fn by_grpc_go() {
                $crate::clients::with_client(stephost_tests::Language::Go, test);
            }

            #[test]
            fn by_grpcio() {
                $crate::clients::with_client(stephost_tests::Language::Python, test);
            }
        }
    };
}
use client_test;
