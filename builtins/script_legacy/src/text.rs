//! The text of the script. Pure: options and commands in, bytes out; called by the step.
//!
//! What a user sees of it, byte for byte (contract 6.4):
//!
//! ```text
//! ESC[1;32m$ COMMAND ESC[0m                                    before a command
//! ESC[1;32m$ FIRST LINE # collapsed multi-line command ESC[0m  before a command of several lines
//! section_start:UNIX:section_script_step_INDEX[hide_duration=true,collapsed=true] CR ESC[0K ESC[32;1m$ COMMAND ESC[0;m
//! section_end:UNIX:section_script_step_INDEX CR ESC[0K         … and as a section
//! ```
//!
//! (without the blanks around ESC and CR). An empty command shows an empty line. Quotes change how the script
//! says it, never what is shown.

use crate::quote;

/// What ends up before, between and after the commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Who reads it.
    pub(crate) shell: Shell,
    /// A file whose lines become variables.
    pub(crate) environment_file: Option<String>,
    /// Whether the shell traces what it does.
    pub(crate) trace: bool,
    /// Whether the exit status is looked at after each command.
    pub(crate) check: bool,
    /// Whether quotes are those of POSIX where bash would know others.
    pub(crate) posix_quotes: bool,
    /// Whether commands of several lines are sections.
    pub(crate) sections: bool,
}

/// Who reads a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    /// Anything that knows POSIX.
    Sh,
}

impl Shell {
    pub(crate) fn of_path(path: &str) -> Shell {
        match path.rsplit('/').next() {
            Some("bash") => Shell::Bash,
            _ => Shell::Sh,
        }
    }
}

/// Looks at the exit status of the command before it. The name is one that no command uses.
const CHECK: &str = "_runner_exit_code=$?; if [ \"$_runner_exit_code\" -ne 0 ]; then exit \"$_runner_exit_code\"; fi\n";

/// The time in a double-quoted text. New bashes have it in a variable, and do not start a program for it.
const UNIX_TIME: &str = "${EPOCHSECONDS:-$(date +%s)}";

/// Writes the script.
pub(crate) fn script(options: &Options, commands: &[String]) -> String {
    let mut text = preamble(options);
    for (index, command) in commands.iter().enumerate() {
        if command.is_empty() {
            text.push_str("echo\n");
            continue;
        }
        let is_section = options.sections && command.contains('\n');
        if is_section {
            text.push_str(&section_start(options, index, command));
        } else {
            text.push_str(&echo(options, command));
        }
        text.push_str(command);
        text.push('\n');
        if options.check {
            text.push_str(CHECK);
        }
        if is_section {
            text.push_str(&section_end(options, index));
        }
    }
    text
}

fn preamble(options: &Options) -> String {
    // The trap keeps a shell that is asked to stop from going on with the next command.
    let mut text = String::from("trap 'exit 1' TERM\n");
    text.push_str(match options.shell {
        Shell::Bash => "set -o pipefail\n",
        // A shell that does not know an option ends there and then, so another one tries it first.
        Shell::Sh => "if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\n",
    });
    text.push_str("set -o errexit\nset +o noclobber\n");
    if let Some(file) = &options.environment_file {
        text.push_str(&environment(file));
    }
    // Last, so that the trace does not begin with the values of variables.
    if options.trace {
        text.push_str("set -o xtrace\n");
    }
    text
}

/// Exports each line `NAME=value` of a file, if it is there; also the last one without a line feed. A line that names no
/// variable, or one that cannot be set, is no reason to fail.
fn environment(file: &str) -> String {
    format!(
        r#"export GITLAB_ENV={}
if [ -f "$GITLAB_ENV" ]; then
  while IFS= read -r _runner_line || [ -n "$_runner_line" ]; do
    case "${{_runner_line%%=*}}" in
      "$_runner_line" | '' | [0-9]* | *[!A-Za-z0-9_]*) ;;
      *) export "$_runner_line" || : ;;
    esac
  done < "$GITLAB_ENV"
  unset _runner_line
fi
"#,
        quote::single(file)
    )
}

fn echo(options: &Options, command: &str) -> String {
    let shown = match command.split_once('\n') {
        Some((first, _)) => format!(
            "{} # collapsed multi-line command",
            first.trim_end_matches('\r')
        ),
        None => command.to_owned(),
    };
    let shown = format!("\x1b[1;32m$ {shown}\x1b[0m");
    if bash_quotes(options) {
        format!("echo {}\n", quote::ansi_c(&shown))
    } else {
        // The echo of many shells would read backslashes.
        format!("printf '%s\\n' {}\n", quote::double(&shown))
    }
}

fn section_start(options: &Options, index: usize, command: &str) -> String {
    let shown = format!("\r\x1b[0K\x1b[32;1m$ {command}\x1b[0;m");
    format!(
        "printf '%s\\n' \"section_start:{UNIX_TIME}:section_script_step_{index}[hide_duration=true,collapsed=true]\"{}\n",
        quoted(options, &shown)
    )
}

fn section_end(options: &Options, index: usize) -> String {
    format!(
        "printf '%s\\n' \"section_end:{UNIX_TIME}:section_script_step_{index}\"{}\n",
        quoted(options, "\r\x1b[0K")
    )
}

fn quoted(options: &Options, shown: &str) -> String {
    if bash_quotes(options) {
        quote::ansi_c(shown)
    } else {
        quote::double(shown)
    }
}

/// Quotes of bash in a script for another shell would be shown.
fn bash_quotes(options: &Options) -> bool {
    options.shell == Shell::Bash && !options.posix_quotes
}

#[cfg(test)]
mod tests;
