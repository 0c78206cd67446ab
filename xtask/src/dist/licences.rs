//! The licences of what others wrote and the program is linked of, with their texts.
//!
//! Texts are the crates' own files, each told once. A crate that was published without one has that of a crate which was
//! published from the same commit, under the same licence; without such a one no archive is made. What the compiler
//! brings is added: the C library, the unwinder, and the standard library, whose page comes as the compiler has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::linked::{Linked, Package, by_package};
use crate::cargo::root;
use crate::files;

/// The list of crates and the texts.
pub(super) const FILE: &str = "THIRD-PARTY.txt";
/// The page of the standard library.
pub(super) const RUST_FILE: &str = "THIRD-PARTY-RUST.html";
/// Texts that no crate has: `NAME.txt`.
const OWN_TEXTS: &str = "packaging/licences";
/// How the names of files with licences begin, in lower case.
const BEGINNINGS: [&str; 6] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];
/// What is called so and is code.
const CODE: [&str; 4] = [".rs", ".c", ".h", ".json"];
/// Directories below a crate: C code has its own, a few levels down.
const DEPTH_MAX: usize = 4;

/// Somebody's work, and the files that say under what it may be passed on.
struct Work {
    /// Name and version.
    title: String,
    licence: String,
    texts: Vec<Text>,
}

struct Text {
    /// Name of the file, below the crate.
    name: String,
    text: String,
}

/// Writes both files into `dir`.
pub(super) fn write(linked: &Linked, dir: &Path) -> anyhow::Result<()> {
    let mut works = crates(linked, &root().join(OWN_TEXTS))?;
    let docs = sysroot()?.join("share/doc/rust");
    works.extend(of_the_compiler(&docs)?);
    fs::write(dir.join(FILE), document(&works))?;
    let page = docs.join("COPYRIGHT-library.html");
    fs::copy(&page, dir.join(RUST_FILE))
        .with_context(|| format!("copying {}; rustup's compilers have it", page.display()))?;
    Ok(())
}

fn sysroot() -> anyhow::Result<PathBuf> {
    let rustc = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root())
        .output()
        .context("asking rustc where it is")?;
    ensure!(rustc.status.success(), "rustc does not say where it is");
    Ok(String::from_utf8(rustc.stdout)?.trim().into())
}

/// What every program for musl has in it.
fn of_the_compiler(docs: &Path) -> anyhow::Result<[Work; 2]> {
    let text = |file: PathBuf, name: &str| -> anyhow::Result<Text> {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("reading {}; rustup's compilers have it", file.display()))?;
        Ok(Text {
            name: name.to_owned(),
            text,
        })
    };
    let licences = docs.join("licenses");
    Ok([
        Work {
            title: "musl (the C library)".to_owned(),
            licence: "MIT".to_owned(),
            texts: vec![text(root().join(OWN_TEXTS).join("musl.txt"), "COPYRIGHT")?],
        },
        Work {
            title: "libunwind (of LLVM)".to_owned(),
            licence: "Apache-2.0 WITH LLVM-exception".to_owned(),
            texts: vec![
                text(licences.join("Apache-2.0.txt"), "Apache-2.0")?,
                text(licences.join("LLVM-exception.txt"), "LLVM-exception")?,
            ],
        },
    ])
}

/// The crates that are not ours, with their texts.
fn crates(linked: &Linked, own_texts: &Path) -> anyhow::Result<Vec<Work>> {
    let known = by_package(&linked.metadata);
    let mut found = Vec::new();
    for package in &linked.packages {
        let details = known
            .get(package)
            .with_context(|| format!("cargo does not know {package:?}"))?;
        if details["source"].is_null() {
            // Ours: the archive has our licence.
            continue;
        }
        found.push(Found::look(package, details, own_texts)?);
    }
    let mut works = Vec::new();
    for crate_ in &found {
        let texts = match crate_.texts.as_slice() {
            [] => crate_.borrowed(&found)?,
            own => own,
        };
        let texts = texts.iter().map(|text| Text {
            name: text.name.clone(),
            text: text.text.clone(),
        });
        works.push(Work {
            title: crate_.title.clone(),
            licence: crate_.licence.clone(),
            texts: texts.collect(),
        });
    }
    Ok(works)
}

