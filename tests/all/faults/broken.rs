//! What a broken job is, in sentences (design D2).

use std::time::{Duration, Instant};

use stephost_tests::{ClientError, Host, PAYLOAD, Points, block_on, text_of};
use tonic::Code;

/// Patience with the steps of a broken job, and what a loaded machine adds.
const CLEANED_UP: Duration = Duration::from_secs(15);

/// A host with points, and what it writes for its operator.
fn with_faulty_host(test: impl AsyncFnOnce(&Host, &Points, &dyn Fn() -> String)) {
    let points = Points::new();
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("operator.log");
    let options = points.options().with_log(&file);
    block_on(async {
        let host = Host::start(options).await;
        let operator = || std::fs::read_to_string(&file).expect("there is a log");
        test(&host, &points, &operator).await;
        host.finish().await;
    });
}

/// The text and the code of an answer that is an error.
fn refused(answer: Result<impl Sized, ClientError>) -> (Code, String) {
    match answer {
        Err(error) => match error.status() {
            Some(status) => (status.code(), status.message().to_owned()),
            None => panic!("nobody answered: {error}"),
        },
        Ok(_) => panic!("it was answered as if nothing had happened"),
    }
}

#[test]
fn a4_followers_of_a_broken_job_get_every_byte_and_then_its_incident() {
    with_faulty_host(async |host, points, _| {
        let job = host
            .job("exec: {command: [sh, -c, 'echo one; echo two; echo three; exec sleep 300']}")
            .start()
            .await;
        job.wait_for("three").await;
        let mut follow = host.new_client().await.follow(job.id(), 0);
        let mut log = Vec::new();
        while !text_of(&log).contains("three") {
            let piece = follow.next().await.unwrap();
            log.extend_from_slice(&piece.expect("the job has not ended"));
        }
        points.arm("status.named", "panic");
        let (code, incident) = refused(host.client().status(job.id()).await);
        assert_eq!(code, Code::Internal);
        let followed = loop {
            match follow.next().await {
                Ok(Some(piece)) => log.extend_from_slice(&piece),
                Ok(None) => panic!("a clean end of a broken job"),
                Err(error) => break refused(Err::<(), _>(error)),
            }
        };
        assert_eq!(followed, (Code::Internal, incident));
        assert!(
            text_of(&log).contains("one\ntwo\nthree\n"),
            "{}",
            text_of(&log)
        );
    });
}

#[test]
fn r2_what_a_broken_job_runs_is_ended_though_it_hears_no_signal_and_has_left_its_session() {
    with_faulty_host(async |host, points, _| {
        let job = host
            .script(
                "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 300' & echo ready; sleep 300",
            )
            .masked("TOKEN", "hunter2")
            .start()
            .await;
        job.wait_for("ready").await;
        let other = host.script("echo ready; sleep 300").start().await;
        other.wait_for("ready").await;
        points.arm("cancel.named", "panic");
        let (code, _) = refused(host.client().cancel(job.id()).await);
        assert_eq!(code, Code::Internal);
        let began = Instant::now();
        job.close().await;
        assert!(began.elapsed() < CLEANED_UP, "{:?}", began.elapsed());
        other.close().await;
        host.nothing_left().await;
    });
}

#[test]
fn r2_a_run_that_breaks_before_there_is_a_job_leaves_a_grave_and_nothing_else() {
    with_faulty_host(async |host, points, operator| {
        for point in ["run.named", "prepare.log", "prepare.variables", "run.made"] {
            let id = format!("broken-at-{point}");
            let job = || host.script("true").id(&id).any_variable(file_variable());
            points.arm(point, "panic");
            let incident = job().refused().await;
            assert_eq!(incident.code(), Code::Internal, "{point}");
            let number = incident.message().rsplit(' ').next().unwrap_or_default();
            let number = number.trim_end_matches(')');
            let log = operator();
            let told = log.lines().any(|line| {
                line.contains("the host panicked")
                    && line.contains(number)
                    && line.contains(&format!("job.id={id}"))
            });
            assert!(told, "{point}: no line on {number} and {id} in\n{log}");
            let (code, text) = refused(host.client().status(&id).await);
            assert_eq!(
                (code, text.as_str()),
                (Code::Internal, incident.message()),
                "{point}"
            );
            assert_eq!(
                job().refused().await.code(),
                Code::FailedPrecondition,
                "{point}"
            );
            host.nothing_left().await;
            host.client().close(&id).await.unwrap();
            job().run().await.succeeds();
        }
    });
}

