//! The gRPC service: what each call answers (contract 1, 10.1; design D1, D3).

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use prost::Message as _;
use rustix::process::Signal;
use stephost_tests::wire::{CloseRequest, FollowLogsRequest, RunRequest};
use stephost_tests::{Client, State, raw, step_test, text_of};
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Shell text that says `ready` and waits at the gate.
const WAIT: &str = "echo ready; read _ < gate; echo done";
/// Two documents of a job that does nothing.
const NOTHING: &str = "{}\n---\nrun:\n- name: it\n  script: \"true\"\n";
/// Ids that no job can have.
const BAD_IDS: [&str; 3] = ["a\nb", "\u{7f}", "\u{85}"];

step_test!(
    s01_a_job_runs_is_followed_ends_with_success_and_is_closed,
    |host| {
        let job = host.script("echo hello").start().await;
        let ended = job.ended().await;
        ended.succeeds();
        assert_eq!(ended.text(), "Running step name=it\nhello\n");
        assert!(ended.status.started.is_some() && ended.status.started <= ended.status.ended);
        assert_eq!(
            job.status().await,
            ended.status,
            "a final status can be asked for again"
        );
        job.close().await;
    }
);

step_test!(
    s01_a_running_job_has_begun_and_has_no_end_and_no_message,
    |host| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        job.wait_for("ready").await;
        let status = job.status().await;
        assert_eq!(
            (status.state, status.kind, status.ended),
            (State::Running, None, None)
        );
        assert!(
            status.started.is_some() && status.message.is_empty(),
            "{status:?}"
        );
        host.open_gate("gate").await;
        job.ended().await.succeeds();
    }
);

step_test!(s02_a_second_run_of_a_registered_id_starts_nothing, |host| {
    host.gate("gate");
    let job = host.script(WAIT).start().await;
    job.wait_for("ready").await;
    host.script("touch second").id(job.id()).start().await;
    host.open_gate("gate").await;
    let ended = job.ended().await;
    ended.succeeds().printing("done");
    host.script("touch second").id(job.id()).start().await;
    assert_eq!(
        job.log().await,
        ended.log,
        "a finished job is registered too"
    );
    assert_eq!(job.status().await, ended.status);
    assert!(!host.work().join("second").exists());
});

step_test!(s03_parallel_runs_of_one_id_start_one_job, |host| {
    let run = async |_| {
        let request = host.script("echo run >> runs").id("same").request();
        host.new_client()
            .await
            .run(request)
            .await
            .expect("every Run of the same id is fine");
    };
    join_all((0..16).map(run)).await;
    let follow = host.script("true").id("same").start().await;
    follow.ended().await.succeeds();
    let runs = std::fs::read_to_string(host.work().join("runs")).expect("one job ran");
    assert_eq!(runs, "run\n");
});

step_test!(
    s04_steps_that_are_none_are_an_invalid_argument_and_leave_no_job,
    |host| {
        let table = [
            ("nothing", ""),
            ("one document", "run:\n- name: it\n  script: \"true\"\n"),
            ("no YAML", "{}\n---\n[}\n"),
            ("a list", "- a\n---\n- b\n"),
            ("an unknown key at the top", "{}\n---\nrun: []\nruns: []\n"),
            (
                "an item that is two things",
                "{}\n---\nrun:\n- {name: a, script: x, func: ./f}\n",
            ),
            (
                "a name that is none",
                "{}\n---\nrun:\n- {name: not ok, script: x}\n",
            ),
            ("no command", "{}\n---\nexec: {command: []}\n"),
        ];
        for (row, steps) in table {
            let refused = host.job_of(steps).id("s04").try_start().await;
            let error = refused.expect_err(row);
            assert_eq!(error.code(), Some(Code::InvalidArgument), "{row}: {error}");
            assert!(
                !error.to_string().contains('\n'),
                "{row}: one line: {error}"
            );
            let status = host.client().status("s04").await.expect_err(row);
            assert_eq!(
                status.code(),
                Some(Code::NotFound),
                "{row}: the id is unused"
            );
            assert_eq!(host.leavings(), Vec::<String>::new(), "{row}");
        }
    }
);

