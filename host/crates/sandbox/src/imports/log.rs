//! `stephost:step/log`: raw bytes and structured lines, within the log budget.
//!
//! The first write beyond the budget is cut and answered with `full`, so that the guest can end well; the run
//! then counts as `Limit` whatever it returns. A guest that writes again is ended there.

use stephost_policy::LimitName;

use crate::bindings::stephost::step::log::{Channel, Full, Host, Level};
use crate::call;
use crate::guest::Guest;
use crate::limits::LimitHit;
use crate::trap::Note;

impl Host for Guest {
    fn write(&mut self, to: Channel, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Full>> {
        let channel = match to {
            Channel::Output => call::Channel::Output,
            Channel::Diagnostics => call::Channel::Diagnostics,
        };
        spend(self, channel, &bytes)
    }

    fn emit(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<Result<(), Full>> {
        let line = line(level, &message, &fields);
        spend(self, call::Channel::Diagnostics, line.as_bytes())
    }

    fn panicked(&mut self, message: String, location: String) -> wasmtime::Result<()> {
        // The first panic is the cause; another one would be a panic of the hook.
        self.note
            .get_or_insert_with(|| Note::new(&message, &location));
        Ok(())
    }
}

fn spend(
    guest: &mut Guest,
    channel: call::Channel,
    bytes: &[u8],
) -> wasmtime::Result<Result<(), Full>> {
    stephost_fault::point!("guest.log", fails: Err(std::io::Error::other("a test made it fail").into()));
    if guest.log.spent {
        return Err(LimitHit::new(LimitName::Log, &guest.limits).into());
    }
    let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let granted = wanted.min(guest.log.bytes_left);
    guest.log.bytes_left -= granted;
    guest.log.spent = granted < wanted;
    // `granted` is at most the length of `bytes`, a usize.
    let granted = usize::try_from(granted).unwrap_or(bytes.len());
    if granted > 0 {
        guest.log.sink.write(channel, &bytes[..granted]);
    }
    Ok(if guest.log.spent {
        Err(Full::BudgetSpent)
    } else {
        Ok(())
    })
}

/// Writes a structured line. Control characters are escaped, so that it stays one line whatever a guest puts
/// into it.
fn line(level: Level, message: &str, fields: &[(String, String)]) -> String {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!("{level}: ");
    escape(message, &mut line);
    for (key, value) in fields {
        line.push(' ');
        escape(key, &mut line);
        line.push('=');
        if value.is_empty() || value.contains([' ', '"', '=']) {
            line.push('"');
            escape(&value.replace('\\', "\\\\").replace('"', "\\\""), &mut line);
            line.push('"');
        } else {
            escape(value, &mut line);
        }
    }
    line.push('\n');
    line
}

fn escape(text: &str, line: &mut String) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default())
        } else {
            line.push(letter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structured_line_is_one_line_whatever_is_in_it() {
        let fields = [
            ("path", "/tmp/a b"),
            ("size", "7"),
            ("quote", "say \"a\\b\""),
            ("none", ""),
            ("two\nkeys", "x\ny"),
        ];
        let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            line(Level::Warn, "careful\nerror: forged\x1b[0m", &fields),
            "warn: careful\\nerror: forged\\u{1b}[0m path=\"/tmp/a b\" size=7 quote=\"say \\\"a\\\\b\\\"\" none=\"\" two\\nkeys=x\\ny\n"
        );
    }
}
