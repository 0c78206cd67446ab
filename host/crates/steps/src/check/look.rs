//! One file, seen with what it calls: expressions, inputs, outputs, and the look of values.
//!
//! Walks the YAML and not the definition: every key and value knows its place there, and an item that is half wrong
//! is still looked at. Shapes that do not fit are passed over; the strict reading told of them.
//! Called by: `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stephost_expr::{Access, ExpressionError, Fault, Kind, Segment, Template};

use super::{
    Checker, Finding, Findings, Item, Nothing, Severity, Target, Unit, aim, call_of, entries,
    entry, items_of, text, traps,
};
use crate::code::Code;
use crate::name::Name;
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted::Quoted;
use crate::spec::{InputError, OutputError, Outputs, Parameter, Spec, ValueType, type_word};
use crate::yaml::{Content, Meaning, Node};

/// The names that every expression sees (contract 4.2), functions among them.
const NAMES: [&str; 11] = [
    "inputs", "env", "job", "vars", "steps", "work_dir", "func_dir", "step_dir", "str", "num",
    "bool",
];

/// The names that the expressions of a leaf see besides: `exec`, and the text of a `script`.
const FILES: [&str; 2] = ["output_file", "export_file"];

/// What begins an expression.
const OPEN: &str = "${{";

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

