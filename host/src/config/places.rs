//! Where things are on Unix when nobody says it, and how the names of variables are read; on Windows `places/windows.rs` has the same names.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::temp_dir;

/// The socket that `serve` and `proxy` use when nobody names one: in a directory of ours, one per user.
pub(crate) fn default_socket() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    temp_dir()
        .join(format!("stephost-{user}"))
        .join("steps.sock")
}

/// Where the daemon's files are unless a flag names one.
pub(super) fn settings_dir() -> PathBuf {
    PathBuf::from("/etc/stephost")
}

/// The name of an inherited variable, as expressions know it.
pub(super) fn variable_name(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
