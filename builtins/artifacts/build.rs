//! Builds every builtin as a Wasm component and writes the tables that `src/lib.rs` embeds: the components, and
//! the sources of the SDK.
//!
//! A nested cargo does it, in a target directory of its own (the outer cargo holds the lock of the other one)
//! and without the flags that were meant for native code. So plain `cargo build`, `test`, `clippy` and
//! `install` work, and no guest is ever stale. It installs nothing: a missing Wasm target is one line that
//! says what to type.
//!
//! With `STEPHOST_PRECOMPILED=DIR` the machine code in DIR is embedded too, as `stephost-precompile` leaves it there
//! and `cargo xtask dist` has it done. Beside `NAME.cwasm` lies the `NAME.wasm` that it was made of, and must be what
//! this build made: the two come from different builds.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The import list of a component is its list of powers: this target adds none (design D18).
const TARGET: &str = "wasm32-unknown-unknown";

/// Turns what rustc links into a component. It lies beside rustc's own linkers, which rustc finds by itself.
const LINKER: &str = "target.wasm32-unknown-unknown.linker='wasm-component-ld'";

/// Meant for the outer build: coverage and sanitizer flags do not link for Wasm, clippy is no compiler, and
/// the rest names other targets.
const NOT_FOR_GUESTS: &[&str] = &[
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// Names the directory with machine code to embed.
const PRECOMPILED: &str = "STEPHOST_PRECOMPILED";

/// One guest crate and the name it is looked up by: `builtin://NAME`.
struct Guest {
    name: &'static str,
    package: &'static str,
    directory: &'static str,
}

const SHIPPED: &[Guest] = &[
    Guest {
        name: "hello",
        package: "stephost-builtin-hello",
        directory: "builtins/hello",
    },
    Guest {
        name: "script",
        package: "stephost-builtin-script",
        directory: "builtins/script",
    },
    Guest {
        name: "script_legacy",
        package: "stephost-builtin-script-legacy",
        directory: "builtins/script_legacy",
    },
];

const FOR_TESTS: &[Guest] = &[
    Guest {
        name: "test/launch",
        package: "stephost-guest-launch",
        directory: "tests/guests/launch",
    },
    Guest {
        name: "test/misbehave",
        package: "stephost-guest-misbehave",
        directory: "tests/guests/misbehave",
    },
];

fn main() {
    if let Err(error) = write_table() {
        // One instruction for each line: cargo shows them as they are.
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
}

fn write_table() -> Result<(), Box<dyn Error>> {
    let root = root()?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    let with_test_guests = env::var_os("CARGO_FEATURE_TEST_GUESTS").is_some();
    let for_tests = if with_test_guests { FOR_TESTS } else { &[] };
    let guests: Vec<&Guest> = SHIPPED.iter().chain(for_tests).collect();

    // The lock and the root manifest decide versions and the profile; the rest is what guests are made of.
    for input in [
        "Cargo.toml",
        "Cargo.lock",
        "guest-sdk/Cargo.toml",
        "guest-sdk/macros",
        "guest-sdk/src",
        "guest-sdk/wit",
        "builtins/artifacts/build.rs",
        "LICENSE",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    for guest in &guests {
        println!(
            "cargo::rerun-if-changed={}",
            root.join(guest.directory).display()
        );
    }

    require_target(&root)?;
    let target_dir = target_dir(&out, &root).join("guests");
    build(&root, &target_dir, SHIPPED)?;
    if with_test_guests {
        // Apart: together, what tests need could change what is shipped.
        build(&root, &target_dir, FOR_TESTS)?;
    }

    let built = target_dir.join(TARGET).join("guest");
    println!("cargo::rerun-if-env-changed={PRECOMPILED}");
    let precompiled = env::var_os(PRECOMPILED).map(PathBuf::from);
    if let Some(dir) = &precompiled {
        println!("cargo::rerun-if-changed={}", dir.display());
    }
    write_components("shipped.rs", SHIPPED, &built, precompiled.as_deref(), &out)?;
    if with_test_guests {
        write_components("test_guests.rs", FOR_TESTS, &built, None, &out)?;
    }
    write_sdk(&root, &out)
}

/// Writes a table of components, with their machine code if there is any.
fn write_components(
    table: &str,
    guests: &[Guest],
    built: &Path,
    precompiled: Option<&Path>,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut rows = String::from("&[\n");
    for guest in guests {
        let file = format!("{}.wasm", guest.package.replace('-', "_"));
        let built = built.join(&file);
        // Copied, so that the table stays true when another build (other features, another branch) shares the
        // target directory.
        fs::copy(&built, out.join(&file))
            .map_err(|error| format!("copying {}: {error}", built.display()))?;
        let code = match precompiled {
            None => "None".to_owned(),
            Some(dir) => {
                let file = embed_code(dir, guest.name, &built, out)?;
                format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")))")
            }
        };
        rows.push_str(&format!(
            "    Builtin {{ name: {:?}, wasm: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")), code: {code} }},\n",
            guest.name
        ));
    }
    rows.push_str("]\n");
    fs::write(out.join(table), rows)?;
    Ok(())
}

