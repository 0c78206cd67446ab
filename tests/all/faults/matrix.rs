//! Every point × panic, error, delay, cancel; and the same for every stage of every call in the descriptors; each with our
//! client, one of grpc-go and one of grpcio.
//!
//! A host is shared by many cases, one after the other; each breaks a job of its own, and beside them a job runs
//! through all of them that nobody may harm. A case that does not reach its point fails, so the list of points cannot
//! rot; a call that the descriptors know and [`calls`](super::calls) does not fails, so no call goes untested.

use std::time::Duration;

use stephost_tests::wire::RunRequest;
use stephost_tests::{
    Client, ClientError, EXPORTING, Host, Kind, Language, MARKER, PAYLOAD, Points, State, block_on,
    compiled_points, program, words_of,
};
use tonic::{Code, Status};

use super::calls::{Caller, Of, is_about_a_job, methods};
use super::cases::{Action, Case, Life, Who, Work, cases};

/// Longest time of one case. A case takes milliseconds; a broken job, two seconds of grace at most.
const CASE: Duration = Duration::from_secs(20);
/// The fewest cases that deserve the name.
const CASES_MIN: usize = 500;
/// What descriptors, threads and tasks of the host may vary by from moment to moment: idle supervisors, idle threads,
/// connections. Far less than one for each case.
const SLACK: usize = 24;

/// Points in functions that a guest calls: their panic ends that guest's step and nothing else (design D2).
const IN_THE_SANDBOX: [&str; 2] = ["guest.instantiated", "guest.log"];
/// Others that a guest reaches when it starts a program and waits for it.
const OF_ITS_PROGRAM: [&str; 6] = [
    "pool.take",
    "link.send",
    "link.told",
    "running.driven",
    "pump.read",
    "log.write",
];
/// Points at which a call has not said yet which job it is about.
const UNNAMED: [&str; 1] = ["run.received"];
/// Points at which a job is gone already.
const GONE: [&str; 1] = ["close.removed"];

/// What the cases share.
struct World<'a> {
    host: &'a Host,
    points: &'a Points,
    /// Makes the calls of the cases.
    caller: Caller,
    /// Looks on.
    client: Client,
}

