//! `serve` and `config show`: the operator's own daemon, and what it is configured with.
//!
//! Unlike `steps serve`, which runs inside a job's container and is configured by nothing, this one belongs to whoever
//! operates the machine: flags, files below `/etc/stephost`, a socket from systemd. It tells systemd when it is ready,
//! reloads, drains and lives. SIGHUP reads the policy again, for new jobs; one that cannot be used changes nothing.

#[cfg_attr(not(target_os = "linux"), path = "daemon/absent_systemd.rs")]
mod systemd;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use stephost_policy::{Amount, Policy};
use tokio::sync::watch;

use self::systemd::{HandedOver, News};
use super::exit::{self, Failure};
use super::serve::{
    SocketFile, drain_when_worn_out, end, listening, not_listening, runtime, watch_signals,
};
use super::signals::{Asked, Listening};
use super::{Answers, policy, print};
use crate::clock;
use crate::config::{self, Flags, PolicyFileError, Setting, Settings};
use crate::jobs::Jobs;
use crate::observe::{
    self, Collector, Destination, LogFormat, LogLevel, OperatorLog, PanicBudget, metrics,
};
use crate::run::{Functions, room};
use crate::server::metrics::{MetricsListenError, MetricsListener};
use crate::server::{self, Drain};

#[derive(Debug, Args)]
pub(super) struct DaemonArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Socket to listen at, unless systemd gives one
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Append the log to this file, not to stderr
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// The shape of its lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// The least serious events in it [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Let this machine read figures at 127.0.0.1:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS", value_parser = config::MetricsAddress::parse)]
    metrics_listen: Option<config::MetricsAddress>,
    /// Panics within a time after which it ends [default: 5/10m]
    #[arg(long, value_name = "BUDGET")]
    panic_budget: Option<PanicBudget>,
    /// Time for jobs after SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    drain_timeout: Option<Duration>,
    /// What becomes of what outlives its step: keep or kill
    #[arg(long, value_name = "WHAT")]
    background: Option<config::Background>,
    /// The policy, instead of that of the program
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Builtins of one's own: DIR/NAME.wasm in it
    #[arg(long, value_name = "PATH")]
    builtins: Option<PathBuf>,
    /// Most memory of one job, such as "2 GiB"
    #[arg(long, value_name = "SIZE", value_parser = config::memory)]
    job_memory_max: Option<u64>,
    /// Most processes and threads of one job
    #[arg(long, value_name = "COUNT", value_parser = config::processes)]
    job_processes_max: Option<u64>,
    /// Send traces and the log by OTLP: http://HOST:PORT or unix:///PATH
    #[arg(long, value_name = "ENDPOINT", value_parser = Collector::parse)]
    otlp: Option<Collector>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Read this file, and none below /etc/stephost
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what `serve` would be configured with
    Show {
        #[command(flatten)]
        file: ConfigFile,
        /// Also say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

/// Serves until a signal.
pub(super) fn serve(arguments: DaemonArguments) -> Result<u8, Failure> {
    let settings = config::settings(Flags {
        config: arguments.file.config,
        socket: arguments.socket,
        log_file: arguments.log_file,
        log_format: arguments.log_format,
        log_level: arguments.log_level,
        metrics_listen: arguments.metrics_listen,
        panic_budget: arguments.panic_budget,
        drain_timeout: arguments.drain_timeout,
        background: arguments.background,
        policy: arguments.policy,
        builtins: arguments.builtins,
        job_memory_max: arguments.job_memory_max,
        job_processes_max: arguments.job_processes_max,
        otlp: arguments.otlp,
    })
    .map_err(Failure::config)?;
    let log = OperatorLog {
        to: match &settings.log_file.value {
            Some(file) => Destination::File(file),
            None => Destination::Stderr,
        },
        format: settings.log_format.value,
        level: settings.log_level.value,
    };
    let collector = settings.otlp.value.as_ref();
    let observing = observe::start(log, settings.panic_budget.value, collector)
        .context("opening the log")
        .map_err(Failure::cannot_create)?;
    // It takes variables out of the environment: before there are other threads.
    let handed_over = HandedOver::take()
        .context("taking the socket from systemd")
        .map_err(Failure::unavailable)?;
    let answers = Answers::All(super::tidy_up());
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let host = room::new_id();
        let sending = observing.send(&host);
        let code = serving(&host, settings, handed_over, answers).await;
        sending.finish().await;
        code
    });
    end(runtime);
    code
}

