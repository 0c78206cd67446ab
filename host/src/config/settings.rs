//! Settings of the operator's own daemon, `stephost serve`: defaults, then files, then flags; the last word counts.
//!
//! Files are `/etc/stephost/config.toml` and `/etc/stephost/conf.d/*.toml` in the order of their names, or the one that
//! a flag names, alone; on Windows the directory is `%ProgramData%\\stephost`. A key that nobody knows keeps the daemon from starting: somebody meant something by it. Every
//! value remembers where it came from. Under `stephost steps` nothing of this is read (design D11).

mod value;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stephost_process::JobLimits;
use toml::Spanned;

use super::companion::read_regular;
use super::places::settings_dir;
use crate::observe::{Collector, LogFormat, LogLevel, PanicBudget};

pub(crate) use value::{Background, MetricsAddress, duration, memory, processes, word_of};

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// How long a drain waits for running jobs, unless told otherwise.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// All settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the daemon listens; without one, where `steps` does.
    pub(crate) socket: Setting<Option<PathBuf>>,
    /// Where its log goes; without one, to stderr.
    pub(crate) log_file: Setting<Option<PathBuf>>,
    /// The shape of its lines.
    pub(crate) log_format: Setting<LogFormat>,
    /// The least serious events in it.
    pub(crate) log_level: Setting<LogLevel>,
    /// Where its figures can be read; without one, nowhere.
    pub(crate) metrics_listen: Setting<Option<MetricsAddress>>,
    /// How often the host may panic before it lets another take its place.
    pub(crate) panic_budget: Setting<PanicBudget>,
    /// How long running jobs may go on after SIGTERM.
    pub(crate) drain_timeout: Setting<Duration>,
    /// What becomes of processes that outlive their step.
    pub(crate) background: Setting<Background>,
    /// The policy; without one, that of the program.
    pub(crate) policy: Setting<Option<PathBuf>>,
    /// A directory of builtins; without one, that of the program.
    pub(crate) builtins: Setting<Option<PathBuf>>,
    /// Bytes of memory that the programs of one job may use together.
    pub(crate) job_memory_max: Setting<Option<u64>>,
    /// Processes and threads that one job may have at a time.
    pub(crate) job_processes_max: Setting<Option<u64>>,
    /// Who gets traces and the log besides.
    pub(crate) otlp: Setting<Option<Collector>>,
}

/// One value, and whose word it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Whose word a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody's.
    Default,
    /// A file's, in this line.
    File { path: PathBuf, line: usize },
    /// A flag's.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            // Quoted: a line break in a path must not end the comment that this stands in.
            Origin::File { path, line } => write!(formatter, "{path:?} line {line}"),
            Origin::Flag => formatter.write_str("flag"),
        }
    }
}

/// What flags say.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    /// The one file that is read.
    pub(crate) config: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) log_format: Option<LogFormat>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) metrics_listen: Option<MetricsAddress>,
    pub(crate) panic_budget: Option<PanicBudget>,
    pub(crate) drain_timeout: Option<Duration>,
    pub(crate) background: Option<Background>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) builtins: Option<PathBuf>,
    pub(crate) job_memory_max: Option<u64>,
    pub(crate) job_processes_max: Option<u64>,
    pub(crate) otlp: Option<Collector>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A file or the directory cannot be read.
    #[error("reading the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file is longer than any that is read.
    #[error("the configuration {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    /// A file says what no configuration may say.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        path: PathBuf,
        line: usize,
        column: usize,
        message: String,
    },
}

/// One file. Every key may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    socket: Option<Spanned<PathBuf>>,
    log_file: Option<Spanned<PathBuf>>,
    log_format: Option<Spanned<String>>,
    log_level: Option<Spanned<String>>,
    metrics_listen: Option<Spanned<String>>,
    panic_budget: Option<Spanned<String>>,
    drain_timeout: Option<Spanned<String>>,
    background: Option<Spanned<String>>,
    policy: Option<Spanned<PathBuf>>,
    builtins: Option<Spanned<PathBuf>>,
    job_memory_max: Option<Spanned<String>>,
    job_processes_max: Option<Spanned<u64>>,
    otlp: Option<Spanned<String>>,
}

/// The settings that flags and files make together.
///
/// # Errors
///
/// When a file is there and cannot be used.
pub(crate) fn settings(flags: Flags) -> Result<Settings, SettingsError> {
    let files = match &flags.config {
        Some(file) => vec![file.clone()],
        None => files_in(&settings_dir())?,
    };
    let mut settings = Settings::default();
    for file in files {
        settings.read(&file)?;
    }
    settings.take(flags);
    Ok(settings)
}

