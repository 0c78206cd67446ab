//! `new NAME`: a project for a step of one's own, which tests, builds and runs as it is.
//!
//! The SDK is in no registry, so its sources come along out of this program, in `sdk/`: the project needs no
//! checkout, and fits the host that made it. `--sdk` names another copy instead. An existing directory is
//! never touched.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::exit::{self, Failure};

/// Where the SDK lies in a project.
const SDK_DIRECTORY: &str = "sdk";

/// What the templates are called like. As a package with a dash, as an identifier without.
const TEMPLATE_NAME: &str = "new-step";
const TEMPLATE_IDENTIFIER: &str = "new_step";

/// Path in the project, and text.
const TEMPLATES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("new/manifest.toml")),
    (".cargo/config.toml", include_str!("new/cargo-config.toml")),
    (".gitignore", include_str!("new/gitignore")),
    ("README.md", include_str!("new/README.md")),
    ("src/lib.rs", include_str!("new/step.rs")),
];

/// Longest name of a step. File names and expressions hold it.
const NAME_BYTES_MAX: usize = 64;

/// Words that cannot name a function, and names that would be confused with a crate of Rust's or ours.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "stephost_sdk",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Makes the directory `name` with a project in it.
pub(super) fn new(name: &str, sdk: Option<&Path>) -> Result<u8, Failure> {
    check_name(name).map_err(Failure::usage)?;
    let sdk = sdk.map(sdk_at).transpose().map_err(Failure::usage)?;
    make(Path::new(name), name, sdk.as_deref()).map_err(Failure::cannot_create)?;
    super::print(&format!(
        "{name} is ready; its README.md has the three commands that test, build and run it\n"
    ))?;
    Ok(exit::FINE)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_'
    };
    ensure!(
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(fits)
            && name.len() <= NAME_BYTES_MAX,
        "the name {name:?} does not fit: it starts with a letter and has lower-case letters, digits, `-` and `_`, {NAME_BYTES_MAX} at most"
    );
    let identifier = name.replace('-', "_");
    ensure!(
        !TAKEN.contains(&identifier.as_str()),
        "the name {name:?} means something in Rust; choose another one"
    );
    Ok(())
}

/// The absolute path of an SDK that lies somewhere else.
fn sdk_at(path: &Path) -> anyhow::Result<String> {
    let manifest = path.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("reading {}", manifest.display()))?;
    ensure!(
        text.lines().any(|line| line == "name = \"stephost-sdk\""),
        "{} is not the manifest of stephost-sdk",
        manifest.display()
    );
    let path = path
        .canonicalize()
        .with_context(|| format!("finding {}", path.display()))?;
    match path.to_str() {
        Some(text) if !text.contains(['"', '\\']) && !text.contains(char::is_control) => {
            Ok(text.to_owned())
        }
        _ => bail!("{} cannot be written into a manifest", path.display()),
    }
}

fn make(directory: &Path, name: &str, sdk: Option<&str>) -> anyhow::Result<()> {
    // Fails when anything of this name exists.
    std::fs::create_dir(directory).with_context(|| format!("making {}", directory.display()))?;
    let filled = files(name, sdk).try_for_each(|(path, text)| write(&directory.join(path), &text));
    if filled.is_err() {
        // Half a project helps nobody; the directory is ours. The first error is the one to tell.
        let _ = std::fs::remove_dir_all(directory);
    }
    filled
}

/// Every file of the project.
fn files(name: &str, sdk: Option<&str>) -> impl Iterator<Item = (PathBuf, String)> {
    let identifier = name.replace('-', "_");
    let with_sdk = sdk.map(|sdk| format!("path = \"{sdk}\""));
    let templates = TEMPLATES.iter().map(move |(path, text)| {
        let mut text = text
            .replace(TEMPLATE_NAME, name)
            .replace(TEMPLATE_IDENTIFIER, &identifier);
        if let Some(with_sdk) = &with_sdk {
            text = text.replace("path = \"sdk\"", with_sdk);
        }
        (PathBuf::from(path), text)
    });
    let copied = stephost_builtins::sdk()
        .iter()
        .filter(move |_| sdk.is_none());
    let copied = copied.map(|source| {
        (
            Path::new(SDK_DIRECTORY).join(source.path),
            source.text.to_owned(),
        )
    });
    templates.chain(copied)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("writing {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_and_rust_take() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for fits in ["greet", "git-clone", "a1_b", &long[1..]] {
            assert!(check_name(fits).is_ok(), "{fits}");
        }
        for unfit in [
            "",
            "1a",
            "-a",
            "Greet",
            "a/b",
            "../a",
            "a b",
            "ä",
            "fn",
            "true",
            "stephost-sdk",
            &long,
        ] {
            assert!(check_name(unfit).is_err(), "{unfit}");
        }
    }

    #[test]
    fn every_file_goes_by_the_name_of_the_project() {
        for (path, text) in files("git-clone", None) {
            if path.starts_with(SDK_DIRECTORY) {
                continue;
            }
            assert!(!text.contains(TEMPLATE_NAME), "{}", path.display());
            assert!(!text.contains(TEMPLATE_IDENTIFIER), "{}", path.display());
        }
    }

    #[test]
    fn the_sdk_comes_along_whole_unless_it_lies_elsewhere() {
        let paths: Vec<PathBuf> = files("a", None).map(|(path, _)| path).collect();
        for needed in [
            "sdk/Cargo.toml",
            "sdk/LICENSE",
            "sdk/src/lib.rs",
            "sdk/src/host/component.rs",
            "sdk/wit/world.wit",
            "sdk/macros/Cargo.toml",
            "sdk/macros/src/lib.rs",
        ] {
            assert!(
                paths.contains(&PathBuf::from(needed)),
                "{needed} in {paths:?}"
            );
        }
        let elsewhere: Vec<(PathBuf, String)> = files("a", Some("/opt/sdk")).collect();
        assert_eq!(elsewhere.len(), TEMPLATES.len());
        let depends = "stephost-sdk = { path = \"/opt/sdk\" }";
        assert!(elsewhere[0].1.contains(depends), "{}", elsewhere[0].1);
    }

    #[test]
    fn what_exists_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a");
        std::fs::create_dir(&directory).unwrap();
        let error = make(&directory, "a", None).expect_err("it exists");
        assert!(format!("{error:#}").contains("exists"), "{error:#}");
        assert_eq!(directory.read_dir().unwrap().count(), 0);
    }

    #[test]
    fn another_sdk_must_be_one() {
        let place = tempfile::tempdir().unwrap();
        assert!(sdk_at(place.path()).is_err(), "nothing there");
        let manifest = place.path().join("Cargo.toml");
        std::fs::write(&manifest, "[package]\nname = \"other\"\n").unwrap();
        assert!(sdk_at(place.path()).is_err(), "another package");
        std::fs::write(&manifest, "[package]\nname = \"stephost-sdk\"\n").unwrap();
        let found = sdk_at(place.path()).unwrap();
        assert!(Path::new(&found).is_absolute(), "{found}");
    }
}
