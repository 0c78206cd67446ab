//! Spans, the collector they are sent to, and whose trace a job is part of.

mod client;
mod collector;
mod trouble;

use expect_test::expect;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use rustix::process::Signal;
use stephost_tests::{Client, Points, Request, State, Trace, block_on, text_of};

use super::daemon::Place;
use super::{Running, read, text};
use collector::{Collector, Manner, Sent, attribute, named, tree};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A job that does next to nothing.
const NOTHING: &str = "exec: {command: ['true']}";

/// A daemon that sends to a collector, and the client of a job's sender.
struct Traced {
    place: Place,
    daemon: Running,
    client: Client,
    collector: Collector,
}

impl Traced {
    async fn start() -> Traced {
        Traced::at(Place::new(), &[]).await
    }

    /// One of this place, with more environment.
    async fn at(place: Place, env: &[(&str, &str)]) -> Traced {
        let collector = Collector::start(Manner::Takes).await;
        let (daemon, client) = sending(&place, &collector.address, &[], env).await;
        Traced {
            place,
            daemon,
            client,
            collector,
        }
    }

    /// Runs a job of these steps in the place, and returns its log.
    async fn run(&self, request: Request) -> (State, String) {
        run(&self.client, &self.place, request).await
    }

    /// Ends the daemon, and returns its log.
    async fn end(mut self) -> String {
        end(&mut self.daemon).await
    }
}

/// A daemon that sends to this address.
async fn sending(
    place: &Place,
    address: &str,
    arguments: &[&str],
    env: &[(&str, &str)],
) -> (Running, Client) {
    let socket = place.path("s");
    let usual = ["--socket", text(&socket), "--otlp", address];
    let daemon = place.serve_with(&[&usual, arguments].concat(), env);
    place.told("READY=1").await;
    (daemon, place.client("s").await)
}

async fn run(client: &Client, place: &Place, mut request: Request) -> (State, String) {
    text(place.dir.path()).clone_into(&mut request.build_dir);
    let mut log = Vec::new();
    let status = client
        .run_and_follow(request, |piece| log.extend_from_slice(piece))
        .await
        .expect("the daemon runs it");
    (status.state, text_of(&log))
}

async fn end(daemon: &mut Running) -> String {
    daemon.signal(Signal::TERM);
    let log = read(&mut daemon.stderr).await;
    assert_eq!(daemon.ended().await.code(), Some(0), "{log}");
    log
}

fn request(steps: &str) -> Request {
    Request {
        id: "7".to_owned(),
        steps: format!("{{}}\n---\n{steps}"),
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
        ..Request::default()
    }
}