step_test!(s05_an_id_whose_run_was_refused_can_be_run, |host| {
    host.job_of("")
        .id("again")
        .try_start()
        .await
        .expect_err("no steps");
    host.script("echo now")
        .id("again")
        .run()
        .await
        .succeeds()
        .printing("now");
});

step_test!(s06_s07_s08_s09_a_job_that_nobody_knows, |host| {
    let client = host.client();
    let followed = client.follow("nobody", 0).next().await.expect_err("S06");
    assert_eq!(followed.code(), Some(Code::NotFound), "S06: {followed}");
    let status = client.status("nobody").await.expect_err("S07");
    assert_eq!(status.code(), Some(Code::NotFound), "S07: {status}");
    client
        .close("nobody")
        .await
        .expect("S08: closing no job is fine");
    let cancelled = client.cancel("nobody").await.expect_err("S09");
    assert_eq!(cancelled.code(), Some(Code::NotFound), "S09: {cancelled}");
});

step_test!(s10_an_empty_id_lists_every_job, |host| {
    assert_eq!(host.client().list().await.expect("no jobs are fine"), []);
    host.gate("gate");
    let one = host.script(WAIT).start().await;
    let two = host.script("true").start().await;
    two.ended().await.succeeds();
    let listed = host.client().list().await.expect("a list");
    let ids: BTreeSet<&str> = listed.iter().map(|status| status.id.as_str()).collect();
    assert_eq!(
        (ids, listed.len()),
        (BTreeSet::from([one.id(), two.id()]), 2)
    );
    host.open_gate("gate").await;
    one.ended().await.succeeds();
});

step_test!(
    s11_s12_s13_a_log_can_be_read_from_every_offset_again_and_again,
    |host| {
        let job = host
            .script("echo one; echo two >&2; printf three")
            .start()
            .await;
        let log = job.ended().await.log;
        assert_eq!(job.log().await, log, "S11");
        for offset in 0..=log.len() {
            let rest = job.log_from(offset as u64).await;
            assert!(
                rest == log[offset..],
                "S12: from {offset}: {:?}",
                String::from_utf8_lossy(&rest)
            );
        }
        for offset in [log.len() as u64 + 100, i64::MAX as u64] {
            assert_eq!(job.log_from(offset).await, b"", "S13: from {offset}");
        }
    }
);

step_test!(
    s13_a_follower_ahead_of_a_running_job_gets_what_is_written_there,
    |host| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        let behind = job.log_to("ready").await;
        let ahead = behind.len() + 10;
        let (tail, ()) = tokio::join!(job.log_from(ahead as u64), host.open_gate("gate"));
        let log = job.log().await;
        assert!(log.starts_with(&behind) && log.len() > ahead && tail == log[ahead..]);
    }
);

step_test!(
    s14_a_follower_that_goes_away_takes_nothing_from_another,
    |host| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        let mut leaver = host.new_client().await.follow(job.id(), 0);
        leaver
            .next()
            .await
            .expect("it follows")
            .expect("the first piece");
        drop(leaver);
        let (log, ()) = tokio::join!(job.log(), host.open_gate("gate"));
        assert_eq!(text_of(&log), "Running step name=it\nready\ndone\n");
    }
);

step_test!(s15_a_job_outlives_the_connection_that_started_it, |host| {
    host.gate("gate");
    let request = host.script(WAIT).id("s15").request();
    let client: Client = host.new_client().await;
    client.run(request).await.expect("it starts");
    client.follow("s15", 0).next().await.expect("it follows");
    drop(client);
    host.open_gate("gate").await;
    let other = host.new_client().await;
    let mut log = Vec::new();
    let mut follow = other.follow("s15", 0);
    while let Some(piece) = follow.next().await.expect("a new connection can follow") {
        log.extend(piece);
    }
    assert_eq!(text_of(&log), "Running step name=it\nready\ndone\n");
    assert_eq!(
        other.status("s15").await.expect("and ask").state,
        State::Success
    );
});

step_test!(s16_nothing_is_left_of_a_closed_job, |host| {
    let job = host.script("echo x").start().await;
    job.ended().await.succeeds();
    job.close().await;
    assert_eq!(host.leavings(), Vec::<String>::new());
    let followed = host
        .client()
        .follow(job.id(), 0)
        .next()
        .await
        .expect_err("no log");
    assert_eq!(followed.code(), Some(Code::NotFound), "{followed}");
    let status = host.client().status(job.id()).await.expect_err("no status");
    assert_eq!(status.code(), Some(Code::NotFound), "{status}");
    job.close().await;
});

