//! Why a step could not be started, in words for its author: the names are those that the step wrote, never what the host made of them.
//! Where Go has a text for it, it is Go's (contract 5.2).

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, ErrorKind},
    path::Path,
};

use crate::{Plan, lookup::is_executable};

/// The longest single argument or variable that Linux takes, its closing zero byte included (`MAX_ARG_STRLEN`, with pages of 4 KiB).
/// Only used to explain the kernel's refusal, never to refuse.
#[cfg(not(windows))]
const STRING_BYTES_MAX: usize = 128 * 1024;
/// The longest command line, and the longest variable, that Windows takes; it counts units of UTF-16, we count bytes.
#[cfg(windows)]
const STRING_BYTES_MAX: usize = 32 * 1024 - 1;
/// How much of a name is shown in a message; names come from the step and have no limit of their own.
const SHOWN_CHARS_MAX: usize = 100;

/// Why a step could not be started. Nothing of it is running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the program is empty.
    #[error("exec: no command")]
    NoProgram,
    /// A name without a slash that no directory of either `PATH` has as an executable file.
    #[error("exec: {}: executable file not found in $PATH", Shown(program))]
    ProgramNotFound {
        /// As the step wrote it.
        program: OsString,
    },
    /// A name with a slash, and nothing is there.
    #[error("fork/exec {}: no such file or directory", Plain(program))]
    NoSuchFile {
        /// As the step wrote it.
        program: OsString,
    },
    /// The file is there, the interpreter that it names (in its `#!` line, or as its loader) is not.
    #[error(
        "fork/exec {}: no such file or directory: the interpreter that it names is missing",
        Plain(program)
    )]
    NoInterpreter {
        /// As the step wrote it.
        program: OsString,
    },
    /// The program is not executable for this user, or lies in a directory that may not be entered.
    #[error("fork/exec {}: permission denied", Plain(program))]
    NotExecutable {
        /// As the step wrote it.
        program: OsString,
    },
    /// The program is a directory.
    #[error("exec: {}: is a directory", Shown(program))]
    IsDirectory {
        /// As the step wrote it.
        program: OsString,
    },
    /// The working directory cannot be entered.
    #[error("working directory: {fault}")]
    WorkDir {
        /// What is wrong with it. Its path may be the host's own and is not shown.
        fault: WorkDirFault,
    },
    /// One argument is longer than the system allows.
    #[error(
        "argument {index} is too long: it has {bytes} bytes and the system takes {STRING_BYTES_MAX} at most; pass it in a file"
    )]
    ArgumentTooLong {
        /// Which one; the program is argument 0.
        index: usize,
        /// Its length with the closing zero byte.
        bytes: usize,
    },
    /// One variable is longer than the system allows.
    #[error(
        "environment variable {} is too long: name and value have {bytes} bytes and the system takes {STRING_BYTES_MAX} at most; pass it in a file",
        Shown(name)
    )]
    VariableTooLong {
        /// Which one.
        name: OsString,
        /// Length of `NAME=value` with the closing zero byte.
        bytes: usize,
    },
    /// No single string is too long, but there are too many of them.
    #[error(
        "arguments and environment are too large: {bytes} bytes in {arguments} arguments and {variables} variables; the largest is {largest}"
    )]
    TooLarge {
        /// Everything together, closing zero bytes included.
        bytes: usize,
        /// How many arguments, the program included.
        arguments: usize,
        /// How many variables.
        variables: usize,
        /// Where to begin.
        largest: Largest,
    },
    /// A zero byte, which ends a string for the system, somewhere in the plan.
    #[error("{place} contains a NUL byte")]
    NulByte {
        /// Where it is.
        place: NulPlace,
    },
    /// Only on Windows: a batch file cannot be given this argument safely.
    #[error("{0}")]
    Batch(BatchFault),
    /// Anything else that the system said when it was asked to start the program.
    #[error("fork/exec {}: {}", Plain(program), SystemText(system))]
    System {
        /// As the step wrote it.
        program: OsString,
        /// What the system said.
        system: io::Error,
    },
    /// The host cannot start anything: it is out of descriptors, processes or memory, or somebody ended the step's supervisor.
    #[error(
        "fork/exec {}: the step host cannot start it: {}",
        Plain(program),
        SystemText(system)
    )]
    Watch {
        /// As the step wrote it.
        program: OsString,
        /// What the system said.
        system: io::Error,
    },
}

/// What is wrong with a working directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkDirFault {
    /// There is nothing.
    #[error("no such file or directory")]
    Missing,
    /// There is something else.
    #[error("not a directory")]
    NotDirectory,
    /// It, or a directory on the way, may not be entered.
    #[error("permission denied")]
    Denied,
}

/// The longest string of a plan that is too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Largest {
    /// An argument; the program is argument 0.
    #[error("argument {index} with {bytes} bytes")]
    Argument {
        /// Which one.
        index: usize,
        /// Its length with the closing zero byte.
        bytes: usize,
    },
    /// A variable.
    #[error("environment variable {} with {bytes} bytes", Shown(name))]
    Variable {
        /// Which one.
        name: OsString,
        /// Length of `NAME=value` with the closing zero byte.
        bytes: usize,
    },
}

/// Where a zero byte is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NulPlace {
    /// In the name of the program.
    #[error("the name of the program")]
    Program,
    /// In an argument; the first after the program is 1.
    #[error("argument {0}")]
    Argument(usize),
    /// In the name of a variable.
    #[error("the name of environment variable {}", Shown(.0))]
    VariableName(OsString),
    /// In the value of a variable.
    #[error("environment variable {}", Shown(.0))]
    Variable(OsString),
    /// In the path of the working directory.
    #[error("the working directory")]
    WorkDir,
}

