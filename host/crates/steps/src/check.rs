//! Everything that is wrong with functions, found without running them.
//!
//! Owns the strict reading that goes on after a problem, and what only several files together can show: whether a
//! local reference leads to a function, whether inputs fit what the called function takes, whether the outputs that
//! an expression asks for exist, whether functions call each other in a circle.
//!
//! Promises: bounded like [`parse`](crate::parse): so many findings of one file, so many files, so many bytes. What
//! cannot be known before a run is not complained about. An error is something that a run would fail on, or that was
//! surely not meant; everything else is a warning.
//! Never does: I/O (files come through [`Files`]), rendering. Called by: `host::cli`, for `check`.
//!
//! ```text
//! add ─► texts ─ read, follow references ─► units ─ look at each, seek circles ─► findings
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use stephost_expr::{Scope, Value};

use crate::code::Code;
use crate::definition;
use crate::document::{self, Documents, Notes, Strictness};
use crate::error::Fault;
use crate::limits::{FINDINGS_MAX, FOLLOWED_BYTES_MAX, FOLLOWED_FILES_MAX};
use crate::name::Name;
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted;
use crate::reference::{LocalReference, Reference, ReferenceError};
use crate::resolve::{self, Files, LoadError};
use crate::spec::{self, Outputs, Parameter, Spec};
use crate::yaml::{Content, Key, Node};

mod aim;
mod circles;
mod finding;
mod look;
mod traps;

use finding::Findings;
pub use finding::{Finding, Fix, Severity};

/// What a check knows of the functions of the host.
pub trait Builtins {
    /// Returns the names of all of them.
    fn names(&self) -> Vec<&str>;

    /// Returns what the function takes and gives, if that is known.
    fn spec(&self, name: &str) -> Option<Spec>;
}

/// A file that was looked at.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Where it is, as it was given or as references lead to it.
    pub path: PathBuf,
    /// Its text; what is no UTF-8 is replaced.
    pub text: Rc<str>,
    /// What was found, in the order of the text.
    pub findings: Vec<Finding>,
    /// Whether there was more than is shown.
    pub more: bool,
}

/// What a check came to.
#[derive(Debug)]
pub struct Outcome {
    /// The files that were given, in their order, then those that references led to.
    pub files: Vec<Checked>,
    /// Whether references led to more files than are looked at.
    pub left_out: bool,
}

/// Looks at functions and at the local functions that they call.
pub struct Checker<'a> {
    files: &'a dyn Files,
    builtins: &'a dyn Builtins,
    units: Vec<Unit>,
    by_path: BTreeMap<PathBuf, usize>,
    /// What local references were found to mean.
    found: BTreeMap<(PathBuf, Option<String>), usize>,
    specs: BTreeMap<Box<str>, Option<Rc<Spec>>>,
    followed_bytes: usize,
    followed_files: usize,
    left_out: bool,
}

/// One file, read as far as it can be.
struct Unit {
    path: PathBuf,
    /// What its references are relative to.
    dir: PathBuf,
    text: Rc<str>,
    findings: Findings,
    /// Findings in expressions, each with its whole scalar: a second reading finds their places better.
    rough: Vec<Finding>,
    documents: Option<Documents>,
    /// What it takes and gives; `None` when that is not known for sure.
    spec: Option<Rc<Spec>>,
    /// The items of its `run`, also those that are wrong.
    items: Vec<Item>,
    /// The item that it delegates its outputs to.
    delegate: Option<usize>,
}

/// One item of `run`: as much of it as another place may need.
struct Item {
    name: Option<Rc<str>>,
    /// Where its name is.
    named: Option<Place>,
    target: Target,
    /// Where it says what it calls.
    place: Place,
}

/// What an item calls.
enum Target {
    Unit(usize),
    Builtin(Rc<Spec>),
    /// Takes nothing, gives nothing.
    Script,
    /// Only a run will show.
    Unknown,
}

/// A scope without any name.
struct Nothing;

