//! Every point × panic, error, delay, cancel; and the same for every stage of every call in the descriptors.
//!
//! A host is shared by many cases, one after the other; each breaks a job of its own, and beside them a job runs
//! through all of them that nobody may harm. A case that does not reach its point fails, so the list of points cannot
//! rot; a call that the descriptors know and [`calls`](super::calls) does not fails, so no call goes untested.

use std::time::Duration;

use stephost_tests::wire::RunRequest;
use stephost_tests::{
    Client, ClientError, Host, Kind, MARKER, PAYLOAD, Points, State, block_on, compiled_points,
    program,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::calls::{Of, call, is_about_a_job, methods};

/// What every call passes, in this order. `call` and `begin` come before anybody knows which job it is about.
const STAGES: [&str; 5] = ["call", "begin", "answer", "frame", "trailers"];
/// Longest time of one case. A case takes milliseconds; a broken job, two seconds of grace at most.
const CASE: Duration = Duration::from_secs(20);
/// The fewest cases that deserve the name.
const CASES_MIN: usize = 500;
/// What descriptors, threads and tasks of the host may vary by from moment to moment: idle supervisors, idle threads,
/// connections. Far less than one for each case.
const SLACK: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Panic,
    Error,
    Delay,
    /// The caller goes away, or the job is cancelled, while the host is at the point.
    Cancel,
}

/// The job of a case when the point is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// There is none: Run makes it, with a file to write or without.
    New {
        file: bool,
    },
    Running,
    Finished,
    /// The call is about no job.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A native step and a builtin.
    Steps,
    /// A builtin that runs a program.
    Script,
}

/// Who reaches the point.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Call { method: String, life: Life },
    Job(Work),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    point: String,
    action: Action,
    who: Who,
}

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

fn cases(points: &[(String, bool)]) -> Vec<Case> {
    use Action::{Cancel, Delay, Error, Panic};
    let mut cases = Vec::new();
    let mut add = |point: &str, actions: &[Action], who: Who| {
        cases.extend(actions.iter().map(|action| Case {
            point: point.to_owned(),
            action: *action,
            who: who.clone(),
        }));
    };
    for method in methods() {
        let lives: &[Life] = match method.as_str() {
            "Run" => &[
                Life::New { file: false },
                Life::New { file: true },
                Life::Running,
                Life::Finished,
            ],
            // A plain answer to nobody: the health service of this host has no such call.
            "List" => continue,
            method if is_about_a_job(method) => &[Life::Running, Life::Finished],
            _ => &[Life::None],
        };
        for life in lives {
            for stage in STAGES {
                let endless =
                    method == "Watch" || (method == "FollowLogs" && *life == Life::Running);
                if stage == "trailers" && endless {
                    continue;
                }
                let actions: &[Action] = match stage {
                    "begin" => &[Panic, Error, Delay, Cancel],
                    _ => &[Panic, Delay, Cancel],
                };
                let (method, life) = (method.clone(), *life);
                add(
                    &format!("rpc.{method}.{stage}"),
                    actions,
                    Who::Call { method, life },
                );
            }
        }
    }
    for (point, fails) in points {
        let actions: &[Action] = match fails {
            true => &[Panic, Error, Delay, Cancel],
            false => &[Panic, Delay, Cancel],
        };
        let (room, _) = point.split_once('.').expect("a point has a room");
        let of_job = |method: &str| {
            [Life::Running, Life::Finished].map(|life| Who::Call {
                method: method.to_owned(),
                life,
            })
        };
        let new_job = [false, true].map(|file| Who::Call {
            method: "Run".to_owned(),
            life: Life::New { file },
        });
        let both = vec![Who::Job(Work::Steps), Who::Job(Work::Script)];
        let who = match room {
            "run" | "prepare" => new_job.to_vec(),
            "follow" => of_job("FollowLogs").to_vec(),
            "status" => of_job("Status").to_vec(),
            "cancel" => of_job("Cancel").to_vec(),
            "close" => of_job("Close").to_vec(),
            "exec" | "guest" => vec![Who::Job(Work::Steps)],
            "walk" if point == "walk.resolved" => vec![Who::Job(Work::Steps)],
            "driver" | "walk" | "pool" | "link" | "pump" | "running" | "log" => both,
            unknown => panic!("{unknown} is a new room: say here who reaches its points"),
        };
        for who in who {
            add(point, actions, who);
        }
    }
    cases
}

