//! Expressions from end to end: a few rows of contract 4.6 through YAML, the host and a process (design D7). The
//! language itself is tested in its crate.

use stephost_tests::{Host, step_test};
use tonic::Code;

/// A YAML string.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Prints each text, expanded, on a line of its own; the names are those of contract 4.6.
async fn expanded(host: &Host, texts: &[&str]) -> Vec<String> {
    let words: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    let function = format!(
        "spec:\n  inputs:\n    name: {{type: string}}\n    light_cycle: {{type: struct}}\n    team_members: {{type: array}}\n    \
         empty: {{type: string, default: ''}}\n---\nexec: {{command: [printf, '%s\\n', {}]}}",
        words.join(", ")
    );
    host.file("f/func.yml", &function);
    let job = host.job(
        "run:\n  - name: f\n    func: ./f\n    inputs:\n      name: Kevin Flynn\n      light_cycle: {color: yellow, number: 3}\n      \
         team_members: [tron, ram, flynn]\n    env: {MOVIE: tron, WHERE: inside}\n",
    );
    let ended = job
        .variable("job_id", "1982")
        .variable("REF", "main")
        .run()
        .await;
    ended.succeeds().out().lines().map(str::to_owned).collect()
}

step_test!(a_and_m_rows_give_the_texts_of_the_contract, |host| {
    let table = [
        ("A1", "${{job.job_id}}", "1982"),
        ("A2", "${{ job.job_id }}", "1982"),
        ("A3", "${{ job.job_id }}:${{ env.MOVIE }}", "1982:tron"),
        (
            "A9, D7",
            "PREFIX ${{inputs.light_cycle}} SUFFIX",
            "PREFIX {\"color\": \"yellow\", \"number\": 3} SUFFIX",
        ),
        (
            "A14",
            "a long text with ${{inputs.name}} in the middle",
            "a long text with Kevin Flynn in the middle",
        ),
        ("A15", "", ""),
        ("A16", "${{inputs.light_cycle.color}}", "yellow"),
        ("A17", "${{inputs.light_cycle.number}}", "3"),
        ("M1", "${{ 2 + 3 }}", "5"),
        ("M2", "${{ \"a\" + \"b\" }}", "ab"),
        ("M5", "${{ 10 / 3 }}", "3.3333333333333335"),
        ("M6", "${{ 10 % 3 }}", "1"),
        ("M8", "${{ 1 == \"1\" }}", "false"),
        ("M11", "${{ +5 }} ${{ -5 }} ${{ !true }}", "5 -5 false"),
        ("M12", "${{ (1 + 2) * 3 }}", "9"),
        ("M13", "${{ inputs.empty || \"default\" }}", "default"),
        (
            "M14",
            "${{ str(42) }} ${{ str(true) }} ${{ str(null) }}",
            "42 true <null>",
        ),
        ("M15", "${{ num(\"42\") + num(\"3.14\") }}", "45.14"),
        (
            "M16",
            "${{ bool(\"hello\") }} ${{ bool(\"\") }} ${{ bool(0) }} ${{ bool(1) }}",
            "true false false true",
        ),
        ("M17", r"Use \${{ to start", "Use ${{ to start"),
        (
            "M18",
            "${{ 'Literal ${{ not evaluated }}' }}",
            "Literal ${{ not evaluated }}",
        ),
        ("M19", r"${{ 'It\'s a string' }}", "It's a string"),
        ("M20", "${{ {name: \"Alice\"} }}", "{\"name\": \"Alice\"}"),
        (
            "M21",
            "${{ {(inputs.name): \"value\"} }}",
            "{\"Kevin Flynn\": \"value\"}",
        ),
        (
            "M22",
            "${{ [\"a\", 1, true, null] }}",
            "[\"a\", 1, true, null]",
        ),
        (
            "M23",
            "${{ vars }}",
            "{\"REF\": \"main\", \"job_id\": \"1982\"}",
        ),
        ("M25", "${{ inputs.team_members[0] }}", "tron"),
        ("M26", "${{ (vars.REF == \"main\" && 5) || 2 }}", "5"),
        ("M28", "${{ 1.5e3 }} ${{ 2E-4 }}", "1500 0.0002"),
        ("M29, D7", "value_is_${{ 42 }}", "value_is_42"),
        ("M30", "value_is_${{ str(42) }}", "value_is_42"),
        (
            "P8",
            "${{ env.missing || \"default\" }} ${{ inputs.team_members[999] || \"x\" }}",
            "default x",
        ),
        ("X01", "a $HOME ${X} }}", "a $HOME ${X} }}"),
        (
            "D7 numbers",
            "n=${{ 0.1 + 0.2 }} ${{ 1e21 }} ${{ 100000 * 10 }}",
            "n=0.30000000000000004 1e+21 1000000",
        ),
        (
            "D7 nested",
            "${{ {a: [1, {b: null}]} }}!",
            "{\"a\": [1, {\"b\": null}]}!",
        ),
        ("once", "${{ 'a ${{ 1 }}' }}", "a ${{ 1 }}"),
    ];
    let texts: Vec<&str> = table.iter().map(|(_, text, _)| *text).collect();
    let found = expanded(host, &texts).await;
    assert_eq!(found.len(), table.len(), "{found:#?}");
    for ((row, text, expected), found) in table.iter().zip(found) {
        assert_eq!(found, *expected, "{row}: {text}");
    }
});