/// What a crate itself says.
struct Found {
    title: String,
    name: String,
    licence: String,
    /// The commit that it was published from.
    commit: Option<String>,
    texts: Vec<Text>,
}

impl Found {
    fn look(package: &Package, details: &Value, own_texts: &Path) -> anyhow::Result<Found> {
        let (name, version) = package;
        let manifest = Path::new(details["manifest_path"].as_str().unwrap_or_default());
        let dir = manifest.parent().context("a manifest has a directory")?;
        let mut texts = licences(dir)?;
        if let Ok(text) = fs::read_to_string(own_texts.join(format!("{name}.txt"))) {
            texts.push(Text {
                name: "LICENSE".to_owned(),
                text,
            });
        }
        texts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Found {
            title: format!("{name} {version}"),
            name: name.clone(),
            licence: details["license"]
                .as_str()
                .unwrap_or("see its texts")
                .to_owned(),
            commit: commit(dir),
            texts,
        })
    }

    /// Texts of another crate of the same commit.
    fn borrowed<'a>(&self, all: &'a [Found]) -> anyhow::Result<&'a [Text]> {
        let mut others = all.iter().filter(|other| !other.texts.is_empty());
        let sibling = others.find(|other| {
            self.commit.is_some() && other.commit == self.commit && other.licence == self.licence
        });
        match sibling {
            Some(sibling) => Ok(&sibling.texts),
            None => bail!(
                "the crate {} ({}) has no file with its licence, nor has another one of its commit; \
                 write the text to {OWN_TEXTS}/{}.txt",
                self.title,
                self.licence,
                self.name
            ),
        }
    }
}

fn commit(dir: &Path) -> Option<String> {
    let said = fs::read(dir.join(".cargo_vcs_info.json")).ok()?;
    let said: Value = serde_json::from_slice(&said).ok()?;
    said["git"]["sha1"].as_str().map(str::to_owned)
}

