//! The tests of native steps and of the host on Windows, under Wine: built with mingw, run in a Windows of their own below the target directory.
//!
//! Promises: installs Debian's packages only when that was asked for; whatever is missing or does not work is said aloud and is no
//! failure, but a test that fails is one, and so is one that hangs. Nothing outside the target directory is written otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use super::WINDOWS;
use crate::cargo::{cargo, ensure_target, target_dir};
use crate::programs::{self, answers, run};

const COMPILER: &str = "x86_64-w64-mingw32-gcc";
const PACKAGES: [&str; 3] = ["gcc-mingw-w64-x86-64-win32", "wine", "wine64"];
/// How long the making of a Windows and all tests may take, in seconds: past that they hang.
const PREFIX_SECONDS: &str = "120";
const TESTS_SECONDS: &str = "300";

/// What Rust's library asks for random numbers, which Wine lacks before version 8.13.
const RANDOM_LIBRARY: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = r"#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) {
  while (count) {
    ULONG part = count > 0x10000000 ? 0x10000000 : (ULONG)count;
    if (!SystemFunction036(bytes, part)) return FALSE;
    bytes += part;
    count -= part;
  }
  return TRUE;
}
";

/// Runs the tests; with `install`, what they need is installed first. Returns whether they could be run.
pub(crate) fn test(install: bool) -> anyhow::Result<bool> {
    let prefix = target_dir().join("wine");
    if let Err(reason) = prepare(&prefix, install) {
        println!("SKIPPED: the tests on Windows are not run: {reason}");
        return Ok(false);
    }
    let environment = environment(&prefix);
    let environment: Vec<(&str, &Path)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_path()))
        .collect();
    cargo(
        &[
            "test",
            "--target",
            WINDOWS,
            "-p",
            "stephost-process",
            "--lib",
            "--test",
            "windows",
        ],
        &environment,
    )?;
    cargo(
        &["build", "--target", WINDOWS, "-p", "stephost"],
        &environment,
    )?;
    let host = target_dir().join(WINDOWS).join("debug/stephost.exe");
    let environment = [&environment[..], &[("STEPHOST_BIN", host.as_path())]].concat();
    let tests = ["test", "--target", WINDOWS, "-p", "stephost-tests-windows"];
    cargo(&tests, &environment)?;
    println!("NOT RUN: what only a real Windows can show; docs/windows.md lists it");
    Ok(true)
}

/// What cargo needs to build for Windows and to run that in the Windows at `prefix`.
pub(crate) fn environment(prefix: &Path) -> [(&'static str, PathBuf); 5] {
    let run = format!("timeout {TESTS_SECONDS} wine");
    [
        ("WINEPREFIX", prefix.to_owned()),
        ("WINEDEBUG", "-all".into()),
        ("WINEDLLOVERRIDES", "mscoree=;mshtml=".into()),
        ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", COMPILER.into()),
        ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", run.into()),
    ]
}

/// Sees to everything that the tests need, a Windows at `prefix` too; otherwise returns what is missing.
pub(crate) fn prepare(prefix: &Path, install: bool) -> Result<(), String> {
    let missing = || -> Vec<&str> {
        let tools = [COMPILER, "wine"].into_iter();
        tools.filter(|tool| !answers(tool, "--version")).collect()
    };
    if install && !missing().is_empty() {
        programs::install(&PACKAGES)?;
    }
    let missing = missing();
    if !missing.is_empty() {
        return Err(format!(
            "there is no {}; `cargo xtask test --windows --install` installs Debian's {}",
            missing.join(" and no "),
            PACKAGES.join(", ")
        ));
    }
    ensure_target(WINDOWS).map_err(|error| format!("{error:#}"))?;
    make_windows(prefix)
}

/// Waits until nobody serves the Windows at `prefix`. A server knows the processes of its own pid namespace and no others.
pub(crate) fn settle(prefix: &Path) -> Result<(), String> {
    let wine = [("WINEPREFIX", prefix)];
    let over = ["wineserver", "-w"];
    run("waiting for Wine's server", PREFIX_SECONDS, &over, &wine)
}

/// Whether programs for Windows can be compiled here.
pub(super) fn has_compiler() -> bool {
    answers(COMPILER, "--version")
}

/// Makes a Windows, once.
fn make_windows(prefix: &Path) -> Result<(), String> {
    let system = prefix.join("drive_c/windows/system32");
    if !prefix.join("system.reg").is_file() || !system.is_dir() {
        let wine = [
            ("WINEPREFIX", prefix),
            ("WINEDEBUG", Path::new("-all")),
            ("WINEDLLOVERRIDES", Path::new("mscoree=;mshtml=")),
        ];
        let boot = ["wine", "wineboot", "-i"];
        run("making a Windows for Wine", PREFIX_SECONDS, &boot, &wine)?;
    }
    let library = system.join(RANDOM_LIBRARY);
    if library.is_file() {
        return Ok(());
    }
    let source = prefix.join("bcryptprimitives.c");
    fs::write(&source, RANDOM_SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
    let (source, library) = (source.to_string_lossy(), library.to_string_lossy());
    let compile = [
        COMPILER,
        "-shared",
        "-O2",
        "-s",
        "-o",
        &library,
        &source,
        "-ladvapi32",
    ];
    run("compiling what Wine lacks", PREFIX_SECONDS, &compile, &[])
}
