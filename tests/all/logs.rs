//! The job log: stamps, masks, offsets, followers (contract 5.7, 10.1; design D4).

use futures_util::future::join_all;
use stephost_tests::wire::FollowLogsRequest;
use stephost_tests::{Ended, Host, Variable, lines, step_test, text_of};

/// Bytes before the text of a stored line.
const HEADER: usize = 32;
/// Longest stored line: 8 KiB with its header, and its line end.
const STORED_LINE_MAX: usize = 8 * 1024 + 1;
const SECRET: &str = "correct-horse-battery-staple";

step_test!(s22_a_line_of_1_mib_without_an_end_arrives_whole, |host| {
    let job = host
        .script("head -c 1048576 /dev/zero | tr '\\0' x")
        .start()
        .await;
    let ended = job.ended().await;
    ended.succeeds();
    assert!(
        ended.out() == format!("{}\n", "x".repeat(1 << 20)),
        "{} bytes",
        ended.out().len()
    );
    for line in stored_lines(&ended) {
        assert!(
            line.len() <= STORED_LINE_MAX,
            "a stored line of {} bytes",
            line.len()
        );
    }
    for piece in pieces(host, job.id(), 0).await {
        assert!(piece.len() < 4 << 20, "a message of {} bytes", piece.len());
    }
});

step_test!(
    s23_empty_lines_are_kept_and_a_missing_last_line_end_is_added,
    |host| {
        let job = host.script("printf 'a\\n\\n\\nb'").start().await;
        let ended = job.ended().await;
        assert_eq!(ended.succeeds().out(), "a\n\n\nb\n");
        assert!(
            stored_lines(&ended)
                .iter()
                .any(|line| line.len() == HEADER + 1),
            "an empty line is a header"
        );
        assert_eq!(
            pieces(host, job.id(), 0).await.concat(),
            ended.log,
            "the pieces are the stored bytes"
        );
    }
);

step_test!(
    s23_what_a_step_leaves_unfinished_is_a_line_of_its_own,
    |host| {
        let run = "run:\n- {name: a, script: printf one}\n- {name: b, script: printf two}\n";
        let ended = host.job(run).run().await;
        assert_eq!(
            ended.succeeds().text(),
            "Running step name=a\none\nRunning step name=b\ntwo\n"
        );
    }
);

step_test!(s24_the_first_message_begins_with_a_whole_header, |host| {
    host.gate("gate");
    let text = "for i in 1 2 3; do printf .; done; echo; read _ < gate; printf end";
    let job = host.script(text).start().await;
    // Whoever comes first, later, or at the end.
    let early = pieces(host, job.id(), 0);
    let later = async {
        job.wait_for("...").await;
        host.open_gate("gate").await;
        pieces(host, job.id(), 0).await
    };
    let (early, later) = tokio::join!(early, later);
    for (row, pieces) in [
        ("early", early),
        ("later", later),
        ("end", pieces(host, job.id(), 0).await),
    ] {
        let first = &pieces[0];
        let separators = [4, 7, 10, 13, 16, 19, 26, 27].map(|place| first.get(place).copied());
        assert!(first.len() > HEADER, "{row}: {first:?}");
        assert_eq!(
            separators,
            b"--T::.Z ".map(Some),
            "{row}: {:?}",
            String::from_utf8_lossy(first)
        );
    }
});

step_test!(
    s25_a_carriage_return_goes_out_at_once_and_its_line_goes_on,
    |host| {
        host.gate("gate");
        let job = host
            .script("printf '50%%\\r'; read _ < gate; printf '100%%\\n'; echo next")
            .start()
            .await;
        job.wait_for("50%\r").await;
        host.open_gate("gate").await;
        let ended = job.ended().await;
        assert_eq!(ended.succeeds().out(), "50%\r100%\nnext\n");
        let flagged: Vec<String> = stored_lines(&ended)[1..]
            .iter()
            .map(|line| String::from_utf8_lossy(&line[30..]).into_owned())
            .collect();
        assert_eq!(flagged, ["O 50%\r\n", "O+100%\n", "O next\n"]);
    }
);

step_test!(s25_a_line_end_of_two_bytes_is_no_carriage_return, |host| {
    let ended = host.script("printf 'a\\r\\nb\\r\\n'").run().await;
    assert_eq!(ended.succeeds().out(), "a\r\nb\r\n");
    assert!(stored_lines(&ended).iter().all(|line| line[31] == b' '));
});

