//! The long forms of a reference: an object with `git` or `oci` (contract 3.5).

use super::{GitReference, OciReference, Reference, ReferenceError, checked, inner_dir};
use crate::document::Notes;
use crate::error::{Fault, Problem, Subject};
use crate::fields::{self, Fields, Shape};
use crate::quoted::Quoted;
use crate::yaml::Node;

const REFERENCE: Shape = Shape {
    what: "a reference",
    keys: &["git", "oci"],
    elsewhere: &[],
    top: false,
};

const GIT: Shape = Shape {
    what: "a git reference",
    keys: &["url", "rev", "dir", "file"],
    elsewhere: &[],
    top: false,
};

const OCI: Shape = Shape {
    what: "an OCI reference",
    keys: &["registry", "repository", "tag", "dir", "file"],
    elsewhere: &[],
    top: false,
};

/// Reads a long form.
pub(crate) fn long(node: &Node, notes: &mut Notes) -> Result<Reference, Problem> {
    let fields = Fields::open(node, &REFERENCE, notes)?;
    match (fields.get("git"), fields.get("oci")) {
        (Some(_), Some(_)) => {
            let place = fields.place_of("git").max(fields.place_of("oci"));
            Err(Problem::new(
                place,
                Fault::Conflict {
                    first: "git",
                    second: "oci",
                },
            ))
        }
        (None, None) => Err(fields.missing(&["git", "oci"], "`git` or `oci`")),
        (Some(git), None) => long_git(git, notes).map(Reference::Git),
        (None, Some(oci)) => long_oci(oci, notes).map(Reference::Oci),
    }
}

fn long_git(node: &Node, notes: &mut Notes) -> Result<GitReference, Problem> {
    let fields = Fields::open(node, &GIT, notes)?;
    let url = required(&fields, "url", "a `url`")?;
    let rev = required(&fields, "rev", "a `rev`")?;
    let (dir, file) = (optional(&fields, "dir")?, optional(&fields, "file")?);
    let dir = inner_dir(dir.unwrap_or_default()).map_err(|error| at(&fields, "dir", error))?;
    inner_file(&fields, file)?;
    GitReference::checked(url, rev, dir, file.map(str::to_owned))
        .map_err(|error| at(&fields, "url", error))
}

fn long_oci(node: &Node, notes: &mut Notes) -> Result<OciReference, Problem> {
    let fields = Fields::open(node, &OCI, notes)?;
    let registry = required(&fields, "registry", "a `registry`")?;
    let repository = required(&fields, "repository", "a `repository`")?;
    let tag = required(&fields, "tag", "a `tag`")?;
    let (dir, file) = (optional(&fields, "dir")?, optional(&fields, "file")?);
    let dir = inner_dir(dir.unwrap_or_default()).map_err(|error| at(&fields, "dir", error))?;
    inner_file(&fields, file)?;
    OciReference::from_parts(registry, repository, tag, dir, file.map(str::to_owned)).ok_or_else(
        || {
            let text = format!("{registry}/{repository}:{tag}");
            at(
                &fields,
                "registry",
                ReferenceError::NoForm {
                    text: super::Shown::new(&text),
                },
            )
        },
    )
}

/// Refuses a file name that is a path.
fn inner_file(fields: &Fields<'_>, file: Option<&str>) -> Result<(), Problem> {
    match file {
        Some(file) if file.contains('/') || file == ".." || file == "." => {
            let fault = Fault::FileName {
                name: Quoted::new(file),
            };
            Err(Problem::new(fields.place_of("file"), fault))
        }
        _ => Ok(()),
    }
}

fn required<'n>(
    fields: &Fields<'n>,
    key: &'static str,
    missing: &'static str,
) -> Result<&'n str, Problem> {
    optional(fields, key)?.ok_or_else(|| fields.missing(&[key], missing))
}

/// Returns the text of `key`, under the same conditions as a short reference.
fn optional<'n>(fields: &Fields<'n>, key: &'static str) -> Result<Option<&'n str>, Problem> {
    let Some(node) = fields.get(key) else {
        return Ok(None);
    };
    let text = fields::text(node, || Subject::Named("key", Quoted::new(key)))?;
    checked(text)
        .map(Some)
        .map_err(|error| Problem::new(node.place, Fault::Reference(error)))
}

fn at(fields: &Fields<'_>, key: &str, error: ReferenceError) -> Problem {
    Problem::new(fields.place_of(key), Fault::Reference(error))
}