step_test!(
    a12_a13_a23_values_deep_in_inputs_are_replaced_in_place,
    |host| {
        host.file("f/func.yml", "spec: {inputs: {tree: {type: struct}}}\n---\nexec: {command: [echo, '${{ inputs.tree }}']}");
        let job = host.job(
        r#"
        run:
          - name: f
            func: ./f
            inputs: {tree: {a: "${{ job.A }}", "${{ job.A }}": [1, "x${{ 1 + 1 }}", ["${{ [true] }}"]]}}
        "#,
    );
        let ended = job.variable("A", "v").run().await;
        let expected = "{\"${{ job.A }}\": [1, \"x2\", [[true]]], \"a\": \"v\"}\n";
        assert_eq!(
            ended.succeeds().out(),
            expected,
            "keys are not expanded (contract 4.1)"
        );
    }
);

step_test!(
    x02_a_whole_value_keeps_its_type_on_the_way_through_functions,
    |host| {
        host.file(
            "leaf/func.yml",
            "spec: {inputs: {a: {type: array}, n: {type: number}, b: {type: boolean}}}\n---\n\
         exec: {command: [echo, '${{ inputs.a[1] }} ${{ inputs.n + 1 }} ${{ !inputs.b }}']}",
        );
        host.file(
            "outer/func.yml",
            "spec: {inputs: {a: {type: array}}}\n---\nrun: [{name: leaf, func: ../leaf, \
         inputs: {a: '${{ inputs.a }}', n: '${{ inputs.a[0] }}', b: '${{ 1 == 1 }}'}}]",
        );
        let ended = host
            .job("run: [{name: o, func: ./outer, inputs: {a: [41, two]}}]")
            .run()
            .await;
        assert_eq!(ended.succeeds().out(), "two 42 false\n");
    }
);

step_test!(x02_a_mixed_text_is_a_string_whatever_is_in_it, |host| {
    host.file(
        "f/func.yml",
        "spec: {inputs: {n: {type: number}}}\n---\nexec: {command: ['true']}",
    );
    let ended = host
        .job("run: [{name: f, func: ./f, inputs: {n: ' ${{ 1 }}'}}]")
        .run()
        .await;
    ended
        .fails()
        .saying_exactly("step \"f\": input `n` must be of type number, not string");
});

step_test!(
    r1_a_job_variable_is_no_environment_variable_and_the_error_says_the_words_of_the_contract,
    |host| {
        let text = "evaluating expression failed at \".FLIN_FLAN_FLON\": attribute not found";
        let job = |definition| host.job(definition).variable("FLIN_FLAN_FLON", "set");
        let ended = job("run: [{name: show, script: 'echo ${{ env.FLIN_FLAN_FLON }}'}]")
            .run()
            .await;
        ended.fails().saying_exactly(&format!(
            "step \"show\": failed to load: expand input script: {text}"
        ));
        let ended = job("exec: {command: [echo, '${{ env.FLIN_FLAN_FLON }}']}")
            .run()
            .await;
        ended.fails().saying_exactly(&format!("exec: {text}"));
        let ended = job("run: [{name: show, script: 'echo ${{ job.FLIN_FLAN_FLON }} ${{ vars.FLIN_FLAN_FLON }}'}]").run().await;
        assert_eq!(ended.succeeds().out(), "set set\n");
    }
);

step_test!(an_expression_that_fails_fails_its_step, |host| {
    let table = [
        (
            "A4",
            "${{ job.undefined_key }}",
            "at \".undefined_key\": attribute not found",
        ),
        (
            "A21",
            "${{ steps.nobody.outputs.name }}",
            "at \".nobody\": attribute not found",
        ),
        (
            "M10",
            "${{ \"hello\" + 42 }}",
            "`+` does not work on string and number",
        ),
        (
            "P3",
            "${{ true + true }}",
            "`+` does not work on boolean and boolean",
        ),
        ("P4", "${{ 100 / 0 }}", "division by zero"),
        ("index", "${{ [1][1] }}", "index out of range"),
        ("name", "${{ nothing }}", "at \"nothing\": name not found"),
        (
            "num",
            "${{ num('x') }}",
            "`num()` needs the text of a number",
        ),
    ];
    for (row, text, words) in table {
        let ended = host
            .job(&format!(
                "run: [{{name: s, script: {}}}]",
                quoted(&format!("echo {text}"))
            ))
            .run()
            .await;
        let message = &ended.fails().status.message;
        assert!(
            message.starts_with("step \"s\": failed to load: expand input script: "),
            "{row}: {message}"
        );
        assert!(
            message.contains("evaluating expression failed ") && message.contains(words),
            "{row}: {message}"
        );
        ended.not_printing("echo");
    }
});

step_test!(
    an_expression_that_cannot_be_read_is_refused_at_its_place,
    |host| {
        let table = [
            ("A6", "${{ job.job_id", "is not closed"),
            ("P1", r#"${{ "foo\qbar" }}"#, "invalid escape"),
            ("P2", "${{ \"The sheep wh- }}", "not terminated"),
            ("P12", "${{ var }}", "reserved"),
            ("P13", "${{ 1e1e }}", "is not a number"),
            ("empty", "${{ }}", "expected"),
        ];
        for (row, text, words) in table {
            let job = format!("run:\n  - name: s\n    script: {}\n", quoted(text));
            let status = host.job(&job).refused().await;
            assert_eq!(status.code(), Code::InvalidArgument, "{row}");
            let message = status.message();
            assert!(
                message.starts_with("steps:5:") && message.contains(words),
                "{row}: {message}"
            );
        }
    }
);

step_test!(
    an_expression_that_wants_to_grow_without_end_is_stopped,
    |host| {
        let doubling = format!("${{{{ {} }}}}", ["vars.BIG"; 200].join(" + "));
        let job = host.job(&format!(
            "run: [{{name: s, func: ./f, inputs: {{x: '{doubling}'}}}}]"
        ));
        let ended = job.variable("BIG", &"x".repeat(1 << 20)).run().await;
        ended
            .fails()
            .saying("step \"s\": failed to load: expand input x: evaluating expression failed");
    }
);
