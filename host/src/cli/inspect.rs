//! `inspect FILE`: what a component says about itself, and what the policy would give it.
//!
//! The component is compiled and asked to describe itself, with no power and small limits; no step runs. Whatever it
//! says is shown with control characters and other deceptive letters made visible.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stephost_policy::{Capability, Denial, Grant, Needs};
use stephost_sandbox::{
    Builtin, Manifest, Parameter, Sandbox, SandboxConfig, Signature, ValueType,
};

use super::exit::{self, Failure};
use super::visible::visible;
use super::{policy, print};
use crate::config;

/// Powers that a component can ask for.
const POWERS: [Capability; 3] = [
    Capability::Process,
    Capability::Environment,
    Capability::Exports,
];

/// Everything that is known about a component.
struct Report {
    file: String,
    bytes: usize,
    digest: String,
    manifest: Manifest,
    signature: Arc<Signature>,
    verdict: Option<Verdict>,
}

/// What a policy says to it.
struct Verdict {
    function: String,
    policy: String,
    grant: Result<Grant, Denial>,
}

impl Verdict {
    fn refusals(&self) -> Vec<Denial> {
        match &self.grant {
            Ok(grant) => grant.unmet(),
            Err(denial) => vec![denial.clone()],
        }
    }
}

/// Reads the component in `file` and tells what it is. The code says whether the policy gives it all it needs.
pub(super) fn inspect(file: &Path, function: Option<&str>, as_json: bool) -> Result<u8, Failure> {
    let wasm = super::run::read_component(file).map_err(Failure::bad_input)?;
    let wrong = |what: String| Failure::bad_input(anyhow!("{}: {what}", file.display()));
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let builtin = Builtin::new(&name, Arc::clone(&wasm));
    let manifest = builtin
        .manifest()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let signature = describe(&builtin)?.map_err(wrong)?;
    let verdict = match function {
        None => None,
        Some(function) => match config::policy() {
            Ok(loaded) => Some(Verdict {
                function: function.to_owned(),
                policy: loaded.policy.name().to_owned(),
                grant: loaded.policy.resolve(function, &manifest.needs),
            }),
            Err(error) => return Ok(policy::refused(error)),
        },
    };
    let report = Report {
        file: file.display().to_string(),
        bytes: wasm.len(),
        digest: hex(&Sha256::digest(&wasm)),
        manifest,
        signature,
        verdict,
    };
    print(&if as_json {
        report.json()
    } else {
        report.text()
    })?;
    let refused = report
        .verdict
        .is_some_and(|verdict| !verdict.refusals().is_empty());
    Ok(if refused { exit::NO } else { exit::FINE })
}

/// Asks the component; an answer that is none is a sentence about it.
pub(super) fn describe(builtin: &Builtin) -> Result<Result<Arc<Signature>, String>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("starting the runtime")
        .map_err(Failure::internal)?;
    let sandbox = Sandbox::new(SandboxConfig {
        slots_max: 1,
        threads: 1,
    })
    .context("starting the sandbox")
    .map_err(Failure::internal)?;
    let described = runtime.block_on(sandbox.describe(builtin));
    Ok(described.map_err(|ending| super::run::words(&ending)))
}

impl Report {
    fn text(&self) -> String {
        let Report {
            file,
            bytes,
            digest,
            manifest,
            signature,
            verdict,
        } = self;
        let mut text = format!("{}: {bytes} bytes, sha256:{digest}\n", visible(file));
        if !signature.summary.is_empty() {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{}", visible(&signature.summary));
        }
        section(
            &mut text,
            "inputs",
            &parameters(&signature.inputs, "required"),
        );
        section(&mut text, "outputs", &parameters(&signature.outputs, ""));
        let imports = manifest.imports.iter().map(|import| vec![visible(import)]);
        section(&mut text, "imports", &imports.collect::<Vec<_>>());
        section(&mut text, "needs", &needs(manifest));
        if let Some(verdict) = verdict {
            let Verdict {
                function, policy, ..
            } = verdict;
            let _ = writeln!(
                text,
                "\n{} under the policy {}",
                visible(function),
                visible(policy)
            );
            let mut rows = Vec::new();
            if let Ok(grant) = &verdict.grant {
                let granted = [
                    (Capability::Process, grant.programs.to_string()),
                    (Capability::Environment, grant.environment.to_string()),
                    (Capability::Exports, grant.exports.to_string()),
                ];
                let granted = granted.into_iter().filter(|(_, list)| !list.is_empty());
                rows.extend(granted.map(|(power, list)| vec![power.to_string(), list]));
            }
            text.push_str(&columns(&rows));
            let refusals = verdict.refusals();
            for denial in &refusals {
                let _ = writeln!(text, "  {denial}\n    help: {}", denial.help());
            }
            if refusals.is_empty() {
                text.push_str(if manifest.states_needs {
                    "  gets everything that it asks for\n"
                } else {
                    "  does not say what it needs: the rule alone decides\n"
                });
            }
        }
        text
    }

