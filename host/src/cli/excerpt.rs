//! Findings in files, shown in the lines that they are about.
//!
//! Owns the one way in which this program shows a mistake in somebody's file: severity, code, sentence, place, the
//! line with a caret, what to do, and the line as it would be right. Promises: nothing of a file, of its name or of
//! a message acts on a terminal; a file of any size and with lines of any length is shown in little space.
//! Called by: `check`, `policy`.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};

/// Longest text that is handed to the renderer as a whole; of longer ones it gets the lines in question.
const WHOLE_BYTES_MAX: usize = 64 * 1024;

/// Longest line that is shown. The renderer cuts lines to the width of a screen, but counts all of it.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One mistake in a file. Ranges are bytes of its text.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) span: Range<usize>,
    /// Line and column of `span`, from 1.
    pub(super) place: (u32, u32),
    /// Another place that has to do with it, with what is there.
    pub(super) related: Option<(Range<usize>, &'static str)>,
    pub(super) help: Option<String>,
    /// What would probably be right instead of some bytes.
    pub(super) fix: Option<(Range<usize>, String)>,
}

impl From<&stephost_policy::Problem> for Finding {
    fn from(problem: &stephost_policy::Problem) -> Finding {
        let place = problem.place();
        Finding {
            severity: Severity::Error,
            code: problem.code().as_str(),
            message: problem.message(),
            span: problem.span(),
            place: (place.line, place.column),
            related: problem.related(),
            help: problem.help(),
            fix: problem
                .replacement()
                .map(|text| (problem.span(), text.to_owned())),
        }
    }
}

impl From<stephost_steps::Finding> for Finding {
    fn from(finding: stephost_steps::Finding) -> Finding {
        Finding {
            severity: match finding.severity {
                stephost_steps::Severity::Error => Severity::Error,
                stephost_steps::Severity::Warning => Severity::Warning,
            },
            code: finding.code,
            message: finding.message,
            span: finding.place.bytes(),
            place: (finding.place.line, finding.place.column),
            related: finding.related.map(|(place, what)| (place.bytes(), what)),
            help: finding.help,
            fix: finding.fix.map(|fix| (fix.place.bytes(), fix.text)),
        }
    }
}

/// Returns the finding in a picture of its lines in `text`, the content of `path`; an empty line ends it.
pub(super) fn excerpt(renderer: &Renderer, path: &str, text: &str, finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = line(path);
    let message = line(&finding.message);
    let help = finding.help.as_deref().map(line);
    let title = level.primary_title(message).id(finding.code);
    let Some(window) = Window::around(text, finding) else {
        let (line, column) = finding.place;
        let origin = Origin::path(path)
            .line(line as usize)
            .char_column(column as usize);
        return rendered(renderer, &[helped(title.element(origin), help)]);
    };
    let mut snippet = window
        .snippet()
        .path(path)
        .annotation(AnnotationKind::Primary.span(window.span(&finding.span)));
    if let Some((span, what)) = &finding.related
        && window.holds(span)
    {
        snippet = snippet.annotation(AnnotationKind::Context.span(window.span(span)).label(*what));
    }
    let group = title.element(snippet);
    match &finding.fix {
        // The picture of a replacement has one line.
        Some((span, right)) if window.holds(span) && window.span(span).len() == span.len() => {
            let patch = Patch::new(window.span(span), line(right));
            let title = help.unwrap_or_else(|| "write this".to_owned());
            let repaired = Level::HELP.secondary_title(title);
            let repaired = repaired.element(window.snippet().patch(patch));
            rendered(renderer, &[group, repaired])
        }
        Some(_) | None => rendered(renderer, &[helped(group, help)]),
    }
}

fn helped(group: Group<'_>, help: Option<String>) -> Group<'_> {
    match help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

fn rendered(renderer: &Renderer, groups: &[Group<'_>]) -> String {
    format!("{}\n\n", renderer.render(groups))
}

/// The lines of a text that a picture needs.
struct Window<'t> {
    text: Cow<'t, str>,
    /// Where it begins in the whole text.
    start: usize,
    /// The number of its first line.
    line: usize,
}

impl<'t> Window<'t> {
    /// None when a line is too long to be shown.
    fn around(text: &'t str, finding: &Finding) -> Option<Window<'t>> {
        let at = text.floor_char_boundary(finding.span.start);
        let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |at| at + 1);
        let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |end| at + end);
        if line_end(at) - line_start(at) > LINE_BYTES_MAX {
            return None;
        }
        let range = if text.len() <= WHOLE_BYTES_MAX {
            0..text.len()
        } else {
            line_start(at)..line_end(at)
        };
        let line = text[..range.start].bytes().filter(|byte| *byte == b'\n');
        Some(Window {
            line: line.count() + 1,
            start: range.start,
            text: harmless(&text[range]),
        })
    }

    fn snippet<'w, T: Clone>(&'w self) -> Snippet<'w, T> {
        Snippet::source(&*self.text).line_start(self.line)
    }

    fn holds(&self, span: &Range<usize>) -> bool {
        self.start <= span.start && span.end <= self.start + self.text.len()
    }

    /// Translates a range of the whole text; of several lines it is the first.
    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let within = |at: usize| {
            let at = at.saturating_sub(self.start);
            self.text.floor_char_boundary(at)
        };
        let start = within(span.start);
        let end = within(span.end).max(start);
        let first_line = self.text[start..end].find('\n');
        let end = first_line.map_or(end, |length| start + length);
        let shown = self.text[start..end].trim_end();
        start..start + shown.len()
    }
}

