//! The end of a program in the words of the sandbox. Pure.

use stephost_process::Exit;
use stephost_sandbox::ProgramEnding;

/// Names of the signals from 1 on, as on x86-64 and arm64. Those beyond have none.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

pub(super) fn ending(exit: Exit) -> ProgramEnding {
    match exit {
        Exit::Code(code) => ProgramEnding::Code(code),
        Exit::Signal(signal) | Exit::Dumped(signal) => ProgramEnding::Signal {
            name: name(signal),
            text: exit.to_string(),
        },
    }
}

fn name(signal: i32) -> String {
    let known = usize::try_from(signal)
        .ok()
        .and_then(|signal| NAMES.get(signal.checked_sub(1)?));
    known.map_or_else(|| signal.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_name_that_a_shell_knows_it_by() {
        let table = [
            (1, "HUP"),
            (9, "KILL"),
            (10, "USR1"),
            (12, "USR2"),
            (13, "PIPE"),
            (15, "TERM"),
            (31, "SYS"),
            (34, "34"),
            (0, "0"),
            (-1, "-1"),
        ];
        for (signal, expected) in table {
            assert_eq!(name(signal), expected, "signal {signal}");
        }
    }

    #[test]
    fn a_core_dump_is_told_in_words_only() {
        let ending = ending(Exit::Dumped(6));
        let (name, text) = (
            "ABRT".to_owned(),
            "signal: aborted (core dumped)".to_owned(),
        );
        assert_eq!(ending, ProgramEnding::Signal { name, text });
    }
}
