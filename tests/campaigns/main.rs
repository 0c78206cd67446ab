//! `campaign NAME [--seed N] [--size N]`: one campaign at full size; started by `cargo xtask campaign`.
//!
//! Prints the report, and ends with 1 when a promise was not kept. Drives the built host (`STEPHOST_BIN`).

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use stephost_tests::campaign::panics::{self, Exactness};
use stephost_tests::campaign::{Report, hostile, kills};

/// What can be run, and its full size.
const CAMPAIGNS: [(&str, usize); 3] = [("panics", 10_000), ("kills", 1_000), ("hostile", 1_000)];

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    name: &'static str,
    /// Chosen by chance when nobody names it.
    seed: Option<u64>,
    size: usize,
}

impl Wish {
    fn read(arguments: &[String]) -> Result<Wish, String> {
        let names = CAMPAIGNS.map(|(name, _)| name).join(", ");
        let [name, options @ ..] = arguments else {
            return Err(format!("which campaign? {names}"));
        };
        let known = CAMPAIGNS.iter().find(|(known, _)| known == name);
        let Some(&(name, size)) = known else {
            return Err(format!("there is no campaign {name:?}, only: {names}"));
        };
        let mut wish = Wish {
            name,
            seed: None,
            size,
        };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let value = options.next();
            let number = |what: &str| {
                let number = value.and_then(|value| value.parse::<u64>().ok());
                number.ok_or_else(|| format!("{option} needs a {what}"))
            };
            match option.as_str() {
                "--seed" => wish.seed = Some(number("number")?),
                "--size" => {
                    let size = usize::try_from(number("number")?).unwrap_or(usize::MAX);
                    wish.size = size.max(1);
                }
                unknown => {
                    return Err(format!(
                        "`campaign` takes --seed and --size, not {unknown:?}"
                    ));
                }
            }
        }
        Ok(wish)
    }
}

/// The program beside this one whose processes try to outlive their step.
fn zoo() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    own.with_file_name("zoo")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wish = match Wish::read(&arguments) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let seed = wish.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("campaign {} --seed {seed} --size {}", wish.name, wish.size);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let report: Report = runtime.block_on(async {
        match wish.name {
            "hostile" => hostile::run(seed, wish.size, hostile::ANSWER_MAX).await,
            "kills" => kills::run(seed, wish.size, zoo()).await,
            "panics" => panics::run(seed, wish.size, Exactness::FULL).await,
            unknown => unreachable!("{unknown} is no campaign"),
        }
    });
    println!("{report}");
    if report.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
