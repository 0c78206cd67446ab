//! The client in Go: a module whose code for the wire is generated from our descriptors, without `protoc`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

use super::{PREPARE_SECONDS, Place, at};
use crate::programs::{answers, install, run_command};

const PACKAGE: &str = "golang-go";
/// Where the generated code belongs in the module, and the proto file it comes from.
const WIRE: &str = "wire";
const PARAMETER: &str = "paths=source_relative,Mstep_runner.proto=stephost.example/clients/wire";
const GENERATORS: [&str; 2] = ["protoc-gen-go", "protoc-gen-go-grpc"];
/// The toolchain that is there and no other, exactly the versions of go.sum, and nothing from git.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("GOTOOLCHAIN", "local"),
    ("GOFLAGS", "-mod=readonly -buildvcs=false"),
    ("GOWORK", "off"),
];

/// Builds the programs of the module; returns where the driver is.
pub(super) fn prepare(place: &Place, may_install: bool) -> Result<PathBuf, String> {
    if may_install && !answers("go", "version") {
        install(&[PACKAGE])?;
    }
    let found = version()?;
    let file = place.sources.join("go.mod");
    let needed = fs::read_to_string(&file).map_err(at(&file))?;
    let needed = needed.lines().find_map(|line| line.strip_prefix("go "));
    let needed = needed.ok_or("go.mod does not say which Go it needs")?;
    if numbers(&found) < numbers(needed) {
        return Err(format!("Go {found} is too old, it needs {needed}"));
    }
    let programs = place.target.join("bin");
    place.make_once(&found, || {
        let module = place.target.join("module");
        copy(place, &module)?;
        generate(&module)?;
        fs::create_dir(&programs).map_err(at(&programs))?;
        let out = programs.to_string_lossy();
        let build = ["go", "build", "-o", &out, "./driver", "./example"];
        run_command(
            "building the Go client",
            &build,
            &mut command(&build, &module),
        )
    })?;
    Ok(programs.join("driver"))
}

/// The version of the Go that is there.
fn version() -> Result<String, String> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .envs(ENVIRONMENT)
        .current_dir("/")
        .output();
    let output = output.map_err(|_| {
        format!("there is no Go; `cargo xtask clients --install` installs Debian's {PACKAGE}")
    })?;
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim().strip_prefix("go").map(str::to_owned);
    version.ok_or_else(|| "`go env GOVERSION` names no version".to_owned())
}

/// The numbers of a version, to compare; what follows them (`rc1`) does not count.
fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split('.').map(|part| {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    });
    parts.map_while(|number| number).collect()
}

fn command(program: &[&str], module: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(PREPARE_SECONDS).args(program).envs(ENVIRONMENT);
    command.current_dir(module);
    command
}

/// Copies the module, so that nothing is generated into the checkout.
fn copy(place: &Place, to: &Path) -> Result<(), String> {
    for file in place.files().map_err(|error| format!("{error:#}"))? {
        let (from, to) = (place.sources.join(&file), to.join(&file));
        let dir = to.parent().unwrap_or(&to);
        fs::create_dir_all(dir).map_err(at(dir))?;
        fs::copy(&from, &to).map_err(at(&from))?;
    }
    Ok(())
}

/// Asks the generators as `protoc` does: a request on their stdin, an answer on their stdout.
fn generate(module: &Path) -> Result<(), String> {
    let wire = module.join(WIRE);
    fs::create_dir(&wire).map_err(at(&wire))?;
    let set = FileDescriptorSet::decode(stephost_proto::FILE_DESCRIPTOR_SET)
        .map_err(|error| format!("our descriptors: {error}"))?;
    let request = CodeGeneratorRequest {
        file_to_generate: vec!["step_runner.proto".to_owned()],
        parameter: Some(PARAMETER.to_owned()),
        proto_file: set.file,
        compiler_version: None,
    };
    let (asked, told) = (module.join("request.bin"), module.join("answer.bin"));
    fs::write(&asked, request.encode_to_vec()).map_err(at(&asked))?;
    for generator in GENERATORS {
        let program = ["go", "tool", generator];
        let mut command = command(&program, module);
        command.stdin(File::open(&asked).map_err(at(&asked))?);
        command.stdout(File::create(&told).map_err(at(&told))?);
        run_command("generating Go code", &program, &mut command)?;
        let answer = fs::read(&told).map_err(at(&told))?;
        let answer = CodeGeneratorResponse::decode(answer.as_slice())
            .map_err(|error| format!("the answer of {generator}: {error}"))?;
        if let Some(error) = answer.error {
            return Err(format!("{generator}: {error}"));
        }
        for file in answer.file {
            let name = Path::new(file.name()).file_name();
            let path = wire.join(name.ok_or("a generated file without a name")?);
            fs::write(&path, file.content()).map_err(at(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (older, newer) in [("1.19", "1.26.0"), ("1.9", "1.10"), ("1.25.7", "1.26rc1")] {
            assert!(numbers(older) < numbers(newer), "{older} and {newer}");
        }
        assert_eq!(numbers("1.26.8 X:nodwarf5"), [1, 26, 8]);
    }
}