#[test]
fn r2_two_panics_that_meet_break_one_job_and_not_the_host() {
    with_faulty_host(async |host, points, _| {
        let bystander = host.script("echo ready; read _ < gate");
        host.gate("gate");
        let bystander = bystander.start().await;
        bystander.wait_for("ready").await;
        // The second one comes out of what clears up behind the first.
        for second in ["log.end", "log.store"] {
            let id = format!("broken-twice-{second}");
            points.arm(second, "panic");
            points.arm("run.registered", "panic");
            let job = host.script("true").id(&id);
            assert_eq!(job.refused().await.code(), Code::Internal, "{second}");
            assert!(points.release("run.registered"), "{second}");
            points.release(second);
            let (code, incident) = refused(host.client().status(&id).await);
            assert_eq!(code, Code::Internal, "{second}");
            let followed = refused(host.client().follow(&id, 0).next().await);
            assert_eq!(followed, (Code::Internal, incident), "{second}");
            host.client().close(&id).await.unwrap();
        }
        host.open_gate("gate").await;
        bystander.ended().await.succeeds();
    });
}

fn file_variable() -> stephost_tests::Variable {
    stephost_tests::Variable {
        key: "FILE".into(),
        value: "content".into(),
        file: true,
        ..Default::default()
    }
}

#[test]
fn a1_the_operator_reads_everything_under_the_number_that_the_client_was_told() {
    with_faulty_host(async |host, points, operator| {
        host.file(
            "said/func.yml",
            "spec: {}\n---\nexec: {command: [echo, said]}\n",
        );
        let cases = [
            ("status.named", "Status", "call"),
            ("follow.piece", "FollowLogs", "body"),
            ("walk.step", "", "walk"),
            ("log.write", "", "task"),
        ];
        for (point, rpc, place) in cases {
            let id = format!("for-{point}");
            points.arm(point, "panic");
            let job = host
                .job_of("{}\n---\nrun:\n- {name: it, func: ./said}")
                .id(&id)
                .start()
                .await;
            let _ = host.client().status(&id).await;
            let mut follow = host.client().follow(&id, 0);
            while matches!(follow.next().await, Ok(Some(_))) {}
            let (code, told) = refused(host.client().status(&id).await);
            assert_eq!(code, Code::Internal, "{point}");
            let number = told
                .trim_start_matches("internal error (incident ")
                .trim_end_matches(')');
            let log = operator();
            let panics: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("the host panicked") && line.contains(number))
                .collect();
            let [line] = panics[..] else {
                panic!("{point}: one line about {number}, and not these: {panics:#?}\n{log}");
            };
            for part in [
                format!("rpc.method=\"{rpc}\""),
                format!("at=\"{place}\""),
                "stephost_panics_total=".to_owned(),
                "stack=\"".to_owned(),
                "\\u{1b}[31m".to_owned(),
            ] {
                assert!(line.contains(&part), "{point}: no {part} in {line}");
            }
            assert!(PAYLOAD.iter().all(|part| line.contains(part)), "{line}");
            // By the panic's own line, or by that of whoever looks after the job.
            let of_job = format!("job.id={id}");
            assert!(
                log.lines()
                    .any(|line| line.contains(&of_job) && line.contains(number)),
                "{point}:\n{log}"
            );
            assert!(!line.contains('\u{1b}'), "nothing raw");
            job.close().await;
        }
    });
}

#[test]
fn a5_a_call_that_panics_harms_no_other_call_on_its_connection() {
    with_faulty_host(async |host, points, _| {
        let job = host.script("echo ready; read _ < gate; echo after");
        host.gate("gate");
        let job = job.start().await;
        // The same connection follows, asks, and breaks another job.
        let log = async { job.log().await };
        let breaks = async {
            job.wait_for("ready").await;
            let broken = host.script("echo ready; sleep 300").start().await;
            for _ in 0..20 {
                points.arm("rpc.Status.call", "panic");
                let (code, _) = refused(host.client().status(broken.id()).await);
                assert_eq!(code, Code::Internal);
            }
            points.arm("status.found", "panic");
            refused(host.client().status(broken.id()).await);
            broken.close().await;
            host.open_gate("gate").await;
        };
        let (log, ()) = tokio::join!(log, breaks);
        assert!(
            text_of(&log).ends_with("ready\nafter\n"),
            "{}",
            text_of(&log)
        );
    });
}
