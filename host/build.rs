//! Notes what the program is built for and with, which `version` tells.

use std::error::Error;
use std::process::Command;

const LOCK: &str = "../Cargo.lock";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LOCK}");
    let target = std::env::var_os("TARGET").ok_or("cargo sets TARGET")?;
    let rustc = Command::new(std::env::var_os("RUSTC").ok_or("cargo sets RUSTC")?)
        .arg("--version")
        .output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let lock = std::fs::read_to_string(LOCK)?;
    let wasmtime = locked(&lock, "wasmtime").ok_or("the lock file knows no wasmtime")?;
    for (name, value) in [
        ("TARGET", &*target.to_string_lossy()),
        ("RUSTC", rustc.trim()),
        ("WASMTIME", wasmtime),
    ] {
        println!("cargo::rustc-env=STEPHOST_BUILT_{name}={value}");
    }
    Ok(())
}

/// The version of a package that is there once.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    entry.split('"').next()
}
