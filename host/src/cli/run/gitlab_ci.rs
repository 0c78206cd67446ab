//! One job of a `.gitlab-ci.yml`, read for this machine: what it runs, its variables, and what CI would do beside.
//!
//! Owns what a file means without its server: `extends`, `!reference`, `default`, `inherit`, the scripts, the job's
//! own variables. What needs a server, another job or a container is not done, and named in [`CiJob::differs`].
//!
//! Promises: pure and total. Any bytes give a job or one line with a place; work is bounded ([`WORK_MAX`]), nothing is
//! followed in a circle, foreign text is shown escaped. Called by `cli::run`.

mod emit;
mod inheritance;
mod keywords;
mod reference;
mod variables;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use stephost_steps::{
    Content, DocumentError, Function, Key, Node, Parsed, Place, Strictness, read_documents,
};

use keywords::Treatment;

/// Most keys and values that are looked at, those that come again by `extends` and `!reference` each time. A job of a
/// hand-written file needs some hundreds.
const WORK_MAX: usize = 1_000_000;

/// Longest chain of `extends`, and deepest nesting of `!reference`. As GitLab has it.
const CHAIN_MAX: usize = 11;

/// Most characters of foreign text in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// The step that a script becomes; runners call it so.
const SCRIPT_STEP: &str = "user_script";

/// A job that can run here.
#[derive(Debug)]
pub(super) struct CiJob {
    pub(super) function: Arc<Function>,
    /// `after_script`, which runs however the job ends.
    pub(super) after: Option<Arc<Function>>,
    /// The job's variables, expanded.
    pub(super) variables: BTreeMap<String, String>,
    /// What CI would do and we do not, a sentence each.
    pub(super) differs: Vec<String>,
    /// What was odd about the text, a line each.
    pub(super) warnings: Vec<String>,
}

/// Why there is no such job, as one line.
#[derive(Debug, thiserror::Error)]
pub(super) enum CiError {
    /// The text is no YAML.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It is, but says something that cannot be run.
    #[error("{source_name}:{place}: {message}")]
    Text {
        source_name: String,
        place: Place,
        message: String,
    },
    /// It says nothing about such a job.
    #[error("{0}")]
    NoJob(String),
}

/// A fault before the name of the text is known.
struct Fault {
    place: Place,
    message: String,
}

type Read<T> = Result<T, Fault>;

fn fault<T>(place: Place, message: impl fmt::Display) -> Read<T> {
    Err(Fault {
        place,
        message: message.to_string(),
    })
}

/// What the caller knows about variables.
pub(super) struct Given<'a> {
    /// Those that CI sets by itself; everything else comes before them.
    pub(super) predefined: &'a [(&'a str, String)],
    /// Those of the command line, which come before everything else.
    pub(super) own: &'a [(String, String)],
}

/// Reads the job `name` of the file `source_name`.
///
/// # Errors
///
/// [`CiError`].
pub(super) fn job(
    source_name: &str,
    text: &[u8],
    name: &str,
    given: &Given<'_>,
) -> Result<CiJob, CiError> {
    let documents = read_documents(source_name, text, 3)?;
    let located = |Fault { place, message }| CiError::Text {
        source_name: source_name.to_owned(),
        place,
        message,
    };
    let file = File::new(&documents).map_err(located)?;
    let Some((key, node)) = file.jobs().find(|(key, _)| *key.text == *name) else {
        return Err(CiError::NoJob(file.no_job(source_name, name)));
    };
    file.job(source_name, key, node, given).map_err(located)
}

/// Returns the names of the jobs in a file, hidden ones not.
///
/// # Errors
///
/// [`CiError`] when the text is no such file.
pub(super) fn job_names(source_name: &str, text: &[u8]) -> Result<Vec<String>, CiError> {
    let documents = read_documents(source_name, text, 3)?;
    let file = File::new(&documents).map_err(|Fault { place, message }| CiError::Text {
        source_name: source_name.to_owned(),
        place,
        message,
    })?;
    Ok(file.jobs().map(|(key, _)| key.text.to_string()).collect())
}

/// Foreign text for a message: cut, escaped, between quotes.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

type Entries = [(Key, Node)];

/// A job with everything that it extends, key by key.
type Merged = Rc<Entries>;

/// A file, and how much may still be looked at.
struct File<'a> {
    entries: &'a Entries,
    work_left: Cell<usize>,
}

