//! What a function does: one command, or a list of steps.
//!
//! Plain data, read once from the second document; whoever runs it matches on it. Called by: `host::run`.

use std::collections::BTreeMap;
use std::time::Duration;

use stephost_expr::Template;

use crate::name::Name;
use crate::place::Place;
use crate::reference::Reference;
use crate::tree::Tree;

pub(crate) mod read;

/// The second document.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Environment for everything in the body.
    pub env: Env,
    /// What is done.
    pub body: Body,
}

/// What a function does.
#[derive(Debug, Clone)]
pub enum Body {
    /// One native command.
    Exec(Exec),
    /// Steps, one after the other.
    Run(Composite),
}

/// A native command. No shell reads it.
#[derive(Debug, Clone)]
pub struct Exec {
    /// Program and arguments, at least one element.
    pub command: Vec<Template>,
    /// Where it runs; the job's work dir when absent.
    pub work_dir: Option<Template>,
    /// How long it may take to end after it was asked to (a proposal of the peer, contract 3.3).
    pub cancel_timeout: Option<Duration>,
}

/// A list of steps.
#[derive(Debug, Clone)]
pub struct Composite {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// The function's outputs, evaluated after the last step.
    pub outputs: BTreeMap<Name, Tree>,
    /// The step whose outputs are the function's outputs instead. Names a step of the list, and the spec delegates.
    pub delegate: Option<Name>,
}

/// One item of a list of steps.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name under which later steps see its outputs.
    pub name: Name,
    /// What is called.
    pub call: Call,
    /// Environment for the callee. The expressions in `inputs` do not see it (contract 5.3).
    pub env: Env,
    /// Inputs for the callee; empty for a script.
    pub inputs: BTreeMap<Name, Tree>,
    /// Where the item stands.
    pub place: Place,
}

/// What a step calls.
#[derive(Debug, Clone)]
pub enum Call {
    /// A function.
    Function(Reference),
    /// A shell script.
    Script(Template),
    /// A GitHub action by its name, as it was written.
    Action(String),
}

/// Environment variables in the order of the text. Keys and values may hold expressions; a null value was read as the
/// empty string and every other scalar as its source text (design D6).
#[derive(Debug, Clone, Default)]
pub struct Env(pub Vec<(Template, Template)>);
