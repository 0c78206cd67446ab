//! The software bill of materials: every crate that is in the program, as CycloneDX 1.5.
//!
//! Cargo knows it: which packages are linked (for the program, and for the builtins inside of it), under which licence,
//! and by which sum they were fetched. Proc macros and build scripts run at build time only and are not listed. Has no
//! date and no serial number, so that the same program has the same bill.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::cargo::{GUEST_TARGET, root};

/// A package, as cargo prints it.
type Package = (String, String);

/// Who links what: the program and the builtins in it.
const PROGRAM: &str = "stephost";
const EMBEDDING: &str = "stephost-builtins";
const EMBEDDED: &str = "stephost-builtin-";

/// Makes the bill of the program whose sum is given.
pub(super) fn bill(target: &str, features: &str, sum: &str) -> anyhow::Result<String> {
    let arguments = [
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--features",
        features,
    ];
    let metadata: Value =
        serde_json::from_slice(&cargo(&arguments)?).context("reading cargo's metadata")?;
    let listed = metadata["packages"]
        .as_array()
        .context("cargo lists packages")?;
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let embedded: Vec<String> = listed
        .iter()
        .map(name)
        .filter(|name| name.starts_with(EMBEDDED))
        .collect();
    ensure!(
        !embedded.is_empty(),
        "there are no builtins called {EMBEDDED}…"
    );

    let mut linked = linked(&[
        "--package",
        PROGRAM,
        "--features",
        features,
        "--target",
        target,
    ])?;
    for guest in &embedded {
        linked.extend(self::linked(&[
            "--package",
            guest,
            "--target",
            GUEST_TARGET,
        ])?);
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let bill = document(&metadata, &linked, &embedded, &checksums(&lock), sum)?;
    Ok(format!("{:#}\n", bill))
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .context("starting cargo")?;
    ensure!(
        output.status.success(),
        "`cargo {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The packages that are linked into what the arguments select.
fn linked(selection: &[&str]) -> anyhow::Result<BTreeSet<Package>> {
    let mut arguments = vec!["tree", "--locked", "--edges", "normal,no-proc-macro"];
    arguments.extend(["--prefix", "none", "--format", "{p}"]);
    arguments.extend(selection);
    let printed = String::from_utf8(cargo(&arguments)?)?;
    printed
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| package(line).with_context(|| format!("cargo tree says {line:?}")))
        .collect()
}

/// Reads `name v1.2.3 (where it is from)`.
fn package(line: &str) -> Option<Package> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

/// Sums of the lock file, of packages that have one.
fn checksums(lock: &str) -> BTreeMap<Package, String> {
    let value = |entry: &str, key: &str| {
        let (_, after) = entry.split_once(&format!("\n{key} = \""))?;
        Some(after.split('"').next()?.to_owned())
    };
    lock.split("\n[[package]]")
        .skip(1)
        .filter_map(|entry| {
            let package = (value(entry, "name")?, value(entry, "version")?);
            Some((package, value(entry, "checksum")?))
        })
        .collect()
}

fn reference((name, version): &Package) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn document(
    metadata: &Value,
    linked: &BTreeSet<Package>,
    embedded: &[String],
    checksums: &BTreeMap<Package, String>,
    sum: &str,
) -> anyhow::Result<Value> {
    let key = |package: &Value| -> Option<Package> {
        let text = |key: &str| package[key].as_str().map(str::to_owned);
        Some((text("name")?, text("version")?))
    };
    let packages: BTreeMap<Package, &Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some((key(package)?, package)))
        .collect();
    let names: BTreeMap<&str, Package> = packages
        .iter()
        .filter_map(|(name, package)| Some((package["id"].as_str()?, name.clone())))
        .collect();

    let mut components = Vec::new();
    let mut program = None;
    for package in linked {
        let details = packages
            .get(package)
            .with_context(|| format!("cargo does not know {package:?}"))?;
        let is_program = package.0 == PROGRAM;
        let mut component = json!({
            "type": if is_program { "application" } else { "library" },
            "bom-ref": reference(package),
            "name": package.0,
            "version": package.1,
            "purl": reference(package),
        });
        if let Some(licence) = details["license"].as_str() {
            // What cargo allowed before there were expressions.
            let expression = licence.replace('/', " OR ");
            component["licenses"] = json!([{ "expression": expression }]);
        }
        let checksum = if is_program {
            Some(sum)
        } else {
            checksums.get(package).map(String::as_str)
        };
        if let Some(checksum) = checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        if is_program {
            program = Some(component);
        } else {
            components.push(component);
        }
    }

    let mut dependencies = Vec::new();
    for node in metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let Some(package) = node["id"].as_str().and_then(|id| names.get(id)) else {
            continue;
        };
        if !linked.contains(package) {
            continue;
        }
        let is_normal = |dependency: &Value| {
            let kinds = dependency["dep_kinds"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
        };
        let used = node["deps"].as_array().into_iter().flatten();
        let used = used.filter(|dependency| is_normal(dependency));
        let used = used.filter_map(|dependency| names.get(dependency["pkg"].as_str()?));
        let mut used: BTreeSet<String> = used
            .filter(|used| linked.contains(*used))
            .map(reference)
            .collect();
        if package.0 == EMBEDDING {
            // No dependency of cargo's: they are built for another machine, and embedded.
            let guests = linked.iter().filter(|(name, _)| embedded.contains(name));
            used.extend(guests.map(reference));
        }
        dependencies.push(json!({ "ref": reference(package), "dependsOn": used }));
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": program.context("the program is not in its own bill")? },
        "components": components,
        "dependencies": dependencies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Package {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn cargos_words_are_read() {
        let table = [
            (
                "serde v1.0.2",
                Some(("serde".to_owned(), "1.0.2".to_owned())),
            ),
            (
                "it v0.1.0 (/some/where) (*)",
                Some(("it".to_owned(), "0.1.0".to_owned())),
            ),
            ("it", None),
            ("it 1.0", None),
        ];
        for (line, expected) in table {
            assert_eq!(package(line), expected, "{line}");
        }
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"00ff\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n";
        assert_eq!(
            checksums(lock),
            BTreeMap::from([(of("a"), "00ff".to_owned())])
        );
    }

    #[test]
    fn a_bill_lists_what_is_linked_and_who_uses_it() {
        let listed = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let uses =
            |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let all = [
            "stephost",
            "stephost-builtins",
            "stephost-builtin-x",
            "serde",
            "cc",
        ];
        let packages = all.map(listed);
        let metadata = json!({
            "packages": packages,
            "resolve": { "nodes": [
                { "id": "stephost", "deps": [
                    uses("serde", Value::Null), uses("cc", json!("build")), uses("stephost-builtins", Value::Null),
                ]},
                { "id": "stephost-builtins", "deps": [] },
                { "id": "stephost-builtin-x", "deps": [uses("serde", Value::Null)] },
                { "id": "serde", "deps": [] },
                { "id": "cc", "deps": [] },
            ]},
        });
        let linked = [
            "stephost",
            "stephost-builtins",
            "stephost-builtin-x",
            "serde",
        ]
        .map(of)
        .into();
        let checksums = BTreeMap::from([(of("serde"), "00ff".to_owned())]);
        let embedded = ["stephost-builtin-x".to_owned()];
        let bill = document(&metadata, &linked, &embedded, &checksums, "abcd").unwrap();
        assert_eq!(
            bill["metadata"]["component"]["hashes"][0]["content"],
            "abcd"
        );
        let names: Vec<&Value> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["name"])
            .collect();
        assert_eq!(names, ["serde", "stephost-builtin-x", "stephost-builtins"]);
        let serde = &bill["components"][0];
        assert_eq!(serde["hashes"][0]["content"], "00ff");
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let used = |name: &str| {
            let mut all = bill["dependencies"].as_array().unwrap().iter();
            all.find(|entry| entry["ref"] == reference(&of(name)))
                .unwrap()["dependsOn"]
                .clone()
        };
        assert_eq!(
            used("stephost"),
            json!(["pkg:cargo/serde@1.0.0", "pkg:cargo/stephost-builtins@1.0.0"])
        );
        assert_eq!(
            used("stephost-builtins"),
            json!(["pkg:cargo/stephost-builtin-x@1.0.0"])
        );
    }
}