step_test!(
    s26_both_streams_can_be_told_apart_and_put_together_again,
    |host| {
        let text = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; printf o; printf e >&2; done";
        let ended = host.script(text).run().await;
        ended.succeeds();
        let expected = |name: &str, letter: &str| {
            (1..10)
                .map(|i| format!("{name} {i}\n{letter}"))
                .collect::<String>()
                + "\n"
        };
        assert_eq!(ended.out(), expected("out", "o"));
        assert_eq!(err(&ended), expected("err", "e"));
    }
);

step_test!(s26_both_streams_of_a_flood_are_whole, |host| {
    let text = "(seq 1 20000 >&2) & seq 1 20000; wait";
    let ended = host.script(text).run().await;
    let expected: String = (1..=20_000).map(|i| format!("{i}\n")).collect();
    assert!(ended.succeeds().out() == expected && err(&ended) == expected);
});

step_test!(s27_a_masked_variable_in_two_writes_is_masked, |host| {
    host.gate("gate");
    let (head, tail) = SECRET.split_at(11);
    // That the second line has arrived says that the first half was written long ago.
    let text = format!("printf '<{head}'; echo half >&2; read _ < gate; printf '{tail}>\\n'");
    let job = host.script(&text).masked("TOKEN", SECRET).start().await;
    job.wait_for("half").await;
    host.open_gate("gate").await;
    let ended = job.ended().await;
    assert_eq!(ended.succeeds().out(), "<[MASKED]>\n");
});

step_test!(
    s27_a_masked_variable_is_masked_byte_by_byte_and_on_both_streams,
    |host| {
        let text = format!(
            "for c in $(printf %s {SECRET} | sed 's/./& /g'); do printf $c; printf $c >&2; done"
        );
        let ended = host.script(&text).masked("TOKEN", SECRET).run().await;
        assert_eq!(
            (ended.succeeds().out(), err(&ended)),
            ("[MASKED]\n".into(), "[MASKED]\n".into())
        );
    }
);

step_test!(
    d4_what_only_looks_like_the_beginning_of_a_secret_is_shown,
    |host| {
        let ended = host
            .script("printf correct-horse-; echo x; printf correct-")
            .masked("T", SECRET)
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "correct-horse-x\ncorrect-\n");
    }
);

step_test!(d4_of_two_secrets_the_longer_one_is_masked, |host| {
    let job = host
        .script("echo password1 pass")
        .masked("A", "pass")
        .masked("B", "password1");
    assert_eq!(job.run().await.succeeds().out(), "[MASKED] [MASKED]\n");
});

step_test!(d4_a_secret_of_several_lines_is_masked, |host| {
    let secret = "first-part\nsecond-part\n";
    let job = host
        .script("echo \"<${{ job.KEY }}>\"")
        .masked("KEY", secret);
    let ended = job.run().await;
    ended
        .succeeds()
        .printing("[MASKED]")
        .not_printing("first-part")
        .not_printing("second-part");
});

step_test!(d4_a_secret_is_masked_in_what_a_status_says, |host| {
    let job = host
        .job("exec: {command: ['/no/${{ job.TOKEN }}']}")
        .masked("TOKEN", SECRET);
    let ended = job.run().await;
    ended.fails().saying("/no/[MASKED]").not_printing(SECRET);
    assert!(!ended.status.message.contains(SECRET));
});

step_test!(d4_an_empty_masked_value_hides_nothing, |host| {
    let ended = host
        .script("echo seen")
        .masked("EMPTY", "")
        .masked("END", "\n")
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), "seen\n");
});

step_test!(d4_the_value_of_an_ordinary_variable_is_shown, |host| {
    let ended = host
        .script("echo ${{ job.NAME }}")
        .variable("NAME", SECRET)
        .run()
        .await;
    assert_eq!(ended.succeeds().out(), format!("{SECRET}\n"));
});

step_test!(
    s28_the_content_of_a_masked_file_is_masked_and_of_another_it_is_not,
    |host| {
        for (masked, shown) in [
            (true, "[MASKED]\n"),
            (false, "correct-horse-battery-staple\n"),
        ] {
            let (key, value) = ("FILE".to_owned(), format!("{SECRET}\n"));
            let variable = Variable {
                key,
                value,
                file: true,
                masked,
            };
            let ended = host
                .script("cat ${{ job.FILE }}")
                .any_variable(variable)
                .run()
                .await;
            assert_eq!(ended.succeeds().out(), shown, "masked: {masked}");
        }
    }
);

step_test!(d4_a_sensitive_input_is_masked, |host| {
    let spec = "spec: {inputs: {word: {type: string, sensitive: true}, name: {type: string}}}";
    let exec = "exec: {command: [sh, -c, 'echo ${{ inputs.name }} ${{ inputs.word }}']}";
    host.file("fn/func.yml", &format!("{spec}\n---\n{exec}\n"));
    let run = format!("run:\n- name: it\n  func: ./fn\n  inputs: {{word: {SECRET}, name: bob}}\n");
    assert_eq!(
        host.job(&run).run().await.succeeds().out(),
        "bob [MASKED]\n"
    );
});

