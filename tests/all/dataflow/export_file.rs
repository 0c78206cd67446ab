//! Exports: variables that a step leaves to later ones (contract 5.5).

use stephost_tests::step_test;

use super::exports;

step_test!(x08_exports_are_texts_numbers_and_booleans, |host| {
    let cannot = |kind| {
        Err(format!(
            "line 1: cannot convert a value of type {kind} to an environment variable"
        ))
    };
    let table = [
        ("string", "\"a b\"", Ok("a b")),
        ("empty", "\"\"", Ok("")),
        ("literal", "\"${{ 1 }}\"", Ok("${{ 1 }}")),
        ("number", "1.50", Ok("1.5")),
        ("large number", "1e21", Ok("1000000000000000000000")),
        ("small number", "1e-7", Ok("0.0000001")),
        ("boolean", "true", Ok("true")),
        ("object", "{}", cannot("object")),
        ("array", "[1]", cannot("array")),
        (
            "null",
            "null",
            Err("line 1: `value` is missing or null".to_owned()),
        ),
    ];
    for (row, value, expected) in table {
        let ended = exports(host, &format!("{{\"name\":\"E\",\"value\":{value}}}\n"))
            .run()
            .await;
        match expected {
            Ok(expected) => assert_eq!(
                ended.succeeds().out(),
                format!("[{expected}]\n"),
                "{row}: see contract 5.5"
            ),
            Err(text) => assert_eq!(
                ended.fails().status.message,
                format!("step \"s\": export file: {text}"),
                "{row}"
            ),
        }
    }
});

step_test!(
    x08_an_export_that_no_environment_can_hold_fails_its_step,
    |host| {
        for (row, text, words) in [
            ("`=`", "{\"name\":\"A=B\",\"value\":\"c\"}", "contains `=`"),
            (
                "NUL in the name",
                "{\"name\":\"A\\u0000B\",\"value\":\"c\"}",
                "NUL byte",
            ),
            (
                "NUL in the value",
                "{\"name\":\"A\",\"value\":\"b\\u0000c\"}",
                "NUL byte",
            ),
        ] {
            let ended = exports(host, text).run().await;
            let message = &ended.fails().status.message;
            assert!(
                message.starts_with("step \"s\": export file: line 1: ") && message.contains(words),
                "{row}: {message}"
            );
        }
    }
);

step_test!(
    x08_the_last_export_of_a_name_wins_and_the_step_itself_does_not_see_it,
    |host| {
        let ended = exports(
            host,
            "{\"name\":\"E\",\"value\":1}\n\n{\"name\":\"E\",\"value\":2}",
        )
        .run()
        .await;
        assert_eq!(ended.succeeds().out(), "[2]\n");
        host.file(
        "s/func.yml",
        "{}\n---\nexec: {command: [sh, -c, 'printf %s \"$1\" > \"$2\"; echo \"[$E]\"', sh, '${{ job.TEXT }}', '${{ export_file }}']}",
    );
        let job = host
            .job("run: [{name: s, func: ./s}]")
            .variable("TEXT", "{\"name\":\"E\",\"value\":1}");
        assert_eq!(job.run().await.succeeds().out(), "[]\n");
    }
);
