//! A builtin that ends in every way there is. Never shipped: tests lay it beside the host as an operator lays
//! his own, as `builtin://test/misbehave`.
//!
//! The input `how` names the manner; [`Manner`] lists them. `n` is a number some of them use. What a manner
//! is good for is said at its arm.

#[cfg(target_arch = "wasm32")]
mod sys;

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use stephost_sdk::log::{self, Channel, Level};
use stephost_sdk::{
    Call, Denial, Failure, Function, Outcome, Parameter, Signature, Value, context, control,
};

/// Declares the manners. As an enum, so that a match over them, the test of the sandbox most of all, cannot
/// forget one.
macro_rules! manners {
    ($($manner:ident = $word:literal,)*) => {
        /// How to end. What each manner does is said at its arm of [`Misbehave::run`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "said at its arm")]
        pub enum Manner {
            $($manner,)*
        }

        impl Manner {
            /// Every manner, for tests that try them all.
            pub const ALL: &[Manner] = &[$(Manner::$manner,)*];

            /// Returns what the input `how` calls it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Manner::$manner => $word,)*
                }
            }
        }
    };
}

manners! {
    Succeed = "succeed",
    Echo = "echo",
    Emit = "emit",
    Fail = "fail",
    FailWithCode = "fail-with-code",
    FailAtLength = "fail-at-length",
    InvalidInput = "invalid-input",
    Denied = "denied",
    Cancelled = "cancelled",
    Panic = "panic",
    PanicAtLength = "panic-at-length",
    Index = "index",
    Trap = "trap",
    Recurse = "recurse",
    OutOfBounds = "out-of-bounds",
    Oom = "oom",
    OomAtOnce = "oom-at-once",
    Spin = "spin",
    SpinCalling = "spin-calling",
    SpinWaiting = "spin-waiting",
    Wait = "wait",
    WaitPolitely = "wait-politely",
    Poll = "poll",
    IgnoreStop = "ignore-stop",
    LogFlood = "log-flood",
    LogInsist = "log-insist",
    OutputFlood = "output-flood",
    ManyOutputs = "many-outputs",
    ExportFlood = "export-flood",
    HostCallFlood = "host-call-flood",
    BadJson = "bad-json",
    Twice = "twice",
    Reveal = "reveal",
    ReadSealed = "read-sealed",
    HoardSealed = "hoard-sealed",
    Time = "time",
}

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
        let how = call.text("how")?;
        let known = Manner::ALL.iter().find(|manner| manner.as_str() == how);
        let Some(&manner) = known else {
            let known: Vec<&str> = Manner::ALL.iter().map(|manner| manner.as_str()).collect();
            return Err(Failure::invalid_input(
                "how",
                format!("`{how}` is not one of {}", known.join(", ")),
            ));
        };
        match manner {
            Manner::Succeed => Ok(Outcome::empty()
                .output("text", "fine")
                .export("MISBEHAVE", "no")),
            // Shows the whole context.
            Manner::Echo => {
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
            Manner::Emit => {
                log::emit(
                    Level::Warn,
                    "careful\nerror: forged",
                    &[("path", "/tmp/a b"), ("size", "7")],
                )?;
                log::write(Channel::Diagnostics, b"raw\n")?;
                Ok(Outcome::empty())
            }
            Manner::Fail => Err(Failure::failed("asked to fail")),
            Manner::FailWithCode => Err(Failure::exit(
                i32::try_from(n).unwrap_or(i32::MAX),
                "asked to fail with a code",
            )),
            Manner::FailAtLength => Err(Failure::failed("x".repeat(count))),
            Manner::InvalidInput => Err(Failure::invalid_input("n", "is not to its liking")),
            Manner::Denied => {
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
            Manner::Cancelled => Err(Failure::Cancelled),
            Manner::Panic => panic!("asked to panic with {n}"),
            Manner::PanicAtLength => panic!("{}", "x".repeat(count)),
            Manner::Index => Ok(Outcome::empty().output("text", [1_u32, 2][black_box(count)])),
            // A trap without a word.
            Manner::Trap => std::process::abort(),
            Manner::Recurse => Ok(Outcome::empty().output("text", descend(1).to_string())),
            // A wild access.
            Manner::OutOfBounds => {
                #[cfg(target_arch = "wasm32")]
                let found = sys::read_far_away();
                #[cfg(not(target_arch = "wasm32"))]
                let found = "nothing is out of bounds here";
                Ok(Outcome::empty().output("text", found.to_string()))
            }
            Manner::Oom => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(black_box(vec![1; 1024 * 1024]));
                }
            }
            // More in one piece than there is.
            Manner::OomAtOnce => {
                let hoard = black_box(vec![1_u8; 1 << 30]);
                Ok(Outcome::empty().output("text", hoard.len().to_string()))
            }
            // Hears nothing, calls nothing.
            Manner::Spin => {
                log::line("spinning")?;
                let mut turns = 0_u64;
                loop {
                    turns = black_box(turns.wrapping_add(1));
                }
            }
            // Calls, and hears nothing.
            Manner::SpinCalling => {
                log::line("spinning")?;
                loop {
                    black_box(control::stop_requested());
                }
            }
            // Waits all the time, and never for anything.
            Manner::SpinWaiting => {
                log::line("spinning")?;
                loop {
                    black_box(control::wait(Duration::ZERO));
                }
            }
            // Waits in the host and goes on as if nothing had happened.
            Manner::Wait => {
                log::line("waiting")?;
                control::wait(FOR_EVER);
                Ok(Outcome::empty().output("text", "waited"))
            }
            Manner::WaitPolitely => {
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
            Manner::Poll => {
                log::line("polling")?;
                loop {
                    control::proceed()?;
                    black_box(n);
                }
            }
            // Sees the stop and waits for ever all the same. Every wait returns at once, so this also spins.
            Manner::IgnoreStop => {
                log::line("waiting")?;
                loop {
                    control::wait(FOR_EVER);
                }
            }
            // Writes lines until it is told that the log is full.
            Manner::LogFlood => loop {
                log::line("another line that nobody will ever want to read")?;
            },
            // Writes on after it was told.
            Manner::LogInsist => loop {
                let _told = log::line("another line that nobody will ever want to read");
            },
            Manner::OutputFlood => Ok(Outcome::empty().output("text", "x".repeat(count))),
            // Small ones.
            Manner::ManyOutputs => Ok((0..count).fold(Outcome::empty(), |outcome, number| {
                outcome.output(&number.to_string(), 0)
            })),
            Manner::ExportFlood => Ok(Outcome::empty().export("FLOOD", "x".repeat(count))),
            Manner::HostCallFlood => {
                log::write(Channel::Output, &vec![b'x'; count])?;
                Ok(Outcome::empty())
            }
            Manner::BadJson => {
                Ok(Outcome::empty().output("text", Value::Json(r#"{"a":1,"a":2}"#.to_owned())))
            }
            Manner::Twice => Ok(Outcome::empty()
                .output("text", "first")
                .output("text", "second")),
            // Opens its secret, twice.
            Manner::Reveal => {
                if !call.is_given("token") {
                    return Ok(Outcome::empty().output("text", "nothing to reveal"));
                }
                let token = call.secret("token")?;
                log::line(format!("{token:?}"))?;
                let (first, second) = (token.reveal()?, token.reveal()?);
                Ok(Outcome::empty().output("text", format!("{first} {second}")))
            }
            // Looks for its secret among the plain arguments.
            Manner::ReadSealed => Ok(Outcome::empty().output("text", call.text("token")?)),
            // Holds `n` handles at once, and once more after it let go of them.
            Manner::HoardSealed => {
                for _ in 0..2 {
                    let hoard: Result<Vec<_>, _> = (0..n).map(|_| call.secret("token")).collect();
                    black_box(hoard?);
                }
                Ok(Outcome::empty())
            }
            // Waits `n` milliseconds; says how long it took, and the date before.
            Manner::Time => {
                let date = control::now().duration_since(SystemTime::UNIX_EPOCH);
                let before = control::elapsed();
                control::wait(Duration::from_millis(n.unsigned_abs()));
                let took = control::elapsed().saturating_sub(before).as_millis();
                let date = date.unwrap_or_default().as_secs();
                Ok(Outcome::empty().output("text", format!("{took} {date}")))
            }
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
stephost_sdk::needs!(env = ["*"], exports = ["MISBEHAVE", "FLOOD"]);

#[cfg(test)]
mod tests {
    use super::*;
    use stephost_sdk::testing::Stage;

    #[test]
    fn an_unknown_manner_lists_the_known_ones() {
        let report = Stage::new().run::<Misbehave>([("how", "dance".into())]);
        let text = format!("{:?}", report.result);
        for manner in Manner::ALL {
            let word = manner.as_str();
            assert!(text.contains(word), "{word} in {text}");
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
