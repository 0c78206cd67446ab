//! `stephost-precompile TARGET DIR`: the shipped builtins as machine code of TARGET, in DIR.
//!
//! Owns the layout of DIR, which the build script of `stephost-builtins` reads: for each builtin `NAME.cwasm`, and
//! `NAME.wasm`, the component it was made of. A program of its own, so that no build script has to build a compiler, and
//! no release brings along a command that only builds it. Called by `cargo xtask dist`.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, dir] = arguments.as_slice() else {
        eprintln!("usage: stephost-precompile TARGET DIR");
        return ExitCode::from(2);
    };
    match precompile(target, Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn precompile(target: &str, dir: &Path) -> anyhow::Result<()> {
    for shipped in stephost_builtins::shipped() {
        let code = stephost_sandbox::precompile(shipped.wasm, target)
            .with_context(|| format!("compiling {}", shipped.name))?;
        let stem = shipped.name.replace('/', "-");
        for (kind, bytes) in [("wasm", shipped.wasm), ("cwasm", &code)] {
            let file = dir.join(format!("{stem}.{kind}"));
            // What has not changed keeps its date, and so does what is built of it.
            if fs::read(&file).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}
