//! What `CreateProcessW` is given: from a list of arguments and an environment to four texts of UTF-16.
//!
//! Windows starts a program with one text, which the program takes apart by itself. Nearly all of them do it as the C runtime does, so that is
//! how it is put together. A batch file is not a program: `cmd.exe` runs it, and takes its arguments apart by rules of its own, which can make a
//! command of an argument. What cannot be given to it safely is refused with the argument's number.
//! Made in the host by `pool`, used in the supervisor. Calls nothing of the system.

use std::{collections::BTreeMap, ffi::OsStr, iter, os::windows::ffi::OsStrExt, path::Path};

use crate::{Plan, StartError, start_error::BatchFault};

/// The longest command line, its closing zero included (CreateProcessW).
const LINE_UNITS_MAX: usize = 32 * 1024 - 1;
const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// The four texts, each with its closing zero.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) application: Vec<u16>,
    pub(crate) command_line: Vec<u16>,
    pub(crate) work_dir: Vec<u16>,
    /// `NAME=value` after `NAME=value`, each with its zero, and one more at the end.
    pub(crate) environment: Vec<u16>,
}

impl Launch {
    /// Puts together what starts the program at `path`; `shell` is the system's `cmd.exe`.
    ///
    /// # Errors
    ///
    /// [`StartError::Batch`], and those of what is too large.
    pub(crate) fn of(
        plan: &Plan,
        path: &Path,
        work_dir: &Path,
        shell: &Path,
    ) -> Result<Launch, StartError> {
        let (application, command_line) = if is_batch(path) {
            (shell, batch_line(plan, path)?)
        } else {
            (path, program_line(plan))
        };
        let command_line = closed(command_line);
        if command_line.len() > LINE_UNITS_MAX {
            return Err(StartError::too_large(plan));
        }
        Ok(Launch {
            application: closed(application.as_os_str().encode_wide()),
            command_line,
            work_dir: closed(work_dir.as_os_str().encode_wide()),
            environment: environment(&plan.env),
        })
    }

    /// Writes the texts one after the other, each behind its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [
            &self.application,
            &self.command_line,
            &self.work_dir,
            &self.environment,
        ] {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(text.iter().flat_map(|unit| unit.to_le_bytes()));
        }
        bytes
    }

    /// Reads what [`encode`](Launch::encode) wrote; every text must end with a zero.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Launch> {
        let mut rest = bytes;
        let mut text = || {
            let (length, after) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (text, after) = after.split_at_checked(length.checked_mul(2)?)?;
            rest = after;
            let units = text.chunks_exact(2);
            let units: Vec<u16> = units
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .collect();
            (units.last() == Some(&0)).then_some(units)
        };
        let launch = Launch {
            application: text()?,
            command_line: text()?,
            work_dir: text()?,
            environment: text()?,
        };
        rest.is_empty().then_some(launch)
    }
}

/// Whether `cmd.exe` would run the file.
fn is_batch(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("bat") || extension.eq_ignore_ascii_case("cmd")
    })
}

fn closed(text: impl IntoIterator<Item = u16>) -> Vec<u16> {
    text.into_iter().chain(iter::once(0)).collect()
}

fn program_line(plan: &Plan) -> Vec<u16> {
    // The first word has rules of its own: a quote ends it, a backslash is just one.
    let mut line = vec![QUOTE];
    line.extend(plan.program.encode_wide());
    line.push(QUOTE);
    for argument in &plan.args {
        line.push(b' '.into());
        put_argument(&mut line, argument);
    }
    line
}

