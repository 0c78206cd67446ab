//! Text between quotes, so that a shell takes every byte of it as it is. Pure; called by [`crate::text`].

use std::fmt::Write as _;

/// Puts text between the quotes that only bash knows, `$'…'`: all on one line, and readable in a trace.
pub(crate) fn ansi_c(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push_str("$'");
    for letter in text.chars() {
        match letter {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Bash reads at most two digits, so nothing that follows can become part of it. Writing to a string
            // cannot fail.
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('\'');
    quoted
}

/// Puts text between double quotes that every shell knows.
pub(crate) fn double(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '\\' | '"' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// Puts text between single quotes that every shell knows. For what is not shown.
pub(crate) fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_means_anything_to_the_shell() {
        let table = [
            ("", "$''", "\"\"", "''"),
            ("plain ü", "$'plain ü'", "\"plain ü\"", "'plain ü'"),
            ("it's", "$'it\\'s'", "\"it's\"", "'it'\\''s'"),
            (
                r#""$X" `d` \n!"#,
                r#"$'"$X" `d` \\n!'"#,
                r#""\"\$X\" \`d\` \\n!""#,
                r#"'"$X" `d` \n!'"#,
            ),
            ("a\n\tb\r", "$'a\\n\\tb\\r'", "\"a\n\tb\r\"", "'a\n\tb\r'"),
            (
                "\x1b[2Jc\x7f",
                "$'\\x1b[2Jc\\x7f'",
                "\"\x1b[2Jc\x7f\"",
                "'\x1b[2Jc\x7f'",
            ),
        ];
        for (text, in_ansi_c, in_double, in_single) in table {
            assert_eq!(ansi_c(text), in_ansi_c, "{text:?}");
            assert_eq!(double(text), in_double, "{text:?}");
            assert_eq!(single(text), in_single, "{text:?}");
        }
    }

    /// The judge over quotes is a shell.
    #[test]
    fn a_shell_gives_back_every_byte() {
        let hostile: String = (1_u8..=0x7f)
            .map(char::from)
            .chain("ünï✓'\"$(x)\\".chars())
            .collect();
        let table = [
            ("/bin/sh", double(&hostile)),
            ("/bin/sh", single(&hostile)),
            ("/bin/bash", ansi_c(&hostile)),
            ("/bin/bash", double(&hostile)),
        ];
        for (shell, quoted) in table {
            let output = std::process::Command::new(shell)
                .arg("-c")
                .arg(format!("printf %s {quoted}"))
                .output();
            // Not every machine has a bash.
            let Ok(output) = output else { continue };
            assert_eq!(output.stdout, hostile.as_bytes(), "{shell} {quoted}");
        }
    }
}
