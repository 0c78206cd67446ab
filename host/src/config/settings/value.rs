//! What a value of a setting may be, as it stands in a file and in a flag.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use stephost_policy::Amount;

/// With less, not even a shell starts.
const MEMORY_BYTES_MIN: u64 = 1 << 20;

/// The kernel counts no further (`PID_MAX_LIMIT`).
const PROCESSES_MAX: u64 = 4 << 20;

/// What a metrics address of the file system begins with.
const UNIX: &str = "unix:";

/// What becomes of processes that outlive their step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Background {
    /// They live until their job is over: a later step may use them.
    Keep,
    /// They are killed when their step is over.
    Kill,
}

/// Where the host's figures can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricsAddress {
    /// A port that only this machine reaches.
    Loopback(SocketAddr),
    /// A socket that only this user reaches.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// Reads `127.0.0.1:9464`, `[::1]:9464`, `unix:/run/metrics.sock`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<MetricsAddress, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path {
                "" => Err("a path has to follow unix:".to_owned()),
                path => Ok(MetricsAddress::Unix(path.into())),
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| "use 127.0.0.1:PORT, [::1]:PORT or unix:PATH".to_owned())?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "{} can be reached from other machines, and there is no password; use 127.0.0.1:{port}, [::1]:{port} \
                 or unix:PATH, and a proxy that asks who is there",
                address.ip(),
                port = address.port(),
            ));
        }
        Ok(MetricsAddress::Loopback(address))
    }

    /// The same with a path that is relative to `base`.
    pub(super) fn below(self, base: &Path) -> MetricsAddress {
        match self {
            MetricsAddress::Unix(path) => MetricsAddress::Unix(base.join(path)),
            MetricsAddress::Loopback(address) => MetricsAddress::Loopback(address),
        }
    }
}

impl std::fmt::Display for MetricsAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MetricsAddress::Loopback(address) => write!(formatter, "{address}"),
            MetricsAddress::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
        }
    }
}

/// Reads one of the words that there are for a value.
pub(super) fn word<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .map(|variant| format!("{:?}", word_of(variant)))
            .collect();
        match words.split_last() {
            Some((last, others)) if !others.is_empty() => {
                format!("use {} or {last}", others.join(", "))
            }
            Some(_) | None => format!("use {}", words.join("")),
        }
    })
}

/// The word for a value.
pub(crate) fn word_of<T: ValueEnum>(value: &T) -> String {
    let word = value.to_possible_value();
    word.map_or_else(String::new, |word| word.get_name().to_owned())
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

pub(super) fn enough_processes(count: u64) -> Result<u64, String> {
    match count {
        0 => Err("a job needs at least one process".to_owned()),
        1..=PROCESSES_MAX => Ok(count),
        _ => Err(format!("a machine has at most {PROCESSES_MAX} processes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_on_this_machine_alone() {
        let fine = [
            "127.0.0.1:9464",
            "127.9.9.9:1",
            "[::1]:0",
            "unix:/run/m",
            "unix:m",
        ];
        for text in fine {
            let address = MetricsAddress::parse(text).expect(text);
            assert_eq!(address.to_string(), text);
        }
        let refused = [
            ("0.0.0.0:9464", "can be reached from other machines"),
            ("10.0.0.1:9464", "use 127.0.0.1:9464"),
            ("[::]:9464", "can be reached from other machines"),
            (
                "[::ffff:127.0.0.1]:9464",
                "can be reached from other machines",
            ),
            ("localhost:9464", "use 127.0.0.1:PORT"),
            (":9464", "use 127.0.0.1:PORT"),
            ("9464", "use 127.0.0.1:PORT"),
            ("unix:", "a path has to follow"),
        ];
        for (text, words) in refused {
            let error = MetricsAddress::parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_relative_socket_is_relative_to_its_file() {
        let parsed = MetricsAddress::parse("unix:m").unwrap();
        let expected = MetricsAddress::Unix("/etc/stephost/m".into());
        assert_eq!(parsed.below(Path::new("/etc/stephost")), expected);
    }
}
