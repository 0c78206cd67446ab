//! What this program brings along and where it would work: socket, temporary files, policy, shells, sandbox.

use std::ffi::OsStr;

use stephost_sandbox::{SandboxConfig, Slots};

use super::machine::address_space_limits;
use super::{Check, told};
use crate::config::{self, BuiltinsError, LoadedPolicy, OwnBuiltin, PolicyFileError};
use crate::server::listen::{self, Occupant};

/// Jobs work in temporary files.
pub(super) fn temporary_files() -> Check {
    let name = "temp-dir";
    let dir = config::temp_dir();
    match tempfile::tempfile_in(&dir) {
        Ok(_) => Check::ok(name, format!("{} can be written", dir.display())),
        Err(error) => Check::fail(
            name,
            format!("{} cannot be written: {error}", dir.display()),
            "set TMPDIR to a directory that can",
        ),
    }
}

/// Where a host would listen.
pub(super) fn socket() -> Check {
    let name = "socket";
    match listen::look() {
        Ok((path, occupant)) => {
            let path = path.display();
            Check::ok(
                name,
                match occupant {
                    Occupant::None => format!("{path} is free"),
                    Occupant::Dead => {
                        format!("{path} is left from a host that is gone, and will be replaced")
                    }
                    Occupant::Alive => format!("a host listens at {path} already"),
                },
            )
        }
        Err(error) => Check::fail(
            name,
            told(&error),
            "remove what is in the way, or name another place (steps serve --socket)",
        ),
    }
}

/// Which policy is in force.
pub(super) fn policy(policy: &Result<LoadedPolicy, PolicyFileError>) -> Check {
    let name = "policy";
    match policy {
        Ok(LoadedPolicy { policy, file }) => {
            let origin = match file {
                Some(file) => format!("from {}", file.display()),
                None => "shipped with this program".to_owned(),
            };
            let digest = policy.digest();
            Check::ok(
                name,
                format!("{:?}, {origin}, sha256:{digest}", policy.name()),
            )
        }
        Err(error) => Check::fail(
            name,
            told(error),
            "see what is wrong with it: stephost policy check FILE",
        ),
    }
}

/// Which builtins lie beside the program.
pub(super) fn own_builtins(own: &Result<Vec<OwnBuiltin>, BuiltinsError>) -> Check {
    let name = "own-builtins";
    match own {
        Ok(own) if own.is_empty() => Check::ok(name, "none beside this program"),
        Ok(own) => {
            let names: Vec<&str> = own.iter().map(|builtin| &*builtin.name).collect();
            Check::ok(name, names.join(", "))
        }
        Err(error) => Check::fail(name, told(error), "mend the directory beside this program"),
    }
}

/// What scripts run in.
pub(super) fn shells() -> Check {
    let name = "shell";
    let found = ["bash", "sh"]
        .into_iter()
        .find_map(|shell| stephost_process::which(OsStr::new(shell), None));
    match found {
        Some(shell) => Check::ok(name, format!("scripts run in {}", shell.display())),
        None => Check::warn(
            name,
            "neither bash nor sh is on PATH, so `script` steps need a PATH of their own",
            "install a shell, or set PATH",
        ),
    }
}

/// What the sandbox has here.
pub(super) fn sandbox(reserved: Slots) -> [Check; 2] {
    let slots = SandboxConfig::default().slots_max;
    let address_space = match reserved {
        Slots::Reserved => Check::ok(
            "address-space",
            format!("enough for all {slots} slots of the sandbox"),
        ),
        Slots::OnDemand => Check::warn(
            "address-space",
            format!(
                "too little to reserve {slots} slots of the sandbox ({}): every guest reserves its own, and builtins are \
                 compiled on first use",
                address_space_limits()
            ),
            "raise the limit (ulimit -v unlimited), or let memory be overcommitted",
        ),
    };
    let builtins: Vec<&str> = stephost_builtins::shipped()
        .iter()
        .map(|shipped| shipped.name)
        .collect();
    let precompiled = stephost_builtins::shipped()
        .iter()
        .all(|shipped| shipped.code().is_some());
    let sandbox = Check::ok(
        "sandbox",
        format!(
            "wasmtime {}: limits of memory, time and tables, a kill that nothing ignores, a fresh instance for each step; \
             {} ({})",
            env!("STEPHOST_BUILT_WASMTIME"),
            builtins.join(", "),
            if precompiled {
                "precompiled"
            } else {
                "compiled on first use"
            }
        ),
    );
    [address_space, sandbox]
}
