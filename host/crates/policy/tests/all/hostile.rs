//! Arbitrary bytes never harm a reader, and what a reader accepts keeps its promises. Fuzz targets, run here as
//! plain tests with a bounded number of inputs.

use stephost_policy::{Needs, Policy, PolicyError};

use crate::{anything, policy, rule};

const ITERATIONS: usize = 3_000;

fn is_told_well(error: &PolicyError, text: &str) {
    let line = error.to_string();
    assert!(
        line.len() < 1_000 && !line.contains(char::is_control),
        "{line:?}"
    );
    for problem in error.problems() {
        assert!(
            text.get(problem.span()).is_some(),
            "{line}: {:?}",
            problem.span()
        );
        assert!(
            !problem.message().contains(char::is_control),
            "{:?}",
            problem.message()
        );
    }
}

/// Holds for every text.
fn read(text: &str) {
    match Policy::parse("p.toml", text) {
        Err(error) => is_told_well(&error, text),
        Ok(first) => {
            let again = policy(&first.render());
            assert_eq!(
                (again.render(), again.digest()),
                (first.render(), first.digest())
            );
            let grant = first.resolve("f", &anything());
            for name in ["LD_PRELOAD", "PATH", "GIT_DIR"] {
                let exported = grant.as_ref().is_ok_and(|grant| grant.export(name).is_ok());
                assert!(
                    !exported || text.contains("name"),
                    "{name} is exported by a pattern"
                );
            }
        }
    }
}

#[test]
fn arbitrary_text_is_refused_or_read() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<Vec<u8>>()
        .for_each(|bytes| {
            read(&String::from_utf8_lossy(bytes));
        });
}

/// Pieces of real policies in any order: gets further than noise.
#[test]
fn shuffled_pieces_of_policies_are_refused_or_read() {
    const PIECES: [&str; 24] = [
        "policy = 1\n",
        "name = \"t\"\n",
        "[host]\n",
        "max = { wall = \"1h\" }\n",
        "[defaults.limits]\n",
        "memory = \"1 MiB\"\n",
        "[[allow]]\n",
        "function = \"f\"\n",
        "function = \"g/h\"\n",
        "reason = \"r\"\n",
        "env = [\"CI_*\", \"HOME\"]\n",
        "env = [{ name = \"*\", reason = \"r\" }]\n",
        "exports = [\"P*\", \"LD*\"]\n",
        "exports = [\"LD_*\"]\n",
        "process = [\"sh\"]\n",
        "limits.cpu = \"2s\"\n",
        "limits = {}\n",
        "[allow.limits]\n",
        "handles = 4\n",
        "wall = \"none\"\n",
        "= [\n",
        "\u{202E}\n",
        "\"",
        "exports = [\"X\", \"P\", \"PATH\"]\n",
    ];
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<Vec<u8>>()
        .for_each(|bytes| {
            let pieces = bytes
                .iter()
                .map(|byte| PIECES[usize::from(*byte) % PIECES.len()]);
            let text: String = pieces.collect();
            read(&text);
            read(&format!("policy = 1\nname = \"t\"\n{text}"));
            read(&rule(&text));
        });
}

#[test]
fn arbitrary_needs_are_refused_or_read() {
    bolero::check!()
        .with_iterations(ITERATIONS)
        .with_type::<Vec<u8>>()
        .for_each(|bytes| {
            for text in [
                bytes.clone(),
                [br#"{"version":1,"env":["#.as_slice(), bytes].concat(),
            ] {
                if let Err(error) = Needs::parse(&text) {
                    let line = error.to_string();
                    assert!(
                        line.len() < 400 && !line.contains(char::is_control),
                        "{line:?}"
                    );
                }
            }
        });
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for (open, close) in [("[", "]"), ("{ a = ", " }")] {
        let deep = format!(
            "policy = 1\nname = {}1{}\n",
            open.repeat(20_000),
            close.repeat(20_000)
        );
        read(&deep);
    }
    read(&format!("policy = 1\n[{}a]\n", "a.".repeat(50_000)));
    assert!(Needs::parse("[".repeat(16_000).as_bytes()).is_err());
}
