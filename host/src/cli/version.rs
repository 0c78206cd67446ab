//! `version`: which program this is, in a line for people and as JSON for programs.

use serde::Serialize;

use super::exit::{self, Failure};
use super::print;

/// Set where releases are built; a checkout in between has no name.
const COMMIT: Option<&str> = option_env!("STEPHOST_COMMIT");

#[derive(Serialize)]
struct Version {
    schema: &'static str,
    version: &'static str,
    commit: Option<&'static str>,
    target: &'static str,
    rustc: &'static str,
    wasmtime: &'static str,
    builtins: Vec<Builtin>,
}

#[derive(Serialize)]
struct Builtin {
    name: &'static str,
    /// Whether its machine code is in this program already.
    precompiled: bool,
}

/// Prints the version.
pub(super) fn version(json: bool) -> Result<u8, Failure> {
    let version = Version {
        schema: "stephost.version/1",
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        target: env!("STEPHOST_BUILT_TARGET"),
        rustc: env!("STEPHOST_BUILT_RUSTC"),
        wasmtime: env!("STEPHOST_BUILT_WASMTIME"),
        builtins: stephost_builtins::shipped()
            .iter()
            .map(|shipped| Builtin {
                name: shipped.name,
                precompiled: shipped.code().is_some(),
            })
            .collect(),
    };
    if json {
        super::print_json(&version)?;
    } else {
        print(&format!(
            "stephost {} ({})\n",
            version.version, version.target
        ))?;
    }
    Ok(exit::FINE)
}