fn entry<'n>(entries: &'n Entries, key: &str) -> Option<&'n (Key, Node)> {
    entries.iter().find(|(known, _)| *known.text == *key)
}

fn value<'n>(entries: &'n Entries, key: &str) -> Option<&'n Node> {
    entry(entries, key).map(|(_, node)| node)
}

impl<'a> File<'a> {
    fn new(documents: &'a [Node]) -> Read<File<'a>> {
        let body = match documents {
            [body] => body,
            [header, ..] if object(header).is_some_and(|keys| entry(keys, "spec").is_some()) => {
                return fault(
                    header.place,
                    "a file with a `spec` header takes inputs by `$[[ … ]]`, which only GitLab fills in",
                );
            }
            [_, second, ..] => {
                return fault(
                    second.place,
                    "a second YAML document begins, one is expected",
                );
            }
            [] => return fault(Place::START, "the file is empty"),
        };
        match object(body) {
            Some(entries) => Ok(File {
                entries,
                work_left: Cell::new(WORK_MAX),
            }),
            None => fault(
                body.place,
                format!("the file must be an object of jobs, not {}", body.noun()),
            ),
        }
    }

    /// Every job that can be named.
    fn jobs(&self) -> impl Iterator<Item = &'a (Key, Node)> {
        self.entries.iter().filter(|(key, node)| {
            !key.text.starts_with('.')
                && !keywords::GLOBAL.contains(&&*key.text)
                && object(node).is_some()
        })
    }

    fn no_job(&self, source_name: &str, name: &str) -> String {
        if name.starts_with('.') && value(self.entries, name).is_some() {
            return format!(
                "{source_name}: {} is hidden: it is there to be extended and never runs",
                shown(name)
            );
        }
        let names: Vec<String> = self
            .jobs()
            .map(|(key, _)| shown(&key.text))
            .take(30)
            .collect();
        let has = if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        let included = if value(self.entries, "include").is_some() {
            "; files that `include` names are not read here"
        } else {
            ""
        };
        format!("{source_name}: no job {}, {has}{included}", shown(name))
    }

    /// Counts `amount` of work.
    fn spend(&self, place: Place, amount: usize) -> Read<()> {
        match self.work_left.get().checked_sub(amount) {
            Some(left) => {
                self.work_left.set(left);
                Ok(())
            }
            None => fault(
                place,
                format!("`extends` and `!reference` make more than {WORK_MAX} keys and values"),
            ),
        }
    }

    fn job(&self, source_name: &str, key: &Key, node: &Node, given: &Given<'_>) -> Read<CiJob> {
        let job = self.merged(&key.text, node, &mut Vec::new(), &mut HashMap::new())?;
        let effective = self.with_defaults(&job)?;
        if let Some((key, _)) = entry(&job, "trigger") {
            return fault(
                key.place,
                "the job starts another pipeline, there is nothing in it to run here",
            );
        }
        let run = entry(&job, "run");
        let script = entry(&job, "script");
        let steps = match (run, script) {
            (Some((key, _)), Some(_)) => {
                return fault(key.place, "`run` and `script` exclude each other");
            }
            (Some((key, list)), None) => {
                for other in ["before_script", "after_script"] {
                    if let Some((key, _)) = entry(&job, other) {
                        return fault(key.place, format!("`run` and `{other}` exclude each other"));
                    }
                }
                emit::run(self, key.place, list)?
            }
            (None, Some((key, _))) => {
                let mut commands = Vec::new();
                for part in ["before_script", "script"] {
                    if let Some(node) = value(&effective, part) {
                        self.commands(node, part, 0, &mut commands)?;
                    }
                }
                if commands.is_empty() {
                    return fault(key.place, "`script` has no commands");
                }
                emit::script(key.place, &commands)
            }
            (None, None) => {
                return fault(key.place, "the job has neither `run` nor `script`");
            }
        };
        let mut after = Vec::new();
        if run.is_none()
            && let Some(node) = value(&effective, "after_script")
        {
            self.commands(node, "after_script", 0, &mut after)?;
        }
        let mut warnings = Vec::new();
        let function = steps.function(source_name, &mut warnings)?;
        let after = if after.is_empty() {
            None
        } else {
            let steps = emit::script(key.place, &after);
            Some(steps.function(source_name, &mut warnings)?)
        };
        Ok(CiJob {
            function,
            after,
            variables: self.variables(&job, given)?,
            differs: self.differs(&effective, run.is_some()),
            warnings,
        })
    }

