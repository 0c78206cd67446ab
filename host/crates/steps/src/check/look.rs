//! One file, seen with what it calls: expressions, inputs, outputs, and the look of values.
//!
//! Walks the YAML and not the definition: every key and value knows its place there, and an item that is half wrong
//! is still looked at. Shapes that do not fit are passed over; the strict reading told of them.
//! Called by: `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stephost_expr::Kind;

use super::{
    Checker, Finding, Findings, Item, Severity, Unit, call_of, entries, entry, items_of, text,
    traps,
};
use crate::code::Code;
use crate::name::Name;
use crate::nearest::nearest;
use crate::place::Place;
use crate::spec::{InputError, OutputError, Outputs, Parameter, Spec, ValueType, type_word};
use crate::yaml::{Content, Meaning, Node};

mod expressions;

/// Looks at the unit `at` of a checker that has followed every reference.
pub(super) fn look(checker: &Checker<'_>, at: usize, findings: &mut Findings) {
    let unit = &checker.units[at];
    let Some(documents) = &unit.documents else {
        return;
    };
    let mut names = BTreeMap::<&str, Vec<usize>>::new();
    for (index, item) in unit.items.iter().enumerate() {
        if let Some(name) = &item.name {
            names.entry(name).or_default().push(index);
        }
    }
    let mut looker = Looker {
        checker,
        unit,
        names,
        all_named: unit.items.iter().all(|item| item.name.is_some()),
        required: BTreeMap::new(),
        findings,
    };
    looker.spec(&documents.spec);
    looker.definition(&documents.definition);
}

struct Looker<'c, 'f> {
    checker: &'c Checker<'c>,
    unit: &'c Unit,
    /// The items by name, each list ascending.
    names: BTreeMap<&'c str, Vec<usize>>,
    /// Whether no item is without a name, so that an unknown name is really unknown.
    all_named: bool,
    /// The inputs that a function needs, of those that were asked for.
    required: BTreeMap<*const Spec, Rc<[&'c Name]>>,
    findings: &'f mut Findings,
}

/// What expressions at one place see.
#[derive(Clone, Copy)]
struct View {
    /// How many of the items have run.
    items: usize,
    /// Whether there are files for outputs and exports.
    files: bool,
}

/// What is known of a value before a run.
#[derive(Default)]
struct Foreseen {
    kind: Option<Kind>,
    sensitive: bool,
}

impl From<Kind> for Foreseen {
    fn from(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            sensitive: false,
        }
    }
}