/// An argument that `cmd.exe`, which runs batch files, would not take as it is.
#[derive(Debug)]
pub struct BatchFault {
    /// As the step wrote it.
    pub program: OsString,
    /// Which one; 0 is the path of the batch file.
    pub argument: usize,
}

impl fmt::Display for BatchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Plain(&self.program);
        write!(
            f,
            "fork/exec {program}: argument {} of a batch file has a quote, a percent sign or a line break, which cannot be passed safely; pass it in a file",
            self.argument
        )
    }
}

impl StartError {
    /// Finds zero bytes, which no system call can carry.
    pub(crate) fn check_for_nul(plan: &Plan) -> Result<(), StartError> {
        let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
        let place = if has_nul(&plan.program) {
            NulPlace::Program
        } else if let Some(index) = plan.args.iter().position(|argument| has_nul(argument)) {
            NulPlace::Argument(index + 1)
        } else if let Some((name, _)) = plan.env.iter().find(|(name, _)| has_nul(name)) {
            NulPlace::VariableName(name.clone())
        } else if let Some((name, _)) = plan.env.iter().find(|(_, value)| has_nul(value)) {
            NulPlace::Variable(name.clone())
        } else if has_nul(plan.work_dir.as_os_str()) {
            NulPlace::WorkDir
        } else {
            return Ok(());
        };
        Err(StartError::NulByte { place })
    }

    /// Finds out what `system`, the answer to spawning `path` for `plan`, was about. The system gives one number for everything on the way.
    pub(crate) fn explain(plan: Plan, path: &Path, system: io::Error) -> StartError {
        match system.kind() {
            ErrorKind::ArgumentListTooLong => StartError::too_large(&plan),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {
                let Plan {
                    program, work_dir, ..
                } = plan;
                if let Some(fault) = fault_of(&work_dir) {
                    return StartError::WorkDir { fault };
                }
                match fs::metadata(path) {
                    Ok(found) if found.is_dir() => StartError::IsDirectory { program },
                    Ok(_) if system.kind() == ErrorKind::NotFound => {
                        StartError::NoInterpreter { program }
                    }
                    Ok(_) if !is_executable(path) => StartError::NotExecutable { program },
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        StartError::NoSuchFile { program }
                    }
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        StartError::NotExecutable { program }
                    }
                    Ok(_) | Err(_) => StartError::System { program, system },
                }
            }
            _ => StartError::System {
                program: plan.program,
                system,
            },
        }
    }

    /// Names what made the plan too large: the kernel only says that it is.
    pub(crate) fn too_large(plan: &Plan) -> StartError {
        let mut bytes = 0;
        let mut largest = Largest::Argument {
            index: 0,
            bytes: plan.program.len() + 1,
        };
        for (index, argument) in [&plan.program].into_iter().chain(&plan.args).enumerate() {
            let argument_bytes = argument.len() + 1;
            bytes += argument_bytes;
            if argument_bytes > largest.bytes() {
                largest = Largest::Argument {
                    index,
                    bytes: argument_bytes,
                };
            }
        }
        for (name, value) in &plan.env {
            let variable_bytes = name.len() + 1 + value.len() + 1;
            bytes += variable_bytes;
            if variable_bytes > largest.bytes() {
                largest = Largest::Variable {
                    name: name.clone(),
                    bytes: variable_bytes,
                };
            }
        }
        match largest {
            Largest::Argument { index, bytes } if bytes > STRING_BYTES_MAX => {
                StartError::ArgumentTooLong { index, bytes }
            }
            Largest::Variable { name, bytes } if bytes > STRING_BYTES_MAX => {
                StartError::VariableTooLong { name, bytes }
            }
            largest => StartError::TooLarge {
                bytes,
                arguments: plan.args.len() + 1,
                variables: plan.env.len(),
                largest,
            },
        }
    }
}

fn fault_of(work_dir: &Path) -> Option<WorkDirFault> {
    match fs::metadata(work_dir) {
        Ok(found) if !found.is_dir() => Some(WorkDirFault::NotDirectory),
        Ok(_) if !is_executable(work_dir) => Some(WorkDirFault::Denied),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Some(WorkDirFault::Denied),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Some(WorkDirFault::NotDirectory),
        Err(_) => Some(WorkDirFault::Missing),
    }
}

impl Largest {
    fn bytes(&self) -> usize {
        match self {
            Largest::Argument { bytes, .. } | Largest::Variable { bytes, .. } => *bytes,
        }
    }
}

/// A name in quotes, as in Go's `exec: "NAME"`, escaped and cut.
struct Shown<'a>(&'a OsStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Plain(self.0))
    }
}

/// A name as it is, with control characters escaped, and cut.
struct Plain<'a>(&'a OsStr);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.to_string_lossy();
        for character in name.chars().take(SHOWN_CHARS_MAX) {
            write!(f, "{}", character.escape_debug())?;
        }
        if name.chars().nth(SHOWN_CHARS_MAX).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

/// An error of the system in its own words, without number and capital.
struct SystemText<'a>(&'a io::Error);

impl fmt::Display for SystemText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let mut characters = text.chars();
        if let Some(first) = characters.next() {
            write!(f, "{}{}", first.to_lowercase(), characters.as_str())?;
        }
        Ok(())
    }
}
