//! The scripted host: stops, time, log, context, secrets, and reports that say what went wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use stephost_sdk::log;
use stephost_sdk::prelude::*;
use stephost_sdk::testing::{Report, Stage, describe, inputs};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Inputs)]
struct Input {
    #[input(default = "poll")]
    how: String,
    /// Opens the door
    #[input(sensitive)]
    token: Option<Secret>,
}

/// Does what it is told
#[step(needs(env = ["CI_*"], exports = ["WHO"]))]
fn act(input: Input, step: &Step) -> Result<(), Failure> {
    match input.how.as_str() {
        "poll" => {
            while step.stop_requested().is_none() {
                step.sleep(SECOND);
            }
            let left = step.grace_left().unwrap_or_default().as_secs();
            warn!(left = left, "stopped after {:?}", step.elapsed());
            step.proceed()
        }
        "nap" => {
            step.sleep(Duration::from_nanos(1));
            Ok(())
        }
        "date" => {
            step.sleep(SECOND);
            let since = step.now().duration_since(SystemTime::UNIX_EPOCH);
            say!("{}", since.unwrap_or_default().as_secs());
            Ok(())
        }
        "open" => {
            let Some(token) = input.token else {
                return Err(Failure::exit(4, "no token"));
            };
            info!("have {token:?} of {}", token.name());
            say!("{}", token.reveal()?.len());
            Ok(())
        }
        "place" => {
            let (path, ci) = (step.environment("PATH"), step.job_variable("CI"));
            say!(
                "{} {path:?} {ci:?} {:?}",
                step.work_dir(),
                step.environment("CI")
            );
            Ok(())
        }
        "export" => {
            step.export("WHO", "Ada");
            step.export("WHO", "Grace");
            Ok(())
        }
        "levels" => {
            trace!("a");
            debug!(size = 7, path = "/tmp", "b {}", 1);
            info!("c");
            error!("d");
            Ok(())
        }
        "flood" => loop {
            log::line("more")?;
        },
        "wait" => loop {
            step.sleep(SECOND);
        },
        other => Err(Failure::exit(3, format!("what is {other}"))),
    }
}

fn run(stage: Stage, how: &str) -> Report {
    stage.run::<act>(inputs! { how: how })
}

#[test]
fn a_stop_comes_after_as_many_waits_as_the_script_says() {
    for waits in [0, 1, 3] {
        let stage = Stage::new()
            .grace(9 * SECOND)
            .stop_after_waits(waits, Stop::Deadline);
        let report = run(stage, "poll");
        assert_eq!(report.failed(), &Failure::Cancelled);
        assert_eq!(report.waited, SECOND * u32::try_from(waits).unwrap());
        let line = format!("warn: stopped after {:?} left=9\n", report.waited);
        assert_eq!(report.diagnostics, line);
    }
}

#[test]
fn the_shortest_wait_is_a_wait() {
    assert_eq!(run(Stage::new(), "nap").waited, Duration::from_millis(1));
}

#[test]
fn a_step_that_nobody_stops_ends_the_test_and_not_the_day() {
    let panic = catch_unwind(AssertUnwindSafe(|| run(Stage::new(), "wait")));
    let text = panic.expect_err("it waits for ever");
    let text = text.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("`Stage::stop_after_waits` would stop it"),
        "{text}"
    );
}

#[test]
fn the_date_is_the_scripts_and_moves_with_the_waits() {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    assert_eq!(
        run(Stage::new().started_at(date), "date").output,
        "1800000001\n"
    );
}

#[test]
fn a_secret_is_sealed_until_it_is_opened() {
    let given = inputs! { how: "open", token: "s3cret" };
    let report = Stage::new().run::<act>(given.clone());
    report.succeeded();
    assert_eq!(report.output, "6\n");
    assert_eq!(report.diagnostics, "info: have Secret(token) of token\n");
    assert_eq!(report.revealed, ["token"]);
    let report = Stage::new().keep_closed("token").run::<act>(given);
    assert!(matches!(report.failed(), Failure::Denied(denial) if denial.target == "token"));
    assert!(report.revealed.is_empty());
    assert_eq!(
        run(Stage::new(), "open").failed(),
        &Failure::exit(4, "no token")
    );
    assert!(describe::<act>().inputs[1].sensitive);
}

#[test]
fn a_step_knows_the_place_it_is_given() {
    let stage = Stage::new()
        .work_dir("/builds/x")
        .environment("PATH", "/bin")
        .job_variable("CI", "true");
    let line = "/builds/x Some(\"/bin\") Some(\"true\") None\n";
    assert_eq!(run(stage, "place").output, line);
}

#[test]
fn the_last_export_of_a_name_counts() {
    let report = run(Stage::new(), "export");
    assert_eq!(report.exported("WHO"), "Grace");
    assert_eq!(report.succeeded().exports.len(), 1);
}

#[test]
fn every_level_is_a_line_with_its_fields() {
    let lines = "trace: a\ndebug: b 1 size=7 path=/tmp\ninfo: c\nerror: d\n";
    assert_eq!(run(Stage::new(), "levels").diagnostics, lines);
}

#[test]
fn a_log_that_is_full_ends_a_step_that_asks() {
    let report = run(Stage::new().log_budget(7), "flood");
    assert_eq!(report.failed(), &Failure::failed("the log budget is spent"));
    assert_eq!(report.output, "more\nmo");
}

#[test]
fn an_assert_that_fails_says_what_happened() {
    let failed = run(Stage::new(), "dance");
    let fine = run(Stage::new(), "levels");
    let told = |check: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the assert fails");
        panic.downcast_ref::<String>().unwrap().clone()
    };
    let table = [
        (
            told(&|| {
                failed.succeeded();
            }),
            "the step failed: what is dance: exit status 3\noutput: \"\"",
        ),
        (
            told(&|| {
                fine.failed();
            }),
            "the step succeeded\noutputs: []\nexports: []\noutput: \"\"\ndiagnostics: \"trace: a",
        ),
        (
            told(&|| {
                fine.returned("x");
            }),
            "the step gave no output `x`; it gave []",
        ),
        (
            told(&|| {
                fine.exported("X");
            }),
            "the step exported no `X`; it exported []",
        ),
        (
            told(&|| {
                Stage::new().run::<act>(inputs! { hwo: "x" });
            }),
            "the step takes no input `hwo`; it takes [\"how\", \"token\"]",
        ),
    ];
    for (text, expected) in table {
        assert!(text.starts_with(expected), "{text}");
    }
}
