//! Every call, as each client makes it, and the same answers to all of them.

use std::time::Duration;

use futures_util::future::join_all;
use prost::Message as _;
use rustix::process::Signal;
use stephost_tests::wire::CloseRequest;
use stephost_tests::{Call, Kind, State, text_of};
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{SERVICE, answer_of, client_test, data, following};

/// A log that does not fit into any window or message of any library.
const LARGE: usize = 20 << 20;
/// Followers of one job on one connection.
const MANY: usize = 64;
/// Shell text that says `ready` and waits at the gate.
const WAIT: &str = "echo ready; read _ < gate; echo done";
/// The longest text of an error (design 4).
const TEXT_BYTES_MAX: usize = 512;

client_test!(
    a_job_is_run_followed_from_anywhere_asked_about_and_closed,
    |host, client| {
        let job = host.script("echo one; echo two; printf three; exit 3");
        client
            .run(job.id("it").request())
            .await
            .expect("it is taken");
        let (log, ended) = client.follow("it", 0).await;
        ended.expect("the log has a good end");
        assert_eq!(text_of(&log), "Running step name=it\none\ntwo\nthree\n");
        for offset in [1, log.len() / 2, log.len() - 1, log.len(), log.len() + 9] {
            let (rest, ended) = client.follow("it", offset).await;
            ended.expect("the log has a good end");
            assert!(
                rest == log.get(offset..).unwrap_or_default(),
                "from {offset}"
            );
        }
        let status = client.status_of("it").await;
        assert_eq!(
            status,
            host.client().status("it").await.expect("it is there"),
            "our client sees the same"
        );
        assert_eq!(
            (status.state, status.kind),
            (State::Failure, Some(Kind::StepFailure))
        );
        assert!(
            status.message.ends_with("exit status 3"),
            "{}",
            status.message
        );
        assert!(status.started.is_some() && status.started <= status.ended);
        client.close("it").await.expect("it is closed");
        assert_eq!(client.status("").await.expect("a list"), []);
    }
);