step_test!(bytes_that_are_no_text_are_stored_as_they_are, |host| {
    let ended = host
        .script("printf '\\000\\001\\377\\376\\033[31m\\n'")
        .run()
        .await;
    ended.succeeds();
    assert_eq!(
        &stored_lines(&ended)[1][HEADER..],
        b"\0\x01\xff\xfe\x1b[31m\n"
    );
});

step_test!(
    d4_followers_from_every_offset_see_the_same_bytes_while_they_are_written,
    |host| {
        host.gate("gate");
        let text = "seq 1 2000; echo half; read _ < gate; seq 1 2000";
        let job = host.script(text).start().await;
        job.wait_for("half").await;
        let offsets = (0..32).map(|i| i * 1500);
        let tails = join_all(offsets.clone().map(|offset| job.log_from(offset)));
        let (tails, ()) = tokio::join!(tails, host.open_gate("gate"));
        let log = job.log().await;
        for (offset, tail) in offsets.zip(tails) {
            assert!(tail == log[offset as usize..], "from {offset}");
        }
    }
);

step_test!(d4_a_follower_that_does_not_read_holds_up_nobody, |host| {
    host.gate("gate");
    let job = host
        .script("read _ < gate; yes 0123456789 | head -n 2000000")
        .start()
        .await;
    let request = FollowLogsRequest {
        id: job.id().to_owned(),
        offset: 0,
    };
    let answer = host.raw().await.follow_logs(request).await;
    let mut lazy = answer.expect("it follows").into_inner();
    host.open_gate("gate").await;
    let ended = job.ended().await;
    ended.succeeds();
    let mut log = Vec::new();
    while let Some(piece) = lazy.message().await.expect("it can go on at any time") {
        log.extend_from_slice(&piece.data);
    }
    assert!(
        log == ended.log && ended.out().len() == 22_000_000,
        "{} bytes",
        log.len()
    );
});

step_test!(
    a_follower_that_is_there_when_its_job_is_closed_sees_a_clean_end,
    |host| {
        let job = host.script("echo ready; sleep 300").start().await;
        job.wait_for("ready").await;
        let (log, ()) = tokio::join!(job.log(), job.close());
        assert!(
            text_of(&log).starts_with("Running step name=it\nready\n"),
            "{}",
            text_of(&log)
        );
    }
);

step_test!(
    every_leaf_is_named_before_it_runs_and_composites_are_not,
    |host| {
        host.file(
            "leaf/func.yml",
            "{}\n---\nexec: {command: [echo, from a leaf]}\n",
        );
        host.file(
            "tree/func.yml",
            "{}\n---\nrun:\n- {name: inner, func: ../leaf}\n",
        );
        let run = "
run:
- {name: one, script: echo from a script}
- {name: two, func: ./leaf}
- {name: three, func: ./tree}
- {name: four, func: 'builtin://script', inputs: {script: echo from a builtin}}
- {name: five, func: 'builtin://test/misbehave', inputs: {how: succeed}}
";
        let ended = host.job(run).run().await;
        let expected = "Running step name=one\nfrom a script\nRunning step name=two\nfrom a leaf\n\
        Running step name=inner\nfrom a leaf\nRunning step name=four\nfrom a builtin\n\
        Running step name=five\n";
        assert_eq!(ended.succeeds().text(), expected);
    }
);

step_test!(
    a_builtin_writes_on_both_streams_and_cannot_forge_a_line,
    |host| {
        let run = "run:\n- {name: it, func: 'builtin://test/misbehave', inputs: {how: emit}}\n";
        let ended = host.job(run).run().await;
        let expected = "warn: careful\\nerror: forged path=\"/tmp/a b\" size=7\nraw\n";
        assert_eq!(err(&ended), expected, "{}", ended.text());
    }
);

/// What came on stderr, without stamps.
fn err(ended: &Ended) -> String {
    lines(&ended.log)
        .into_iter()
        .filter(|line| line.is_error)
        .map(|line| line.text)
        .collect()
}

/// The stored lines as bytes, with their headers and line ends.
fn stored_lines(ended: &Ended) -> Vec<&[u8]> {
    ended.log.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The messages of one log stream.
async fn pieces(host: &Host, id: &str, offset: u64) -> Vec<Vec<u8>> {
    let mut follow = host.client().follow(id, offset);
    let mut pieces = Vec::new();
    while let Some(piece) = follow.next().await.expect("the log can be followed") {
        pieces.push(piece.to_vec());
    }
    pieces
}
