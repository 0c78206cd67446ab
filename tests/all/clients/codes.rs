//! The codes of docs/clients.md, row by row, as each client sees them. A row that nobody knows how to bring about fails.

use rustix::process::Signal;
use stephost_tests::{ClientError, Host, Language, Points, block_on};
use tonic::Code;

use super::Foreign;
use super::page::{rows, spelled};

/// Who asks for the codes of the page.
enum Asks<'a> {
    Ours(&'a Host),
    Foreign(Box<Foreign>),
}

impl Asks<'_> {
    /// The code of a call about an id; `steps` are what Run sends.
    async fn code(&self, host: &Host, call: &str, id: &str, steps: &str) -> Code {
        let request = host.job_of(steps).id(id).request();
        let of = |answer: Result<(), ClientError>| match answer {
            Ok(()) => Code::Ok,
            Err(error) => error.code().expect("the host answered"),
        };
        match self {
            Asks::Ours(host) => {
                let client = host.client();
                of(match call {
                    "Run" => client.run(request).await,
                    "FollowLogs" => client.follow(id, 0).next().await.map(drop),
                    "Status" => client.status(id).await.map(drop),
                    "Cancel" => client.cancel(id).await,
                    "Close" => client.close(id).await,
                    unknown => panic!("no call: {unknown}"),
                })
            }
            Asks::Foreign(client) => {
                let answer = match call {
                    "Run" => client.run(request).await,
                    "FollowLogs" => client.follow(id, 0).await.1,
                    "Status" => client.status(id).await.map(drop),
                    "Cancel" => client.cancel(id).await,
                    "Close" => client.close(id).await,
                    unknown => panic!("no call: {unknown}"),
                };
                answer.map_or_else(|status| status.code(), |()| Code::Ok)
            }
        }
    }
}

/// Two documents of a job that does nothing.
const NOTHING: &str = "{}\n---\nrun: []\n";

/// The code that is seen for a row of the page.
async fn seen(row: &str, host: &Host, points: &Points, asks: &Asks<'_>) -> Code {
    let (call, what) = row.split_once(' ').expect("a call and what it is about");
    let run = async |id: &str| {
        let job = host.job_of(NOTHING).id(id).request();
        host.client().run(job).await.expect("it is taken");
    };
    match what {
        "of steps that are none" => asks.code(host, call, "new", "").await,
        "of an id that no job can have" => asks.code(host, call, "a\nb", NOTHING).await,
        "of a registered id" => {
            run("registered").await;
            asks.code(host, call, "registered", NOTHING).await
        }
        "that is too large" => {
            let steps = "#".repeat(5 << 20);
            asks.code(host, call, "new", &steps).await
        }
        "of an unknown id" => asks.code(host, call, "nobody", NOTHING).await,
        "of a job in which the host broke" => {
            run("broken").await;
            points.arm("status.named", "panic");
            let broken = host.client().status("broken").await;
            broken.expect_err("it is broken now");
            points.release("status.named");
            let code = asks.code(host, call, "broken", NOTHING).await;
            host.client().close("broken").await.expect("it is let go");
            code
        }
        "while the host drains" => {
            host.gate("gate");
            let job = host.script("echo ready; read _ < gate").start().await;
            job.wait_for("ready").await;
            host.signal(Signal::TERM);
            // Health may know a moment before the jobs do.
            while host.job_of(NOTHING).try_start().await.is_ok() {}
            let code = asks.code(host, call, "new", NOTHING).await;
            host.open_gate("gate").await;
            job.ended().await.succeeds();
            job.close().await;
            host.exited().await;
            code
        }
        unknown => panic!("say here how `{unknown}` is brought about"),
    }
}

fn the_codes_are_as_seen_by(language: Option<Language>) {
    if language.is_some_and(|language| language.prepared().is_none()) {
        return;
    }
    block_on(async {
        let table = rows("call");
        assert!(table.len() > 10, "{table:?}");
        for row in table {
            let points = Points::new();
            let host = Host::start(points.options()).await;
            let asks = match language {
                None => Asks::Ours(&host),
                Some(language) => Asks::Foreign(Box::new(Foreign::connect(language, &host))),
            };
            if let Asks::Foreign(client) = &asks {
                // Connected before anything happens to the host, as ours is.
                client.status("").await.expect("a list");
            }
            let code = seen(&row[0], &host, &points, &asks).await;
            assert_eq!(spelled(code), row[1], "{}", row[0]);
            drop(asks);
            host.finish().await;
        }
    });
}

#[test]
fn the_codes_of_the_page_are_what_our_client_sees() {
    the_codes_are_as_seen_by(None);
}

#[test]
fn the_codes_of_the_page_are_what_grpc_go_sees() {
    the_codes_are_as_seen_by(Some(Language::Go));
}

#[test]
fn the_codes_of_the_page_are_what_grpcio_sees() {
    the_codes_are_as_seen_by(Some(Language::Python));
}