impl Scope for Nothing {
    fn name(&self, _name: &str) -> Option<Value> {
        None
    }
}

impl<'a> Checker<'a> {
    /// Returns a checker that has looked at nothing yet.
    pub fn new(files: &'a dyn Files, builtins: &'a dyn Builtins) -> Self {
        Self {
            files,
            builtins,
            units: Vec::new(),
            by_path: BTreeMap::new(),
            found: BTreeMap::new(),
            specs: BTreeMap::new(),
            followed_bytes: 0,
            followed_files: 0,
            left_out: false,
        }
    }

    /// Adds a function; returns whether it was not added before. Its references are relative to the directory of
    /// `path`.
    pub fn add(&mut self, path: &Path, text: &[u8]) -> bool {
        let key = resolve::clean(path);
        let is_new = !self.by_path.contains_key(&key);
        if is_new {
            self.unit(path.to_owned(), key, text);
        }
        is_new
    }

    /// Looks at everything that was added, and at what it calls.
    pub fn finish(mut self) -> Outcome {
        let mut next = 0;
        while next < self.units.len() {
            self.follow(next);
            next += 1;
        }
        for unit in 0..self.units.len() {
            let mut findings = std::mem::take(&mut self.units[unit].findings);
            look::look(&self, unit, &mut findings);
            self.units[unit].findings = findings;
        }
        self.seek_circles();
        let files = self.units.into_iter().map(|mut unit| {
            for rough in unit.rough {
                if !unit.findings.has_error_within(rough.place) {
                    unit.findings.push(rough);
                }
            }
            Checked {
                path: unit.path,
                text: unit.text,
                more: unit.findings.more,
                findings: unit.findings.into_sorted(),
            }
        });
        Outcome {
            files: files.collect(),
            left_out: self.left_out,
        }
    }

    /// Reads a text as far as it can be read.
    fn unit(&mut self, path: PathBuf, key: PathBuf, bytes: &[u8]) -> usize {
        let mut notes = Notes::new(Strictness::Strict, FINDINGS_MAX);
        let documents =
            document::readable(bytes).and_then(|text| document::documents(text, &mut notes));
        let mut unit = Unit {
            dir: path.parent().unwrap_or(Path::new("")).to_owned(),
            path,
            text: String::from_utf8_lossy(bytes).into(),
            findings: Findings::default(),
            rough: Vec::new(),
            documents: None,
            spec: None,
            items: Vec::new(),
            delegate: None,
        };
        let read = documents.and_then(|documents| {
            let spec = spec::read::read(&documents.spec, &mut notes);
            let spec = notes.recover(spec)?;
            let definition =
                definition::read::read(&documents.definition, spec.as_ref(), &mut notes);
            notes.recover(definition)?;
            Ok((documents, spec))
        });
        let stopped = match read {
            Ok((documents, spec)) => {
                unit.spec = spec.map(Rc::new);
                unit.documents = Some(documents);
                None
            }
            Err(problem) => Some(problem),
        };
        let (held, taken, more) = notes.into_parts();
        unit.findings.more = more || (stopped.is_some() && held.len() >= FINDINGS_MAX);
        let definition = unit.documents.as_ref().map(|both| both.definition.place);
        for problem in held.iter().chain(&stopped) {
            if definition.is_none_or(|definition| problem.place < definition) {
                // What it takes and gives was not read as it was meant.
                unit.spec = None;
            }
            let finding = Finding::of(problem);
            match &problem.fault {
                Fault::Expression(_) | Fault::Reference(ReferenceError::Expression(_)) => {
                    unit.rough.push(finding);
                }
                _ => unit.findings.push(finding),
            }
        }
        for (place, notice) in &taken {
            let message = notice.to_string();
            let finding = Finding::new(notice.code(), Severity::Warning, *place, &message);
            unit.findings.push(finding);
        }
        let at = self.units.len();
        self.units.push(unit);
        self.by_path.insert(key, at);
        at
    }

