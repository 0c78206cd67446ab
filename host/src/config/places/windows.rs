//! Where things are on Windows when nobody says it, and how the names of variables are read; `places.rs` says what for.

mod sys;

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use stephost_proto::connect::PIPE_PREFIX;

pub(crate) use sys::own_user;

/// The pipe that `serve` and `proxy` use when nobody names one: one per user, whose number nobody else has.
pub(crate) fn default_socket() -> PathBuf {
    // Without a number nobody listens either; `listen` says why there is none.
    let user = own_user().unwrap_or_else(|_| "unknown".to_owned());
    PathBuf::from(format!("{PIPE_PREFIX}stephost-{user}"))
}

/// Where the daemon's files are unless a flag names one.
pub(super) fn settings_dir() -> PathBuf {
    let data = env::var_os("ProgramData").map_or_else(|| r"C:\ProgramData".into(), PathBuf::from);
    data.join("stephost")
}

/// The name of an inherited variable, as expressions know it: in capitals. To Windows `Path` and `PATH` are one, and a step that sets one
/// must not find the other in its way.
pub(super) fn variable_name(name: &OsStr) -> String {
    name.to_string_lossy().to_uppercase()
}
