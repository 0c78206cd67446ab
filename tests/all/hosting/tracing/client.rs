//! What a step sees of its client's trace, with a collector and without.

use stephost_tests::{Host, Options, Trace, block_on, step_test, with_host};
use tonic::Request as Call;

use super::super::daemon::Place;
use super::{CLIENT, PARENT, TRACE, Traced, hex, named, of_a_trace, request};

const SEEN: &str =
    "run: [{name: it, step: ./it}, {name: shell, script: 'echo shell=$TRACEPARENT,$TRACESTATE'}]";
const IT: &str = "spec: {}\n---\nexec: {command: [sh, -c, 'echo it=$TRACEPARENT,$TRACESTATE']}\n";

#[test]
fn a_step_sees_the_place_of_its_own_span() {
    block_on(async {
        let mut traced = Traced::at(Place::new(), &[("TRACEPARENT", "of-the-host")]).await;
        traced.place.write("it/func.yml", IT);
        for (count, (request, state)) in
            [(of_a_trace(SEEN), "congo=t61rcWkgMzE"), (request(SEEN), "")]
                .into_iter()
                .enumerate()
        {
            let is_of_a_trace = request.trace.is_some();
            let (_, log) = traced.run(request).await;
            let sent = traced.collector.jobs(count + 1).await;
            for name in ["it", "shell"] {
                let span = format!("step {name}");
                let step = named(&sent, &span).last().expect("a step");
                let (trace, id) = (hex(&step.trace_id), hex(&step.span_id));
                let seen = format!("{name}=00-{trace}-{id}-01,{state}\n");
                assert!(log.contains(&seen), "{seen} in {log}");
                assert_eq!(trace == TRACE, is_of_a_trace);
            }
        }
        traced.end().await;
    });
}

#[test]
fn a_trace_that_is_not_sampled_is_not_sent_and_goes_on_in_its_steps() {
    block_on(async {
        let mut traced = Traced::start().await;
        traced.place.write("it/func.yml", IT);
        let mut request = of_a_trace(SEEN);
        request.trace = Some(Trace {
            parent: format!("00-{TRACE}-{PARENT}-00"),
            state: String::new(),
        });
        let (_, log) = traced.run(request).await;
        assert!(log.contains(&format!("it=00-{TRACE}-")), "{log}");
        assert!(log.contains("-00,\n"), "{log}");
        traced.run(super::request(super::NOTHING)).await;
        let sent = traced.collector.jobs(1).await;
        assert!(sent.spans.iter().all(|span| hex(&span.trace_id) != TRACE));
        traced.end().await;
    });
}

/// The lines that a job's step and shell print.
async fn seen(host: &Host, parent: &str, state: &str) -> String {
    host.file("it/func.yml", IT);
    let mut job = host.job(SEEN);
    if !parent.is_empty() {
        job = job.trace(parent, state);
    }
    let ended = job.run().await;
    ended.succeeds();
    ended
        .out()
        .lines()
        .filter(|line| line.contains('='))
        .filter(|line| !line.starts_with("Running"))
        .map(|line| format!("{line}\n"))
        .collect()
}

step_test!(
    without_a_collector_a_step_sees_what_its_client_sent,
    |host| {
        let both = format!("it={CLIENT},a=1,b=2\nshell={CLIENT},a=1,b=2\n");
        assert_eq!(seen(host, CLIENT, "a=1,b=2").await, both);
        let parent = format!("it={CLIENT},\nshell={CLIENT},\n");
        assert_eq!(seen(host, CLIENT, "").await, parent);
        assert_eq!(seen(host, CLIENT, "a").await, parent, "no list");
        assert_eq!(
            seen(host, "", "").await,
            "it=,\nshell=,\n",
            "nobody named a trace"
        );
    }
);

