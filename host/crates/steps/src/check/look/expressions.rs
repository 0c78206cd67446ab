//! The expressions in one text: names, accesses, and what comes out where that does not depend on a run.
//!
//! Promises: an expression that breaks the grammar hides none of those around it; when a file has as many errors as
//! are told, nothing more is sought. Called by: `look`, for every text that may hold expressions.

use stephost_expr::{Access, ExpressionError, Fault, Kind, Segment, Template};

use super::{Foreseen, Looker, View};
use crate::check::{Finding, Item, Nothing, Severity, Target, aim};
use crate::code::Code;
use crate::name::Name;
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted::Quoted;
use crate::spec::{Parameter, ValueType};

/// The names that every expression sees (contract 4.2), functions among them.
const NAMES: [&str; 11] = [
    "inputs", "env", "job", "vars", "steps", "work_dir", "func_dir", "step_dir", "str", "num",
    "bool",
];

/// The names that the expressions of a leaf see besides: `exec`, and the text of a `script`.
const FILES: [&str; 2] = ["output_file", "export_file"];

/// What begins an expression.
const OPEN: &str = "${{";

/// A text with expressions: where it stands, and what they see.
struct Scalar<'t> {
    whole: Place,
    text: &'t str,
    view: View,
}

impl<'c> Looker<'c, '_> {
    /// Looks at the expressions in the scalar at `whole`; returns what is known of its value.
    pub(super) fn template(&mut self, whole: Place, text: &str, view: View) -> Foreseen {
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

fn kind_of_type(ty: ValueType) -> Kind {
    match ty {
        ValueType::String => Kind::String,
        ValueType::Number => Kind::Number,
        ValueType::Boolean => Kind::Boolean,
        ValueType::Array => Kind::Array,
        ValueType::Struct => Kind::Object,
    }
}
