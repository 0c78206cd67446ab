//! What the host takes from its surroundings; the only reader of the environment, but for what systemd says to the
//! daemon.
//!
//! Under `stephost steps …` the host runs inside the job's image, so nothing there configures it (design
//! D11). What is read, and only this: TMPDIR (where temporary files and the default socket go), the
//! variables that steps inherit, TERM (whether to draw progress for a person), the two that a runner uses to talk to
//! its step host (contract 7.5). The policy of builtins and an operator's own ones lie beside the program
//! ([`mod@policy`], [`builtins`]). The daemon has [`mod@settings`] beyond that.

mod builtins;
mod companion;
#[cfg_attr(windows, path = "config/places/windows.rs")]
mod places;
mod policy;
mod settings;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine as _;

pub(crate) use builtins::{BuiltinsError, OwnBuiltin, builtins_in, component_file, own_builtins};
pub(crate) use companion::{companion, read_regular};
pub(crate) use places::default_socket;
#[cfg(windows)]
pub(crate) use places::own_user;
pub(crate) use policy::{LoadedPolicy, PolicyFileError, policy, policy_file};
pub(crate) use settings::{
    Background, Flags, MetricsAddress, Origin, Setting, Settings, duration, memory, processes,
    settings, word_of,
};

/// Where a runner puts arguments that an image's entrypoint would have dropped (contract 7.2).
pub(crate) const RECOVERED_ARGUMENTS: &str = "_GITLAB_RUNNER_HELPER_NATIVE_STEPS_ARGV";
/// Where steps find the socket of their host (contract 7.5).
pub(crate) const SOCKET: &str = "STEP_RUNNER_SOCKET";
/// Names of job variables that leaked into the host's environment; steps must not inherit them.
const JOB_VARIABLE_NAMES: &str = "RUNNER_JOB_VAR_NAMES";
/// How systemd and a daemon talk: a step that had them could speak for the daemon.
const BETWEEN_SYSTEMD_AND_US: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];
/// Largest list of such names in bytes, unpacked.
const JOB_VARIABLE_NAMES_BYTES_MAX: u64 = 4 << 20;

static SOCKET_PATH: OnceLock<PathBuf> = OnceLock::new();
static ENVIRONMENT: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Directory for temporary files: TMPDIR, else `/tmp`. Absolute.
pub(crate) fn temp_dir() -> PathBuf {
    let dir = std::env::temp_dir();
    std::path::absolute(&dir).unwrap_or(dir)
}

/// Tells the steps of this process where their host listens. The first call counts.
pub(crate) fn announce_socket(path: &Path) {
    // A second server in one process does not exist; if it did, its steps would dial the first.
    let _ = SOCKET_PATH.set(path.to_owned());
}

/// The environment that steps inherit, without what is between runner and host.
pub(crate) fn host_environment() -> BTreeMap<String, String> {
    let mut environment = ENVIRONMENT.get_or_init(inherited).clone();
    if let Some(path) = SOCKET_PATH.get() {
        environment.insert(SOCKET.to_owned(), path.to_string_lossy().into_owned());
    }
    environment
}

fn inherited() -> BTreeMap<String, String> {
    // Not every variable is UTF-8, but the expression language knows no other text.
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| {
            (
                places::variable_name(&name),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    environment.remove(RECOVERED_ARGUMENTS);
    for name in BETWEEN_SYSTEMD_AND_US {
        environment.remove(name);
    }
    if let Some(packed) = environment.remove(JOB_VARIABLE_NAMES) {
        for name in unpacked_names(&packed) {
            environment.remove(&name);
        }
    }
    environment
}

/// Names out of a gzip-compressed, base64-coded list separated by `;`. A list that is none has no names:
/// it comes from the job's surroundings and must not keep a job from running.
fn unpacked_names(packed: &str) -> Vec<String> {
    let Ok(compressed) = base64::engine::general_purpose::STANDARD.decode(packed.trim()) else {
        return Vec::new();
    };
    let mut list = String::new();
    let unpacked = flate2::read::GzDecoder::new(compressed.as_slice())
        .take(JOB_VARIABLE_NAMES_BYTES_MAX)
        .read_to_string(&mut list);
    if unpacked.is_err() {
        return Vec::new();
    }
    list.split(';')
        .map(str::to_owned)
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether the terminal has no way to take a line back. Changes what a person sees, and nothing else.
pub(crate) fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// The recovered arguments, as they stand in the environment.
pub(crate) fn recovered_arguments() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the only reader of the environment"
    )]
    std::env::var(RECOVERED_ARGUMENTS).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn packed_names_are_unpacked_and_nonsense_has_none() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"SECRET;;TOKEN").unwrap();
        let packed = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
        assert_eq!(unpacked_names(&packed), ["SECRET", "TOKEN"]);
        assert!(unpacked_names("!").is_empty());
        assert!(unpacked_names("AAAA").is_empty());
    }
}