/// The files of a directory that are there, in the order in which they count.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let unread = |path: &Path, source| SettingsError::Read {
        path: path.to_owned(),
        source,
    };
    let main = directory.join("config.toml");
    let mut files = Vec::new();
    match main.symlink_metadata() {
        Ok(_) => files.push(main),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unread(&main, error)),
    }
    let parts = directory.join("conf.d");
    match parts.read_dir() {
        Ok(entries) => {
            let paths = entries.map(|entry| Ok(entry?.path()));
            let paths: Result<Vec<PathBuf>, io::Error> = paths.collect();
            let mut paths = paths.map_err(|error| unread(&parts, error))?;
            paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
            paths.sort();
            files.extend(paths);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unread(&parts, error)),
    }
    Ok(files)
}

impl Default for Settings {
    fn default() -> Settings {
        fn setting<T>(value: T) -> Setting<T> {
            Setting {
                value,
                origin: Origin::Default,
            }
        }
        Settings {
            socket: setting(None),
            log_file: setting(None),
            log_format: setting(LogFormat::Text),
            log_level: setting(LogLevel::Info),
            metrics_listen: setting(None),
            panic_budget: setting(PanicBudget::default()),
            drain_timeout: setting(DRAIN_TIMEOUT),
            background: setting(Background::Keep),
            policy: setting(None),
            builtins: setting(None),
            job_memory_max: setting(None),
            job_processes_max: setting(None),
            otlp: setting(None),
        }
    }
}

impl Settings {
    fn read(&mut self, path: &Path) -> Result<(), SettingsError> {
        let bytes = read_regular(path, FILE_BYTES_MAX).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(SettingsError::TooLong {
                path: path.to_owned(),
            });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            SettingsError::Read {
                path: path.to_owned(),
                source: io::Error::other(format!("byte {at} begins no character")),
            }
        })?;
        self.merge(path, &text)
    }

    fn merge(&mut self, path: &Path, text: &str) -> Result<(), SettingsError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|error| {
            let message = error.message().replace('\n', ", ");
            source.invalid(error.span().unwrap_or(0..0), message)
        })?;
        source.put_path(&mut self.socket, file.socket);
        source.put_path(&mut self.log_file, file.log_file);
        source.put_path(&mut self.policy, file.policy);
        source.put_path(&mut self.builtins, file.builtins);
        source.put(&mut self.log_format, file.log_format, value::word)?;
        source.put(&mut self.log_level, file.log_level, value::word)?;
        source.put(&mut self.metrics_listen, file.metrics_listen, |text| {
            Ok(Some(MetricsAddress::parse(text)?.below(source.base())))
        })?;
        source.put(&mut self.panic_budget, file.panic_budget, |text| {
            text.parse()
        })?;
        source.put(&mut self.drain_timeout, file.drain_timeout, duration)?;
        source.put(&mut self.background, file.background, value::word)?;
        source.put(&mut self.job_memory_max, file.job_memory_max, |text| {
            memory(text).map(Some)
        })?;
        source.put_read(
            &mut self.job_processes_max,
            file.job_processes_max,
            |count| value::enough_processes(count).map(Some),
        )?;
        source.put(&mut self.otlp, file.otlp, |text| {
            Collector::parse(text).map(Some)
        })
    }

    /// What the programs of one job may use together.
    pub(crate) fn job_limits(&self) -> JobLimits {
        JobLimits {
            memory_bytes: self.job_memory_max.value,
            processes: self.job_processes_max.value,
        }
    }

    fn take(&mut self, flags: Flags) {
        fn put<T>(slot: &mut Setting<T>, flag: Option<T>) {
            if let Some(value) = flag {
                let origin = Origin::Flag;
                *slot = Setting { value, origin };
            }
        }
        put(&mut self.socket, flags.socket.map(Some));
        put(&mut self.log_file, flags.log_file.map(Some));
        put(&mut self.log_format, flags.log_format);
        put(&mut self.log_level, flags.log_level);
        put(&mut self.metrics_listen, flags.metrics_listen.map(Some));
        put(&mut self.panic_budget, flags.panic_budget);
        put(&mut self.drain_timeout, flags.drain_timeout);
        put(&mut self.background, flags.background);
        put(&mut self.policy, flags.policy.map(Some));
        put(&mut self.builtins, flags.builtins.map(Some));
        put(&mut self.job_memory_max, flags.job_memory_max.map(Some));
        put(
            &mut self.job_processes_max,
            flags.job_processes_max.map(Some),
        );
        put(&mut self.otlp, flags.otlp.map(Some));
    }
}