async fn serving(
    host: &str,
    settings: Settings,
    handed_over: Option<HandedOver>,
    answers: Answers,
) -> Result<u8, Failure> {
    let limits = settings.job_limits();
    let file = settings.policy.value;
    let policy = match read_policy(file.as_deref()) {
        Ok(policy) => policy,
        Err(error) => return Ok(policy::refused(error)),
    };
    let own = match &settings.builtins.value {
        Some(directory) => config::builtins_in(directory),
        None => config::own_builtins(),
    };
    let own = own.map_err(Failure::config)?;
    let (listener, place, _socket) = match handed_over {
        // Its file is systemd's.
        Some(handed_over) => {
            let adopted = handed_over.adopt();
            let (listener, place) = adopted
                .context("using the socket from systemd")
                .map_err(Failure::unavailable)?;
            (listener, place, None)
        }
        None => {
            let (listener, path) = listening(settings.socket.value.as_deref())?;
            (listener, Some(path.clone()), Some(SocketFile::new(path)))
        }
    };
    if let Some(place) = &place {
        config::announce_socket(place);
    }
    let readers = match &settings.metrics_listen.value {
        Some(address) => Some(readers_of_metrics(address).await?),
        None => None,
    };
    let functions = Functions::new(policy, own)
        .context("starting the sandbox")
        .map_err(Failure::internal)?;
    let background = settings.background.value;
    let (jobs, hosting) = super::jobs(host, functions, limits, background, answers)?;
    let (drain, drain_heard) = watch::channel(Drain::No);
    metrics::reloaded(clock::wall());
    let mut tasks = vec![
        watch_signals(drain.clone())
            .context("listening for signals")
            .map_err(Failure::internal)?,
        reload_on_hangup(file, Arc::clone(&jobs))
            .context("listening for SIGHUP")
            .map_err(Failure::internal)?,
        tokio::spawn(drain_when_worn_out(drain)),
        tokio::spawn(systemd::live()),
    ];
    // Until the very end: a drain is worth looking at.
    let _metrics_socket = readers.map(|(readers, socket)| {
        tasks.push(tokio::spawn(readers.serve()));
        socket
    });
    let saying = tokio::spawn(say_when_draining(drain_heard.clone()));
    tracing::info!(socket = ?place.as_deref().unwrap_or(Path::new("unnamed")), "listening");
    systemd::tell(News::Ready);
    let drain_timeout = settings.drain_timeout.value;
    let served = server::serve(listener, jobs, drain_heard.clone(), drain_timeout).await;
    if *drain_heard.borrow() == Drain::No {
        saying.abort();
    } else {
        // Without jobs the end comes at once, and it is said before; that it could not be said changes nothing.
        let _ = saying.await;
    }
    for task in tasks {
        task.abort();
    }
    super::close(&hosting).await;
    served.context("serving").map_err(Failure::internal)?;
    tracing::info!("ended");
    Ok(super::serve::ended())
}

/// Lets an operator read the host's figures; also the socket's file, if it is one.
async fn readers_of_metrics(
    address: &config::MetricsAddress,
) -> Result<(MetricsListener, Option<SocketFile>), Failure> {
    let bound = MetricsListener::bind(address).await;
    let listener = bound.map_err(|error| match error {
        MetricsListenError::Unix(error) => not_listening(error),
        MetricsListenError::Loopback { .. } => Failure::unavailable(error),
    })?;
    let address = listener
        .address()
        .context("asking where metrics are served")
        .map_err(Failure::unavailable)?;
    tracing::info!(address = %address, "metrics can be read");
    let file = match address {
        config::MetricsAddress::Unix(path) => Some(SocketFile::new(path)),
        config::MetricsAddress::Loopback(_) => None,
    };
    Ok((listener, file))
}

/// The policy in this file, or the program's.
fn read_policy(file: Option<&Path>) -> Result<Policy, PolicyFileError> {
    let loaded = match file {
        Some(file) => config::policy_file(file)?,
        None => config::policy()?,
    };
    Ok(loaded.policy)
}