    /// One document, which opens with its schema.
    fn json(&self) -> String {
        let Manifest {
            imports,
            exports,
            needs,
            states_needs,
        } = &self.manifest;
        let list = |parameters: &[Parameter]| -> Value {
            let parameters = parameters.iter().map(|parameter| {
                json!({
                    "name": parameter.name,
                    "type": type_word(parameter.ty),
                    "required": parameter.default.is_none(),
                    "default": parameter.default.clone().map(Value::from),
                    "sensitive": parameter.sensitive,
                    "description": parameter.doc,
                })
            });
            parameters.collect()
        };
        let fields = json!({
            "file": self.file,
            "bytes": self.bytes,
            "sha256": self.digest,
            "summary": self.signature.summary,
            "inputs": list(&self.signature.inputs),
            "outputs": list(&self.signature.outputs),
            "imports": imports,
            "exports": exports,
            "needs": needs_json(needs, *states_needs),
            "policy": self.verdict.as_ref().map(|verdict| {
                let denial = |denial: &Denial| json!({
                    "capability": denial.capability().as_str(),
                    "target": denial.target(),
                    "code": denial.code().as_str(),
                    "message": denial.to_string(),
                    "help": denial.help(),
                });
                json!({
                    "name": verdict.policy,
                    "function": verdict.function,
                    "allowed": verdict.grant.is_ok(),
                    "refused": verdict.refusals().iter().map(denial).collect::<Vec<_>>(),
                })
            }),
        });
        let fields = fields.to_string();
        format!("{{\"schema\":\"stephost.inspect/1\",{}\n", &fields[1..])
    }
}

fn needs_json(needs: &Needs, stated: bool) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("stated".to_owned(), stated.into());
    for power in POWERS {
        object.insert(power.to_string(), needs.asked(power).into());
    }
    let limits = needs
        .limits()
        .map(|(name, amount)| (name.to_string(), amount.to_string().into()));
    object.insert("limits".to_owned(), Value::Object(limits.collect()));
    Value::Object(object)
}

/// One row for each power and limit.
fn needs(manifest: &Manifest) -> Vec<Vec<String>> {
    let needs = &manifest.needs;
    let mut rows = Vec::new();
    for power in POWERS {
        match needs.asked(power) {
            Some(asked) if asked.is_empty() => {}
            Some(asked) => rows.push(vec![power.to_string(), visible(&asked.join(", "))]),
            None => rows.push(vec![power.to_string(), "it does not say which".to_owned()]),
        }
    }
    rows.extend(
        needs
            .limits()
            .map(|(name, amount)| vec![name.to_string(), format!("at most {amount}")]),
    );
    rows
}

/// One row for each, which says `required` of one that cannot be missing.
fn parameters(parameters: &[Parameter], required: &str) -> Vec<Vec<String>> {
    let row = |parameter: &Parameter| {
        let mut how = Vec::new();
        match &parameter.default {
            None => how.push(required.to_owned()),
            Some(stephost_sandbox::Value::Null) => how.push("optional".to_owned()),
            Some(default) => how.push(format!("default {}", Value::from(default.clone()))),
        }
        if parameter.sensitive {
            how.push("sensitive".to_owned());
        }
        vec![
            visible(&parameter.name),
            type_word(parameter.ty).to_owned(),
            visible(&how.join(", ")),
            visible(&parameter.doc),
        ]
    };
    parameters.iter().map(row).collect()
}

fn type_word(ty: ValueType) -> &'static str {
    match ty {
        ValueType::Text => "text",
        ValueType::Number => "number",
        ValueType::Boolean => "boolean",
        ValueType::Object => "object",
        ValueType::Array => "array",
    }
}

fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    let _ = if rows.is_empty() {
        writeln!(text, "\n{title}: none")
    } else {
        writeln!(text, "\n{title}")
    };
    text.push_str(&columns(rows));
}

/// Rows as columns, two blanks between them.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_columns() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: Vec<Vec<String>> =
            vec![row(&["a", "bb", "c"]), row(&["aaa", "", "c"]), row(&["ä"])];
        assert_eq!(columns(&rows), "  a    bb  c\n  aaa      c\n  ä\n");
    }
}