impl<'c> Looker<'c, '_> {
    fn spec(&mut self, document: &Node) {
        let Some((_, spec)) = entry(document, "spec") else {
            return;
        };
        for kind in ["inputs", "outputs"] {
            let Some((_, parameters)) = entry(spec, kind) else {
                continue;
            };
            for (_, parameter) in entries(parameters) {
                let ty = entry(parameter, "type").and_then(|(_, ty)| text(ty));
                let ty = ty.and_then(|word| ValueType::parse(word));
                if let Some((_, default)) = entry(parameter, "default")
                    && ty.is_none_or(|ty| ty.accepts_kind(kind_of(default)))
                {
                    self.traps(default, ty);
                }
            }
        }
    }

    fn definition(&mut self, definition: &Node) {
        let exec = entry(definition, "exec");
        let view = View {
            items: 0,
            files: exec.is_some(),
        };
        self.env(definition, view);
        if let Some((_, exec)) = exec {
            self.exec(exec, view);
        }
        let items = items_of(definition);
        for (index, node) in items.iter().enumerate() {
            if let Some(item) = self.unit.items.get(index) {
                self.item(node, item, index);
            }
        }
        if exec.is_none() {
            self.outputs(definition, items.len());
        }
    }

    fn exec(&mut self, exec: &Node, view: View) {
        if let Some((_, command)) = entry(exec, "command")
            && let Content::Sequence(words) = &command.content
        {
            for word in words.iter() {
                self.scalar(word, view);
            }
        }
        if let Some((_, work_dir)) = entry(exec, "work_dir") {
            self.scalar(work_dir, view);
        }
    }

    fn env(&mut self, holder: &Node, view: View) {
        let Some((_, env)) = entry(holder, "env") else {
            return;
        };
        for (key, value) in entries(env) {
            self.template(key.place, &key.text, view);
            self.scalar(value, view);
        }
    }

    fn item(&mut self, node: &Node, item: &'c Item, index: usize) {
        let view = View {
            items: index,
            files: false,
        };
        self.env(node, view);
        if let Some((key, call)) = call_of(node)
            && &*key.text != "action"
        {
            let files = &*key.text == "script";
            self.scalar(call, View { files, ..view });
        }
        let given = entry(node, "inputs").map_or(&[][..], |(_, inputs)| entries(inputs));
        let spec = self.checker.inputs(&item.target);
        let mut there: BTreeSet<&str> = given.iter().map(|(key, _)| &*key.text).collect();
        for (key, value) in given {
            let foreseen = self.tree(value, view);
            let Some(spec) = spec else {
                self.traps(value, None);
                continue;
            };
            // A name that is none was told already.
            let Ok(name) = Name::parse(&key.text) else {
                continue;
            };
            match spec.inputs.get(&name) {
                Some(parameter) => self.input(name, parameter, value, &foreseen),
                None => {
                    let near = nearest(name.as_str(), spec.inputs.keys().map(Name::as_str));
                    let error = InputError::Unknown {
                        name,
                        nearest: None,
                    };
                    // It is called otherwise, and not missing.
                    there.extend(near);
                    let finding = fault(error.code(), key.place, &error);
                    self.findings.push(finding.meant(key.place, near));
                }
            }
        }
        let Some(spec) = spec else {
            return;
        };
        for name in self.required(spec).iter() {
            if there.contains(name.as_str()) {
                continue;
            }
            if self.findings.refuses_errors() {
                return;
            }
            let error = InputError::Missing {
                name: (*name).clone(),
            };
            let place = entry(node, "inputs").map_or(item.place, |(key, _)| key.place);
            self.findings.push(fault(error.code(), place, &error));
        }
    }

    /// Returns the inputs that must be given. A text can have many items that call a function with many inputs.
    fn required(&mut self, spec: &'c Spec) -> Rc<[&'c Name]> {
        let inputs = || {
            let inputs = spec.inputs.iter();
            let required = inputs.filter(|(_, input)| input.default.is_none());
            required.map(|(name, _)| name).collect()
        };
        let known = self.required.entry(std::ptr::from_ref(spec));
        Rc::clone(known.or_insert_with(inputs))
    }

    fn input(&mut self, name: Name, parameter: &Parameter, value: &Node, foreseen: &Foreseen) {
        let expected = parameter.ty;
        match foreseen.kind {
            Some(kind) if !expected.accepts_kind(kind) => {
                let found = type_word(kind);
                let error = InputError::WrongType {
                    name,
                    expected,
                    found,
                };
                self.wrong_type(error.code(), &error, value, expected);
            }
            _ if foreseen.sensitive && !parameter.sensitive => {
                let error = InputError::Sensitive { name };
                self.findings.push(fault(error.code(), value.place, &error));
            }
            _ => self.traps(value, Some(expected)),
        }
    }

    fn outputs(&mut self, definition: &Node, items: usize) {
        let view = View {
            items,
            files: false,
        };
        let given = entry(definition, "outputs");
        let entries = given.map_or(&[][..], |(_, outputs)| entries(outputs));
        let declared = match self.unit.spec.as_deref() {
            Some(Spec {
                outputs: Outputs::Declared(declared),
                ..
            }) => Some(declared),
            _ => None,
        };
        for (key, value) in entries {
            let foreseen = self.tree(value, view);
            let name = Name::parse(&key.text).ok();
            let (Some(declared), Some(name)) = (declared, name) else {
                self.traps(value, None);
                continue;
            };
            let Some(parameter) = declared.get(&name) else {
                let near = nearest(name.as_str(), declared.keys().map(Name::as_str));
                let error = OutputError::Unexpected {
                    name,
                    nearest: None,
                };
                let finding = fault(error.code(), key.place, &error);
                self.findings.push(finding.meant(key.place, near));
                continue;
            };
            let expected = parameter.ty;
            match foreseen.kind {
                Some(kind) if !expected.accepts_kind(kind) => {
                    let found = type_word(kind);
                    let error = OutputError::WrongType {
                        name,
                        expected,
                        found,
                    };
                    self.wrong_type(error.code(), &error, value, expected);
                }
                _ => self.traps(value, Some(expected)),
            }
        }
        // Without `run` nothing is known of the definition.
        let Some((run, _)) = entry(definition, "run") else {
            return;
        };
        let there: BTreeSet<&str> = entries.iter().map(|(key, _)| &*key.text).collect();
        let required = declared.into_iter().flatten();
        let required = required.filter(|(_, output)| output.default.is_none());
        for (name, _) in required.filter(|(name, _)| !there.contains(name.as_str())) {
            let message = format!("output `{name}` has no default and is not given");
            let place = given.map_or(run.place, |(key, _)| key.place);
            let finding = Finding::error(Code::S032, place, &message);
            self.findings.push(finding.help(format!(
                "write `outputs: {{ {name}: … }}` beside `run`, from the outputs of its steps"
            )));
        }
    }

    fn wrong_type(
        &mut self,
        code: &'static str,
        error: &dyn std::fmt::Display,
        value: &Node,
        expected: ValueType,
    ) {
        let finding = fault(code, value.place, error);
        self.findings.push(match repaired(value, expected) {
            Some(word) => finding.help(format!("write {word}")).fix(value.place, word),
            None => finding,
        });
    }

    /// Looks at every expression of a value; returns what is known of it.
    fn tree(&mut self, node: &Node, view: View) -> Foreseen {
        match &node.content {
            Content::Scalar(scalar) if scalar.meaning() == Meaning::Text => {
                return self.template(node.place, &scalar.text, view);
            }
            Content::Scalar(_) => {}
            Content::Sequence(items) => {
                for item in items.iter() {
                    self.tree(item, view);
                }
            }
            Content::Mapping(entries) => {
                for (_, value) in entries.iter() {
                    self.tree(value, view);
                }
            }
        }
        kind_of(node).into()
    }

    /// Looks at the look of every scalar of a value.
    fn traps(&mut self, node: &Node, ty: Option<ValueType>) {
        match &node.content {
            Content::Scalar(_) => {
                if let Some(finding) = traps::trap(node, ty) {
                    self.findings.push(finding);
                }
            }
            Content::Sequence(items) => {
                for item in items.iter() {
                    self.traps(item, None);
                }
            }
            Content::Mapping(entries) => {
                for (_, value) in entries.iter() {
                    self.traps(value, None);
                }
            }
        }
    }

    fn scalar(&mut self, node: &Node, view: View) {
        if let Some(text) = text(node) {
            self.template(node.place, text, view);
        }
    }
}