/// Returns `text` on one line, with nothing in it that acts on a terminal or hides what is there.
pub(super) fn line(text: &str) -> String {
    let picture = |letter: char| match letter {
        '\0'..='\u{1F}' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('?'),
        '\u{7F}' => '\u{2421}',
        _ => letter,
    };
    harmless(text).chars().map(picture).collect()
}

/// Returns `text` without what acts on a terminal or hides what is there, and with every other byte in its place.
///
/// Control characters of ASCII are left: the renderer shows them by their pictures.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(deceives) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.len_utf8() {
            _ if !deceives(letter) => shown.push(letter),
            2 => shown.push('¿'),
            3 => shown.push('\u{FFFD}'),
            _ => shown.push_str("\u{FFFD}?"),
        }
    }
    shown.into()
}

fn deceives(letter: char) -> bool {
    matches!(letter, '\u{80}'..='\u{9F}' | '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, finding: &Finding, expected: Expect) {
        expected.assert_eq(&excerpt(&Renderer::plain(), "func.yml", text, finding));
    }

    fn finding(text: &str, piece: &str) -> Finding {
        let start = text.find(piece).expect("the piece is in the text");
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |count: usize| u32::try_from(count + 1).expect("a short text");
        Finding {
            severity: Severity::Error,
            code: "S000",
            message: "it is wrong".to_owned(),
            span: start..start + piece.len(),
            place: (
                count(before.matches('\n').count()),
                count(before[line_start..].chars().count()),
            ),
            related: None,
            help: None,
            fix: None,
        }
    }

    #[test]
    fn a_finding_is_shown_with_its_line_and_the_right_one() {
        let text = "a: 1\nü: wrod # x\n";
        let mut wrong = finding(text, "wrod");
        wrong.related = Some((0..1, "the first one is here"));
        check(
            text,
            &wrong,
            expect![[r#"
            error[S000]: it is wrong
             --> func.yml:2:4
              |
            1 | a: 1
              | - the first one is here
            2 | ü: wrod # x
              |    ^^^^

        "#]],
        );
        wrong.help = Some("did you mean `word`?".to_owned());
        wrong.fix = Some((wrong.span.clone(), "word".to_owned()));
        wrong.severity = Severity::Warning;
        wrong.related = None;
        check(
            text,
            &wrong,
            expect![[r#"
            warning[S000]: it is wrong
             --> func.yml:2:4
              |
            2 | ü: wrod # x
              |    ^^^^
              |
            help: did you mean `word`?
              |
            2 - ü: wrod # x
            2 + ü: word # x
              |

        "#]],
        );
    }

    #[test]
    fn of_a_large_text_only_the_line_is_shown_and_of_a_long_line_only_the_place() {
        let text = format!(
            "{}key: wrod\n{}",
            "# line\n".repeat(20_000),
            "# line\n".repeat(20_000)
        );
        let mut wrong = finding(&text, "wrod");
        wrong.related = Some((0..6, "far away"));
        check(
            &text,
            &wrong,
            expect![[r#"
            error[S000]: it is wrong
                 --> func.yml:20001:6
                  |
            20001 | key: wrod
                  |      ^^^^

        "#]],
        );
        let text = format!(
            "a: 1\n{}wrod{}",
            "x".repeat(2_000_000),
            "y".repeat(2_000_000)
        );
        let mut wrong = finding(&text, "wrod");
        wrong.help = Some("break it".to_owned());
        check(
            &text,
            &wrong,
            expect![[r#"
                error[S000]: it is wrong
                --> func.yml:2:2000001
                 = help: break it

            "#]],
        );
    }

    #[test]
    fn nothing_that_is_shown_acts_on_a_terminal() {
        let odd: String = (0..0x10_FFFF)
            .filter_map(char::from_u32)
            .filter(|letter| letter.is_control() || deceives(*letter))
            .collect();
        for letter in odd.chars().filter(|letter| *letter != '\n') {
            let text = format!("a{letter}b: wrod{letter}");
            let mut wrong = finding(&text, "wrod");
            wrong.message = format!("message{letter}");
            wrong.help = Some(format!("help{letter}"));
            wrong.fix = Some((wrong.span.clone(), format!("fix{letter}")));
            let path = format!("path{letter}.yml");
            let shown = excerpt(&Renderer::plain(), &path, &text, &wrong);
            let acts = |letter: char| deceives(letter) || letter.is_control() && letter != '\n';
            assert!(!shown.contains(acts), "{letter:?}: {shown:?}");
            assert!(shown.contains("wrod"), "{letter:?}: {shown:?}");
        }
        let text = "a\u{202E}\u{85}\u{E0001}b";
        assert_eq!(
            harmless(text).len(),
            text.len(),
            "every byte keeps its place"
        );
    }
}
