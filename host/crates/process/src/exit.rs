//! How a leader ended, and the words for it. The words are those of Go's `os.ProcessState`, which runners look for
//! at the end of a message (contract 2.5, 5.2).

use std::fmt;

/// How the step's leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code; 0 is success. −1 stands for a code that nobody could learn:
    /// the step's supervisor was killed.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// This signal ended it, and the kernel wrote a core dump.
    Dumped(i32),
}

impl Exit {
    /// What is reported when the exit status cannot be learned.
    pub const LOST: Exit = Exit::Code(-1);

    /// What is reported of a leader that was killed with the runtime that drove it.
    #[cfg(unix)]
    pub(crate) const KILLED: Exit = Exit::Signal(9);
    /// What is reported of a leader that was killed with the runtime that drove it.
    #[cfg(windows)]
    pub(crate) const KILLED: Exit = Exit::Code(crate::sys::KILL_CODE.cast_signed());

    /// Returns whether the leader exited with code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }

    /// Returns the exit code; `None` after a signal.
    pub fn code(self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::Dumped(_) => None,
        }
    }

    /// Returns the signal that ended the leader, dumped or not.
    pub fn signal(self) -> Option<i32> {
        match self {
            Exit::Code(_) => None,
            Exit::Signal(signal) | Exit::Dumped(signal) => Some(signal),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            // The codes of a crash are read as hexadecimal numbers there.
            Exit::Code(code) if cfg!(windows) && code.cast_unsigned() > 0xffff => {
                write!(f, "exit status {:#x}", code.cast_unsigned())
            }
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "signal: {}", SignalName(signal)),
            Exit::Dumped(signal) => write!(f, "signal: {} (core dumped)", SignalName(signal)),
        }
    }
}

struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The numbers of x86-64 and arm64; real-time signals have no name.
        let name = match self.0 {
            1 => "hangup",
            2 => "interrupt",
            3 => "quit",
            4 => "illegal instruction",
            5 => "trace/breakpoint trap",
            6 => "aborted",
            7 => "bus error",
            8 => "floating point exception",
            9 => "killed",
            10 => "user defined signal 1",
            11 => "segmentation fault",
            12 => "user defined signal 2",
            13 => "broken pipe",
            14 => "alarm clock",
            15 => "terminated",
            16 => "stack fault",
            17 => "child exited",
            18 => "continued",
            19 => "stopped (signal)",
            20 => "stopped",
            21 => "stopped (tty input)",
            22 => "stopped (tty output)",
            23 => "urgent I/O condition",
            24 => "CPU time limit exceeded",
            25 => "file size limit exceeded",
            26 => "virtual timer expired",
            27 => "profiling timer expired",
            28 => "window changed",
            29 => "I/O possible",
            30 => "power failure",
            31 => "bad system call",
            other => return write!(f, "signal {other}"),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_go_writes_it() {
        let table = [
            (Exit::Code(0), "exit status 0"),
            (Exit::Code(7), "exit status 7"),
            (Exit::Code(255), "exit status 255"),
            (
                Exit::LOST,
                if cfg!(windows) {
                    "exit status 0xffffffff"
                } else {
                    "exit status -1"
                },
            ),
            (Exit::Signal(1), "signal: hangup"),
            (Exit::Signal(2), "signal: interrupt"),
            (Exit::Signal(9), "signal: killed"),
            (Exit::Signal(15), "signal: terminated"),
            (Exit::Signal(31), "signal: bad system call"),
            (Exit::Signal(34), "signal: signal 34"),
            (Exit::Dumped(6), "signal: aborted (core dumped)"),
            (Exit::Dumped(11), "signal: segmentation fault (core dumped)"),
        ];
        for (exit, text) in table {
            assert_eq!(exit.to_string(), text, "{exit:?}: contract 5.2");
        }
    }

    #[test]
    fn only_code_zero_is_success() {
        for (exit, success, code, signal) in [
            (Exit::Code(0), true, Some(0), None),
            (Exit::Code(1), false, Some(1), None),
            (Exit::Signal(15), false, None, Some(15)),
            (Exit::Dumped(11), false, None, Some(11)),
        ] {
            assert_eq!(
                (exit.is_success(), exit.code(), exit.signal()),
                (success, code, signal),
                "{exit:?}"
            );
        }
    }
}