/// Reads the policy again at every SIGHUP.
fn reload_on_hangup(
    file: Option<PathBuf>,
    jobs: Arc<Jobs>,
) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut hangup = Listening::to(Asked::Hangup)?;
    Ok(tokio::spawn(async move {
        while hangup.heard().await.is_some() {
            systemd::tell(News::Reloading);
            let file = file.clone();
            let read = tokio::task::spawn_blocking(move || read_policy(file.as_deref()));
            match read.await {
                Ok(Ok(policy)) => {
                    tracing::info!(
                        policy.name = policy.name(),
                        policy.sha256 = policy.digest(),
                        "new jobs run under this policy"
                    );
                    jobs.adopt(policy);
                    metrics::reloaded(clock::wall());
                }
                Ok(Err(error)) => {
                    metrics::not_reloaded();
                    let error = anyhow!(error);
                    tracing::error!(error = format!("{error:#}"), "the policy stays as it was");
                }
                Err(_panicked) => {
                    metrics::not_reloaded();
                    tracing::error!("the policy stays as it was");
                }
            }
            systemd::tell(News::Ready);
        }
    }))
}

async fn say_when_draining(mut drain: watch::Receiver<Drain>) {
    if drain.wait_for(|drain| *drain != Drain::No).await.is_ok() {
        tracing::info!("draining: no new jobs");
        systemd::tell(News::Stopping);
    }
}

/// Does what the command says.
pub(super) fn config(command: ConfigCommand) -> Result<u8, Failure> {
    let ConfigCommand::Show { file, origin } = command;
    let settings = config::settings(Flags {
        config: file.config,
        ..Flags::default()
    })
    .map_err(Failure::config)?;
    print(&shown(&settings, origin))?;
    Ok(exit::FINE)
}

/// The settings as a file that means the same; what nobody has set is a comment.
fn shown(settings: &Settings, with_origin: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>, without: &str, origin: &config::Origin| {
        let (mark, value) = match value {
            Some(value) => ("", value),
            None => ("# ", format!("({without})")),
        };
        let origin = if with_origin {
            format!("  # {origin}")
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark}{name} = {value}{origin}");
    };
    let path = |setting: &Setting<Option<PathBuf>>| {
        setting
            .value
            .as_ref()
            .map(|path| format!("{:?}", path.display().to_string()))
    };
    let Settings {
        socket,
        log_file,
        log_format,
        log_level,
        metrics_listen,
        panic_budget,
        drain_timeout,
        background,
        policy,
        builtins,
        job_memory_max,
        job_processes_max,
        otlp,
    } = settings;
    let usual = config::default_socket().display().to_string();
    line("socket", path(socket), &usual, &socket.origin);
    line("log-file", path(log_file), "stderr", &log_file.origin);
    let word = |word: String| Some(format!("{word:?}"));
    let format = config::word_of(&log_format.value);
    line("log-format", word(format), "", &log_format.origin);
    let level = config::word_of(&log_level.value);
    line("log-level", word(level), "", &log_level.origin);
    let address = metrics_listen.value.as_ref().map(ToString::to_string);
    let address = address.and_then(word);
    line("metrics-listen", address, "nowhere", &metrics_listen.origin);
    let budget = panic_budget.value.to_string();
    line("panic-budget", word(budget), "", &panic_budget.origin);
    let drain = jiff::SignedDuration::try_from(drain_timeout.value).unwrap_or_default();
    let drain = format!("{drain:#}");
    line("drain-timeout", word(drain), "", &drain_timeout.origin);
    let kept = config::word_of(&background.value);
    line("background", word(kept), "", &background.origin);
    let own = "that of the program";
    line("policy", path(policy), own, &policy.origin);
    line("builtins", path(builtins), own, &builtins.origin);
    let memory = job_memory_max
        .value
        .map(|bytes| format!("{:?}", Amount::Bytes(bytes).to_string()));
    line("job-memory-max", memory, "no limit", &job_memory_max.origin);
    let processes = job_processes_max.value.map(|count| count.to_string());
    line(
        "job-processes-max",
        processes,
        "no limit",
        &job_processes_max.origin,
    );
    let collector = otlp.value.as_ref();
    let collector = collector.map(|collector| format!("{:?}", collector.as_str()));
    line("otlp", collector, "nobody", &otlp.origin);
    text
}