impl World<'_> {
    /// The job of a case, as Run is told of it.
    fn request(&self, id: &str, definition: &str, file: bool) -> RunRequest {
        let job = self.host.job(definition).id(id).grace_ms(1000);
        let mut request = RunRequest::from(job.env("CASE", id).request());
        if file {
            let job = request.job.get_or_insert_default();
            job.variables.push(stephost_tests::wire::Variable {
                key: "FILE".to_owned(),
                value: "content".to_owned(),
                file: true,
                ..Default::default()
            });
        }
        request
    }

    /// Starts a job, and waits for its end or until its process is there. Nobody follows it meanwhile: a follower who has
    /// gone may still be served, and would meet the point of the case.
    async fn start(&self, id: &str, of: &Of) {
        let methods: &[&str] = if of.ends {
            &["Run", "FollowLogs"]
        } else {
            &["Run"]
        };
        for method in methods {
            let answer = self.caller.call(method, of).await;
            answer.expect("nothing is armed");
        }
        let there = self.host.work().join(id);
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while !of.ends && !there.exists() {
            look.tick().await;
        }
    }

    async fn case(&self, id: &str, case: &Case) {
        match &case.who {
            Who::Call { method, life } => self.of_call(id, case, method, *life).await,
            Who::Job(work) => self.of_job(id, case, *work).await,
        }
        // Whatever happened, the id is free at the end, and the next case meets no point of this one. A Run that was
        // given up may still have been on its way when the job was closed.
        let may_come_late = case.action == Action::Cancel;
        loop {
            let closed = self.client.close(id).await;
            closed.expect("a job can be closed");
            match self.client.status(id).await {
                Ok(status) => assert!(may_come_late, "it was closed: {status:?}"),
                Err(error) => break assert_eq!(error.code(), Some(Code::NotFound)),
            }
        }
        assert!(
            !self.points.has_fired(&case.point),
            "the case has looked at its point"
        );
    }

    async fn of_call(&self, id: &str, case: &Case, method: &str, life: Life) {
        let (definition, ends) = match life {
            Life::New { .. } | Life::Finished => ("exec: {command: [echo, ready]}", true),
            Life::Running | Life::None => (
                "exec: {command: [sh, -c, 'echo ready; : > \"$CASE\"; exec sleep 300']}",
                false,
            ),
        };
        let file = life == Life::New { file: true };
        let of = Of {
            run: self.request(id, definition, file),
            ends,
        };
        if matches!(life, Life::Running | Life::Finished) {
            self.start(id, &of).await;
        }
        let point = case.point.as_str();
        let named = is_about_a_job(method)
            && !UNNAMED.contains(&point)
            && !["call", "begin"]
                .iter()
                .any(|stage| point == format!("rpc.{method}.{stage}"));
        let gone = GONE.contains(&point)
            || (method == "Close"
                && ["answer", "frame", "trailers"]
                    .iter()
                    .any(|stage| point == format!("rpc.Close.{stage}")));
        match case.action {
            Action::Panic => {
                self.points.arm(point, "panic");
                let answer = self.caller.call(method, &of).await;
                assert!(self.points.release(point), "nobody reached the point");
                let status = answer.expect_err("a call that panicked has no answer");
                let incident = incident(&status);
                if gone {
                    self.is_unknown(id).await;
                } else if named {
                    self.is_broken(id, &incident, &of).await;
                } else {
                    self.is_unharmed(id, life).await;
                }
            }
            Action::Error => {
                self.points.arm(point, "error");
                let answer = self.caller.call(method, &of).await;
                assert!(self.points.release(point), "nobody reached the point");
                let status = answer.expect_err("an error was injected");
                let expected = match point {
                    "prepare.directory" => Code::FailedPrecondition,
                    "prepare.log" | "prepare.variables" => Code::ResourceExhausted,
                    "follow.read" => Code::Internal,
                    _ => Code::Unavailable,
                };
                assert_eq!(status.code(), expected, "{}", status.message());
                self.is_unharmed(id, life).await;
            }
            Action::Delay => {
                self.points.arm(point, "delay");
                let answer = self.caller.call(method, &of).await;
                assert!(self.points.release(point), "nobody reached the point");
                answer.expect("a delay is no fault");
                match method {
                    "Close" => self.is_unknown(id).await,
                    "Cancel" => {}
                    "Run" => {
                        self.is_unharmed(id, if ends { Life::Finished } else { Life::Running })
                            .await
                    }
                    _ => self.is_unharmed(id, life).await,
                }
            }
            Action::Cancel => {
                self.points.arm(point, "hold");
                let reached = self.points.fired(point);
                self.caller.give_up(method, &of, reached).await;
                self.points.release(point);
                // A call that was given up has happened or it has not; it has broken nothing.
                match self.client.status(id).await {
                    Ok(status) => {
                        assert_ne!(status.kind, Some(Kind::Internal), "{}", status.message)
                    }
                    Err(error) => assert_eq!(error.code(), Some(Code::NotFound), "{error}"),
                }
            }
        }
    }

    async fn of_job(&self, id: &str, case: &Case, work: Work) {
        let definition = match work {
            Work::Steps => {
                "run:\n- {name: native, func: ./native}\n- {name: greeted, func: 'builtin://hello', inputs: {name: case}}\n"
            }
            Work::Script => "run:\n- {name: scripted, script: echo scripted}\n",
        };
        let of = Of {
            run: self.request(id, definition, work == Work::Steps),
            ends: true,
        };
        let point = case.point.as_str();
        self.points.arm(
            point,
            match case.action {
                Action::Panic => "panic",
                Action::Error => "error",
                Action::Delay => "delay",
                Action::Cancel => "hold",
            },
        );
        self.caller
            .call("Run", &of)
            .await
            .expect("the job is taken");
        if case.action == Action::Cancel {
            self.points.fired(point).await;
            self.client
                .cancel(id)
                .await
                .expect("a job can be cancelled");
            self.points.release(point);
        }
        let followed = self.caller.call("FollowLogs", &of).await;
        assert!(
            self.points.release(point) || case.action == Action::Cancel,
            "nobody reached the point"
        );
        let sandboxed = IN_THE_SANDBOX.contains(&point)
            || (work == Work::Script && OF_ITS_PROGRAM.contains(&point));
        match case.action {
            Action::Panic if !sandboxed => {
                let incident =
                    incident(&followed.expect_err("the log of a broken job has no good end"));
                self.is_broken(id, &incident, &of).await;
                return;
            }
            Action::Panic | Action::Error | Action::Delay | Action::Cancel => {
                followed.expect("the log ends well");
            }
        }
        let status = self.client.status(id).await.expect("the job is there");
        let found = (status.state, status.kind);
        let expected: &[(State, Option<Kind>)] = match case.action {
            Action::Delay => &[(State::Success, None)],
            Action::Panic => &[(State::Failure, Some(Kind::Internal))],
            Action::Error if IN_THE_SANDBOX.contains(&point) => {
                &[(State::Failure, Some(Kind::Internal))]
            }
            // Another supervisor is taken.
            Action::Error if point.starts_with("link.") => &[(State::Success, None)],
            // What a full disk swallows is named in the log.
            Action::Error if point == "log.store" => &[(State::Success, None)],
            Action::Error => &[(State::Failure, Some(Kind::StepFailure))],
            Action::Cancel => &[
                (State::Cancelled, Some(Kind::Cancelled)),
                (State::Success, None),
            ],
        };
        assert!(expected.contains(&found), "{found:?}: {}", status.message);
        says_nothing(&status.message);
    }

    /// Everything that the table of broken sessions says.
    async fn is_broken(&self, id: &str, incident: &str, of: &Of) {
        for method in ["Status", "FollowLogs"] {
            let status = self
                .caller
                .call(method, of)
                .await
                .expect_err("it is broken");
            assert_eq!(
                (status.code(), status.message()),
                (Code::Internal, incident),
                "{method}"
            );
        }
        let again = self.caller.call("Run", of).await.expect_err("it is broken");
        assert_eq!(again.code(), Code::FailedPrecondition);
        let all = self
            .client
            .list()
            .await
            .expect("a list never fails because of a broken job");
        let listed = all
            .iter()
            .find(|job| job.id == id)
            .expect("it is in the list");
        assert_eq!(
            (listed.state, listed.kind),
            (State::Failure, Some(Kind::Internal))
        );
        assert_eq!(listed.message, incident);
        for method in ["Cancel", "Close", "Close"] {
            let answer = self.caller.call(method, of).await;
            answer.unwrap_or_else(|status| panic!("{method} of a broken job: {status:?}"));
        }
        self.is_unknown(id).await;
        // The id is free again.
        let next = self.request(id, "run: []", false);
        let next = Of {
            run: next,
            ends: true,
        };
        let answer = self.caller.call("Run", &next).await;
        answer.expect("the id is free");
    }

    async fn is_unknown(&self, id: &str) {
        let answer = self.client.status(id).await;
        assert_eq!(
            answer.expect_err("there is no such job").code(),
            Some(Code::NotFound)
        );
    }

    async fn is_unharmed(&self, id: &str, life: Life) {
        match life {
            Life::None => {}
            Life::New { .. } => self.is_unknown(id).await,
            Life::Running => {
                let status = self.client.status(id).await.expect("nothing broke it");
                assert_eq!(status.state, State::Running);
            }
            Life::Finished => {
                let mut log = self.client.follow(id, 0);
                while log.next().await.expect("nothing broke it").is_some() {}
                let status = self.client.status(id).await.expect("nothing broke it");
                assert_eq!(status.state, State::Success);
            }
        }
    }
}

