//! Which values become which types, and back.

use stephost_sdk::prelude::*;
use stephost_sdk::testing::{Stage, describe, inputs};
use stephost_sdk::{Parameter, Signature, Value};

#[derive(Inputs)]
struct Input {
    /// Some text.
    text: String,
    flag: Option<bool>,
    /// A port,
    /// of two lines
    ///
    /// and a second paragraph
    #[input(default = 8080)]
    r#type: u16,
    #[input(default = -3)]
    offset: i64,
    #[input(default = 0.5)]
    share: f64,
}

#[derive(Outputs)]
struct Output {
    /// What was read
    seen: String,
    /// Nothing to see
    #[output(sensitive)]
    offset: i64,
    count: Option<usize>,
    half: f64,
}

/// Shows what it was given.
///
/// At length.
#[step]
fn show(input: Input, _step: &Step) -> Result<Output, Failure> {
    let Input {
        text,
        flag,
        r#type,
        offset,
        share,
    } = input;
    Ok(Output {
        seen: format!("{text} {flag:?} {type} {offset} {share}"),
        offset,
        count: flag.map(usize::from),
        half: share / 2.0,
    })
}

#[test]
fn a_signature_is_read_off_the_types() {
    let expected = Signature::new("Shows what it was given")
        .input(Parameter::text("text", "Some text"))
        .input(Parameter::boolean("flag", "").or(Value::Null))
        .input(Parameter::number("type", "A port, of two lines").or(8080))
        .input(Parameter::number("offset", "").or(-3))
        .input(Parameter::number("share", "").or(0.5))
        .output(Parameter::text("seen", "What was read"))
        .output(Parameter::number("offset", "Nothing to see").sensitive())
        .output(Parameter::number("count", "").or(Value::Null))
        .output(Parameter::number("half", ""));
    assert_eq!(describe::<show>(), expected);
}

#[test]
fn defaults_and_missing_inputs_fill_in() {
    let report = Stage::new().run::<show>(inputs! { text: "a" });
    assert_eq!(report.returned("seen"), "a None 8080 -3 0.5");
    assert_eq!(report.returned("half"), &0.25);
    let names: Vec<&str> = report
        .succeeded()
        .outputs
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["seen", "offset", "half"], "`None` is left out");
    let given =
        inputs! { text: "a", flag: true, type: 1, offset: 9_007_199_254_740_992.0, share: 1 };
    let report = Stage::new().run::<show>(given);
    assert_eq!(report.returned("seen"), "a Some(true) 1 9007199254740992 1");
    assert_eq!(report.returned("count"), &1.0);
    let report = Stage::new().run::<show>(inputs! { text: "a", flag: Value::Null });
    assert_eq!(
        report.returned("seen"),
        "a None 8080 -3 0.5",
        "null is none"
    );
}

#[test]
fn a_number_is_exact_or_refused() {
    let table = [
        (
            "type",
            65536.0,
            "expected a whole number from 0 to 65535, found 65536",
        ),
        (
            "type",
            -1.0,
            "expected a whole number from 0 to 65535, found -1",
        ),
        (
            "type",
            1.5,
            "expected a whole number within 2^53, found 1.5",
        ),
        (
            "offset",
            1e16,
            "expected a whole number within 2^53, found 10000000000000000",
        ),
        (
            "offset",
            f64::NAN,
            "expected a whole number within 2^53, found NaN",
        ),
    ];
    for (name, number, message) in table {
        let mut given = inputs! { text: "a" };
        given.push((name, number.into()));
        let report = Stage::new().run::<show>(given);
        assert_eq!(report.failed(), &Failure::invalid_input(name, message));
    }
}

#[test]
fn a_missing_input_is_named() {
    let report = Stage::new().run::<show>(inputs! {});
    let expected = Failure::invalid_input("text", "is missing and has no default");
    assert_eq!(report.failed(), &expected);
}

#[derive(Outputs)]
struct Large {
    large: u64,
    ratio: f64,
}

/// Gives numbers that no double holds
#[step]
fn overflow(_: (), step: &Step) -> Result<Large, Failure> {
    let large = match step.job_variable("LARGE") {
        Some(_) => (1 << 53) + 1,
        None => 1 << 53,
    };
    Ok(Large {
        large,
        ratio: step.elapsed().as_secs_f64() / 0.0,
    })
}

#[test]
fn an_output_that_would_change_on_its_way_fails_the_step() {
    let report = Stage::new()
        .job_variable("LARGE", "yes")
        .run::<overflow>(inputs! {});
    let message = "the output `large` is 9007199254740993, which a number cannot hold exactly; make it a `String`";
    assert_eq!(report.failed(), &Failure::failed(message));
    let report = Stage::new().run::<overflow>(inputs! {});
    let message = "the output `ratio` is NaN, which is no number to others";
    assert_eq!(report.failed(), &Failure::failed(message));
}