/// A text with expressions: where it stands, and what they see.
struct Scalar<'t> {
    whole: Place,
    text: &'t str,
    view: View,
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

    /// Looks at the expressions in the scalar at `whole`; returns what is known of its value.
    fn template(&mut self, whole: Place, text: &str, view: View) -> Foreseen {
        if !text.contains(OPEN) {
            return Kind::String.into();
        }
        let scalar = Scalar { whole, text, view };
        match Template::parse(text) {
            Ok(template) => self.expressions(&scalar, 0, &template),
            Err(error) => {
                self.pieces(&scalar, &error);
                Foreseen::default()
            }
        }
    }

    /// Looks at the expressions around those that break the grammar, beginning with the one of `error`.
    fn pieces(&mut self, scalar: &Scalar<'_>, error: &ExpressionError) {
        let text = scalar.text;
        let (mut start, mut position, mut fault) = (0, error.position(), error.fault().clone());
        loop {
            self.expression(scalar, position, &fault);
            let after = text.ceil_char_boundary(position + 1);
            // The position may be the `{` of its own opening.
            let until = text.ceil_char_boundary(position + OPEN.len());
            let broken = text[start..until].rfind(OPEN).unwrap_or_default();
            if let Ok(template) = Template::parse(&text[start..start + broken]) {
                self.expressions(scalar, start, &template);
            }
            let next = text[after..].find(OPEN);
            let Some(next) = next.filter(|_| !self.findings.refuses_errors()) else {
                return;
            };
            start = after + next;
            match Template::parse(&text[start..]) {
                Ok(template) => {
                    self.expressions(scalar, start, &template);
                    return;
                }
                Err(error) => {
                    position = start + error.position();
                    fault = error.fault().clone();
                }
            }
        }
    }

    /// Looks at the expressions of a template, which stands in the scalar from `start` on.
    fn expressions(&mut self, scalar: &Scalar<'_>, start: usize, template: &Template) -> Foreseen {
        // An evaluation without names comes to its value, to a name, or to a mistake that no name mends.
        let constant = match template.evaluate(&Nothing) {
            Ok(value) => Some(value.kind()),
            Err(error) => {
                if !matches!(error.fault(), Fault::UnknownName { .. }) {
                    self.expression(scalar, start + error.position(), error.fault());
                }
                None
            }
        };
        let mut sensitive = false;
        let mut kind = constant.or_else(|| template.is_text().then_some(Kind::String));
        for access in template.accesses() {
            // Finding the place of a mistake takes as long as the text is: a text has room for many mistakes.
            if self.findings.refuses_errors() {
                break;
            }
            let parameter = self.access(scalar, start, &access);
            if let Some(parameter) = parameter.filter(|_| access.is_everything) {
                sensitive = parameter.sensitive;
                kind = Some(kind_of_type(parameter.ty));
            }
        }
        Foreseen { kind, sensitive }
    }

    fn expression(&mut self, scalar: &Scalar<'_>, position: usize, fault: &Fault) {
        if self.findings.refuses_errors() {
            return;
        }
        let rest = scalar.text.get(position..).unwrap_or_default();
        let word = rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        let bytes = match fault {
            Fault::Unclosed => OPEN.len(),
            _ => word.max(rest.chars().next().map_or(0, char::len_utf8)),
        };
        let place = self.place(scalar, position, bytes);
        let code = fault.code().as_str();
        let message = fault.to_string();
        self.findings
            .push(Finding::new(code, Severity::Error, place, &message));
    }

    fn place(&self, scalar: &Scalar<'_>, position: usize, bytes: usize) -> Place {
        aim::within(&self.unit.text, scalar.whole, scalar.text, position, bytes)
    }

    /// Looks at one access; returns what is declared of the value that it is, if all of the way is known.
    fn access(
        &mut self,
        scalar: &Scalar<'_>,
        start: usize,
        access: &Access,
    ) -> Option<&'c Parameter> {
        let view = scalar.view;
        let place = |looker: &Self, segment: &Segment| {
            let Segment { bytes, .. } = segment;
            looker.place(scalar, start + bytes.start, bytes.len())
        };
        let (root, path) = access.path.split_first()?;
        let files = if view.files { &FILES[..] } else { &[] };
        let is_known = |name: &str| NAMES.contains(&name) || files.contains(&name);
        if !is_known(&root.name) {
            let at = place(self, root);
            let message = format!("nothing is called {} here", Quoted::new(&root.name));
            let code = stephost_expr::Code::S107.as_str();
            let finding = Finding::new(code, Severity::Error, at, &message);
            let near = nearest(&root.name, NAMES.iter().chain(files).copied());
            self.findings.push(if FILES.contains(&&*root.name) {
                finding.help("it is there in `exec` and in the text of a `script` only")
            } else {
                finding.meant(at, near)
            });
            return None;
        }
        let first = path.first()?;
        match &*root.name {
            "inputs" => {
                let spec = self.unit.spec.as_deref()?;
                let declared = spec.inputs.get(&*first.name);
                if declared.is_none() && !access.may_miss {
                    let at = place(self, first);
                    let name = Quoted::new(&first.name);
                    let message = format!("the function has no input {name}");
                    let near = nearest(&first.name, spec.inputs.keys().map(Name::as_str));
                    let finding = Finding::error(Code::S053, at, &message).meant(at, near);
                    self.findings.push(if spec.inputs.is_empty() {
                        finding.help("declare it in the first document, below `spec`")
                    } else {
                        finding
                    });
                }
                declared.filter(|_| path.len() == 1)
            }
            "steps" => {
                let item = match self.earlier(&first.name, view) {
                    Some(item) => item,
                    None => {
                        if !access.may_miss && self.all_named {
                            let finding = self.no_step(place(self, first), &first.name, view);
                            self.findings.push(finding);
                        }
                        return None;
                    }
                };
                let outputs = path.get(1)?;
                if &*outputs.name != "outputs" {
                    if !access.may_miss {
                        let at = place(self, outputs);
                        let message = "a step has nothing but `outputs`";
                        let finding = Finding::error(Code::S052, at, message);
                        let name = &outputs.name;
                        self.findings.push(
                            finding
                                .help(format!("write `outputs.{name}` if an output is meant"))
                                .fix(at, format!("outputs.{name}")),
                        );
                    }
                    return None;
                }
                let output = path.get(2)?;
                let declared = self.checker.outputs(&item.target, 0)?;
                let found = declared.get(&*output.name);
                if found.is_none() && !access.may_miss {
                    let at = place(self, output);
                    let (step, name) = (Quoted::new(&first.name), Quoted::new(&output.name));
                    let near = nearest(&output.name, declared.keys().map(Name::as_str));
                    let message = format!("step {step} has no output {name}");
                    let finding = Finding::error(Code::S052, at, &message).meant(at, near);
                    self.findings.push(match item.target {
                        Target::Script => finding.help(
                            "a script has no outputs: export a variable and read it from `env`, or call a function",
                        ),
                        Target::Unit(_) | Target::Builtin(_) | Target::Unknown => finding,
                    });
                }
                found.filter(|_| path.len() == 3)
            }
            _ => None,
        }
    }

    /// Returns the last item of this name that has run.
    fn earlier(&self, name: &str, view: View) -> Option<&'c Item> {
        let indices = self.names.get(name)?;
        let before = indices.partition_point(|index| *index < view.items);
        let last = indices.get(before.checked_sub(1)?)?;
        self.unit.items.get(*last)
    }

    fn no_step(&self, at: Place, name: &str, view: View) -> Finding {
        let shown = Quoted::new(name);
        let Some(later) = self.names.get(name).and_then(|indices| indices.first()) else {
            let before = self.names.iter();
            let before = before
                .filter(|(_, indices)| indices.first().is_some_and(|first| *first < view.items));
            let near = nearest(name, before.map(|(name, _)| *name));
            let message = format!("no step before this is called {shown}");
            return Finding::error(Code::S051, at, &message).meant(at, near);
        };
        let message = format!("step {shown} has not run here");
        let mut finding = Finding::error(Code::S051, at, &message)
            .help("a step sees the outputs of the steps above it");
        let named = self.unit.items.get(*later).and_then(|item| item.named);
        finding.related = named.map(|place| (place, "it is this one"));
        finding
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

fn kind_of_type(ty: ValueType) -> Kind {
    match ty {
        ValueType::String => Kind::String,
        ValueType::Number => Kind::Number,
        ValueType::Boolean => Kind::Boolean,
        ValueType::Array => Kind::Array,
        ValueType::Struct => Kind::Object,
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
