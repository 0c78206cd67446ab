//! The client in Python: an environment of its own with grpcio, and the code for the wire generated into it.

use std::path::PathBuf;
use std::process::Command;

use super::{PREPARE_SECONDS, Place};
use crate::cargo::root;
use crate::programs::{answers, install, run};

const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Makes the environment; returns its interpreter, which finds everything that the client imports.
pub(super) fn prepare(place: &Place, may_install: bool) -> Result<PathBuf, String> {
    let is_there = || answers("python3", "--version") && has("venv") && has("ensurepip");
    if may_install && !is_there() {
        install(&PACKAGES)?;
    }
    if !is_there() {
        return Err(format!(
            "there is no Python 3 with venv; `cargo xtask clients --install` installs Debian's {}",
            PACKAGES.join(", ")
        ));
    }
    let environment = place.target.join("environment");
    let python = environment.join("bin").join("python");
    place.make_once(
        &asked("python3", "import sys; print(sys.version, sys.executable)")?,
        || {
            let step = |what: &str, program: &[&str]| run(what, PREPARE_SECONDS, program, &[]);
            let (into, python) = (environment.to_string_lossy(), python.to_string_lossy());
            step("making an environment", &["python3", "-m", "venv", &into])?;
            let requirements = place.sources.join("requirements.txt");
            step(
                "installing grpcio",
                &[
                    &python,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-input",
                    "--disable-pip-version-check",
                    "--only-binary=:all:",
                    "--requirement",
                    &requirements.to_string_lossy(),
                ],
            )?;
            let proto = root().join("proto");
            let packages = asked(
                &python,
                "import sysconfig; print(sysconfig.get_path('purelib'))",
            )?;
            step(
                "generating Python code",
                &[
                    &python,
                    "-m",
                    "grpc_tools.protoc",
                    "-I",
                    &proto.to_string_lossy(),
                    &format!("--python_out={packages}"),
                    &format!("--grpc_python_out={packages}"),
                    "step_runner.proto",
                ],
            )
        },
    )?;
    Ok(python)
}

/// Whether the Python that is there has a module.
fn has(module: &str) -> bool {
    asked("python3", &format!("import {module}")).is_ok()
}

/// What a Python prints for a program.
fn asked(python: &str, program: &str) -> Result<String, String> {
    let output = Command::new(python).args(["-c", program]).output();
    let output = output.map_err(|error| format!("starting {python}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{python} -c {program:?} failed"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
