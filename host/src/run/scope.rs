//! The names that expressions of one function can use (contract 4.2).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use stephost_expr::{Map, Scope, Value};
use stephost_steps::Name;

use super::exec::StepFiles;
use super::workspace::WorkFile;
use super::{Environment, Outputs};

/// What an expression sees. Built per function; changes between the steps of a composite.
#[derive(Clone)]
pub(super) struct StepScope {
    inputs: Value,
    variables: Value,
    environment: Environment,
    /// The flattened environment; made when an expression asks for it.
    env: OnceLock<Value>,
    steps: Map,
    outputs: BTreeMap<Name, Outputs>,
    work_dir: Value,
    func_dir: Value,
    files: Option<Arc<StepFiles>>,
}

impl StepScope {
    pub(super) fn new(
        inputs: &BTreeMap<Name, Value>,
        variables: &Value,
        environment: &Environment,
        work_dir: &Path,
        func_dir: &Path,
    ) -> StepScope {
        let inputs = inputs
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        StepScope {
            inputs: Value::object(inputs),
            variables: variables.clone(),
            environment: environment.clone(),
            env: OnceLock::new(),
            steps: Map::new(),
            outputs: BTreeMap::new(),
            work_dir: path_value(work_dir),
            func_dir: path_value(func_dir),
            files: None,
        }
    }

    /// Looks at `environment` from now on, and at its present content.
    pub(super) fn environment(&mut self, environment: &Environment) {
        self.environment = environment.clone();
        self.env = OnceLock::new();
    }

    /// Makes `output_file` and `export_file` known. The files are made when an expression asks for them; whether that
    /// worked is for the caller to check.
    pub(super) fn files(&mut self, files: &Arc<StepFiles>) {
        self.files = Some(Arc::clone(files));
    }

    /// Remembers the outputs of a finished step. A later step of the same name replaces an earlier one.
    pub(super) fn record(&mut self, step: &Name, outputs: Outputs) {
        let values = outputs
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()));
        let entry = Map::from([("outputs".to_owned(), Value::object(values.collect()))]);
        self.steps.insert(step.to_string(), Value::object(entry));
        self.outputs.insert(step.clone(), outputs);
    }

    /// The outputs of a finished step.
    pub(super) fn outputs_of(&self, step: &Name) -> Option<&Outputs> {
        self.outputs.get(step)
    }
}

impl Scope for StepScope {
    fn name(&self, name: &str) -> Option<Value> {
        Some(match name {
            "inputs" => self.inputs.clone(),
            "env" => self
                .env
                .get_or_init(|| Value::object(self.environment.flattened().into_iter().collect()))
                .clone(),
            "job" | "vars" => self.variables.clone(),
            "steps" => Value::object(self.steps.clone()),
            "work_dir" => self.work_dir.clone(),
            "func_dir" | "step_dir" => self.func_dir.clone(),
            "output_file" => path_or_nothing(&self.files.as_ref()?.output),
            "export_file" => path_or_nothing(&self.files.as_ref()?.export),
            _ => return None,
        })
    }
}

fn path_value(path: &Path) -> Value {
    Value::string(path.to_string_lossy().into_owned())
}

fn path_or_nothing(file: &WorkFile) -> Value {
    path_value(&file.path().unwrap_or_default())
}
