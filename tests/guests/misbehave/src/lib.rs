//! `builtin://test/misbehave`: a builtin that ends in every way there is. Never shipped: it is embedded only
//! with the feature `test-guests` of `stephost-builtins`.
//!
//! The input `how` names the manner; [`MANNERS`] lists them. `n` is a number some of them use. What a manner
//! is good for is said at its arm.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use stephost_sdk::log::{self, Channel, Level};
use stephost_sdk::{
    Call, Denial, Failure, Function, Outcome, Parameter, Signature, Value, context, control,
};

/// Every manner, for tests that try them all.
pub const MANNERS: &[&str] = &[
    "succeed",
    "echo",
    "emit",
    "fail",
    "fail-with-code",
    "invalid-input",
    "denied",
    "cancelled",
    "panic",
    "index",
    "trap",
    "recurse",
    "oom",
    "spin",
    "wait",
    "wait-politely",
    "poll",
    "ignore-stop",
    "log-flood",
    "log-insist",
    "output-flood",
    "export-flood",
    "host-call-flood",
    "bad-json",
    "twice",
    "reveal",
    "read-sealed",
    "hoard-sealed",
    "time",
];

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Ends as it is told.
pub struct Misbehave;

impl Function for Misbehave {
    fn describe() -> Signature {
        Signature::new("Ends in the way it is told")
            .input(Parameter::text("how", "The manner"))
            .input(Parameter::number("n", "A number for the manner").or(7))
            .input(
                Parameter::text("token", "A secret for the manner")
                    .or(Value::Null)
                    .sensitive(),
            )
            .output(Parameter::text("text", "What some manners return"))
    }

