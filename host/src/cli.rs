//! The command line: what a runner calls (`steps …`, contract 7.2) and what a person does.
//!
//! Owns arguments, exit codes ([`exit`]) and what is printed; each command is a file. stdout is for results,
//! stderr for everything else. Under `steps` nothing but the contract's bytes is written.

mod bootstrap;
mod check;
mod completions;
mod daemon;
mod doctor;
mod excerpt;
pub(crate) mod exit;
mod explain;
mod health;
mod inspect;
mod man;
mod new;
mod policy;
#[cfg_attr(windows, path = "cli/proxy/windows.rs")]
mod proxy;
mod recover;
mod run;
mod serve;
#[cfg_attr(windows, path = "cli/signals/windows.rs")]
mod signals;
mod version;
mod visible;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use stephost_process::{HostCgroup, JobLimits, Mark, Supervisors, Surroundings};

use exit::Failure;

use crate::config::{self, Background};
use crate::jobs::{Hosting, Jobs};
use crate::observe::{LogFormat, LogLevel, PanicBudget};
use crate::run::Functions;
use crate::run::room::janitor::{self, Estate};
use crate::run::room::journal::Journal;
use crate::run::room::{self, Room};

/// How long `health` waits for an answer, unless told otherwise.
const HEALTH_DEFAULT: &str = "5s";

