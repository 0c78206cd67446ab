//! `cargo xtask clients`: the clients in Go and Python through which the tests see the host, below target/clients.
//!
//! Promises: tests need no network, for everything is fetched and built here; what is there is used again while nothing it is
//! made of has changed; what cannot be had is said aloud and is no failure. Packages of the system are installed only when that
//! was asked for. Beside the target directory only the caches of Go and pip are written.

mod go;
mod python;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use sha2::{Digest as _, Sha256};

use crate::cargo::{root, target_dir};
use crate::files;

/// How long fetching and building may take for one language, in seconds each: past that it hangs.
const PREPARE_SECONDS: &str = "300";

/// A language, and what has to be done for it.
struct Language {
    name: &'static str,
    /// Where its client stands in the checkout, and below the target directory.
    place: &'static str,
    /// The variable that tells a test where the client is.
    variable: &'static str,
    prepare: fn(&Place, bool) -> Result<PathBuf, String>,
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "Go",
        place: "go",
        variable: "STEPHOST_CLIENT_GO",
        prepare: go::prepare,
    },
    Language {
        name: "Python",
        place: "python",
        variable: "STEPHOST_CLIENT_PYTHON",
        prepare: python::prepare,
    },
];

/// Prepares what the tests need, and says how they are told.
pub(crate) fn clients(arguments: &[String]) -> anyhow::Result<()> {
    let install = match arguments {
        [] => false,
        [one] if one == "--install" => true,
        [unknown, ..] => bail!("`clients` takes --install, not {unknown:?}"),
    };
    for (variable, program) in prepare(install) {
        println!("{variable}={}", program.display());
    }
    Ok(())
}

/// Sees to every client that can be had here; returns the variables for the tests.
pub(crate) fn prepare(install: bool) -> Vec<(&'static str, PathBuf)> {
    let mut prepared = Vec::new();
    for language in &LANGUAGES {
        let place = Place {
            sources: root().join("tests/clients").join(language.place),
            target: target_dir().join("clients").join(language.place),
        };
        match (language.prepare)(&place, install) {
            Ok(program) => prepared.push((language.variable, program)),
            Err(reason) => println!(
                "SKIPPED: the tests do not see the host as a client in {} does: {reason}",
                language.name
            ),
        }
    }
    prepared
}

/// Where a client comes from and goes to.
struct Place {
    sources: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Makes the client by `make` unless it was made of just this: its sources, the wire, and the tool that `tool` names.
    fn make_once(
        &self,
        tool: &str,
        make: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let wanted = self.made_of(tool).map_err(|error| format!("{error:#}"))?;
        let stamp = self.target.join("made-of");
        if fs::read(&stamp).is_ok_and(|made_of| made_of == wanted) {
            return Ok(());
        }
        // What is half made has no stamp.
        match fs::remove_dir_all(&self.target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("removing {}: {error}", self.target.display()));
            }
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&self.target).map_err(at(&self.target))?;
        make()?;
        fs::write(&stamp, wanted).map_err(at(&stamp))
    }

    /// A digest of everything that the client is made of.
    fn made_of(&self, tool: &str) -> anyhow::Result<Vec<u8>> {
        let mut digest = Sha256::new();
        digest.update(tool);
        digest.update(stephost_proto::FILE_DESCRIPTOR_SET);
        for file in self.files()? {
            let file = self.sources.join(file);
            let content = fs::read(&file)?;
            digest.update(file.as_os_str().as_encoded_bytes());
            digest.update(content.len().to_le_bytes());
            digest.update(content);
        }
        Ok(digest.finalize().to_vec())
    }

    /// Its sources, without what running a program in place leaves.
    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = files::below(&self.sources)?;
        files.retain(|file| !file.iter().any(|part| part == "__pycache__"));
        Ok(files)
    }
}

/// An error of the file system, at its place.
fn at(path: &Path) -> impl Fn(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_again_only_when_what_it_is_made_of_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            sources: dir.path().join("sources"),
            target: dir.path().join("target"),
        };
        fs::create_dir_all(place.sources.join("sub")).unwrap();
        let source = place.sources.join("sub").join("main");
        fs::write(&source, "one").unwrap();
        let made = |tool: &str| {
            let mut made = false;
            let done = place.make_once(tool, || {
                made = true;
                Ok(())
            });
            done.unwrap();
            made
        };
        assert!(made("tool 1"), "it was not there");
        assert!(!made("tool 1"));
        assert!(made("tool 2"), "another tool");
        fs::write(&source, "two").unwrap();
        assert!(made("tool 2"), "another source");
        assert!(!made("tool 2"));

        fs::write(&source, "three").unwrap();
        let failed = place.make_once("tool 2", || Err("it broke".to_owned()));
        assert_eq!(failed, Err("it broke".to_owned()));
        assert!(made("tool 2"), "what failed was not made");
    }
}