    /// Finds out what every item of a unit calls.
    fn follow(&mut self, at: usize) {
        let Some(documents) = self.units[at].documents.take() else {
            return;
        };
        let mut items = Vec::new();
        for node in items_of(&documents.definition) {
            let name = entry(node, "name").map(|(_, name)| name);
            let target = self.target(at, node);
            items.push(Item {
                name: name.and_then(text).cloned(),
                named: name.map(|name| name.place),
                target,
                place: call_of(node).map_or(node.place, |(_, call)| call.place),
            });
        }
        let delegate = entry(&documents.definition, "delegate").and_then(|(_, name)| text(name));
        let unit = &mut self.units[at];
        unit.delegate = delegate.and_then(|name| {
            let is_meant = |item: &Item| item.name.as_ref() == Some(name);
            items.iter().rposition(is_meant)
        });
        unit.items = items;
        unit.documents = Some(documents);
    }

    fn target(&mut self, at: usize, item: &Node) -> Target {
        match call_of(item) {
            Some((key, _)) if &*key.text == "script" => Target::Script,
            Some((key, call)) if &*key.text == "action" => {
                let message = "`action` items cannot be run by this host yet";
                self.find(at, Finding::warning(Code::R012, call.place, message));
                Target::Unknown
            }
            Some((_, call)) => match &call.content {
                Content::Scalar(scalar) => match Reference::parse_short(&scalar.text) {
                    Ok(reference) => self.callee(at, &reference, call.place),
                    Err(_) => Target::Unknown,
                },
                Content::Mapping(_) => {
                    for kind in ["git", "oci"] {
                        if entry(call, kind).is_some() {
                            self.cannot_fetch(at, kind, call.place);
                        }
                    }
                    Target::Unknown
                }
                Content::Sequence(_) => Target::Unknown,
            },
            None => Target::Unknown,
        }
    }

    fn callee(&mut self, at: usize, reference: &Reference, place: Place) -> Target {
        match reference.expand(&Nothing) {
            Ok(Reference::Local(local)) => self.local(at, &local, place),
            Ok(Reference::Builtin(name)) => self.builtin(at, &name, place),
            Ok(Reference::Git(_)) => self.cannot_fetch(at, "git", place),
            Ok(Reference::Oci(_)) => self.cannot_fetch(at, "OCI", place),
            // It depends on names, or its expression is wrong, which is told where expressions are.
            Ok(Reference::Dynamic(_)) | Err(ReferenceError::Expression(_)) => Target::Unknown,
            Err(error) => {
                let message = error.to_string();
                let finding = Finding::new(error.code(), Severity::Error, place, &message);
                self.find(at, finding);
                Target::Unknown
            }
        }
    }

    fn cannot_fetch(&mut self, at: usize, kind: &str, place: Place) -> Target {
        let message =
            format!("functions cannot be fetched from {kind} references by this host yet");
        let message = message.replace("oci", "OCI");
        self.find(at, Finding::warning(Code::R012, place, &message));
        Target::Unknown
    }

    fn builtin(&mut self, at: usize, name: &str, place: Place) -> Target {
        let names = self.builtins.names();
        if !names.contains(&name) {
            let message = format!("this host has no builtin {}", quoted::Quoted::new(name));
            let nearest = nearest(name, names.iter().copied());
            let mut finding = Finding::error(Code::R013, place, &message);
            finding.help = Some(match nearest {
                Some(near) => format!("did you mean `builtin://{near}`?"),
                None => format!("it has {}", names.join(", ")),
            });
            self.find(at, finding);
            return Target::Unknown;
        }
        let builtins = self.builtins;
        let spec = self
            .specs
            .entry(name.into())
            .or_insert_with(|| builtins.spec(name).map(Rc::new));
        spec.clone().map_or(Target::Unknown, Target::Builtin)
    }

