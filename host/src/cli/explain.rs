//! `explain CODE`: what a code means, an example that is wrong, and the same put right. Offline, like everything here.
//!
//! The pages are Markdown, one file per letter and one section per code; a test reads their examples and checks that
//! each wrong one yields its code and each right one yields nothing.

use super::exit::{self, Failure};
use super::print;

/// The pages, in the order in which they are listed.
const PAGES: [&str; 4] = [
    include_str!("explain/yaml.md"),
    include_str!("explain/functions.md"),
    include_str!("explain/references.md"),
    include_str!("explain/policy.md"),
];

/// What every section begins with.
const SECTION: &str = "\n## ";

/// One code with its page.
struct Page {
    code: &'static str,
    title: &'static str,
    text: &'static str,
}

fn pages() -> impl Iterator<Item = Page> {
    let sections = PAGES.iter().flat_map(|pages| pages.split(SECTION).skip(1));
    sections.filter_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let (code, title) = heading.split_once(": ")?;
        let text = text.trim();
        Some(Page { code, title, text })
    })
}

/// Explains a code, or lists all of them.
pub(super) fn explain(code: Option<&str>) -> Result<u8, Failure> {
    let Some(code) = code else {
        let lines = pages().map(|page| format!("{}  {}\n", page.code, page.title));
        return print(&lines.collect::<String>()).map(|()| exit::FINE);
    };
    let wanted = code.trim();
    let page = pages().find(|page| page.code.eq_ignore_ascii_case(wanted));
    let Some(page) = page else {
        let error =
            anyhow::anyhow!("there is no code {wanted:?}; `stephost explain` lists all of them");
        return Err(Failure::usage(error));
    };
    print(&shown(&page)).map(|()| exit::FINE)
}

/// The page as text: examples are indented instead of fenced.
fn shown(page: &Page) -> String {
    let mut shown = format!("{}: {}\n\n", page.code, page.title);
    let mut in_example = false;
    for line in page.text.lines() {
        if line.starts_with("```") {
            in_example = !in_example;
        } else if in_example && !line.is_empty() {
            shown.push_str("    ");
            shown.push_str(line);
            shown.push('\n');
        } else {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests;
