//! Where a walk is and what it came to, for who looks on while a job runs.
//!
//! Promises: nothing of it costs a job that nobody looks at; what is shown has no secret in it. Called by the walk.
//! Looked at by `cli::run`, which shows the running step, and tells of a failure where it happened.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use stephost_expr::Value;
use stephost_joblog::LogOffset;
use stephost_steps::Name;

use super::{JobContext, Outputs};

/// A walk, seen from outside.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Walk {
    /// The steps that run, outer to inner. After a failure, those in which it happened.
    pub(crate) path: Vec<Name>,
    /// Where in the log the output of the innermost one begins.
    pub(crate) output_from: LogOffset,
    /// What the job's function gave, after its end; `None` for what is sensitive.
    pub(crate) outputs: BTreeMap<Name, Option<Json>>,
}

impl JobContext {
    /// A step begins.
    pub(super) fn enter(&self, step: &Name) {
        self.watched(|walk| {
            walk.path.push(step.clone());
            walk.output_from = self.log.stored();
        });
    }

    /// The innermost step has succeeded.
    pub(super) fn leave(&self) {
        self.watched(|walk| {
            walk.path.pop();
            walk.output_from = self.log.stored();
        });
    }

    /// What the innermost step prints begins here.
    pub(super) fn output_begins(&self) {
        self.watched(|walk| walk.output_from = self.log.stored());
    }

    /// The job's function has succeeded.
    pub(super) fn produced(&self, outputs: Outputs) {
        self.watched(|walk| {
            walk.outputs = outputs
                .into_iter()
                .map(|(name, value)| (name, self.shown(&value)))
                .collect();
        });
    }

    fn watched(&self, change: impl FnOnce(&mut Walk)) {
        if let Some(watcher) = &self.watcher {
            watcher.send_modify(change);
        }
    }

    fn shown(&self, value: &Value) -> Option<Json> {
        (!value.is_sensitive()).then(|| self.masked(value.to_json()))
    }

    /// A variable may be secret without a mark on it.
    fn masked(&self, value: Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.log.masked(&text)),
            Json::Array(items) => items.into_iter().map(|item| self.masked(item)).collect(),
            Json::Object(entries) => entries
                .into_iter()
                .map(|(key, value)| (self.log.masked(&key), self.masked(value)))
                .collect(),
            plain @ (Json::Null | Json::Bool(_) | Json::Number(_)) => plain,
        }
    }
}