/// A finding with the words that a run would fail with.
fn fault(code: &'static str, place: Place, error: &dyn std::fmt::Display) -> Finding {
    Finding::new(code, Severity::Error, place, &error.to_string())
}

/// The kind of a value that is no template.
fn kind_of(node: &Node) -> Kind {
    match &node.content {
        Content::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => Kind::Null,
            Meaning::Boolean(_) => Kind::Boolean,
            Meaning::Number(_) | Meaning::NotFinite => Kind::Number,
            Meaning::Text => Kind::String,
        },
        Content::Sequence(_) => Kind::Array,
        Content::Mapping(_) => Kind::Object,
    }
}

/// Returns how a scalar of the wrong type is probably meant.
fn repaired(node: &Node, expected: ValueType) -> Option<String> {
    let Content::Scalar(scalar) = &node.content else {
        return None;
    };
    let text = &*scalar.text;
    match (expected, scalar.meaning()) {
        (ValueType::String, Meaning::Number(_) | Meaning::Boolean(_)) => {
            Some(format!("\"{text}\""))
        }
        (ValueType::Boolean, Meaning::Text) => match text {
            "true" | "false" => Some(text.to_owned()),
            _ => traps::old_boolean(text).map(|truth| truth.to_string()),
        },
        // In quotes it is a text; without them it may be what is wanted.
        (ValueType::Number, Meaning::Text) if !scalar.is_plain() => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(|_| text.to_owned())
        }
        _ => None,
    }
}