    fn run(call: &mut Call) -> Result<Outcome, Failure> {
        let n = call.integer("n")?;
        let count =
            usize::try_from(n).map_err(|_| Failure::invalid_input("n", "must not be negative"))?;
        match call.text("how")? {
            "succeed" => Ok(Outcome::empty()
                .output("text", "fine")
                .export("MISBEHAVE", "no")),
            // Shows the whole context.
            "echo" => {
                let pairs = |pairs: Vec<(String, String)>| {
                    pairs
                        .into_iter()
                        .map(|(name, value)| format!("{name}={value};"))
                        .collect::<String>()
                };
                let (environment, variables) = (
                    pairs(context::environment()),
                    pairs(context::job_variables()),
                );
                let (work_dir, grace) = (context::work_dir(), context::grace().as_millis());
                Ok(Outcome::empty().output(
                    "text",
                    format!("{work_dir} {environment} {variables} {grace}"),
                ))
            }
            // A line that tries to be two.
            "emit" => {
                log::emit(
                    Level::Warn,
                    "careful\nerror: forged",
                    &[("path", "/tmp/a b"), ("size", "7")],
                )?;
                log::write(Channel::Diagnostics, b"raw\n")?;
                Ok(Outcome::empty())
            }
            "fail" => Err(Failure::failed("asked to fail")),
            "fail-with-code" => Err(Failure::exit(
                i32::try_from(n).unwrap_or(i32::MAX),
                "asked to fail with a code",
            )),
            "invalid-input" => Err(Failure::invalid_input("n", "is not to its liking")),
            "denied" => {
                let (capability, target, code) = (
                    "net".to_owned(),
                    "https://example.com".to_owned(),
                    "no-rule".to_owned(),
                );
                Err(Failure::Denied(Denial {
                    capability,
                    target,
                    code,
                }))
            }
            // Claims to be stopped although nobody asked.
            "cancelled" => Err(Failure::Cancelled),
            "panic" => panic!("asked to panic with {n}"),
            "index" => Ok(Outcome::empty().output("text", [1_u32, 2][black_box(count)])),
            // A trap without a word.
            "trap" => std::process::abort(),
            "recurse" => Ok(Outcome::empty().output("text", descend(1).to_string())),
            "oom" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(black_box(vec![1; 1024 * 1024]));
                }
            }
            // Hears nothing, calls nothing.
            "spin" => {
                log::line("spinning")?;
                let mut turns = 0_u64;
                loop {
                    turns = black_box(turns.wrapping_add(1));
                }
            }
            // Waits in the host and goes on as if nothing had happened.
            "wait" => {
                log::line("waiting")?;
                control::wait(FOR_EVER);
                Ok(Outcome::empty().output("text", "waited"))
            }
            "wait-politely" => {
                log::line("waiting")?;
                match control::wait(FOR_EVER) {
                    Some(stop) => {
                        let left = control::grace_left().map_or(0, |left| left.as_millis());
                        log::line(format!(
                            "stopped: {stop:?}, {} grace",
                            if left > 0 { "some" } else { "no" }
                        ))?;
                        Err(Failure::Cancelled)
                    }
                    None => Ok(Outcome::empty()),
                }
            }
            // Works and looks up now and then.
            "poll" => {
                log::line("polling")?;
                loop {
                    control::proceed()?;
                    black_box(n);
                }
            }
            // Sees the stop and waits for ever all the same. Every wait returns at once, so this also spins.
            "ignore-stop" => {
                log::line("waiting")?;
                loop {
                    control::wait(FOR_EVER);
                }
            }
            // Writes lines until it is told that the log is full.
            "log-flood" => loop {
                log::line("another line that nobody will ever want to read")?;
            },
            // Writes on after it was told.
            "log-insist" => loop {
                let _told = log::line("another line that nobody will ever want to read");
            },
            "output-flood" => Ok(Outcome::empty().output("text", "x".repeat(count))),
            "export-flood" => Ok(Outcome::empty().export("FLOOD", "x".repeat(count))),
            "host-call-flood" => {
                log::write(Channel::Output, &vec![b'x'; count])?;
                Ok(Outcome::empty())
            }
            "bad-json" => {
                Ok(Outcome::empty().output("text", Value::Json(r#"{"a":1,"a":2}"#.to_owned())))
            }
            "twice" => Ok(Outcome::empty()
                .output("text", "first")
                .output("text", "second")),
            // Opens its secret, twice.
            "reveal" => {
                if !call.is_given("token") {
                    return Ok(Outcome::empty().output("text", "nothing to reveal"));
                }
                let token = call.secret("token")?;
                log::line(format!("{token:?}"))?;
                let (first, second) = (token.reveal()?, token.reveal()?);
                Ok(Outcome::empty().output("text", format!("{first} {second}")))
            }
            // Looks for its secret among the plain arguments.
            "read-sealed" => Ok(Outcome::empty().output("text", call.text("token")?)),
            // Holds `n` handles at once, and once more after it let go of them.
            "hoard-sealed" => {
                for _ in 0..2 {
                    let hoard: Result<Vec<_>, _> = (0..n).map(|_| call.secret("token")).collect();
                    black_box(hoard?);
                }
                Ok(Outcome::empty())
            }
            // Waits `n` milliseconds; says how long it took, and the date before.
            "time" => {
                let date = control::now().duration_since(SystemTime::UNIX_EPOCH);
                let before = control::elapsed();
                control::wait(Duration::from_millis(n.unsigned_abs()));
                let took = control::elapsed().saturating_sub(before).as_millis();
                let date = date.unwrap_or_default().as_secs();
                Ok(Outcome::empty().output("text", format!("{took} {date}")))
            }
            unknown => Err(Failure::invalid_input(
                "how",
                format!("`{unknown}` is not one of {}", MANNERS.join(", ")),
            )),
        }
    }
}

/// Recursion that the compiler can neither see the end of nor flatten.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    let here = black_box([depth; 8]);
    if black_box(depth) == 0 {
        0
    } else {
        descend(depth + 1) + here[7]
    }
}

stephost_sdk::export!(Misbehave);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::testing::Stage;

    #[test]
    fn an_unknown_manner_lists_the_known_ones() {
        let report = Stage::new().run::<Misbehave>([("how", "dance".into())]);
        let text = format!("{:?}", report.result);
        for manner in MANNERS {
            assert!(text.contains(manner), "{manner} in {text}");
        }
    }

    #[test]
    fn a_step_that_is_asked_to_stop_stops() {
        for manner in ["poll", "wait-politely"] {
            let report = Stage::new()
                .stop(control::Stop::Cancelled)
                .run::<Misbehave>([("how", manner.into())]);
            assert_eq!(report.result, Err(Failure::Cancelled), "{manner}");
        }
    }
}
