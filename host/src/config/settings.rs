//! Settings of the operator's own daemon, `stephost serve`: defaults, then files, then flags; the last word counts.
//!
//! Files are `/etc/stephost/config.toml` and `/etc/stephost/conf.d/*.toml` in the order of their names, or the one that
//! a flag names, alone; on Windows the directory is `%ProgramData%\\stephost`. A key that nobody knows keeps the daemon from starting: somebody meant something by it. Every
//! value remembers where it came from. Under `stephost steps` nothing of this is read (design D11).

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stephost_policy::Amount;
use stephost_process::JobLimits;
use toml::Spanned;

use super::companion::read_regular;
use super::places::settings_dir;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// How long a drain waits for running jobs, unless told otherwise.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// With less, not even a shell starts.
const MEMORY_BYTES_MIN: u64 = 1 << 20;

/// The kernel counts no further (`PID_MAX_LIMIT`).
const PROCESSES_MAX: u64 = 4 << 20;

/// All settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where the daemon listens; without one, where `steps` does.
    pub(crate) socket: Setting<Option<PathBuf>>,
    /// Where its log goes; without one, to stderr.
    pub(crate) log_file: Setting<Option<PathBuf>>,
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
}

/// What becomes of processes that outlive their step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Background {
    /// They live until their job is over: a later step may use them.
    Keep,
    /// They are killed when their step is over.
    Kill,
}

impl Background {
    /// As it stands in a file and in a flag.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Background::Keep => "keep",
            Background::Kill => "kill",
        }
    }

    fn parse(text: &str) -> Result<Background, String> {
        [Background::Keep, Background::Kill]
            .into_iter()
            .find(|background| background.as_str() == text)
            .ok_or_else(|| "use \"keep\" or \"kill\"".to_owned())
    }
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
    pub(crate) drain_timeout: Option<Duration>,
    pub(crate) background: Option<Background>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) builtins: Option<PathBuf>,
    pub(crate) job_memory_max: Option<u64>,
    pub(crate) job_processes_max: Option<u64>,
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
    drain_timeout: Option<Spanned<String>>,
    background: Option<Spanned<String>>,
    policy: Option<Spanned<PathBuf>>,
    builtins: Option<Spanned<PathBuf>>,
    job_memory_max: Option<Spanned<String>>,
    job_processes_max: Option<Spanned<u64>>,
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
            drain_timeout: setting(DRAIN_TIMEOUT),
            background: setting(Background::Keep),
            policy: setting(None),
            builtins: setting(None),
            job_memory_max: setting(None),
            job_processes_max: setting(None),
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
        let invalid = |span: Range<usize>, message: String| {
            let (line, column) = place(text, span.start);
            SettingsError::Invalid {
                path: path.to_owned(),
                line,
                column,
                message,
            }
        };
        let file: File = toml::from_str(text).map_err(|error| {
            let message = error.message().replace('\n', ", ");
            invalid(error.span().unwrap_or(0..0), message)
        })?;
        let origin = |span: Range<usize>| Origin::File {
            path: path.to_owned(),
            line: place(text, span.start).0,
        };
        // Relative paths are relative to the file that names them: a daemon is started from anywhere.
        let base = path.parent().unwrap_or(Path::new("/"));
        let put = |slot: &mut Setting<Option<PathBuf>>, given: Option<Spanned<PathBuf>>| {
            if let Some(given) = given {
                slot.origin = origin(given.span());
                slot.value = Some(base.join(given.into_inner()));
            }
        };
        put(&mut self.socket, file.socket);
        put(&mut self.log_file, file.log_file);
        put(&mut self.policy, file.policy);
        put(&mut self.builtins, file.builtins);
        if let Some(given) = file.drain_timeout {
            let span = given.span();
            let value = duration(given.get_ref()).map_err(|fault| invalid(span.clone(), fault))?;
            self.drain_timeout = Setting {
                value,
                origin: origin(span),
            };
        }
        if let Some(given) = file.background {
            let span = given.span();
            let value =
                Background::parse(given.get_ref()).map_err(|fault| invalid(span.clone(), fault))?;
            self.background = Setting {
                value,
                origin: origin(span),
            };
        }
        if let Some(given) = file.job_memory_max {
            let span = given.span();
            let value = memory(given.get_ref()).map_err(|fault| invalid(span.clone(), fault))?;
            self.job_memory_max = Setting {
                value: Some(value),
                origin: origin(span),
            };
        }
        if let Some(given) = file.job_processes_max {
            let span = given.span();
            let value = enough_processes(given.into_inner())
                .map_err(|fault| invalid(span.clone(), fault))?;
            self.job_processes_max = Setting {
                value: Some(value),
                origin: origin(span),
            };
        }
        Ok(())
    }

    /// What the programs of one job may use together.
    pub(crate) fn job_limits(&self) -> JobLimits {
        JobLimits {
            memory_bytes: self.job_memory_max.value,
            processes: self.job_processes_max.value,
        }
    }

    fn take(&mut self, flags: Flags) {
        let put = |slot: &mut Setting<Option<PathBuf>>, flag: Option<PathBuf>| {
            if flag.is_some() {
                slot.value = flag;
                slot.origin = Origin::Flag;
            }
        };
        put(&mut self.socket, flags.socket);
        put(&mut self.log_file, flags.log_file);
        put(&mut self.policy, flags.policy);
        put(&mut self.builtins, flags.builtins);
        let put = |slot: &mut Setting<Option<u64>>, flag: Option<u64>| {
            if flag.is_some() {
                slot.value = flag;
                slot.origin = Origin::Flag;
            }
        };
        put(&mut self.job_memory_max, flags.job_memory_max);
        put(&mut self.job_processes_max, flags.job_processes_max);
        if let Some(value) = flags.drain_timeout {
            self.drain_timeout = Setting {
                value,
                origin: Origin::Flag,
            };
        }
        if let Some(value) = flags.background {
            self.background = Setting {
                value,
                origin: Origin::Flag,
            };
        }
    }
}

/// Reads `90s`, `10m`, `1h30m`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "use a duration like 90s or 10m".to_owned())?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Reads `512 MiB`, `2GiB`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    match Amount::bytes(text)? {
        bytes if bytes < MEMORY_BYTES_MIN => Err(format!(
            "no job runs with less than {}",
            Amount::Bytes(MEMORY_BYTES_MIN)
        )),
        bytes => Ok(bytes),
    }
}

/// Reads a number of processes.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn processes(text: &str) -> Result<u64, String> {
    let count = text.parse();
    enough_processes(count.map_err(|_| "must be a whole number".to_owned())?)
}

fn enough_processes(count: u64) -> Result<u64, String> {
    match count {
        0 => Err("a job needs at least one process".to_owned()),
        1..=PROCESSES_MAX => Ok(count),
        _ => Err(format!("a machine has at most {PROCESSES_MAX} processes")),
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