step_test!(a_value_that_somebody_gave_wins, |host| {
    host.file("it/func.yml", IT);
    host.file(
        "own/func.yml",
        "spec: {}\n---\nenv: {TRACEPARENT: own}\nexec: {command: [sh, -c, 'echo own=$TRACEPARENT,$TRACESTATE']}\n",
    );
    let steps = "run: [{name: own, step: ./own}, {name: it, step: ./it, env: {TRACESTATE: mine}}]";
    let ended = host.job(steps).trace(CLIENT, "a=1").run().await;
    ended.succeeds().printing("own=own,\n");
    ended.printing(&format!("it={CLIENT},mine\n"));

    let of_the_request = host
        .job(steps)
        .env("TRACEPARENT", "sent")
        .trace(CLIENT, "a=1");
    of_the_request.run().await.printing("it=sent,mine\n");

    let of_the_job = host.job("run: [{name: it, step: ./it}]");
    let of_the_job = of_the_job
        .variable("TRACEPARENT", "given")
        .trace(CLIENT, "a=1");
    of_the_job.run().await.printing("it=,\n");
});

step_test!(a_builtin_reads_it_if_it_may_read_the_environment, |host| {
    let steps = "run:\n  - {name: m, func: 'builtin://test/misbehave', inputs: {how: echo}}\n  \
         - {name: show, script: \"echo '${{ steps.m.outputs.text }}'\"}\n";
    let ended = host.job(steps).trace(CLIENT, "a=1").run().await;
    ended
        .succeeds()
        .printing(&format!("TRACEPARENT={CLIENT};TRACESTATE=a=1;"));
});

#[test]
fn what_is_no_trace_is_left_out_and_keeps_no_job_from_running() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("operator.log");
    let options = Options::default().with_log(&file);
    with_host(options, async |host| {
        let hostile: [&[(&str, &str)]; 8] = [
            &[("traceparent", "")],
            &[("traceparent", "00-0-0-0")],
            &[(
                "traceparent",
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )],
            &[(
                "traceparent",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            )],
            &[(
                "traceparent",
                "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            )],
            &[("traceparent", CLIENT), ("traceparent", CLIENT)],
            &[("tracestate", "a=1")],
            &[
                ("traceparent", "$(reboot)\t`reboot`"),
                ("tracestate", "a=1"),
            ],
        ];
        host.file("it/func.yml", IT);
        for (number, metadata) in hostile.into_iter().enumerate() {
            let job = host.job(SEEN).id(&format!("hostile-{number}")).request();
            let mut call = Call::new(stephost_tests::wire::RunRequest::from(job.clone()));
            for (key, value) in metadata {
                let value = value.parse().expect("it can be sent");
                call.metadata_mut().append(*key, value);
            }
            host.raw().await.run(call).await.expect("it is run");
            let mut follow = host.client().follow(&job.id, 0);
            let mut log = Vec::new();
            while let Some(piece) = follow.next().await.expect("it is followed") {
                log.extend_from_slice(&piece);
            }
            let log = stephost_tests::text_of(&log);
            assert!(
                log.contains("it=,\n") && log.contains("shell=,\n"),
                "{metadata:?}: {log}"
            );
            host.client().close(&job.id).await.expect("it is closed");
        }
    });
    let log = std::fs::read_to_string(file).expect("there is a log");
    assert_eq!(
        log.matches("the traceparent of a call is left out").count(),
        7,
        "{log}"
    );
    assert!(!log.contains("reboot"), "{log}");
}

#[test]
fn the_hosts_own_place_in_a_trace_gives_way_to_a_clients() {
    let options = Options {
        env: vec![
            ("TRACEPARENT".into(), "of-the-host".into()),
            ("TRACESTATE".into(), "h=1".into()),
        ],
        ..Options::default()
    };
    with_host(options, async |host| {
        let own = "it=of-the-host,h=1\nshell=of-the-host,h=1\n";
        assert_eq!(seen(host, "", "").await, own, "as without us");
        let client = format!("it={CLIENT},\nshell={CLIENT},\n");
        assert_eq!(seen(host, CLIENT, "").await, client);
    });
}
