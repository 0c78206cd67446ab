//! Inputs and variables on the command line, and what of them is hidden.

use super::Place;

#[tokio::test]
async fn inputs_are_read_by_the_types_of_the_spec_and_refused_with_what_would_fit() {
    let place = Place::with_greet();
    let table: [(&[&str], &str); 5] = [
        (
            &[],
            "the input `name` is missing, give it with -i name=TEXT: Who is greeted",
        ),
        (
            &["-i", "nmae=x"],
            "the function takes no input `nmae`; it takes name (string), times (number), token (string)",
        ),
        (
            &["-i", "name=x", "-i", "times=two"],
            "the input `times` takes a number, as JSON: -i times=3",
        ),
        (&["-i", "name"], "the input \"name\" is not NAME=VALUE"),
        (
            &["-i", "name=x", "--mask", "GONE"],
            "--mask names \"GONE\", which is no job variable",
        ),
    ];
    for (arguments, sentence) in table {
        let ran = place.run(&[&["greet"], arguments].concat()).await;
        assert_eq!(
            (ran.status.code(), ran.out.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            ran.err.starts_with(&format!("error: {sentence}")),
            "{}",
            ran.err
        );
    }
}

#[tokio::test]
async fn an_input_is_text_and_never_an_expression() {
    let place = Place::with_greet();
    let ran = place
        .run(&["greet", "-i", "name=${{ env.PATH }} $PATH"])
        .await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(
        ran.out.contains("hello ${{ env.PATH }} $PATH"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn what_is_sensitive_is_in_no_log_no_output_and_no_document() {
    let place = Place::with_greet();
    let arguments = [
        "greet",
        "-i",
        "name=hunter3",
        "-i",
        "token=hunter2",
        "--var",
        "PASSWORD=hunter3",
        "--mask",
        "PASSWORD",
    ];
    let ran = place.run(&arguments).await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(
        ran.out.contains("hello [MASKED]\x1b[0m 1 [MASKED]\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("output greeting = \"hello [MASKED]\""),
        "{}",
        ran.err
    );
    let json = place.run(&[&arguments[..], &["--json"]].concat()).await;
    let all = format!("{}{}{}{}", ran.out, ran.err, json.out, json.err);
    assert!(!all.contains("hunter"), "{all}");
}

#[tokio::test]
async fn a_component_has_no_use_for_the_flags_of_jobs() {
    let place = Place::new();
    place.file("x.wasm", "\0asm");
    let ran = place.run(&["x.wasm", "--var", "A=b"]).await;
    assert_eq!(ran.status.code(), Some(2));
    assert!(
        ran.err.contains("--var does nothing for a component"),
        "{}",
        ran.err
    );
}
