//! Programs of the machine, as the sandbox sees them: a trait whose other half is somebody else's. The sandbox itself
//! starts nothing.
//!
//! Owns the words of the agreement, and the bounds that hold whoever is on the other side. Called by:
//! `imports::process`; implemented by: `run` in the host.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Programs that a guest holds at the same time. Each costs the host two pipes and a task.
pub const CHILDREN_MAX: usize = 32;

/// Programs that one run may start. Each may leave something behind that the host keeps until the job is over.
pub const STARTS_MAX: usize = 4096;

/// Most bytes of all arguments and variables of one command, names included. Linux takes 2 MiB, other systems less;
/// below this the system's own answer is the better one, because it names what is too large.
pub const STRINGS_BYTES_MAX: usize = 4 << 20;

/// Most bytes of all files of one command: as long as the longest steps text that can hold a script. They are written
/// on a thread that other guests wait for.
pub const FILES_BYTES_MAX: usize = 4 << 20;

/// What somebody else will answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts programs for one run of a guest: a capability, given by [`crate::Call::programs`].
///
/// Called on a thread that runs guests, so an answer that takes long must be a future that waits. A panic ends the run as
/// [`crate::GuestEnding::HostFault`] and nothing else.
pub trait Programs: Send + Sync + 'static {
    /// Starts a program.
    fn start(&self, command: Command) -> Answer<'_, Result<Box<dyn Program>, StartError>>;

    /// Finds the first of these programs that exists.
    fn which<'a>(&'a self, programs: &'a [String]) -> Answer<'a, Option<String>>;
}

/// A program that was started. Dropping it ends the program.
pub trait Program: Send + 'static {
    /// Waits for the end. An answer that was given up can be asked for again; after it was given, nobody asks.
    fn wait(&mut self) -> Answer<'_, Exit>;

    /// Asks the program to end. Does nothing when it has ended.
    fn stop(&self);
}

/// A program that is to be started. Within [`STRINGS_BYTES_MAX`] and [`FILES_BYTES_MAX`], and nothing else is checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments, the program itself not counted.
    pub arguments: Vec<String>,
    /// Changes to the environment, in this order: a value, or none to take the variable away.
    pub environment: Vec<(String, Option<String>)>,
    /// Files that stand for arguments.
    pub files: Vec<File>,
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may be secrets.
        formatter
            .debug_struct("Command")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .finish_non_exhaustive()
    }
}

/// A file that lives as long as its program.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Which argument becomes its path.
    pub argument: usize,
    /// How its name should look.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("File")
            .field("argument", &self.argument)
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// Why a program was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// There is none.
    NotFound,
    /// The policy does not grant it.
    Denied {
        /// What kind of thing.
        capability: String,
        /// Which one.
        target: String,
        /// The reason code.
        code: String,
    },
    /// The step was asked to stop.
    Stopping,
    /// Anything else, in words that a client may read.
    Failed(String),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramEnding {
    /// With this code.
    Code(i32),
    /// By a signal.
    Signal {
        /// `TERM`, or its number.
        name: String,
        /// In words.
        text: String,
    },
}

/// What is known when a program has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// How.
    pub ending: ProgramEnding,
    /// Whether somebody still held its output.
    pub background: bool,
}