    // ---- scripts ----

    /// The commands of a script: a text, or a list of texts and of such lists.
    fn commands(
        &self,
        node: &Node,
        what: &str,
        depth: usize,
        commands: &mut Vec<String>,
    ) -> Read<()> {
        let node = self.referenced(node)?;
        match &node.content {
            Content::Scalar(_) if node.is_null() && depth == 0 => Ok(()),
            Content::Scalar(scalar) if !node.is_null() => {
                commands.push(scalar.text.to_string());
                Ok(())
            }
            Content::Sequence(items) => {
                if depth == CHAIN_MAX {
                    return fault(node.place, format!("`{what}` is nested too deep"));
                }
                for item in items.iter() {
                    self.commands(item, what, depth + 1, commands)?;
                }
                Ok(())
            }
            Content::Scalar(_) | Content::Mapping(_) => fault(
                node.place,
                format!(
                    "a command of `{what}` must be a text, not {}: put quotes around it",
                    node.noun()
                ),
            ),
        }
    }

    // ---- variables ----

    fn variables(&self, job: &Entries, given: &Given<'_>) -> Read<BTreeMap<String, String>> {
        let mut raw = variables::Raw::default();
        for (name, value) in given.predefined {
            raw.literal(name, value);
        }
        let mut declare = |node: &Node, of_job: bool| {
            let node = self.referenced(node)?;
            let Some(entries) = object(&node) else {
                return fault(
                    node.place,
                    format!("`variables` must be an object, not {}", node.noun()),
                );
            };
            for (key, node) in entries {
                if of_job || self.inherits(job, "variables", &key.text)? {
                    raw.declared(key, &self.referenced(node)?)?;
                }
            }
            Ok(())
        };
        if let Some(node) = value(self.entries, "variables") {
            declare(node, false)?;
        }
        if let Some(node) = value(job, "variables") {
            declare(node, true)?;
        }
        for (name, value) in given.own {
            raw.literal(name, value);
        }
        raw.expanded()
    }

    // ---- what is not done ----

    fn differs(&self, job: &Entries, runs_steps: bool) -> Vec<String> {
        let mut differs = Vec::new();
        for (key, sentence) in keywords::GLOBAL_NOT_DONE {
            if entry(self.entries, key).is_some() {
                differs.push(format!("`{key}`: {sentence}"));
            }
        }
        for (key, node) in job {
            match keywords::treatment(&key.text) {
                Treatment::Done => {}
                // Only scripts have them.
                Treatment::Script if runs_steps => differs.push(format!(
                    "`{}`: a job with `run` has none, here as in CI",
                    key.text
                )),
                Treatment::Script => {}
                Treatment::NotDone(sentence) => differs.push(match &node.content {
                    Content::Scalar(scalar) if !node.is_null() => {
                        format!("`{}: {}`: {sentence}", key.text, plain(&scalar.text))
                    }
                    Content::Scalar(_) | Content::Sequence(_) | Content::Mapping(_) => {
                        format!("`{}`: {sentence}", key.text)
                    }
                }),
                Treatment::Unknown => differs.push(format!(
                    "{}: this program does not know this keyword",
                    shown(&key.text)
                )),
            }
        }
        differs
    }
}

/// As [`shown`], without quotes.
fn plain(text: &str) -> String {
    shown(text).trim_matches(['"', '…']).to_owned()
}

fn object(node: &Node) -> Option<&Entries> {
    match &node.content {
        Content::Mapping(entries) if node.tag.is_none() => Some(entries),
        Content::Mapping(_) | Content::Scalar(_) | Content::Sequence(_) => None,
    }
}

/// Reads what was written out for the reader of steps, and says faults where they stand in the file.
impl emit::Emitted {
    fn function(&self, source_name: &str, warnings: &mut Vec<String>) -> Read<Arc<Function>> {
        let parsed = stephost_steps::parse(source_name, self.text.as_bytes(), Strictness::Strict);
        match parsed {
            Ok(Parsed {
                function,
                warnings: found,
            }) => {
                warnings.extend(found.iter().map(|warning| {
                    let place = self.origin(warning.place());
                    format!("{source_name}:{place}: {}", warning.message())
                }));
                Ok(Arc::new(function))
            }
            Err(error) => fault(self.origin(error.place()), error.message()),
        }
    }
}

#[cfg(test)]
mod tests;
