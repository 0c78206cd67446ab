//! `needs(…)`: the powers a step asks for, and the text under which they travel in the component.
//!
//! The text is the custom section `stephost:needs`: JSON, `{"version":1,…}`, one array of strings for each
//! power that is asked for, in the order of [`POWERS`]. It is a wish, never a grant.

use std::collections::BTreeSet;

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Token, bracketed, parenthesized};

/// Version of the text.
const VERSION: u32 = 1;

/// Longest text that hosts read.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What can be asked for, by the names of the policy's keys, and what an entry of it must look like.
const POWERS: [(&str, Check); 3] = [
    ("process", program),
    ("env", variable),
    ("exports", variable),
];

type Check = fn(&str) -> Result<(), &'static str>;

/// What stands in `#[step(…)]`.
#[derive(Default)]
pub(crate) struct Needs {
    /// One list for each of [`POWERS`].
    asked: [Vec<String>; POWERS.len()],
}

impl Needs {
    /// Returns the text of the custom section; none when nothing is asked for.
    pub(crate) fn text(&self) -> Option<String> {
        if self.asked.iter().all(Vec::is_empty) {
            return None;
        }
        let mut text = format!("{{\"version\":{VERSION}");
        for ((power, _), entries) in POWERS.iter().zip(&self.asked) {
            if !entries.is_empty() {
                let entries: Vec<String> = entries.iter().map(|entry| quoted(entry)).collect();
                text.push_str(&format!(",\"{power}\":[{}]", entries.join(",")));
            }
        }
        text.push('}');
        Some(text)
    }
}

/// Writes a JSON string. Entries hold no control characters: [`Parse`] refused them.
fn quoted(entry: &str) -> String {
    format!("\"{}\"", entry.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Parse for Needs {
    fn parse(input: ParseStream<'_>) -> syn::Result<Needs> {
        let mut needs = Needs::default();
        if input.is_empty() {
            return Ok(needs);
        }
        let word: Ident = input.parse()?;
        if word != "needs" {
            return Err(Error::new(
                word.span(),
                format!("a step knows no option `{word}`, only `needs(…)`"),
            ));
        }
        let list;
        parenthesized!(list in input);
        while !list.is_empty() {
            needs.power(&list)?;
            if !list.is_empty() {
                list.parse::<Token![,]>()?;
            }
        }
        if let Some(text) = needs.text()
            && text.len() > TEXT_BYTES_MAX
        {
            let message = format!("these needs take {} bytes", text.len());
            return Err(Error::new(
                word.span(),
                format!("{message}; hosts read {TEXT_BYTES_MAX} at most"),
            ));
        }
        if !input.is_empty() {
            return Err(input.error("nothing follows `needs(…)`"));
        }
        Ok(needs)
    }
}

impl Needs {
    /// Reads one `power = ["entry", …]`.
    fn power(&mut self, list: ParseStream<'_>) -> syn::Result<()> {
        let word: Ident = list.parse()?;
        let Some(at) = POWERS.iter().position(|(power, _)| word == power) else {
            let known = POWERS.map(|(power, _)| format!("`{power}`")).join(", ");
            return Err(Error::new(
                word.span(),
                format!("a step cannot need `{word}`; there are {known}"),
            ));
        };
        if !self.asked[at].is_empty() {
            return Err(Error::new(
                word.span(),
                format!("`{word}` is here twice; join the lists"),
            ));
        }
        list.parse::<Token![=]>()?;
        let entries;
        bracketed!(entries in list);
        let entries = Punctuated::<LitStr, Token![,]>::parse_terminated(&entries)?;
        if entries.is_empty() {
            return Err(Error::new(
                word.span(),
                format!("`{word}` asks for nothing; leave it out"),
            ));
        }
        let mut seen = BTreeSet::new();
        for entry in entries {
            let text = entry.value();
            let check = POWERS[at].1;
            check(&text).map_err(|rule| Error::new(entry.span(), rule))?;
            if !seen.insert(text.clone()) {
                return Err(Error::new(entry.span(), format!("`{text}` is here twice")));
            }
            self.asked[at].push(text);
        }
        Ok(())
    }
}

fn program(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.contains(char::is_control) || text.contains(char::is_whitespace) {
        return Err("a program is a name like `bash` or a path like `/usr/bin/bash`");
    }
    if text.contains('/') && !text.starts_with('/') {
        return Err(
            "a program with a slash is an absolute path: where would a relative one start?",
        );
    }
    Ok(())
}

fn variable(text: &str) -> Result<(), &'static str> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Err("a variable is a name like `CI_JOB_ID`, or the beginning of some, like `CI_*`");
    }
    if !name.chars().all(fits) {
        return Err("a variable's name is letters, digits and `_`; a `*` may stand at its end");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Needs;

    fn read(text: &str) -> Result<Option<String>, String> {
        syn::parse_str::<Needs>(text)
            .map(|needs| needs.text())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn needs_travel_as_versioned_json() {
        let table = [
            ("", None),
            ("needs()", None),
            (
                r#"needs(env = ["CI_*", "HOME"])"#,
                Some(r#"{"version":1,"env":["CI_*","HOME"]}"#),
            ),
            (
                r#"needs(exports = ["A"], process = ["/opt/a\"b\\c", "sh",],)"#,
                Some(r#"{"version":1,"process":["/opt/a\"b\\c","sh"],"exports":["A"]}"#),
            ),
        ];
        for (source, expected) in table {
            assert_eq!(read(source), Ok(expected.map(str::to_owned)), "{source}");
        }
    }

    #[test]
    fn what_no_policy_could_grant_is_refused_here() {
        let table = [
            ("powers()", "a step knows no option `powers`"),
            (
                r#"needs(net = ["x"])"#,
                "a step cannot need `net`; there are `process`, `env`, `exports`",
            ),
            (
                r#"needs(env = ["A"], env = ["B"])"#,
                "`env` is here twice; join the lists",
            ),
            (r#"needs(env = [])"#, "`env` asks for nothing; leave it out"),
            (r#"needs(env = ["A", "A"])"#, "`A` is here twice"),
            (r#"needs(env = ["*"])"#, "a variable is a name like"),
            (r#"needs(env = ["1A"])"#, "a variable is a name like"),
            (r#"needs(exports = ["A*B"])"#, "a `*` may stand at its end"),
            (
                r#"needs(process = ["git status"])"#,
                "a program is a name like",
            ),
            (r#"needs(process = ["bin/sh"])"#, "is an absolute path"),
            (r#"needs(env = ["A"]) more"#, "nothing follows `needs(…)`"),
        ];
        for (source, message) in table {
            let error = read(source).expect_err(source);
            assert!(error.contains(message), "{source}: {error}");
        }
        let many: Vec<String> = (0..4000).map(|at| format!("\"V{at}\"")).collect();
        let error = read(&format!("needs(env = [{}])", many.join(","))).expect_err("too long");
        assert!(error.contains("hosts read 16384 at most"), "{error}");
    }
}