/// The whole text of an `Internal` that names an incident and nothing else.
fn incident(status: &Status) -> String {
    let text = status.message();
    assert_eq!(status.code(), Code::Internal, "{text}");
    let number = text
        .strip_prefix("internal error (incident ")
        .and_then(|rest| rest.strip_suffix(')'));
    let number = number.unwrap_or_else(|| panic!("more or less than an incident: {text}"));
    assert!(
        number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{text}"
    );
    assert!(status.details().is_empty());
    text.to_owned()
}

fn says_nothing(text: &str) {
    for part in PAYLOAD {
        assert!(!text.contains(part), "{part} is in: {text}");
    }
}

/// Runs every third case, from the `first`, beside a job that nobody may harm. All of them with each client: what differs
/// between libraries is nothing here, or [`World`] would say it.
fn third_as_seen_by(language: Option<Language>, first: usize) {
    if language.is_some_and(|language| language.prepared().is_none()) {
        return;
    }
    block_on(async {
        let points = Points::new();
        let log = tempfile::NamedTempFile::new().expect("a file can be made");
        let host = Host::start(points.options().with_log(log.path())).await;
        host.file("native/func.yml", EXPORTING);
        let world = World {
            host: &host,
            points: &points,
            caller: Caller::connect(language, &host).await,
            client: host.new_client().await,
        };
        host.gate("gate");
        let bystander = host
            .script("echo before; read _ < gate; echo after")
            .id("bystander")
            .start()
            .await;
        bystander.wait_for("before").await;
        let follower = tokio::spawn({
            let mut follow = host.new_client().await.follow("bystander", 0);
            async move {
                let mut log = Vec::new();
                while let Some(piece) = follow.next().await? {
                    log.extend_from_slice(&piece);
                }
                Ok::<_, ClientError>(log)
            }
        });
        let over = host.channel().await;
        let before = host.held(&points, &over).await;
        let all = cases(&compiled_points().await);
        let part = all.iter().enumerate().skip(first).step_by(3);
        let mut failed = Vec::new();
        for (number, case) in part {
            let id = format!("case-{number}");
            // Joined, so that one case tells what was wrong and the others go on.
            let outcome = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
                tokio::time::timeout(CASE, world.case(&id, case)),
            ));
            match outcome.await {
                Ok(Ok(())) => {}
                Ok(Err(_elapsed)) => failed.push(format!("{case:?}: hangs")),
                Err(payload) => failed.push(format!("{case:?}: {}", words_of(payload.as_ref()))),
            }
            points.release(&case.point);
        }
        // What nobody injected is a fault of the host's own.
        let log = std::fs::read_to_string(log.path()).expect("there is a log");
        let own = log.lines().filter(|line| {
            let is_fault = line.contains("the host panicked") || line.contains("lost a task");
            is_fault && !line.contains("injected: ")
        });
        failed.extend(own.map(str::to_owned));
        assert!(
            failed.is_empty(),
            "{} cases failed:\n{}",
            failed.len(),
            failed.join("\n")
        );
        host.open_gate("gate").await;
        let log = follower
            .await
            .expect("it follows")
            .expect("nobody harmed the bystander");
        assert_eq!(
            stephost_tests::text_of(&log),
            "Running step name=it\nbefore\nafter\n"
        );
        bystander.ended().await.succeeds();
        bystander.close().await;
        host.nothing_left().await;
        let after = host.held(&points, &over).await;
        for ((what, before), (_, after)) in before.rows().into_iter().zip(after.rows()) {
            assert!(
                after <= before + SLACK,
                "{what}: {before} before, {after} after all cases"
            );
        }
        host.finish().await;
    });
}