step_test!(s17_the_id_of_a_closed_job_is_free_for_another, |host| {
    for round in ["first", "second", "third"] {
        let job = host
            .script(&format!("echo {round}"))
            .id("s17")
            .start()
            .await;
        assert_eq!(job.ended().await.succeeds().out(), format!("{round}\n"));
        job.close().await;
    }
});

step_test!(s18_the_logs_of_many_jobs_at_once_do_not_mix, |host| {
    let run = async |number: usize| {
        let id = format!("many-{number}");
        let text = format!("for i in 1 2 3 4 5 6 7 8 9; do echo {id} $i; echo {id} $i >&2; done");
        let ended = host.script(&text).id(&id).run().await;
        ended.succeeds();
        let expected: String = (1..10).map(|i| format!("{id} {i}\n")).collect();
        let err = stephost_tests::lines(&ended.log)
            .into_iter()
            .filter(|line| line.is_error);
        assert_eq!(ended.out(), expected);
        assert_eq!(err.map(|line| line.text).collect::<String>(), expected);
    };
    join_all((0..64).map(run)).await;
});

step_test!(s18_many_connections_at_once_are_served, |host| {
    let run = async |number: usize| {
        let request = host
            .script(&format!("echo {number}"))
            .id(&number.to_string())
            .request();
        let mut log = Vec::new();
        let client = host.new_client().await;
        let status = client
            .run_and_follow(request, |piece| log.extend_from_slice(piece))
            .await;
        assert_eq!(status.expect("it runs").state, State::Success);
        assert_eq!(text_of(&log), format!("Running step name=it\n{number}\n"));
    };
    join_all((0..64).map(run)).await;
    assert_eq!(
        host.client().list().await.expect("a list"),
        [],
        "each closed its own"
    );
});