/// Licences below a crate, by their paths. Whoever follows a link leaves the crate.
fn licences(dir: &Path) -> anyhow::Result<Vec<Text>> {
    let files = files::of_interest(dir, |path| path.components().count() <= DEPTH_MAX + 1)?;
    let mut texts = Vec::new();
    for path in files.into_iter().filter(|path| is_licence(path)) {
        let file = dir.join(&path);
        if file.symlink_metadata()?.is_file() {
            let bytes = fs::read(file)?;
            texts.push(Text {
                name: path.display().to_string(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    Ok(texts)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    let is_code = CODE.iter().any(|end| name.ends_with(end));
    !is_code && BEGINNINGS.iter().any(|word| name.starts_with(word))
}

/// The list, then each text once.
fn document(works: &[Work]) -> String {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    let mut list = String::new();
    for work in works {
        let mut told = Vec::new();
        for text in &work.texts {
            let plain = plain(&text.text);
            let number = *numbers.entry(plain.clone()).or_insert_with(|| {
                texts.push((plain, Vec::new()));
                texts.len()
            });
            let (_, users) = &mut texts[number - 1];
            users.push(format!("{}: {}", work.title, text.name));
            // The same text may lie in a crate twice.
            if !told.contains(&number.to_string()) {
                told.push(number.to_string());
            }
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            list,
            "{}\n    {}; text {}",
            work.title,
            work.licence,
            told.join(", ")
        );
    }
    let mut document = format!(
        "What others wrote and this program is linked of, with its licences and the numbers of their texts below.\n\
         The standard library of Rust, which is linked too, has its own page: {RUST_FILE}.\n\n{list}"
    );
    for (number, (text, users)) in texts.iter().enumerate() {
        let rule = "=".repeat(80);
        let _ = write!(
            document,
            "\n{rule}\nText {}, of\n    {}\n{rule}\n\n{text}\n",
            number + 1,
            users.join("\n    ")
        );
    }
    document
}

/// The text without what differs between two copies and says nothing.
fn plain(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).collect::<Vec<_>>();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect;
    use serde_json::json;

    use super::*;

    /// A crate: its name, its licence, and its files.
    type Crate<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// Crates below a directory.
    fn linked(place: &Path, crates: &[Crate<'_>]) -> Linked {
        let mut packages = Vec::new();
        for (name, licence, files) in crates {
            let dir = place.join(name);
            for (file, text) in *files {
                let file = dir.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            fs::create_dir_all(&dir).unwrap();
            packages.push(json!({
                "name": name, "version": "1.0.0", "license": licence, "source": "a registry",
                "manifest_path": dir.join("Cargo.toml"),
            }));
        }
        packages.push(json!({ "name": "ours", "version": "1.0.0", "source": null }));
        let all = crates.iter().map(|(name, ..)| *name).chain(["ours"]);
        Linked {
            packages: all
                .map(|name| (name.to_owned(), "1.0.0".to_owned()))
                .collect(),
            metadata: json!({ "packages": packages }),
            embedded: Vec::new(),
        }
    }

    const COMMIT: (&str, &str) = (".cargo_vcs_info.json", r#"{"git":{"sha1":"c0ffee"}}"#);

    #[test]
    fn each_text_is_told_once_and_each_crate_has_one() {
        let place = tempfile::tempdir().unwrap();
        let linked = linked(
            place.path(),
            &[
                ("a", "MIT", &[("LICENSE", "Be kind.\n"), COMMIT]),
                (
                    "b",
                    "MIT OR Zlib",
                    &[
                        ("LICENSE-MIT", "Be kind. \r\n"),
                        ("LICENCE-ZLIB.txt", "Be kinder.\n"),
                    ],
                ),
                ("bare", "MIT", &[("copying.rs", "no licence"), COMMIT]),
                (
                    "c",
                    "BSD-3-Clause",
                    &[
                        ("c_src/lib/v2/LICENSE", "Be fair.\n"),
                        ("c_src/lib/v3/LICENSE", "Be fair.\n"),
                        ("COPYING", "See below."),
                    ],
                ),
            ],
        );
        let works = crates(&linked, place.path()).unwrap();
        expect![[r#"
            What others wrote and this program is linked of, with its licences and the numbers of their texts below.
            The standard library of Rust, which is linked too, has its own page: THIRD-PARTY-RUST.html.

            a 1.0.0
                MIT; text 1
            b 1.0.0
                MIT OR Zlib; text 2, 1
            bare 1.0.0
                MIT; text 1
            c 1.0.0
                BSD-3-Clause; text 3, 4

            ================================================================================
            Text 1, of
                a 1.0.0: LICENSE
                b 1.0.0: LICENSE-MIT
                bare 1.0.0: LICENSE
            ================================================================================

            Be kind.

            ================================================================================
            Text 2, of
                b 1.0.0: LICENCE-ZLIB.txt
            ================================================================================

            Be kinder.

            ================================================================================
            Text 3, of
                c 1.0.0: COPYING
            ================================================================================

            See below.

            ================================================================================
            Text 4, of
                c 1.0.0: c_src/lib/v2/LICENSE
                c 1.0.0: c_src/lib/v3/LICENSE
            ================================================================================

            Be fair.
        "#]]
        .assert_eq(&document(&works));
    }

    #[test]
    fn a_crate_without_a_text_makes_no_archive_until_somebody_writes_it() {
        let place = tempfile::tempdir().unwrap();
        let crates_ = [
            ("bare", "MIT", [COMMIT].as_slice()),
            ("other", "Zlib", &[("LICENSE", "Be kind."), COMMIT]),
        ];
        let linked = linked(place.path(), &crates_);
        let error = crates(&linked, place.path()).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the crate bare 1.0.0 (MIT) has no file with its licence, nor has another one of its commit; \
             write the text to packaging/licences/bare.txt"
        );
        fs::write(place.path().join("bare.txt"), "Be good.").unwrap();
        let works = crates(&linked, place.path()).unwrap();
        let texts: BTreeSet<&str> = works
            .iter()
            .map(|work| work.texts[0].text.as_str())
            .collect();
        assert_eq!(texts, BTreeSet::from(["Be good.", "Be kind."]));
    }

    #[test]
    fn files_with_licences_are_known_by_their_names() {
        let table = [
            ("LICENSE", true),
            ("LICENSE-MIT", true),
            ("LICENSE-APACHE-2.0", true),
            ("license.md", true),
            ("UNLICENSE", true),
            ("COPYRIGHT.txt", true),
            ("copying.rs", false),
            ("license-file.rs", false),
            ("README.md", false),
        ];
        for (name, expected) in table {
            assert_eq!(is_licence(Path::new(name)), expected, "{name}");
        }
    }
}