    fn local(&mut self, at: usize, local: &LocalReference, place: Place) -> Target {
        let base = self.units[at].dir.clone();
        let known = (resolve::clean(&base.join(&local.dir)), local.file.clone());
        if let Some(unit) = self.found.get(&known) {
            return Target::Unit(*unit);
        }
        if self.followed_files >= FOLLOWED_FILES_MAX || self.followed_bytes >= FOLLOWED_BYTES_MAX {
            self.left_out = true;
            return Target::Unknown;
        }
        match resolve::find_local(local, &base, self.files) {
            Ok((dir, file, text)) => {
                let path = dir.join(file);
                let unit = match self.by_path.get(&path) {
                    Some(unit) => *unit,
                    None => {
                        self.followed_files += 1;
                        self.followed_bytes += text.len();
                        self.unit(path.clone(), path, &text)
                    }
                };
                self.found.insert(known, unit);
                Target::Unit(unit)
            }
            Err(error) => {
                self.find(at, not_found(local, &error, place));
                Target::Unknown
            }
        }
    }

    fn find(&mut self, at: usize, finding: Finding) {
        self.units[at].findings.push(finding);
    }

    /// Returns what is known of the outputs of an item's callee.
    fn outputs<'s>(
        &'s self,
        target: &'s Target,
        depth: usize,
    ) -> Option<&'s BTreeMap<Name, Parameter>> {
        static NOTHING: BTreeMap<Name, Parameter> = BTreeMap::new();
        let (spec, unit) = match target {
            Target::Script => return Some(&NOTHING),
            Target::Unknown => return None,
            Target::Builtin(spec) => (&**spec, None),
            Target::Unit(unit) => (self.units[*unit].spec.as_deref()?, Some(&self.units[*unit])),
        };
        match &spec.outputs {
            Outputs::Declared(declared) => Some(declared),
            // A chain of delegates is as long as functions can be nested, or a circle, which is told elsewhere.
            Outputs::Delegate if depth >= DELEGATES_MAX => None,
            Outputs::Delegate => {
                let unit = unit?;
                let item = unit.items.get(unit.delegate?)?;
                self.outputs(&item.target, depth + 1)
            }
        }
    }

    /// Returns what an item's callee takes, if that is known.
    fn inputs<'s>(&'s self, target: &'s Target) -> Option<&'s Spec> {
        match target {
            Target::Unit(unit) => self.units[*unit].spec.as_deref(),
            Target::Builtin(spec) => Some(spec),
            Target::Script | Target::Unknown => None,
        }
    }
}

/// Longest chain of functions that each delegate their outputs.
const DELEGATES_MAX: usize = 64;

fn not_found(local: &LocalReference, error: &LoadError, place: Place) -> Finding {
    let message = error.to_string();
    let finding = Finding::new(error.code(), Severity::Error, place, &message);
    if local.file.is_none() && local.dir.ends_with(".yaml") {
        return finding
            .help("the file of a function ends with `.yml`: this is read as a directory");
    }
    finding
}

/// Returns the items of a definition's `run`, whatever they are.
fn items_of(definition: &Node) -> &[Node] {
    match entry(definition, "run") {
        Some((
            _,
            Node {
                content: Content::Sequence(items),
                ..
            },
        )) => items,
        _ => &[],
    }
}

/// Returns what an item calls: the first of the keys that is there.
fn call_of(item: &Node) -> Option<(&Key, &Node)> {
    definition::read::CALLS
        .iter()
        .find_map(|key| entry(item, key))
}

/// Returns an entry of an object; null counts as absent.
fn entry<'n>(node: &'n Node, key: &str) -> Option<(&'n Key, &'n Node)> {
    let found = entries(node).iter().find(|(known, _)| &*known.text == key);
    found
        .map(|(key, node)| (key, node))
        .filter(|(_, node)| !node.is_null())
}

/// Returns the entries of an object; of anything else none.
fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.content {
        Content::Mapping(entries) => entries,
        Content::Scalar(_) | Content::Sequence(_) => &[],
    }
}

/// Returns the text of a scalar.
fn text(node: &Node) -> Option<&Rc<str>> {
    match &node.content {
        Content::Scalar(scalar) => Some(&scalar.text),
        Content::Sequence(_) | Content::Mapping(_) => None,
    }
}
