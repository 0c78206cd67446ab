//! What a guest is given and what it gives back.

use super::*;

#[tokio::test]
async fn hello_says_what_it_takes_and_gives() {
    let signature = SANDBOX.describe(&HELLO).await.unwrap();
    expect![[r#"
        Signature {
            summary: "Greets somebody by name",
            inputs: [
                Parameter {
                    name: "name",
                    ty: Text,
                    default: Some(
                        Text(
                            "world",
                        ),
                    ),
                    sensitive: false,
                    doc: "Who is greeted",
                },
            ],
            outputs: [
                Parameter {
                    name: "greeting",
                    ty: Text,
                    default: None,
                    sensitive: false,
                    doc: "The greeting that was logged",
                },
            ],
        }
    "#]]
    .assert_eq(&format!("{signature:#?}\n"));
    assert!(
        Arc::ptr_eq(&signature, &SANDBOX.describe(&HELLO).await.unwrap()),
        "asked once"
    );
}

#[tokio::test]
async fn hello_logs_returns_and_exports() {
    let tape = Tape::new();
    let arguments = vec![("name".to_owned(), Value::Text("Ada".to_owned()))];
    let call = Call {
        arguments,
        context: Context::default(),
        log: tape.clone(),
        limits: Limits::shipped(),
        programs: None,
    };
    let ending = SANDBOX.run(&HELLO, call, Stop::never()).await;
    check(
        &ending,
        expect![[r#"
            Success {
                outputs: [
                    (
                        "greeting",
                        Text(
                            "Hello, Ada!",
                        ),
                    ),
                ],
                exports: [
                    (
                        "HELLO_GREETED",
                        "Ada",
                    ),
                ],
            }
        "#]],
    );
    assert_eq!(tape.text(Channel::Output), "Hello, Ada!\n");
}

#[tokio::test]
async fn a_guest_knows_its_context_and_only_that() {
    let mut call = call("echo", Tape::new());
    call.context = Context {
        work_dir: "/builds/x".to_owned(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        job_variables: vec![("CI".to_owned(), "true".to_owned())],
        grace: Duration::from_secs(3),
        ..Context::default()
    };
    let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
    let text = Value::Text("/builds/x PATH=/bin; CI=true; 3000".to_owned());
    assert_eq!(
        ending,
        GuestEnding::Success {
            outputs: vec![("text".to_owned(), text)],
            exports: Vec::new()
        }
    );
}

#[tokio::test]
async fn a_structured_line_cannot_forge_another() {
    let tape = Tape::new();
    SANDBOX
        .run(&MISBEHAVE, call("emit", tape.clone()), Stop::never())
        .await;
    assert_eq!(
        tape.text(Channel::Diagnostics),
        "warn: careful\\nerror: forged path=\"/tmp/a b\" size=7\nraw\n"
    );
}

#[tokio::test]
async fn every_refusal_of_a_guest_keeps_its_words() {
    let failed = |message: &str, exit_code| GuestEnding::Failed {
        message: message.to_owned(),
        exit_code,
    };
    let table = [
        ("fail", failed("asked to fail", None)),
        (
            "fail-with-code",
            failed("asked to fail with a code", Some(7)),
        ),
        (
            "invalid-input",
            GuestEnding::InvalidInput {
                name: "n".to_owned(),
                message: "is not to its liking".to_owned(),
            },
        ),
        (
            "denied",
            GuestEnding::Denied {
                capability: "net".to_owned(),
                target: "https://example.com".to_owned(),
                code: "no-rule".to_owned(),
            },
        ),
        // A guest cannot make its step look stopped.
        (
            "cancelled",
            failed("the builtin gave up as if it had been stopped", None),
        ),
        (
            "twice",
            failed("the builtin returned output `text` twice", None),
        ),
        (
            "bad-json",
            failed(
                "the builtin's output `text` is not valid JSON: the key `a` occurs twice at line 1 column 10",
                None,
            ),
        ),
    ];
    for (how, ending) in table {
        assert_eq!(misbehave(how).await, ending, "{how}");
        assert_alive().await;
    }
}

#[tokio::test]
async fn an_argument_that_breaks_the_rules_does_not_reach_the_guest() {
    let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
    for (value, message) in [
        (Value::Number(f64::NAN), "is a number that is not finite"),
        (Value::Json(deep), "is nested deeper than 64 levels"),
    ] {
        let mut call = call("succeed", Tape::new());
        call.arguments.push(("n".to_owned(), value));
        let ending = SANDBOX.run(&MISBEHAVE, call, Stop::never()).await;
        assert_eq!(
            ending,
            GuestEnding::InvalidInput {
                name: "n".to_owned(),
                message: message.to_owned()
            }
        );
    }
}

#[test]
fn a_call_shows_no_values() {
    let mut call = call("hunter2", Tape::new());
    call.context
        .environment
        .push(("TOKEN".to_owned(), "hunter2".to_owned()));
    assert!(!format!("{call:?} {:?}", call.context).contains("hunter2"));
}