step_test!(s20_unknown_fields_are_accepted, |host| {
    let fields: [(&str, &[u8]); 6] = [
        ("varint", &[0xa0, 0x06, 1]),
        ("fixed64", &[0xa1, 0x06, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("bytes", &[0xa2, 0x06, 2, 0xff, 0x00]),
        ("group", &[0xa3, 0x06, 0x08, 1, 0xa4, 0x06]),
        ("fixed32", &[0xa5, 0x06, 0, 0, 0, 0]),
        ("a number that older drafts used", &[0x22, 1, b'x']),
    ];
    for (row, field) in fields {
        let answer = raw::call(host, "Run", &run_request(row, field)).await;
        assert_eq!(raw::code(answer), Code::Ok, "{row}");
        host.job("").id(row).run().await.succeeds();
    }
});

step_test!(d1_an_assumed_field_of_another_type_breaks_no_job, |host| {
    let fields: [(&str, &[u8]); 7] = [
        ("timeout as a varint", &[0x38, 5]),
        ("timeout as a double", &[0x39, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
        ("timeout as a string", &[0x3a, 2, b'5', b's']),
        ("timeout as a float", &[0x3d, 0, 0, 0x80, 0x3f]),
        ("grace as a varint", &[0x40, 1]),
        ("grace as a string", &[0x42, 3, b'3', b'0', b's']),
        ("both", &[0x38, 5, 0x45, 1, 0, 0, 0]),
    ];
    for (row, field) in fields {
        let answer = raw::call(host, "Run", &run_request(row, field)).await;
        assert_eq!(raw::code(answer), Code::Ok, "{row}");
        host.job("").id(row).run().await.succeeds();
    }
});

step_test!(d3_ids_that_no_job_can_have_are_invalid_arguments, |host| {
    let client = host.client();
    let long = "x".repeat(257);
    for id in BAD_IDS.into_iter().chain([long.as_str()]) {
        let answers = [
            (
                "Run",
                host.script("true").id(id).try_start().await.map(|_| ()),
            ),
            ("FollowLogs", client.follow(id, 0).next().await.map(|_| ())),
            ("Status", client.status(id).await.map(|_| ())),
            ("Cancel", client.cancel(id).await),
        ];
        for (call, answer) in answers {
            let error = answer.expect_err(call);
            assert_eq!(
                error.code(),
                Some(Code::InvalidArgument),
                "{call} of {id:?}: {error}"
            );
        }
        client
            .close(id)
            .await
            .expect("no job has this id, and closing no job is fine");
    }
});

step_test!(
    d3_an_empty_id_is_an_invalid_argument_but_for_status_and_close,
    |host| {
        let client = host.client();
        let answers = [
            (
                "Run",
                host.script("true").id("").try_start().await.map(|_| ()),
            ),
            ("FollowLogs", client.follow("", 0).next().await.map(|_| ())),
            ("Cancel", client.cancel("").await),
        ];
        for (call, answer) in answers {
            let error = answer.expect_err(call);
            assert_eq!(error.code(), Some(Code::InvalidArgument), "{call}: {error}");
        }
        client.close("").await.expect("closing no job is fine");
    }
);

step_test!(k22_an_id_is_opaque_and_never_part_of_a_path, |host| {
    host.file("victim/file", "keep me");
    let long = "é".repeat(128);
    for id in [
        "../victim",
        "x/../../victim",
        "/",
        ".",
        "..",
        " ",
        "%00",
        "日本",
        "\\",
        &long,
    ] {
        let job = host.script("echo ran").id(id).start().await;
        assert_eq!(job.ended().await.succeeds().out(), "ran\n", "{id:?}");
        job.close().await;
        let kept = std::fs::read_to_string(host.work().join("victim/file"));
        assert_eq!(kept.ok().as_deref(), Some("keep me"), "{id:?}");
    }
});

step_test!(d3_a_negative_offset_is_an_invalid_argument, |host| {
    let job = host.script("true").start().await;
    for offset in [-1, i64::MIN] {
        let request = FollowLogsRequest {
            id: job.id().to_owned(),
            offset,
        };
        let error = host
            .raw()
            .await
            .follow_logs(request)
            .await
            .expect_err("negative");
        assert_eq!(error.code(), Code::InvalidArgument, "{offset}: {error}");
    }
});

step_test!(
    d3_a_request_over_32_mib_is_too_large_and_harms_nobody,
    |host| {
        host.gate("gate");
        let job = host.script(WAIT).start().await;
        let large = host
            .script("true")
            .id("large")
            .variable("X", &"x".repeat(33 << 20));
        let error = large.try_start().await.expect_err("33 MiB");
        assert_eq!(error.code(), Some(Code::ResourceExhausted), "{error}");
        assert_eq!(
            host.client()
                .status("large")
                .await
                .expect_err("no job")
                .code(),
            Some(Code::NotFound)
        );
        host.open_gate("gate").await;
        job.ended().await.succeeds();
    }
);

step_test!(d3_a_request_below_32_mib_is_taken, |host| {
    let large = "x".repeat(31 << 20);
    let variable = stephost_tests::Variable {
        key: "X".into(),
        value: large,
        file: true,
        masked: false,
    };
    let ended = host
        .script("wc -c < ${{ job.X }}")
        .any_variable(variable)
        .run()
        .await;
    assert_eq!(ended.succeeds().out().trim(), (31 << 20).to_string());
});

step_test!(
    d3_steps_over_4_mib_are_too_large_and_4_mib_are_not,
    |host| {
        let fitting = format!("{NOTHING}#{}", "x".repeat((4 << 20) - NOTHING.len() - 1));
        host.job_of(&fitting).run().await.succeeds();
        let error = host
            .job_of(&format!("{fitting}x"))
            .try_start()
            .await
            .expect_err("a byte more");
        assert_eq!(error.code(), Some(Code::ResourceExhausted), "{error}");
    }
);

step_test!(
    d3_bytes_that_are_no_message_are_an_invalid_argument,
    |host| {
        let bytes: [(&str, &[u8]); 6] = [
            ("a length past the end", &[0x0a, 200, b'x']),
            ("an id that is a number", &[0x08, 1]),
            ("an id that is not UTF-8", &[0x0a, 1, 0xff]),
            ("a cut varint", &[0x10, 0x80]),
            ("field number zero", &[0x00]),
            ("a group that ends nowhere", &[0xa3, 0x06]),
        ];
        for method in ["Run", "FollowLogs", "Status", "Cancel", "Close"] {
            for (row, message) in bytes {
                let answer = raw::call(host, method, message).await;
                assert_eq!(
                    raw::code(answer),
                    Code::InvalidArgument,
                    "{method} of {row}"
                );
            }
        }
    }
);

step_test!(d3_no_request_at_all_is_answered_as_internal, |host| {
    // A fixed sequence, so that a failure comes again: Knuth's multiplier, the high bits.
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    let valid = run_request("hostile", &[]);
    for round in 0..300 {
        let method = ["Run", "FollowLogs", "Status", "Cancel", "Close"][random() % 5];
        let mut message = valid.clone();
        for _ in 0..1 + random() % 3 {
            let place = random() % message.len();
            message[place] = random() as u8;
        }
        message.truncate(1 + random() % valid.len());
        let code = raw::code(raw::call(host, method, &message).await);
        let expected = [
            Code::Ok,
            Code::InvalidArgument,
            Code::NotFound,
            Code::ResourceExhausted,
        ];
        assert!(
            expected.contains(&code),
            "round {round}: {method} of {message:?}: {code:?}"
        );
    }
});

step_test!(
    d3_the_deadline_of_the_call_is_not_the_jobs_timeout,
    |host| {
        let steps = NOTHING.replace("\"true\"", "sleep 3");
        let message = RunRequest {
            id: "d3".into(),
            steps,
            ..RunRequest::default()
        };
        let mut request = tonic::Request::new(message);
        request.set_timeout(Duration::from_secs(2));
        host.raw().await.run(request).await.expect("it starts");
        host.job("").id("d3").run().await.succeeds();
    }
);

step_test!(
    d3_a_deadline_that_passes_is_told_as_one_and_what_the_call_began_goes_on,
    |host| {
        host.gate("gate");
        let job = host.script(&format!("trap '' TERM; {WAIT}"));
        let job = job.grace_ms(60_000).start().await;
        job.wait_for("ready").await;
        let request = CloseRequest {
            id: job.id().to_owned(),
        };
        let request = request.encode_to_vec();
        for deadline in ["0n", "100000u", "100m"] {
            // A gRPC client has a clock too, and might be first.
            let code = raw::code_by(host, "Close", &request, deadline).await;
            assert_eq!(code, Code::DeadlineExceeded, "{deadline}");
        }
        host.open_gate("gate").await;
        job.close().await;
        let code = raw::code_by(host, "Status", &request, "99999999H").await;
        assert_eq!(code, Code::NotFound, "a deadline far away");
        host.nothing_left().await;
    }
);

step_test!(d3_a_method_that_does_not_exist_is_unimplemented, |host| {
    assert_eq!(
        raw::code(raw::call(host, "Finish", b"").await),
        Code::Unimplemented
    );
});

step_test!(health_is_serving_for_the_host_and_for_its_service, |host| {
    let mut health = HealthClient::new(host.channel().await);
    for service in ["", "proto.StepRunner"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.expect(service).into_inner();
        assert_eq!(answer.status, ServingStatus::Serving as i32, "{service:?}");
    }
    let request = HealthCheckRequest {
        service: "proto.Nobody".into(),
    };
    assert_eq!(
        health.check(request).await.expect_err("nobody").code(),
        Code::NotFound
    );
});

step_test!(health_is_not_serving_while_the_host_drains, |host| {
    host.gate("gate");
    let job = host.script(WAIT).start().await;
    job.wait_for("ready").await;
    let mut health = HealthClient::new(host.channel().await);
    let mut watched = Vec::new();
    for service in ["", "proto.StepRunner"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        watched.push(health.watch(request).await.expect(service).into_inner());
    }
    host.signal(Signal::TERM);
    for mut changes in watched {
        while changes
            .message()
            .await
            .expect("the host still answers")
            .expect("a change")
            .status
            != ServingStatus::NotServing as i32
        {}
    }
    drop(health);
    host.open_gate("gate").await;
    job.ended().await.succeeds();
    job.close().await;
    assert_eq!(host.exited().await.code(), Some(0));
});

/// A `RunRequest` with this id and nothing to do, then `field` as raw bytes.
fn run_request(id: &str, field: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x0a, u8::try_from(id.len()).expect("a short id")];
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend([0x32, u8::try_from(NOTHING.len()).expect("short steps")]);
    bytes.extend_from_slice(NOTHING.as_bytes());
    bytes.extend_from_slice(field);
    bytes
}
