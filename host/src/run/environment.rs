//! The layers of a step's environment (contract 5.3).
//!
//! Lowest is the job's own layer: the host's environment, the request's, and what steps exported; exports
//! change it in place, so that every later step of the job sees them, also inside other composites. Above it
//! lie the scopes of the functions and items that enclose a step; the innermost wins. Pure but for the lock
//! round the job's layer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use stephost_expr::Value;

/// What a step sees, as layers. Clones share the job's layer.
#[derive(Clone)]
pub(crate) struct Environment {
    job: Arc<Mutex<BTreeMap<String, Value>>>,
    scopes: Vec<Arc<BTreeMap<String, Value>>>,
}

impl Environment {
    /// An environment with only a job's layer.
    pub(crate) fn new(job: BTreeMap<String, Value>) -> Environment {
        Environment {
            job: Arc::new(Mutex::new(job)),
            scopes: Vec::new(),
        }
    }

    /// This environment with `scope` on top.
    pub(crate) fn with(&self, scope: BTreeMap<String, Value>) -> Environment {
        let mut scopes = self.scopes.clone();
        if !scope.is_empty() {
            scopes.push(Arc::new(scope));
        }
        Environment {
            job: Arc::clone(&self.job),
            scopes,
        }
    }

    /// Adds what a step exported, for every later step of the job.
    pub(crate) fn export(&self, exports: BTreeMap<String, Value>) {
        self.job
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(exports);
    }

    /// The value of `name` that wins.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        let scoped = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        scoped.cloned().or_else(|| {
            let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
            job.get(name).cloned()
        })
    }

    /// Every variable with the value that wins.
    pub(crate) fn flattened(&self) -> BTreeMap<String, Value> {
        let mut flat = self
            .job
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for scope in &self.scopes {
            for (name, value) in scope.iter() {
                flat.insert(name.clone(), value.clone());
            }
        }
        flat
    }

    /// The same as text, as a process takes it.
    pub(crate) fn for_process(&self) -> Vec<(OsString, OsString)> {
        let flat = self.flattened().into_iter();
        flat.map(|(name, value)| (name.into(), value.to_text().into()))
            .collect()
    }
}

/// Why `name` cannot name an environment variable, if it cannot.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("an environment variable has an empty name".to_owned());
    }
    if name.contains(['=', '\0']) {
        return Some(format!(
            "the environment variable name {:?} contains `=` or a NUL byte",
            name.chars().take(40).collect::<String>()
        ));
    }
    None
}