/// What the cases share.
struct World<'a> {
    host: &'a Host,
    points: &'a Points,
    channel: Channel,
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
            let answer = call(&self.channel, method, of).await;
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
                let answer = call(&self.channel, method, &of).await;
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
                let answer = call(&self.channel, method, &of).await;
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
                let answer = call(&self.channel, method, &of).await;
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
                // Dropped as soon as the point is reached: the caller is gone.
                tokio::select! {
                    biased;
                    () = self.points.fired(point) => {}
                    answer = call(&self.channel, method, &of) => panic!("an answer past the point: {answer:?}"),
                }
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
        call(&self.channel, "Run", &of)
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
        let followed = call(&self.channel, "FollowLogs", &of).await;
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
            let status = call(&self.channel, method, of)
                .await
                .expect_err("it is broken");
            assert_eq!(
                (status.code(), status.message()),
                (Code::Internal, incident),
                "{method}"
            );
        }
        let again = call(&self.channel, "Run", of)
            .await
            .expect_err("it is broken");
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
            let answer = call(&self.channel, method, of).await;
            answer.unwrap_or_else(|status| panic!("{method} of a broken job: {status:?}"));
        }
        self.is_unknown(id).await;
        // The id is free again.
        let next = self.request(id, "run: []", false);
        let answer = call(
            &self.channel,
            "Run",
            &Of {
                run: next,
                ends: true,
            },
        )
        .await;
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

/// What a host holds at a moment.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    tasks: usize,
    processes: usize,
}

async fn held(world: &World<'_>) -> Held {
    let count = |what: &str| {
        let dir = format!("/proc/{}/{what}", world.host.pid().as_raw_nonzero());
        // The host hides its memory, and with it this list from ordinary users; then there is nothing to compare.
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    };
    world.points.arm("rpc.Check.call", "count");
    let of = Of {
        run: RunRequest::default(),
        ends: true,
    };
    call(&world.channel, "Check", &of)
        .await
        .expect("the host answers");
    world.points.release("rpc.Check.call");
    Held {
        descriptors: count("fd"),
        threads: count("task"),
        tasks: world.points.counted_tasks(),
        processes: world.host.survivors().len(),
    }
}

/// Runs every `of`th case, from the `first`, beside a job that nobody may harm.
fn run_part(first: usize, of: usize) {
    block_on(async {
        let points = Points::new();
        let log = tempfile::NamedTempFile::new().expect("a file can be made");
        let mut options = points.options();
        let log_file = ["--log-file".into(), log.path().into()];
        options.arguments.extend(log_file);
        let host = Host::start(options).await;
        host.file("native/func.yml", NATIVE);
        let world = World {
            host: &host,
            points: &points,
            channel: host.channel().await,
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
        let before = held(&world).await;
        let all = cases(&compiled_points().await);
        let part = all.iter().enumerate().skip(first).step_by(of);
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
                Err(payload) => {
                    let words = payload.downcast_ref::<String>().cloned();
                    let words =
                        words.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
                    failed.push(format!("{case:?}: {}", words.unwrap_or_default()));
                }
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
        let after = held(&world).await;
        for (what, before, after) in [
            ("descriptors", before.descriptors, after.descriptors),
            ("threads", before.threads, after.threads),
            ("tasks", before.tasks, after.tasks),
            ("processes", before.processes, after.processes),
        ] {
            assert!(
                after <= before + SLACK,
                "{what}: {before} before, {after} after all cases"
            );
        }
        host.finish().await;
    });
}

/// A native step that leaves an output and an export.
const NATIVE: &str = r#"spec: {outputs: {said: {type: string}}}
---
exec:
  command:
  - sh
  - -c
  - |
    echo native
    echo '{"name": "said", "value": "yes"}' > "$1"
    echo '{"name": "A", "value": "b"}' > "$2"
  - sh
  - ${{ output_file }}
  - ${{ export_file }}
"#;

#[test]
fn r1_every_point_and_every_call_first_third() {
    run_part(0, 3);
}

#[test]
fn r1_every_point_and_every_call_second_third() {
    run_part(1, 3);
}

#[test]
fn r1_every_point_and_every_call_last_third() {
    run_part(2, 3);
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
