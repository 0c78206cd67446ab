//! The second document: `exec`, or `run` and its items (contract 3.3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stephost_expr::Template;

use super::{Body, Call, Composite, Definition, Env, Exec, Step};
use crate::document::{Notes, Strictness};
use crate::error::{Fault, Problem, Subject};
use crate::fields::{self, Fields, Shape};
use crate::name::Name;
use crate::nearest::nearest;
use crate::place::Place;
use crate::quoted::Quoted;
use crate::reference::{self, Reference};
use crate::spec::{Outputs, Spec};
use crate::tree::{self, Tree};
use crate::warning::Notice;
use crate::yaml::{Content, Key, Node};

const FIRST_DOCUMENT: &str = "in the first document, above the line `---`";
const ITEM: &str = "in an item of `run`";
const BELOW_EXEC: &str = "below `exec`";

const DOCUMENT: Shape = Shape {
    what: "the definition",
    keys: &["exec", "run", "env", "outputs", "delegate"],
    elsewhere: &[
        ("spec", FIRST_DOCUMENT),
        ("inputs", "below `spec` in the first document"),
        ("func", ITEM),
        ("step", ITEM),
        ("script", ITEM),
        ("action", ITEM),
        ("name", ITEM),
        ("command", BELOW_EXEC),
        ("work_dir", BELOW_EXEC),
    ],
    top: true,
};

const EXEC: Shape = Shape {
    what: "`exec`",
    keys: &["command", "work_dir", "cancel_timeout"],
    elsewhere: &[
        ("env", "beside `exec`"),
        ("name", ITEM),
        ("outputs", "below `spec` in the first document"),
    ],
    top: false,
};

const STEP: Shape = Shape {
    what: "an item of `run`",
    keys: &["name", "func", "step", "script", "action", "env", "inputs"],
    elsewhere: &[
        ("command", BELOW_EXEC),
        ("work_dir", BELOW_EXEC),
        ("outputs", "beside `run`"),
        ("delegate", "beside `run`"),
    ],
    top: false,
};

/// What an item can call, in the order in which conflicts are reported.
pub(crate) const CALLS: [&str; 4] = ["func", "step", "script", "action"];

/// Bodies of a definition, which cannot stand in an item of `run`: definitions do not nest (contract 3.3).
const NOT_IN_ITEM: [&str; 2] = ["exec", "run"];

/// Reads the definition document of a function with the given spec; `None` when that is broken itself.
pub(crate) fn read(
    node: &Node,
    spec: Option<&Spec>,
    notes: &mut Notes,
) -> Result<Definition, Problem> {
    if node.is_null() {
        let fault = Fault::EmptyDocument {
            document: "definition",
            instead: "it needs `run` or `exec`",
        };
        return Err(Problem::new(node.place, fault));
    }
    let fields = Fields::open(node, &DOCUMENT, notes)?;
    let body = match (fields.get("exec"), fields.get("run")) {
        (Some(_), Some(_)) => return Err(conflict(&fields, "exec", "run")),
        (None, None) => return Err(fields.missing(&["exec", "run"], "`run` or `exec`")),
        (Some(node), None) => {
            for key in ["outputs", "delegate"] {
                if fields.get(key).is_some() {
                    let fault = Fault::NotForExec { key };
                    notes.hold(Problem::new(fields.place_of(key), fault))?;
                }
            }
            Body::Exec(exec(node, notes)?)
        }
        (None, Some(node)) => Body::Run(composite(node, &fields, spec, notes)?),
    };
    Ok(Definition {
        env: env(fields.get("env"), notes)?,
        body,
    })
}

fn exec(node: &Node, notes: &mut Notes) -> Result<Exec, Problem> {
    let fields = Fields::open(node, &EXEC, notes)?;
    let Some(command) = fields.get("command") else {
        return Err(fields.missing(&["command"], "a `command`"));
    };
    let Content::Sequence(words) = &command.content else {
        return Err(Problem::new(
            command.place,
            Fault::CommandShape {
                found: command.noun(),
            },
        ));
    };
    if words.is_empty() {
        return Err(Problem::new(
            command.place,
            Fault::Empty { what: "`command`" },
        ));
    }
    let mut command = Vec::with_capacity(words.len());
    for word in words.iter() {
        command.extend(notes.recover(text(word, "an element of `command`"))?);
    }
    let work_dir = match fields.get("work_dir") {
        Some(node) => notes.recover(text(node, "`work_dir`"))?,
        None => None,
    };
    let cancel_timeout = match fields.get("cancel_timeout") {
        Some(node) => cancel_timeout(node, notes)?,
        None => None,
    };
    Ok(Exec {
        command,
        work_dir,
        cancel_timeout,
    })
}

