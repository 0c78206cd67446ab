//! Every way to end a job, and everything that a job can be doing then: one table (contract 2.3, 2.5; design D2, D5).

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stephost_tests::{Host, Job, JobBuilder, Kind, Options, State, block_on, step_test};
use tonic::Code;

use super::{all_gone, exec, nobody};

/// What a loaded machine may add to a time.
const SLACK: Duration = Duration::from_secs(20);
/// What a step that hears nothing has.
const GRACE_MS: u64 = 400;

/// What runs when the stop comes: its name, its steps, and the line that says that it runs.
const DOING: [(&str, &str, &str); 7] = [
    (
        "an exec step",
        "exec: {command: [sh, -c, 'setsid sleep 60 & echo ready; sleep 60']}",
        "ready",
    ),
    (
        "an exec step that hears nothing",
        "exec: {command: [sh, -c, \"trap '' TERM; setsid sleep 60 & echo ready; sleep 60\"]}",
        "ready",
    ),
    (
        "a nested sequence",
        "run: [{name: outer, step: ./nested}, {name: never, script: 'echo not reached'}]",
        "ready",
    ),
    (
        "a builtin that obeys",
        "run: [{name: it, func: 'builtin://test/misbehave', inputs: {how: wait-politely}}]",
        "waiting",
    ),
    (
        "a builtin that computes",
        "run: [{name: it, func: 'builtin://test/misbehave', inputs: {how: spin}}]",
        "spinning",
    ),
    (
        "a program of a builtin",
        "run: [{name: it, func: 'builtin://test/launch', inputs: {how: run, program: sh, argument: 'echo ready; sleep 60'}}]",
        "ready",
    ),
    (
        "a program of a builtin that computes",
        "run: [{name: it, func: 'builtin://test/launch', inputs: {how: spin, program: sh, argument: \"trap '' TERM; echo ready; sleep 60\"}}]",
        "ready",
    ),
];

fn prepare(host: &Host) {
    host.file(
        "nested/func.yml",
        "{}\n---\nrun: [{name: inner, script: 'sleep 60 & echo ready; wait'}]\n",
    );
}

fn doing<'a>(host: &'a Host, steps: &str) -> JobBuilder<'a> {
    host.job(steps).grace_ms(GRACE_MS)
}

/// Everything at once.
async fn all(host: &Host) -> Vec<(&'static str, Job<'_>)> {
    prepare(host);
    let mut jobs = Vec::new();
    for (what, steps, line) in DOING {
        let job = doing(host, steps).start().await;
        job.wait_for(line).await;
        jobs.push((what, job));
    }
    jobs
}

step_test!(whatever_runs_a_cancel_is_a_cancel, |host| {
    for (what, job) in all(host).await {
        let asked = Instant::now();
        job.cancel().await;
        let ended = job.ended().await;
        ended.is_cancelled().not_printing("not reached");
        assert!(asked.elapsed() < SLACK, "{what}");
    }
    assert_eq!(host.survivors(), nobody());
});

step_test!(whatever_runs_a_timeout_is_a_timeout, |host| {
    prepare(host);
    for (what, steps, _) in DOING {
        let began = Instant::now();
        let ended = doing(host, steps).timeout_ms(700).run().await;
        ended.is_timed_out().not_printing("not reached");
        assert!(began.elapsed() < SLACK, "{what}");
        assert_eq!(host.survivors(), nobody(), "{what}");
    }
});

step_test!(whatever_runs_a_close_ends_it_and_frees_its_id, |host| {
    for (what, job) in all(host).await {
        let mut follow = host.client().follow(job.id(), 0);
        follow.next().await.expect("its first lines");
        let asked = Instant::now();
        job.close().await;
        assert!(asked.elapsed() < SLACK, "{what}");
        while follow.next().await.expect("a clean end").is_some() {}
        let unknown = host.client().status(job.id()).await;
        let code = unknown.expect_err(what).code();
        assert_eq!(code, Some(Code::NotFound), "{what}");
    }
    assert_eq!(host.survivors(), nobody());
});

step_test!(
    whatever_runs_a_host_that_is_asked_to_end_cancels_it,
    Options {
        arguments: vec!["--drain-timeout".into(), "100ms".into()],
        ..Options::default()
    },
    |host| {
        let jobs = all(host).await;
        host.signal(Signal::TERM);
        for (what, job) in &jobs {
            let ended = job.ended().await;
            ended.is(State::Cancelled, Some(Kind::Cancelled));
            assert!(!ended.text().contains("not reached"), "{what}");
            job.close().await;
        }
        assert_eq!(host.exited().await.code(), Some(0));
        assert_eq!(host.survivors(), nobody());
    }
);

#[test]
fn whatever_runs_a_host_that_is_killed_breaks_every_call_and_leaves_nobody() {
    block_on(async {
        let host = Host::start(Options::default()).await;
        let jobs = all(&host).await;
        let mut follows: Vec<_> = jobs
            .iter()
            .map(|(what, job)| (what, host.client().follow(job.id(), 0)))
            .collect();
        host.signal(Signal::KILL);
        host.exited().await;
        for (what, follow) in &mut follows {
            let broken = loop {
                match follow.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{what}: a clean end would be a success"),
                    Err(error) => break error,
                }
            };
            assert_eq!(broken.code(), Some(Code::Unavailable), "{what}: {broken}");
        }
        all_gone(&host, "no zoo").await;
    });
}

step_test!(whatever_runs_a_client_that_goes_changes_nothing, |host| {
    prepare(host);
    for (what, steps, line) in DOING {
        let id = {
            let client = host.new_client().await;
            let request = doing(host, steps).request();
            let id = request.id.clone();
            client.run(request).await.expect(what);
            let mut follow = client.follow(&id, 0);
            follow.next().await.expect(what);
            id
        };
        let status = host.client().status(&id).await.expect(what);
        assert_eq!(status.state, State::Running, "{what}");
        let mut follow = host.client().follow(&id, 0);
        let mut log = Vec::new();
        while !String::from_utf8_lossy(&log).contains(line) {
            log.extend(follow.next().await.expect(what).expect(what));
        }
        host.client().cancel(&id).await.expect(what);
        while follow.next().await.expect(what).is_some() {}
        let status = host.client().status(&id).await.expect(what);
        assert_eq!(
            (status.state, status.kind),
            (State::Cancelled, Some(Kind::Cancelled)),
            "{what}"
        );
    }
    assert_eq!(host.survivors(), nobody());
});

step_test!(
    the_shorter_patience_of_function_and_request_counts,
    |host| {
        let deaf = |patience: &str| {
            exec("trap \"\" TERM; echo ready; sleep 60")
                .replace("exec: {", &format!("exec: {{{patience}"))
        };
        let table = [
            ("cancel_timeout: 300ms, ", 100_000, 300),
            ("cancel_timeout: 100s, ", 500, 500),
            ("cancel_timeout: 0s, ", 100_000, 0),
            ("", 400, 400),
        ];
        for (patience, grace_ms, counts_ms) in table {
            let job = host.job(&deaf(patience)).grace_ms(grace_ms).start().await;
            job.wait_for("ready").await;
            let asked = Instant::now();
            job.cancel().await;
            job.ended().await.is_cancelled();
            let took = asked.elapsed();
            assert!(
                took >= Duration::from_millis(counts_ms) && took < SLACK,
                "{patience}{grace_ms} ms: {took:?}"
            );
        }
        // A timeout asks like a cancel.
        let began = Instant::now();
        let job = host.job(&deaf("cancel_timeout: 200ms, "));
        job.timeout_ms(500).run().await.is_timed_out();
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
);