macro_rules! thirds {
    ($($name:ident: $language:expr, $first:literal;)*) => {
        $(#[test]
        fn $name() {
            third_as_seen_by($language, $first);
        })*
    };
}

thirds! {
    r1_every_point_and_every_call_first_third: None, 0;
    r1_every_point_and_every_call_second_third: None, 1;
    r1_every_point_and_every_call_last_third: None, 2;
    r1_every_point_and_every_call_as_grpc_go_sees_it_first_third: Some(Language::Go), 0;
    r1_every_point_and_every_call_as_grpc_go_sees_it_second_third: Some(Language::Go), 1;
    r1_every_point_and_every_call_as_grpc_go_sees_it_last_third: Some(Language::Go), 2;
    r1_every_point_and_every_call_as_grpcio_sees_it_first_third: Some(Language::Python), 0;
    r1_every_point_and_every_call_as_grpcio_sees_it_second_third: Some(Language::Python), 1;
    r1_every_point_and_every_call_as_grpcio_sees_it_last_third: Some(Language::Python), 2;
}

#[test]
fn the_matrix_is_large_and_has_every_point_and_every_call() {
    let points = block_on(compiled_points());
    let cases = cases(&points);
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    for (point, _) in &points {
        assert!(cases.iter().any(|case| case.point == *point), "{point}");
    }
    for method in methods() {
        let point = format!("rpc.{method}.begin");
        assert!(
            method == "List" || cases.iter().any(|case| case.point == point),
            "{point}"
        );
    }
}

/// What `dist --check` looks for in a program that is shipped is really in one that has points.
#[test]
fn d22_the_program_of_the_tests_has_the_words_that_no_shipped_one_has() {
    let program = std::fs::read(program()).expect("the program can be read");
    assert!(memchr::memmem::find(&program, MARKER.as_bytes()).is_some());
}