/// Reads a duration. The key is only a proposal of the peer: on the wire an odd value must not stop a job.
fn cancel_timeout(node: &Node, notes: &mut Notes) -> Result<Option<Duration>, Problem> {
    let source = match &node.content {
        Content::Scalar(scalar) => &*scalar.text,
        Content::Sequence(_) | Content::Mapping(_) => node.noun(),
    };
    let duration = source
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    match (duration, notes.strictness) {
        (Some(duration), _) => Ok(Some(duration)),
        (None, Strictness::Wire) => {
            notes.take(
                node.place,
                Notice::CancelTimeout {
                    text: Quoted::new(source),
                },
            );
            Ok(None)
        }
        (None, Strictness::Strict) => {
            let text = Quoted::new(source);
            notes.hold(Problem::new(node.place, Fault::CancelTimeout { text }))?;
            Ok(None)
        }
    }
}

fn composite(
    node: &Node,
    fields: &Fields<'_>,
    spec: Option<&Spec>,
    notes: &mut Notes,
) -> Result<Composite, Problem> {
    let Content::Sequence(items) = &node.content else {
        return Err(fields::shape(
            node,
            Subject::Fixed("`run`"),
            "an array of steps",
        ));
    };
    let mut names = BTreeSet::new();
    let mut steps = Vec::with_capacity(items.len());
    let mut all_read = true;
    for item in items.iter() {
        let read = step(item, notes);
        let Some((step, name_place)) = notes.recover(read)?.flatten() else {
            all_read = false;
            continue;
        };
        if !names.insert(step.name.clone()) {
            notes.take(
                name_place,
                Notice::RepeatedStepName {
                    name: Quoted::new(step.name.as_str()),
                },
            );
        }
        steps.push(step);
    }
    let outputs = named_trees(fields.get("outputs"), "`outputs`", "output", notes)?;
    let delegates = spec.map(|spec| matches!(spec.outputs, Outputs::Delegate));
    let delegate = match fields.get("delegate") {
        Some(_) if fields.get("outputs").is_some() => {
            notes.hold(conflict(fields, "outputs", "delegate"))?;
            None
        }
        Some(node) if delegates == Some(false) => {
            notes.hold(Problem::new(node.place, Fault::DelegateNotDeclared))?;
            None
        }
        // Among the steps that could not be read may be the one that is meant.
        Some(_) if !all_read => None,
        Some(node) => notes.recover(delegate(node, &names))?,
        None if delegates == Some(true) => {
            notes.hold(Problem::new(fields.place, Fault::DelegateMissing))?;
            None
        }
        None => None,
    };
    Ok(Composite {
        steps,
        outputs,
        delegate,
    })
}

fn delegate(node: &Node, names: &BTreeSet<Name>) -> Result<Name, Problem> {
    let word = fields::text(node, || Subject::Fixed("`delegate`"))?;
    names.get(word).cloned().ok_or_else(|| {
        let nearest = nearest(word, names.iter().map(Name::as_str)).map(Quoted::new);
        Problem::new(
            node.place,
            Fault::DelegateUnknown {
                name: Quoted::new(word),
                nearest,
            },
        )
    })
}

/// Reads one item, and says where its name stands; `None` when its problems were kept.
fn step(node: &Node, notes: &mut Notes) -> Result<Option<(Step, Place)>, Problem> {
    for (key, value) in fields::object(node, || Subject::Fixed(STEP.what))? {
        if let Some(key_word) = NOT_IN_ITEM.iter().find(|word| **word == &*key.text)
            && !value.is_null()
        {
            return Err(Problem::new(key.place, Fault::NotInItem { key: key_word }));
        }
    }
    let fields = Fields::open(node, &STEP, notes)?;
    let name = name(&fields);
    let name = notes.recover(name)?;
    let call = call(&fields, notes);
    let call = notes.recover(call)?;
    let env = env(fields.get("env"), notes)?;
    let inputs = named_trees(fields.get("inputs"), "`inputs`", "input", notes)?;
    match (name, call) {
        (Some((name, name_place)), Some(call)) => Ok(Some((
            Step {
                name,
                call,
                env,
                inputs,
                place: node.place,
            },
            name_place,
        ))),
        // What is wrong was kept already.
        (Some(_) | None, Some(_) | None) => Ok(None),
    }
}

