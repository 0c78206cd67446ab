//! The software bill of materials: every crate that is in the program, as CycloneDX 1.5.
//!
//! Says of each package that is [`linked`](super::linked) its licence, and by which sum it was fetched. Has no date and
//! no serial number, so that the same program has the same bill.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::linked::{Linked, PROGRAM, Package, by_package};
use crate::cargo::root;

/// Who embeds the builtins.
const EMBEDDING: &str = "stephost-builtins";

/// Makes the bill of the program whose sum is given.
pub(super) fn bill(linked: &Linked, sum: &str) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let bill = document(linked, &checksums(&lock), sum)?;
    Ok(format!("{:#}\n", bill))
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
    linked: &Linked,
    checksums: &BTreeMap<Package, String>,
    sum: &str,
) -> anyhow::Result<Value> {
    let Linked {
        metadata,
        packages: linked,
        embedded,
    } = linked;
    let packages = by_package(metadata);
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
    fn sums_are_those_of_the_lock_file() {
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
        let linked = Linked {
            metadata,
            packages: linked,
            embedded: vec!["stephost-builtin-x".to_owned()],
        };
        let bill = document(&linked, &checksums, "abcd").unwrap();
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