client_test!(an_empty_id_lists_every_job, |host, client| {
    assert_eq!(client.status("").await.expect("no jobs are fine"), []);
    for id in ["a", "b", "c"] {
        let job = host.script("true").id(id).request();
        client.run(job).await.expect("it is taken");
    }
    let listed = client.status("").await.expect("a list");
    let mut ids: Vec<&str> = listed.iter().map(|status| status.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"]);
});

client_test!(a_large_log_is_the_same_to_the_last_byte, |host, client| {
    let text = format!("head -c {LARGE} /dev/zero | tr '\\0' x | fold -w 4000; echo");
    let job = host.script(&text).start().await;
    let (log, ended) = client.follow(job.id(), 0).await;
    ended.expect("the log has a good end");
    assert!(log.len() > LARGE, "{} bytes", log.len());
    assert!(log == job.log().await, "our client reads the same");
    let middle = log.len() / 2;
    let (rest, ended) = client.follow(job.id(), middle).await;
    ended.expect("the log has a good end");
    assert!(rest == log[middle..]);
});

client_test!(a_cancelled_job_says_so, |host, client| {
    let job = host.script("echo ready; sleep 300").start().await;
    job.wait_for("ready").await;
    for _ in 0..2 {
        client.cancel(job.id()).await.expect("again and again");
    }
    let (log, ended) = client.follow(job.id(), 0).await;
    ended.expect("the log has a good end");
    assert!(text_of(&log).contains("ready\n"));
    let status = client.status_of(job.id()).await;
    assert_eq!(
        (status.state, status.kind),
        (State::Cancelled, Some(Kind::Cancelled))
    );
    client.cancel(job.id()).await.expect("it is there still");
});

client_test!(a_running_job_is_stopped_by_its_close, |host, client| {
    let job = host.script("echo ready; sleep 300").start().await;
    job.wait_for("ready").await;
    client.close(job.id()).await.expect("it is closed");
    host.nothing_left().await;
    let status = client.status(job.id()).await.expect_err("the id is free");
    assert_eq!(status.code(), Code::NotFound);
});

client_test!(a_job_that_nobody_knows_is_not_found, |_host, client| {
    let followed = client.follow("nobody", 0).await.1.expect_err("no log");
    let status = client.status("nobody").await.expect_err("no status");
    let cancelled = client.cancel("nobody").await.expect_err("no job");
    for (call, status) in [
        ("FollowLogs", followed),
        ("Status", status),
        ("Cancel", cancelled),
    ] {
        assert_eq!(
            status.code(),
            Code::NotFound,
            "{call}: {}",
            status.message()
        );
    }
    client
        .close("nobody")
        .await
        .expect("closing no job is fine");
});

client_test!(
    an_error_is_told_in_the_same_words_to_everybody,
    |host, client| {
        let long = format!("{{}}\n---\nrun: []\n{}: 1\n", "k".repeat(20_000));
        let table = [
            ("no steps", ""),
            ("a key that is not ours", "{}\n---\nrun: []\nläuft: 1\n"),
            ("a percent sign", "{}\n---\nrun: []\n\"100%25\": 1\n"),
            ("a text that would be too long", &long),
        ];
        for (row, steps) in table {
            let job = || host.job_of(steps).id("refused");
            let ours = job().refused().await;
            let theirs = client.run(job().request()).await.expect_err(row);
            assert_eq!(ours.code(), Code::InvalidArgument, "{row}");
            assert_eq!(
                (theirs.code(), theirs.message()),
                (ours.code(), ours.message()),
                "{row}"
            );
            assert!(theirs.message().len() <= TEXT_BYTES_MAX, "{row}");
            assert!(theirs.details().is_empty(), "{row}");
        }
    }
);

client_test!(
    what_is_too_large_is_refused_and_harms_nobody,
    |host, client| {
        let table = [
            (
                "a request of 33 MiB",
                host.script("true").variable("A", &"x".repeat(33 << 20)),
            ),
            ("steps of 5 MiB", host.job_of(&"#".repeat(5 << 20))),
        ];
        for (row, job) in table {
            let refused = client.run(job.id("large").request()).await.expect_err(row);
            assert_eq!(
                refused.code(),
                Code::ResourceExhausted,
                "{row}: {}",
                refused.message()
            );
        }
        let large = host.script("true").variable("A", &"x".repeat(8 << 20));
        client
            .run(large.id("large").request())
            .await
            .expect("8 MiB are fine");
        client.follow("large", 0).await.1.expect("it runs");
        assert_eq!(client.status_of("large").await.state, State::Success);
    }
);

client_test!(
    an_id_is_any_text_without_control_characters,
    |host, client| {
        let longest = "i".repeat(256);
        for id in [
            "../../etc/passwd",
            "a b/c\\d",
            "%2e%00",
            "käse-🧀",
            "\"'$(id)",
            &longest,
        ] {
            let job = host.script("echo it").id(id).request();
            client.run(job).await.expect("such an id is fine");
            let (log, ended) = client.follow(id, 0).await;
            ended.expect("the log has a good end");
            assert_eq!(text_of(&log), "Running step name=it\nit\n", "{id}");
            assert_eq!(client.status_of(id).await.id, *id);
            client.close(id).await.expect("it is closed");
        }
        let too_long = "i".repeat(257);
        for id in ["", "a\nb", "a\0b", "\u{85}", &too_long] {
            let job = host.script("true").id(id).request();
            let refused = client.run(job).await.expect_err("no such id");
            assert_eq!(refused.code(), Code::InvalidArgument, "{id:?}");
        }
    }
);

client_test!(a_callers_own_deadline_is_not_the_jobs, |host, client| {
    host.gate("gate");
    let job = host.script(WAIT).start().await;
    job.wait_for("ready").await;
    let impatient = Call {
        timeout: Some(Duration::from_millis(300)),
        ..following(job.id(), 0)
    };
    let (pieces, ended) = client.driver.begin(&impatient).await.ended().await;
    let status = ended.expect_err("the job waits longer");
    assert_eq!(
        status.code(),
        Code::DeadlineExceeded,
        "{}",
        status.message()
    );
    let log: Vec<u8> = pieces.iter().flat_map(|piece| data(piece)).collect();
    assert!(text_of(&log).contains("ready\n"), "what was there has come");
    assert_eq!(client.status_of(job.id()).await.state, State::Running);
    host.open_gate("gate").await;
    let (rest, ended) = client.follow(job.id(), log.len()).await;
    ended.expect("the log has a good end");
    assert!([log, rest].concat() == job.log().await);
    assert_eq!(client.status_of(job.id()).await.state, State::Success);
});

client_test!(
    a_close_whose_caller_does_not_wait_is_done_all_the_same,
    |host, client| {
        let job = host.script("trap '' TERM; echo ready; while :; do sleep 1; done");
        let job = job.grace_ms(1500).start().await;
        job.wait_for("ready").await;
        let close = Call {
            method: format!("{SERVICE}/Close"),
            request: CloseRequest {
                id: job.id().to_owned(),
            }
            .encode_to_vec(),
            timeout: Some(Duration::from_millis(200)),
            ..Call::default()
        };
        let ended = client.driver.begin(&close).await.ended().await.1;
        let status = ended.expect_err("the grace is longer");
        assert_eq!(
            status.code(),
            Code::DeadlineExceeded,
            "{}",
            status.message()
        );
        // Who asks again waits for the end.
        client.close(job.id()).await.expect("it is closed");
        let status = client.status(job.id()).await.expect_err("the id is free");
        assert_eq!(status.code(), Code::NotFound);
        host.nothing_left().await;
    }
);

client_test!(
    many_followers_on_one_connection_leave_room_for_calls,
    |host, client| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        let mut followers = Vec::new();
        for _ in 0..MANY {
            let mut begun = client.driver.begin(&following(job.id(), 0)).await;
            let first = begun.next().await.expect("it follows").expect("a piece");
            followers.push((begun, data(&first).to_vec()));
        }
        assert_eq!(client.status_of(job.id()).await.state, State::Running);
        host.open_gate("gate").await;
        let all = join_all(followers.into_iter().map(async |(begun, mut log)| {
            let (pieces, ended) = begun.ended().await;
            ended.expect("the log has a good end");
            log.extend(pieces.iter().flat_map(|piece| data(piece)));
            log
        }));
        let expected = job.log().await;
        assert!(all.await.iter().all(|log| *log == expected));
    }
);