/// Reads the name of an item, and says where it stands.
fn name(fields: &Fields<'_>) -> Result<(Name, Place), Problem> {
    let Some(name_node) = fields.get("name") else {
        return Err(fields.missing(&["name"], "a `name`"));
    };
    let name_text = fields::text(name_node, || Subject::Fixed("`name`"))?;
    let name = Name::parse(name_text).map_err(|_| {
        Problem::new(
            name_node.place,
            Fault::Name {
                subject: "step",
                text: Quoted::new(name_text),
            },
        )
    })?;
    Ok((name, name_node.place))
}

/// Reads what an item calls.
fn call(fields: &Fields<'_>, notes: &mut Notes) -> Result<Call, Problem> {
    let mut given = CALLS
        .iter()
        .filter_map(|key| fields.get(key).map(|node| (*key, node)));
    let Some((key, call_node)) = given.next() else {
        return Err(fields.missing(&CALLS, "one of `func`, `step`, `script`, `action`"));
    };
    if let Some((other, _)) = given.next() {
        return Err(conflict(fields, key, other));
    }
    Ok(match key {
        "script" if fields.get("inputs").is_some() => {
            return Err(conflict(fields, "script", "inputs"));
        }
        "script" => {
            if fields::text(call_node, || Subject::Fixed("`script`"))?.is_empty() {
                return Err(Problem::new(
                    call_node.place,
                    Fault::Empty { what: "`script`" },
                ));
            }
            Call::Script(text(call_node, "`script`")?)
        }
        "action" => {
            let action = fields::text(call_node, || Subject::Fixed("`action`"))?;
            if action.is_empty() {
                return Err(Problem::new(
                    call_node.place,
                    Fault::Empty { what: "`action`" },
                ));
            }
            Call::Action(action.to_owned())
        }
        _ => Call::Function(reference(call_node, notes)?),
    })
}

fn reference(node: &Node, notes: &mut Notes) -> Result<Reference, Problem> {
    match &node.content {
        Content::Mapping(_) => reference::read::long(node, notes),
        Content::Scalar(_) | Content::Sequence(_) => {
            let text = fields::text(node, || Subject::Fixed("a reference"))?;
            Reference::parse_short(text)
                .map_err(|error| Problem::new(node.place, Fault::Reference(error)))
        }
    }
}

fn named_trees(
    node: Option<&Node>,
    what: &'static str,
    noun: &'static str,
    notes: &mut Notes,
) -> Result<BTreeMap<Name, Tree>, Problem> {
    let Some(node) = node else {
        return Ok(BTreeMap::new());
    };
    let mut trees = BTreeMap::new();
    let entries = fields::object(node, || Subject::Fixed(what));
    for (key, value) in notes.recover(entries)?.unwrap_or_default() {
        let name = Name::parse(&key.text).map_err(|_| {
            Problem::new(
                key.place,
                Fault::Name {
                    subject: noun,
                    text: Quoted::new(&key.text),
                },
            )
        });
        let name = notes.recover(name)?;
        let tree = notes.recover(tree::read(value))?;
        trees.extend(name.zip(tree));
    }
    Ok(trees)
}

fn env(node: Option<&Node>, notes: &mut Notes) -> Result<Env, Problem> {
    let Some(node) = node else {
        return Ok(Env::default());
    };
    let mut variables = Vec::new();
    let entries = fields::object(node, || Subject::Fixed("`env`"));
    for (key, value) in notes.recover(entries)?.unwrap_or_default() {
        let name = notes.recover(variable_name(key))?;
        let value = notes.recover(variable_value(key, value))?;
        variables.extend(name.zip(value));
    }
    Ok(Env(variables))
}

fn variable_name(key: &Key) -> Result<Template, Problem> {
    let name = Template::parse(&key.text)
        .map_err(|error| Problem::new(key.place, Fault::Expression(error)))?;
    // A name that an expression makes is checked when it is known.
    if !name.has_expressions() && Name::parse(&key.text).is_err() {
        let fault = Fault::Name {
            subject: "environment variable",
            text: Quoted::new(&key.text),
        };
        return Err(Problem::new(key.place, fault));
    }
    Ok(name)
}

fn variable_value(key: &Key, value: &Node) -> Result<Template, Problem> {
    if value.is_null() {
        return Ok(Template::literal(""));
    }
    let subject = || Subject::Named("environment variable", Quoted::new(&key.text));
    tree::template(value, fields::text(value, subject)?)
}

fn text(node: &Node, what: &'static str) -> Result<Template, Problem> {
    tree::template(node, fields::text(node, || Subject::Fixed(what))?)
}

/// The fault of two keys in one object, at the later of both.
fn conflict(fields: &Fields<'_>, first: &'static str, second: &'static str) -> Problem {
    let place = fields.place_of(first).max(fields.place_of(second));
    Problem::new(place, Fault::Conflict { first, second })
}
