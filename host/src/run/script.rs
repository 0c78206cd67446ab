//! A leaf that is shell text: `script:` items and `builtin://script` (contract 6.3).
//!
//! Bash if it is in one of [`SHELL_DIRS`], else sh; the text runs with the shell's default options, in the
//! job's directory. Expressions in a `script:` item see the item's own output and export file.

use std::collections::BTreeMap;
use std::path::Path;

use stephost_expr::{Template, Value};
use stephost_steps::{Name, Outputs as DeclaredOutputs, Parameter, Spec, ValueType};

use super::exec::Command;
use super::scope::StepScope;
use super::{Environment, Halt, JobContext, Outputs};

/// Where a shell is looked for; never in a PATH that a job controls.
const SHELL_DIRS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
const SHELLS: [&str; 2] = ["bash", "sh"];
const PART: &str = "exec: executing script";

/// What `builtin://script` takes: the text, and nothing else.
pub(super) fn spec() -> Spec {
    let text = Parameter {
        ty: ValueType::String,
        default: None,
        sensitive: false,
        description: Some("shell text".to_owned()),
    };
    let name = Name::parse("script").expect("a word is a name");
    Spec {
        inputs: BTreeMap::from([(name, text)]),
        outputs: DeclaredOutputs::Declared(BTreeMap::new()),
    }
}

impl JobContext {
    /// Runs a `script:` item.
    pub(super) async fn script(
        &self,
        text: &Template,
        scope: &StepScope,
        environment: &Environment,
    ) -> Result<Outputs, Halt> {
        let files = self.files()?;
        let scope = scope.with_files(&files.output.path(), &files.export.path());
        let text = text.evaluate_text(&scope).map_err(|error| {
            Halt::failed(format!("failed to load: expand input script: {error}"))
        })?;
        self.shell(&text, environment).await?;
        self.read_exports(&files.export, environment)?;
        Ok(Outputs::new())
    }

    /// Runs shell text.
    pub(super) async fn shell(&self, text: &Value, environment: &Environment) -> Result<(), Halt> {
        let shell = SHELLS
            .iter()
            .flat_map(|shell| SHELL_DIRS.iter().map(move |dir| Path::new(dir).join(shell)))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let dirs = SHELL_DIRS.join(", ");
                Halt::failed(format!("{PART}: neither bash nor sh is in {dirs}"))
            })?;
        let command = Command {
            argv: vec![
                shell.to_string_lossy().into_owned(),
                "-c".to_owned(),
                text.to_text(),
            ],
            work_dir: self.work_dir.clone(),
            environment: environment.clone(),
            cancel_timeout: None,
            part: PART,
        };
        self.program(command).await
    }
}