/// Copies the machine code of one guest to where the table finds it, after a look at what it was made of.
fn embed_code(dir: &Path, name: &str, built: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let stem = name.replace('/', "-");
    let read = |path: &Path| {
        fs::read(path).map_err(|error| {
            format!(
                "{PRECOMPILED}: reading {}: {error}; `cargo xtask dist` makes it",
                path.display()
            )
        })
    };
    if read(&dir.join(format!("{stem}.wasm")))? != read(built)? {
        return Err(format!(
            "{PRECOMPILED}: the machine code of {name} in {} was made of another component; make it again with \
             `cargo xtask dist`",
            dir.display()
        )
        .into());
    }
    let file = format!("{stem}.cwasm");
    fs::write(out.join(&file), read(&dir.join(&file))?)?;
    Ok(file)
}

/// What a copy of the SDK consists of: files of `guest-sdk`, and directories with all that is below.
const SDK: &[&str] = &[
    "Cargo.toml",
    "src",
    "wit",
    "macros/Cargo.toml",
    "macros/src",
];

/// Writes the table of the SDK's sources, which `stephost new` copies into projects.
fn write_sdk(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let sdk = root.join("guest-sdk");
    let mut files = Vec::new();
    for part in SDK {
        collect(&sdk.join(part), &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    let mut row = |path: &Path, source: &Path| {
        table.push_str(&format!(
            "    Source {{ path: {path:?}, text: include_str!({source:?}) }},\n"
        ));
    };
    row(Path::new("LICENSE"), &root.join("LICENSE"));
    for file in &files {
        row(file.strip_prefix(&sdk)?, file);
    }
    table.push_str("]\n");
    fs::write(out.join("sdk.rs"), table)?;
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in path.read_dir()? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// Returns the root of the workspace.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    Ok(manifest_dir
        .ancestors()
        .nth(2)
        .ok_or("builtins/artifacts must lie two levels below the workspace's root")?
        .to_owned())
}

/// Returns the target directory of the outer build: cargo marks it, wherever it is and however it was chosen.
fn target_dir(out: &Path, root: &Path) -> PathBuf {
    out.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| root.join("target"), Path::to_owned)
}

/// Fails with one line when rustc has no standard library for guests.
fn require_target(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", TARGET]);
    let printed = rustc.output()?;
    let libdir = String::from_utf8(printed.stdout)?;
    if printed.status.success() && Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    Err(
        format!("builtins need the Wasm target of this toolchain: rustup target add {TARGET}")
            .into(),
    )
}

fn build(root: &Path, target_dir: &Path, guests: &[Guest]) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args([
        "build",
        "--quiet",
        "--profile",
        "guest",
        "--target",
        TARGET,
        "--config",
        LINKER,
    ]);
    cargo.arg("--target-dir").arg(target_dir);
    if let Some(home) = cargo_home() {
        // Places in libraries are part of what a panic says. A builtin has the same bytes wherever it was built.
        let flag = format!("--remap-path-prefix={}=/cargo", home.display());
        let flag = format!("target.{TARGET}.rustflags=[{flag:?}]");
        cargo.arg("--config").arg(flag);
    }
    for guest in guests {
        cargo.args(["--package", guest.package]);
    }
    for name in NOT_FOR_GUESTS {
        cargo.env_remove(name);
    }
    let built = cargo.output()?;
    if !built.status.success() {
        return Err(format!(
            "building the builtins failed\n{}",
            String::from_utf8_lossy(&built.stderr)
        )
        .into());
    }
    Ok(())
}

/// Returns where cargo keeps the sources of libraries.
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(env::home_dir()?.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// Reads what cargo tells a build script.
fn variable(name: &str) -> Result<std::ffi::OsString, Box<dyn Error>> {
    Ok(env::var_os(name).ok_or_else(|| format!("cargo sets {name} for build scripts"))?)
}