client_test!(
    a_follower_that_goes_away_harms_no_call_beside_it,
    |host, client| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        let mut begun = client.driver.begin(&following(job.id(), 0)).await;
        begun.next().await.expect("it follows").expect("a piece");
        begun.cancel().await;
        let status = begun.ended().await.1.expect_err("it was given up");
        assert_eq!(status.code(), Code::Cancelled);
        host.open_gate("gate").await;
        let (log, ended) = client.follow(job.id(), 0).await;
        ended.expect("the log has a good end");
        assert!(text_of(&log).ends_with("done\n"));
    }
);

/// A call of the health service.
fn health(method: &str, service: &str) -> Call {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    Call {
        method: format!("grpc.health.v1.Health/{method}"),
        request: request.encode_to_vec(),
        ..Call::default()
    }
}

fn serving(answer: &HealthCheckResponse) -> ServingStatus {
    match answer.status {
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        other => panic!("neither serving nor not: {other}"),
    }
}

client_test!(
    health_is_checked_and_watched_until_the_host_drains,
    |host, client| {
        for service in ["", SERVICE] {
            let check = client.driver.begin(&health("Check", service)).await;
            let answer = answer_of(check).await.expect("it is known");
            assert_eq!(serving(&answer), ServingStatus::Serving, "{service:?}");
        }
        let unknown = client.driver.begin(&health("Check", "nothing")).await;
        let status = answer_of::<HealthCheckResponse>(unknown).await;
        assert_eq!(status.expect_err("unknown").code(), Code::NotFound);

        host.gate("gate");
        let job = host.script(WAIT).start().await;
        job.wait_for("ready").await;
        let mut watch = client.driver.begin(&health("Watch", SERVICE)).await;
        let next = |answer: Vec<u8>| {
            serving(&HealthCheckResponse::decode(answer.as_slice()).expect("it is of its type"))
        };
        let first = watch.next().await.expect("it watches").expect("at once");
        assert_eq!(next(first), ServingStatus::Serving);
        host.signal(Signal::TERM);
        let second = watch.next().await.expect("it watches").expect("a change");
        assert_eq!(next(second), ServingStatus::NotServing);
        host.open_gate("gate").await;
        let (log, ended) = client.follow(job.id(), 0).await;
        ended.expect("who is served is served to the end");
        assert!(text_of(&log).ends_with("done\n"));
        client
            .close(job.id())
            .await
            .expect("a draining host lets go");
        assert_eq!(host.exited().await.code(), Some(0));
    }
);
