//! Arguments that an image's entrypoint dropped: a runner leaves them in a variable (contract 7.2).
//!
//! The variable may come from the job, so it can only name what a runner would: `steps …` with `--socket`
//! and a command (design D11).

use std::ffi::OsString;

use anyhow::{Context as _, bail};
use base64::Engine as _;

use crate::config::{RECOVERED_ARGUMENTS, recovered_arguments};

/// The arguments as given, or the recovered ones when there are none.
pub(super) fn arguments(given: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    if given.len() > 1 {
        return Ok(given);
    }
    let Some(packed) = recovered_arguments() else {
        return Ok(given);
    };
    let recovered = unpacked(&packed).with_context(|| format!("reading {RECOVERED_ARGUMENTS}"))?;
    Ok(given
        .into_iter()
        .chain(recovered.into_iter().map(OsString::from))
        .collect())
}

fn unpacked(packed: &str) -> anyhow::Result<Vec<String>> {
    let json = base64::engine::general_purpose::STANDARD
        .decode(packed.trim())
        .context("it is not base64")?;
    let arguments: Vec<String> =
        serde_json::from_slice(&json).context("it does not hold a JSON array of strings")?;
    let mut words = arguments.iter().map(String::as_str);
    if words.next() != Some("steps")
        || !matches!(words.next(), Some("serve" | "proxy" | "bootstrap"))
    {
        bail!("it may only hold `steps serve`, `steps proxy` or `steps bootstrap`");
    }
    while let Some(word) = words.next() {
        match word {
            "--socket" => {
                words.next();
            }
            word if word.starts_with("--socket=") => {}
            word if word.starts_with('-') => bail!("of the options it may only hold --socket"),
            // The first word that is no option begins the command, whose options are its own.
            _ => break,
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_runner_would_say_is_recovered() {
        let table = [
            (r#"["steps","serve","--socket","/s","sh","-c","x"]"#, true),
            (r#"["steps","proxy","--socket=/s"]"#, true),
            (r#"["steps","serve"]"#, true),
            (r#"["steps","serve","--log-file","/etc/x"]"#, false),
            (r#"["steps"]"#, false),
            (r#"["version"]"#, false),
            (r#"[1]"#, false),
            ("{}", false),
        ];
        for (json, fine) in table {
            let packed = base64::engine::general_purpose::STANDARD.encode(json);
            assert_eq!(unpacked(&packed).is_ok(), fine, "{json}");
        }
        assert!(unpacked("not base64").is_err());
    }
}
