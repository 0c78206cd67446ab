//! `policy show` and `policy check`: what is in force, and whether a file is a policy.
//!
//! What is wrong with a file is shown in its own lines, on stderr, in colour where a person looks at it. The
//! result is on stdout: the resolved policy is itself a policy file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use annotate_snippets::Renderer;
use clap::Subcommand;
use serde_json::Value;
use stephost_policy::PolicyError;

use super::excerpt::{self, Finding};
use super::exit::{self, Failure};
use super::print;
use super::visible::visible;
use crate::config::{self, LoadedPolicy, PolicyFileError};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Print the policy in force, written out, and where it came from
    #[command(
        after_help = "Examples:\n  stephost policy show\n  stephost policy show --policy new.toml | diff <(stephost policy show) -"
    )]
    Show {
        /// Show this file instead of the policy in force
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether files are policies, or what is wrong with them
    #[command(after_help = "Exit codes: 0 all are policies, 78 one is not.")]
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Does what the command says.
pub(super) fn policy(command: PolicyCommand) -> Result<u8, Failure> {
    match command {
        PolicyCommand::Show { policy, json } => show(policy.as_deref(), json),
        PolicyCommand::Check { files } => check(&files),
    }
}

fn show(file: Option<&Path>, json: bool) -> Result<u8, Failure> {
    let loaded = match file {
        Some(file) => config::policy_file(file),
        None => config::policy(),
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Ok(refused(error)),
    };
    print(&if json {
        as_json(&loaded)
    } else {
        as_text(&loaded)
    })?;
    Ok(exit::FINE)
}

fn check(files: &[PathBuf]) -> Result<u8, Failure> {
    let mut code = exit::FINE;
    for file in files {
        match config::policy_file(file) {
            Ok(LoadedPolicy { policy, .. }) => {
                let rules = match policy.functions().count() {
                    1 => "1 rule".to_owned(),
                    rules => format!("{rules} rules"),
                };
                let digest = policy.digest();
                print(&format!(
                    "{}: fine, {rules}, sha256:{digest}\n",
                    visible(&file.to_string_lossy())
                ))?;
            }
            Err(error) => code = refused(error),
        }
    }
    Ok(code)
}

/// The resolved policy; where it came from stands in comments, so that it stays a policy.
fn as_text(LoadedPolicy { policy, file }: &LoadedPolicy) -> String {
    let origin = match file {
        // Quoted: a line break in a path must not end the comment.
        Some(file) => format!("from {file:?}"),
        None => "shipped with this program".to_owned(),
    };
    format!(
        "# {origin}\n# sha256:{}\n{}",
        policy.digest(),
        policy.render()
    )
}

fn as_json(LoadedPolicy { policy, file }: &LoadedPolicy) -> String {
    let file = file
        .as_ref()
        .map(|file| file.to_string_lossy().into_owned());
    format!(
        "{{\"schema\":\"stephost.policy/1\",\"name\":{},\"file\":{},\"sha256\":\"{}\",\"resolved\":{}}}\n",
        Value::from(policy.name()),
        Value::from(file),
        policy.digest(),
        policy.canonical()
    )
}

/// Tells what is wrong with a policy; returns the code.
pub(super) fn refused(error: PolicyFileError) -> u8 {
    match error {
        PolicyFileError::Invalid { path, text, error } => {
            let path = path.to_string_lossy();
            let excerpts = excerpts(&Renderer::styled(), &path, &text, &error);
            // Colours are taken out where nobody sees them; that nobody reads changes nothing.
            let _ = anstream::stderr().write_all(excerpts.as_bytes());
            exit::CONFIG
        }
        error @ (PolicyFileError::Read { .. }
        | PolicyFileError::NotUtf8 { .. }
        | PolicyFileError::OwnProgram { .. }) => exit::report(&Failure::config(error)),
    }
}

/// Every problem with the lines that it is about.
fn excerpts(renderer: &Renderer, path: &str, text: &str, error: &PolicyError) -> String {
    let problems = error.problems().map(Finding::from);
    problems
        .map(|problem| excerpt::excerpt(renderer, path, text, &problem))
        .collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use stephost_policy::Policy;

    use super::*;

    fn shown(text: &str) -> String {
        let error = Policy::parse("policy.toml", text).expect_err(text);
        excerpts(&Renderer::plain(), "policy.toml", text, &error)
    }

    #[test]
    fn a_problem_is_shown_in_its_line_with_what_to_do() {
        let text = "policy = 1\nname = \"runners\"\n\n[[allow]]\nfunction = \"script\"\nreason = \"runs shells\"\nproces = [\"sh\"]\nexports = [\"LD_*\"]\n\n[[allow]]\nfunction = \"script\"\nreason = \"again\"\n";
        expect![[r#"
            error[P006]: key "proces" is unknown in a rule
             --> policy.toml:7:1
              |
            7 | proces = ["sh"]
              | ^^^^^^
              |
            help: did you mean `process`?
              |
            7 | process = ["sh"]
              |       +

            error[P013]: "LD_*" matches loader variables only, which no pattern grants
             --> policy.toml:8:12
              |
            8 | exports = ["LD_*"]
              |            ^^^^^^
              |
              = help: name each variable, as { name = "…", reason = "…" }

            error[P010]: a second rule for "script"
              --> policy.toml:11:12
               |
             5 | function = "script"
               |            -------- the first one is here
            ...
            11 | function = "script"
               |            ^^^^^^^^
               |
               = help: one function has one rule: join them, so that nothing depends on order

        "#]]
        .assert_eq(&shown(text));
    }

    #[test]
    fn no_text_is_too_odd_to_be_shown() {
        let odd = [
            "",
            "policy",
            "policy = 1",
            "\u{FEFF}policy = 2",
            "policy = 1\nname = \"\u{1b}[31m\"",
            "policy = 1\nname = \"ü\u{202E}\"\r\n# \u{200B}",
            "policy = \"\"\"\nä\n",
            "\t= 1\n",
        ];
        for text in odd {
            let shown = shown(text);
            let acts = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202E}';
            assert!(!shown.contains(acts), "{text:?}:\n{shown:?}");
            assert!(shown.contains("error[P0"), "{text:?}:\n{shown}");
        }
    }

    #[test]
    fn the_json_form_opens_with_its_schema_and_is_json() {
        let loaded = LoadedPolicy {
            policy: Policy::shipped(),
            file: Some("/a\"b\n".into()),
        };
        let json = as_json(&loaded);
        assert!(
            json.starts_with("{\"schema\":\"stephost.policy/1\","),
            "{json}"
        );
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["file"], "/a\"b\n");
        assert_eq!(value["sha256"], loaded.policy.digest());
        assert_eq!(
            value["resolved"]["allow"]["hello"]["exports"][0],
            "HELLO_GREETED"
        );
    }

    #[test]
    fn the_text_form_is_a_policy_whatever_the_file_is_called() {
        let loaded = LoadedPolicy {
            policy: Policy::shipped(),
            file: Some("/a\n[[allow]]".into()),
        };
        let again = Policy::parse("again", &as_text(&loaded)).expect("a policy");
        assert_eq!(again.digest(), loaded.policy.digest());
    }
}