/// A file that is being read.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    fn invalid(self, span: Range<usize>, message: String) -> SettingsError {
        let (line, column) = place(self.text, span.start);
        SettingsError::Invalid {
            path: self.path.to_owned(),
            line,
            column,
            message,
        }
    }

    /// Relative paths are relative to the file that names them: a daemon is started from anywhere.
    fn base(self) -> &'a Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn setting<T>(self, value: T, span: Range<usize>) -> Setting<T> {
        let origin = Origin::File {
            path: self.path.to_owned(),
            line: place(self.text, span.start).0,
        };
        Setting { value, origin }
    }

    fn put_path(self, slot: &mut Setting<Option<PathBuf>>, given: Option<Spanned<PathBuf>>) {
        if let Some(given) = given {
            let span = given.span();
            *slot = self.setting(Some(self.base().join(given.into_inner())), span);
        }
    }

    fn put<T>(
        self,
        slot: &mut Setting<T>,
        given: Option<Spanned<String>>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), SettingsError> {
        self.put_read(slot, given, |text: String| read(&text))
    }

    fn put_read<G, T>(
        self,
        slot: &mut Setting<T>,
        given: Option<Spanned<G>>,
        read: impl FnOnce(G) -> Result<T, String>,
    ) -> Result<(), SettingsError> {
        let Some(given) = given else { return Ok(()) };
        let span = given.span();
        let value = read(given.into_inner()).map_err(|fault| self.invalid(span.clone(), fault))?;
        *slot = self.setting(value, span);
        Ok(())
    }
}

/// Line and column of a byte, counted from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|letter| *letter != '\n')
        .count()
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (number, text) in texts.iter().enumerate() {
            let path = format!("/etc/stephost/{number}.toml");
            let merged = settings.merge(Path::new(&path), text);
            merged.map_err(|error| error.to_string())?;
        }
        Ok(settings)
    }

    #[test]
    fn the_last_word_counts_and_is_remembered() {
        let mut settings = merged(&[
            "# the daemon\nsocket = \"/run/a\"\ndrain-timeout = \"1h30m\"\n",
            "socket = \"run/b\"",
        ])
        .unwrap();
        assert_eq!(
            settings.socket.value,
            Some(PathBuf::from("/etc/stephost/run/b")),
            "relative to its file"
        );
        assert_eq!(
            settings.socket.origin.to_string(),
            "\"/etc/stephost/1.toml\" line 1"
        );
        assert_eq!(settings.drain_timeout.value, Duration::from_secs(5400));
        assert_eq!(
            settings.drain_timeout.origin.to_string(),
            "\"/etc/stephost/0.toml\" line 3"
        );
        assert_eq!(settings.policy.origin, Origin::Default);
        settings.take(Flags {
            socket: Some("/run/c".into()),
            ..Flags::default()
        });
        assert_eq!(settings.socket.value, Some(PathBuf::from("/run/c")));
        assert_eq!(settings.socket.origin, Origin::Flag);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let table = [
            ("sokcet = \"/a\"", "0.toml:1:1: unknown field `sokcet`"),
            ("\n\nsocket = 7", "0.toml:3:10: invalid type"),
            (
                "socket = \"a\"\nsocket = \"b\"",
                "0.toml:2:1: duplicate key",
            ),
            (
                "drain-timeout = \"soon\"",
                "0.toml:1:17: use a duration like 90s or 10m",
            ),
            (
                "drain-timeout = \"-3s\"",
                "0.toml:1:17: a duration cannot be negative",
            ),
            (
                "background = \"detach\"",
                "0.toml:1:14: use \"keep\" or \"kill\"",
            ),
            (
                "log-format = \"xml\"",
                "0.toml:1:14: use \"text\" or \"json\"",
            ),
            (
                "log-level = \"loud\"",
                "0.toml:1:13: use \"error\", \"warn\", \"info\" or \"debug\"",
            ),
            (
                "metrics-listen = \"0.0.0.0:9464\"",
                "0.toml:1:18: 0.0.0.0 can be reached from other machines",
            ),
            (
                "panic-budget = \"5\"",
                "0.toml:1:16: use a number and a duration like 5/10m, or off",
            ),
            ("socket = ", "0.toml:1:"),
            ("job-memory-max = 64", "0.toml:1:18: invalid type"),
            (
                "job-memory-max = \"64\"",
                "0.toml:1:18: must be a size with its unit",
            ),
            (
                "job-memory-max = \"1 KiB\"",
                "0.toml:1:18: no job runs with less than 1 MiB",
            ),
            (
                "job-processes-max = 0",
                "0.toml:1:21: a job needs at least one process",
            ),
            ("job-processes-max = -1", "0.toml:1:21: invalid value"),
            ("otlp = \"localhost:4317\"", "0.toml:1:8: use http://"),
            (
                "job-processes-max = 5000000",
                "0.toml:1:21: a machine has at most",
            ),
        ];
        for (text, words) in table {
            let error = merged(&[text]).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn files_count_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(files_in(dir.path()).unwrap(), Vec::<PathBuf>::new());
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        for file in [
            "conf.d/20.toml",
            "config.toml",
            "conf.d/10.toml",
            "conf.d/README",
        ] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let expected = ["config.toml", "conf.d/10.toml", "conf.d/20.toml"];
        assert_eq!(
            files_in(dir.path()).unwrap(),
            expected.map(|file| dir.path().join(file))
        );
    }
}
