//! `needs(…)`: the powers a step asks for, and the custom section in which they travel in the component.
//!
//! The section `stephost:needs` holds JSON, `{"version":1,…}`, one array of strings for each power that is asked
//! for, in the order of [`POWERS`]. It is a wish, never a grant. A step that asks for nothing says so too: of a
//! component without the section a host only knows its imports.

use std::collections::BTreeSet;

use proc_macro2::{Literal, TokenStream};
use quote::quote;
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
    ("env", readable),
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
    /// Writes the custom section, which only a component has.
    pub(crate) fn section(&self) -> TokenStream {
        let text = self.text();
        let length = text.len();
        let bytes = Literal::byte_string(text.as_bytes());
        quote! {
            #[cfg(target_arch = "wasm32")]
            const _: () = {
                #[used]
                #[unsafe(link_section = "stephost:needs")]
                static NEEDS: [u8; #length] = *#bytes;
            };
        }
    }

    /// Returns the text of the custom section.
    fn text(&self) -> String {
        let mut text = format!("{{\"version\":{VERSION}");
        for ((power, _), entries) in POWERS.iter().zip(&self.asked) {
            if !entries.is_empty() {
                let entries: Vec<String> = entries.iter().map(|entry| quoted(entry)).collect();
                text.push_str(&format!(",\"{power}\":[{}]", entries.join(",")));
            }
        }
        text.push('}');
        text
    }
}

/// Writes a JSON string. Entries hold no control characters: [`Parse`] refused them.
fn quoted(entry: &str) -> String {
    format!("\"{}\"", entry.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Parse for Needs {
    fn parse(input: ParseStream<'_>) -> syn::Result<Needs> {
        if input.is_empty() {
            return Ok(Needs::default());
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
        let needs = Needs::powers(&list)?;
        if !input.is_empty() {
            return Err(input.error("nothing follows `needs(…)`"));
        }
        Ok(needs)
    }
}

impl Needs {
    /// Reads `power = ["entry", …], …` to its end.
    pub(crate) fn powers(list: ParseStream<'_>) -> syn::Result<Needs> {
        let mut needs = Needs::default();
        let begin = list.span();
        while !list.is_empty() {
            needs.power(list)?;
            if !list.is_empty() {
                list.parse::<Token![,]>()?;
            }
        }
        let length = needs.text().len();
        if length > TEXT_BYTES_MAX {
            return Err(Error::new(
                begin,
                format!("these needs take {length} bytes; hosts read {TEXT_BYTES_MAX} at most"),
            ));
        }
        Ok(needs)
    }

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

/// Reading everything is a wish that a policy can grant; setting everything is not.
fn readable(text: &str) -> Result<(), &'static str> {
    if text == "*" { Ok(()) } else { variable(text) }
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

    fn read(text: &str) -> Result<String, String> {
        syn::parse_str::<Needs>(text)
            .map(|needs| needs.text())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn needs_travel_as_versioned_json() {
        let table = [
            ("", r#"{"version":1}"#),
            ("needs()", r#"{"version":1}"#),
            (
                r#"needs(env = ["CI_*", "HOME"])"#,
                r#"{"version":1,"env":["CI_*","HOME"]}"#,
            ),
            (r#"needs(env = ["*"])"#, r#"{"version":1,"env":["*"]}"#),
            (
                r#"needs(exports = ["A"], process = ["/opt/a\"b\\c", "sh",],)"#,
                r#"{"version":1,"process":["/opt/a\"b\\c","sh"],"exports":["A"]}"#,
            ),
        ];
        for (source, expected) in table {
            assert_eq!(read(source), Ok(expected.to_owned()), "{source}");
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
            (r#"needs(exports = ["*"])"#, "a variable is a name like"),
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