#[derive(Debug, Parser)]
#[command(
    name = "stephost",
    version,
    about = "A step host for CI runners: builtins in a sandbox, native steps contained",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a CI runner calls inside a job's container
    #[command(subcommand, arg_required_else_help = true)]
    Steps(StepsCommand),
    /// Run a function, a job of a .gitlab-ci.yml, or a component
    #[command(after_help = run::HELP)]
    Run(run::RunArguments),
    /// Listen for jobs, as a daemon of whoever operates this machine
    #[command(
        after_help = "Examples:\n  stephost serve --socket /run/stephost/steps.sock\n  stephost serve --config ./config.toml"
    )]
    Serve(daemon::DaemonArguments),
    /// Show what the daemon is configured with
    #[command(subcommand, arg_required_else_help = true)]
    Config(daemon::ConfigCommand),
    /// Say what a component takes, gives, imports and needs
    #[command(
        after_help = "Examples:\n  stephost inspect notes.wasm\n  stephost inspect notes.wasm --function release/notes"
    )]
    Inspect {
        /// The component
        file: PathBuf,
        /// Also say what the policy gives it under this name
        #[arg(long, value_name = "DIR/NAME")]
        function: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a project for a builtin of one's own, with the SDK in it
    New {
        /// Name of the step, and of the directory that is made
        name: String,
        /// Depend on the SDK in this directory, and not on a copy
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
    },
    /// Find what is wrong with functions and policies; run nothing
    Check(check::CheckArguments),
    /// Say what a code such as S003 means, or list all of them
    Explain {
        /// The code, as `check` shows it
        code: Option<String>,
    },
    /// Show and check what builtins may do
    #[command(subcommand, arg_required_else_help = true)]
    Policy(policy::PolicyCommand),
    /// Look whether this machine can run jobs, and run one
    #[command(
        after_help = "Exit codes: 0 jobs can be run, 1 something fails.\n\nExamples:\n  stephost doctor\n  stephost doctor --json"
    )]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask a running host whether it takes jobs
    #[command(
        after_help = "Exit codes: 0 serving, 1 not serving, 69 nobody answers.\n\nExamples:\n  stephost health\n  stephost health --socket /run/steps.sock --timeout 1s"
    )]
    Health {
        /// Socket of the host
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// How long to wait for the answer
        #[arg(long, value_name = "DURATION", default_value = HEALTH_DEFAULT, value_parser = config::duration)]
        timeout: Duration,
    },
    /// Print what a shell needs to complete this command line
    #[command(
        after_help = "Examples:\n  stephost completions bash > /etc/bash_completion.d/stephost\n  stephost completions zsh > \"${fpath[1]}/_stephost\""
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for every command
    Man {
        /// Where to
        dir: Option<PathBuf>,
    },
    /// List the points at which a test can make this program fail
    #[cfg(feature = "fault")]
    #[command(hide = true)]
    Points,
    /// Print the version and what it was built for
    Version {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum StepsCommand {
    /// Listen for jobs; with CMD, until CMD ends
    Serve(ServeArguments),
    /// Connect stdin and stdout to a running host
    Proxy {
        /// Socket of the host
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
    /// Copy this program to FILE, with what lies in `<program>.d`
    Bootstrap {
        /// Where to
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    /// Socket to listen at
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Append the log to this file [default: there is none]
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// The shape of its lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// The least serious events in it
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
    /// Panics within a time after which the host ends, or `off`
    #[cfg(feature = "fault")]
    #[arg(long, value_name = "BUDGET", default_value_t, hide = true)]
    panic_budget: PanicBudget,
    /// Time for jobs after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = config::duration)]
    drain_timeout: Duration,
    /// Program to run at the first byte on stdin; its exit code is ours
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl ServeArguments {
    /// The usual one: nothing configures a host inside a job. A test that makes it panic hundreds of times may switch it off.
    fn panic_budget(&self) -> PanicBudget {
        #[cfg(feature = "fault")]
        return self.panic_budget;
        #[cfg(not(feature = "fault"))]
        PanicBudget::default()
    }
}

/// Removes what hosts that died have left, but for what somebody may still ask about their jobs. Before a host does anything else, and
/// before there is a runtime: it may take a while.
fn tidy_up() -> Vec<Estate> {
    let cleaned = janitor::clean(&config::temp_dir());
    janitor::record(&cleaned);
    cleaned.estates
}

/// Whom the jobs of a host are answered to.
enum Answers {
    /// This program alone, as long as it lives.
    Own,
    /// Everybody who asks, also for jobs of hosts that died.
    All(Vec<Estate>),
}

/// The registry of the host of this id, whose jobs have these limits and leave `background`, and what is to be closed at its end.
fn jobs(
    id: &str,
    functions: Functions,
    limits: JobLimits,
    background: Background,
    answers: Answers,
) -> Result<(Arc<Jobs>, Hosting), Failure> {
    // After the sandbox's engine, which opens files of this process that nobody may open afterwards.
    if let Err(error) = stephost_process::hide_memory() {
        tracing::warn!(%error, "other processes of this user may look into the host's memory");
    }
    let wanted = HostCgroup::is_of_use(limits);
    let made = wanted.then(|| HostCgroup::make(&room::cgroup_name(id), limits));
    let cgroup = match made.transpose() {
        Ok(Some(cgroup)) => {
            tracing::info!(
                cgroup.path = ?cgroup.id().path,
                limit.memory_bytes = limits.memory_bytes,
                limit.processes = limits.processes,
                "each step gets a cgroup of its own"
            );
            Some(cgroup)
        }
        Ok(None) => {
            tracing::info!("steps need no cgroup of their own: the host may signal everybody");
            None
        }
        // A limit that is not applied would be a lie.
        Err(error) if limits != JobLimits::default() => {
            return Err(Failure::config(
                anyhow::Error::new(error).context("jobs cannot be limited here"),
            ));
        }
        Err(error) => {
            let why = anyhow::Error::new(error);
            tracing::info!(
                why = format!("{why:#}"),
                "steps have no cgroup of their own"
            );
            None
        }
    };
    let cgroup_id = cgroup.as_ref().map(HostCgroup::id);
    let room = match Room::make(&config::temp_dir(), id, cgroup_id) {
        Ok(room) => Some(Arc::new(room)),
        Err(error) => {
            tracing::warn!(%error, "the host has no directory of its own: should it be killed, what it leaves is not removed");
            None
        }
    };
    let surroundings = Surroundings {
        cgroup,
        mark: Mark::new(id),
    };
    let supervisors = Supervisors::new(surroundings)
        .context("starting the supervisors of native steps")
        .map_err(Failure::internal)?;
    let journal = match (&room, &answers) {
        (Some(room), Answers::All(_)) => journal(room),
        (None, _) | (_, Answers::Own) => None,
    };
    let hosting = Hosting {
        supervisors,
        room,
        journal,
        background,
    };
    let jobs = Jobs::new(Arc::new(functions), hosting.clone());
    if let Answers::All(estates) = answers {
        for estate in estates {
            jobs.inherit(estate.left());
            // Now that they stand in the journal of this host.
            estate.settle();
        }
    }
    Ok((Arc::new(jobs), hosting))
}

fn journal(room: &Room) -> Option<Arc<Journal>> {
    match room.journal() {
        Ok(journal) => Some(Arc::new(journal)),
        Err(error) => {
            tracing::warn!(%error, "jobs are not written down: should the host be killed, the next one will not know them");
            None
        }
    }
}

/// Ends what a host has for its jobs.
async fn close(hosting: &Hosting) {
    hosting.supervisors.close().await;
    if let Some(room) = &hosting.room {
        room.close();
    }
}

/// Writes a result. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    written(std::io::stdout().write_all(text.as_bytes()))
}

/// What writing a result came to.
fn written(done: std::io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error)
            .context("writing the result")
            .map_err(Failure::cannot_create),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Does what the arguments say; returns the exit code.
pub(crate) fn run() -> u8 {
    let given: Vec<OsString> = std::env::args_os().collect();
    let arguments = match recover::arguments(given) {
        Ok(arguments) => arguments,
        Err(error) => return exit::report(&Failure::usage(error)),
    };
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(help) => {
            // Help goes to stdout, errors to stderr; that a stream is closed changes nothing.
            let _ = help.print();
            return if help.use_stderr() {
                exit::USAGE
            } else {
                exit::FINE
            };
        }
    };
    let done = match parsed.command {
        #[cfg(feature = "fault")]
        Command::Points => points(),
        Command::Version { json } => version::version(json),
        Command::Doctor { json } => doctor::doctor(json),
        Command::Health { socket, timeout } => health::health(socket.as_deref(), timeout),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { dir } => man::man(dir.as_deref()),
        Command::New { name, sdk } => new::new(&name, sdk.as_deref()),
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Inspect {
            file,
            function,
            json,
        } => inspect::inspect(&file, function.as_deref(), json),
        Command::Serve(arguments) => daemon::serve(arguments),
        Command::Config(command) => daemon::config(command),
        Command::Policy(command) => policy::policy(command),
        Command::Steps(StepsCommand::Serve(arguments)) => serve::serve(arguments),
        Command::Steps(StepsCommand::Proxy { socket }) => proxy::proxy(socket.as_deref()),
        Command::Steps(StepsCommand::Bootstrap { file }) => bootstrap::bootstrap(&file),
    };
    match done {
        Ok(code) => code,
        Err(failure) => exit::report(&failure),
    }
}

/// Lists the points, those with an error to be had marked so, below the words that no shipped program has.
#[cfg(feature = "fault")]
fn points() -> Result<u8, Failure> {
    let mut list = format!("{}\n", stephost_fault::MARKER);
    for point in stephost_fault::POINTS {
        list.push_str(point.name);
        list.push_str(if point.fails { " fails\n" } else { "\n" });
    }
    print(&list)?;
    Ok(exit::FINE)
}

/// Writes a result as one line of JSON.
fn print_json(result: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(result)
        .context("writing the result")
        .map_err(Failure::internal)?;
    print(&format!("{json}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    /// Help is not wrapped, so it has to fit.
    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        use clap::CommandFactory as _;
        fn look(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                let length = line.chars().count();
                assert!(length <= 80, "{}: {length}: {line}", command.get_name());
            }
            command.get_subcommands_mut().for_each(look);
        }
        let mut command = Arguments::command();
        command.build();
        look(&mut command);
    }

    #[test]
    fn everything_after_serve_belongs_to_the_command() {
        let parsed = Arguments::try_parse_from([
            "stephost", "steps", "serve", "--socket", "/s", "sh", "-c", "x",
        ]);
        let Command::Steps(StepsCommand::Serve(serve)) = parsed.unwrap().command else {
            panic!("another command");
        };
        assert_eq!(serve.socket, Some(PathBuf::from("/s")));
        assert_eq!(serve.command, ["sh", "-c", "x"]);
    }
}