fn of_a_trace(steps: &str) -> Request {
    Request {
        trace: Some(Trace {
            parent: CLIENT.to_owned(),
            state: "congo=t61rcWkgMzE".to_owned(),
        }),
        ..request(steps)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_job_is_a_tree_of_steps_programs_and_guests_in_its_clients_trace() {
    block_on(async {
        let mut traced = Traced::start().await;
        let place = &traced.place;
        let exec = |name: &str, shell: &str| {
            let steps =
                format!("spec: {{}}\n---\nexec: {{command: [sh, -c, '{shell}', s3cr3t]}}\n");
            place.write(&format!("{name}/func.yml"), &steps);
        };
        exec("leaf", "echo leaf");
        exec("fails", "exit 3");
        let outer = "spec: {}\n---\nrun: [{name: inner, step: ./../leaf}]\n";
        place.write("outer/func.yml", outer);
        let steps = "run:\n\
            - {name: native, step: ./leaf, env: {OF_A_STEP: s3cr3t}}\n\
            - {name: outer, step: ./outer}\n\
            - {name: greet, func: 'builtin://hello', inputs: {name: s3cr3t}}\n\
            - {name: shell, script: 'echo s3cr3t'}\n\
            - {name: fails, step: ./fails}\n";
        let mut request = of_a_trace(steps);
        request
            .env
            .push(("OF_A_JOB".to_owned(), "s3cr3t".to_owned()));
        let (state, log) = traced.run(request).await;
        assert_eq!(state, State::Failure, "{log}");
        let sent = traced.collector.jobs(1).await;
        expect![[r#"
            job: cicd.pipeline.result=failure cicd.pipeline.run.id=7 error.type=step_failure
              step native: cicd.pipeline.task.name=native cicd.pipeline.task.run.result=success stephost.func.ref=./leaf
                process: process.exit.code=0 stephost.process.ended=exit status 0
              step outer: cicd.pipeline.task.name=outer cicd.pipeline.task.run.result=success stephost.func.ref=./outer
                step inner: cicd.pipeline.task.name=inner cicd.pipeline.task.run.result=success stephost.func.ref=./../leaf
                  process: process.exit.code=0 stephost.process.ended=exit status 0
              step greet: cicd.pipeline.task.name=greet cicd.pipeline.task.run.result=success stephost.func.ref=builtin://hello
                guest: stephost.builtin=hello stephost.guest.result=success
              step shell: cicd.pipeline.task.name=shell cicd.pipeline.task.run.result=success stephost.func.ref=builtin://script
                guest: stephost.builtin=script stephost.guest.result=success
                  process: process.exit.code=0 stephost.process.ended=exit status 0
              step fails: cicd.pipeline.task.name=fails cicd.pipeline.task.run.result=failure error.type=step_failure stephost.func.ref=./fails
                process: process.exit.code=3 stephost.process.ended=exit status 3
        "#]].assert_eq(&tree(&sent));
        for span in &sent.spans {
            assert_eq!(hex(&span.trace_id), TRACE, "{}", span.name);
            assert_eq!(span.trace_state, "congo=t61rcWkgMzE");
        }
        let job = named(&sent, "job").next().expect("there is a job");
        assert_eq!(hex(&job.parent_span_id), PARENT);
        // The last line of a job. Spans and lines travel in calls of their own.
        let is_over = |sent: &Sent| sent.logs.iter().any(|log| says(log, "a job ended"));
        let sent = traced.collector.until(is_over).await;
        let mut logs = sent.logs.iter();
        assert!(logs.any(|log| attribute(&log.attributes, "stephost.target") == "audit"));
        says_who_it_is(&sent);
        in_the_trace(&sent);
        holds_no_value(&sent);
        traced.end().await;
    });
}

fn says(log: &LogRecord, words: &str) -> bool {
    let body = log.body.as_ref().map(|body| format!("{body:?}"));
    body.is_some_and(|body| body.contains(words))
}

fn says_who_it_is(sent: &Sent) {
    for resource in &sent.resources {
        let of = |key: &str| attribute(&resource.attributes, key);
        assert_eq!(of("service.name"), "stephost");
        assert!(!of("service.version").is_empty());
        assert_eq!(of("service.instance.id").len(), 32, "the id of the host");
    }
}

/// A line of the operator's log is inside of what it was written in.
fn in_the_trace(sent: &Sent) {
    let program = named(sent, "process").map(|span| span.span_id.clone());
    let programs: Vec<Vec<u8>> = program.collect();
    let logs = sent.logs.iter();
    let ended: Vec<&LogRecord> = logs
        .filter(|log| says(log, "a native program ended"))
        .collect();
    assert_eq!(ended.len(), programs.len());
    for log in ended {
        assert_eq!(hex(&log.trace_id), TRACE);
        assert!(programs.contains(&log.span_id));
        assert!(log.time_unix_nano > 0 && log.severity_text == "INFO");
    }
}

/// No value of a variable, no input and no argument is sent.
fn holds_no_value(sent: &Sent) {
    let spans = sent.spans.iter().map(prost::Message::encode_to_vec);
    let logs = sent.logs.iter().map(|log| log.encode_to_vec());
    for bytes in spans.chain(logs) {
        assert!(memchr::memmem::find(&bytes, b"s3cr3t").is_none());
    }
}

#[test]
fn a_job_that_was_stopped_was_cancelled_with_its_step() {
    block_on(async {
        let mut traced = Traced::start().await;
        let request = request("run: [{name: sleeps, script: 'echo ready; exec sleep 300'}]");
        traced.client.run(request).await.expect("it runs");
        let mut follow = traced.client.follow("7", 0);
        let mut log = Vec::new();
        while !text_of(&log).contains("ready") {
            log.extend(follow.next().await.expect("it goes on").expect("not ended"));
        }
        traced.client.cancel("7").await.expect("it is there");
        while follow.next().await.expect("a good end").is_some() {}
        traced.client.close("7").await.expect("it is closed");
        let sent = traced.collector.jobs(1).await;
        expect![[r#"
            job: cicd.pipeline.result=cancellation cicd.pipeline.run.id=7
              step sleeps: cicd.pipeline.task.name=sleeps cicd.pipeline.task.run.result=cancellation stephost.func.ref=builtin://script
                guest: stephost.builtin=script stephost.guest.result=cancellation
                  process: stephost.process.ended=signal: terminated
        "#]]
        .assert_eq(&tree(&sent));
        let job = named(&sent, "job").next().expect("there is a job");
        assert!(job.parent_span_id.is_empty(), "nobody named a trace");
        traced.end().await;
    });
}

#[test]
fn a_panic_is_an_exception_of_its_step_and_a_line_with_its_stack_under_one_number() {
    block_on(async {
        let points = Points::new();
        let mut traced = Traced::at(Place::new().with_points(&points), &[]).await;
        points.arm("walk.resolved", "panic");
        let steps = "run: [{name: greet, func: 'builtin://hello'}, {name: leaf, step: ./leaf}]";
        traced.place.write(
            "leaf/func.yml",
            "spec: {}\n---\nexec: {command: ['true']}\n",
        );
        let mut request = request(steps);
        text(traced.place.dir.path()).clone_into(&mut request.build_dir);
        traced.client.run(request).await.expect("it runs");
        let mut follow = traced.client.follow("7", 0);
        let error = loop {
            match follow.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a good end of a broken job"),
                Err(error) => break error.to_string(),
            }
        };
        let incident = error.split("incident ").nth(1).expect("it has a number");
        let incident = incident.trim_end_matches(')');
        let sent = traced.collector.jobs(1).await;
        expect![[r#"
            job: cicd.pipeline.result=error cicd.pipeline.run.id=7 error.type=internal
              step greet: cicd.pipeline.task.name=greet cicd.pipeline.task.run.result=success stephost.func.ref=builtin://hello
                guest: stephost.builtin=hello stephost.guest.result=success
              step leaf: cicd.pipeline.task.name=leaf cicd.pipeline.task.run.result=error error.type=internal stephost.func.ref=./leaf !exception
        "#]].assert_eq(&tree(&sent));
        let step = named(&sent, "step leaf").next().expect("the step");
        let exception = &step.events[0].attributes;
        let said = format!("internal error (incident {incident})");
        assert_eq!(attribute(exception, "exception.message"), said);
        assert_eq!(attribute(exception, "exception.type"), "panic");
        let sent = traced
            .collector
            .until(|sent| {
                let mut logs = sent.logs.iter();
                logs.any(|log| !attribute(&log.attributes, "exception.stacktrace").is_empty())
            })
            .await;
        let mut logs = sent.logs.iter();
        let of_it = |log: &&LogRecord| attribute(&log.attributes, "stephost.incident") == incident;
        let line = logs.find(of_it).expect("a line");
        assert_eq!(line.severity_text, "ERROR");
        assert_eq!(
            (&line.trace_id, &line.span_id),
            (&step.trace_id, &step.span_id)
        );
        assert_eq!(attribute(&line.attributes, "cicd.pipeline.run.id"), "7");
        traced.end().await;
    });
}