/// Adds one argument as the C runtime will read it: backslashes count double before a quote, and only there.
fn put_argument(line: &mut Vec<u16>, argument: &OsStr) {
    let plain = argument
        .as_encoded_bytes()
        .iter()
        .all(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | b'"'));
    if plain && !argument.is_empty() {
        line.extend(argument.encode_wide());
        return;
    }
    line.push(QUOTE);
    let mut backslashes = 0;
    for unit in argument.encode_wide() {
        if unit == QUOTE {
            line.extend(iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if unit == BACKSLASH {
            backslashes + 1
        } else {
            0
        };
        line.push(unit);
    }
    line.extend(iter::repeat_n(BACKSLASH, backslashes));
    line.push(QUOTE);
}

/// `cmd /c` with everything in quotes, in which only a quote, a percent sign and the end of the line mean anything.
fn batch_line(plan: &Plan, path: &Path) -> Result<Vec<u16>, StartError> {
    let refuse = |argument| {
        let program = plan.program.clone();
        StartError::Batch(BatchFault { program, argument })
    };
    let mut line: Vec<u16> = "cmd.exe /e:ON /v:OFF /d /c \"".encode_utf16().collect();
    let words = iter::once(path.as_os_str()).chain(plan.args.iter().map(AsRef::as_ref));
    for (index, word) in words.enumerate() {
        if word
            .as_encoded_bytes()
            .iter()
            .any(|byte| matches!(byte, b'"' | b'%' | b'\r' | b'\n'))
        {
            return Err(refuse(index));
        }
        if index > 0 {
            line.push(b' '.into());
        }
        line.push(QUOTE);
        line.extend(word.encode_wide());
        line.push(QUOTE);
    }
    line.push(QUOTE);
    Ok(line)
}

/// The environment as Windows wants it: sorted by name, whose case means nothing. Of two values for one name the later one counts.
fn environment(variables: &[(std::ffi::OsString, std::ffi::OsString)]) -> Vec<u16> {
    let variables: BTreeMap<String, _> = variables
        .iter()
        .map(|variable| (variable.0.to_string_lossy().to_uppercase(), variable))
        .collect();
    let mut block = Vec::new();
    for (name, value) in variables.into_values() {
        block.extend(name.encode_wide());
        block.push(b'='.into());
        block.extend(value.encode_wide());
        block.push(0);
    }
    if block.is_empty() {
        block.push(0); // an empty block is an empty variable and the end
    }
    block.push(0);
    block
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn plan(program: &str, arguments: &[&str]) -> Plan {
        Plan {
            program: program.into(),
            args: arguments.iter().map(OsString::from).collect(),
            env: Vec::new(),
            work_dir: "C:\\".into(),
        }
    }

    fn text(units: &[u16]) -> String {
        String::from_utf16(units).unwrap()
    }

    #[test]
    fn an_argument_is_written_as_the_c_runtime_reads_it() {
        let table = [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\"b", "\"a\\\"b\""),
            ("\\path\\", "\\path\\"),
            ("a path\\", "\"a path\\\\\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
            ("a\\\\b c", "\"a\\\\b c\""),
        ];
        for (argument, written) in table {
            let line = program_line(&plan("p.exe", &[argument]));
            assert_eq!(text(&line), format!("\"p.exe\" {written}"), "{argument}");
        }
    }

    #[test]
    fn a_batch_file_gets_its_arguments_in_quotes_or_not_at_all() {
        let path = Path::new("C:\\a b\\x.CMD");
        assert!(is_batch(path));
        let line = batch_line(&plan("x", &["one & two", ""]), path).unwrap();
        assert_eq!(
            text(&line),
            "cmd.exe /e:ON /v:OFF /d /c \"\"C:\\a b\\x.CMD\" \"one & two\" \"\"\""
        );
        for bad in ["\" & calc", "%PATH%", "a\nb", "a\rb"] {
            let refused = batch_line(&plan("x", &["good", bad]), path).unwrap_err();
            assert!(refused.to_string().contains("argument 2"), "{refused}");
        }
    }

    #[test]
    fn of_two_values_for_one_name_the_later_one_counts_whatever_its_case() {
        let variables = [("b", "1"), ("A", "x=y"), ("B", "2")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(text(&environment(&variables)), "A=x=y\0B=2\0\0");
        assert_eq!(text(&environment(&[])), "\0\0");
    }

    #[test]
    fn a_launch_arrives_and_a_cut_one_does_not() {
        let path = Path::new("C:\\x.exe");
        let launch = Launch::of(&plan("x", &["ä"]), path, Path::new("C:\\"), path).unwrap();
        let bytes = launch.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Launch::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Launch::decode(&bytes), Some(launch));
    }
}
