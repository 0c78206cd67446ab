//! What a run is given: arguments, context, log, limits. Plain values; called by: whoever runs builtins.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use stephost_policy::Limits;

use crate::{Programs, Value};

/// Everything one run is given.
#[derive(Clone)]
pub struct Call {
    /// Input values, each name once. The guest's SDK fills in declared defaults for what is missing. What the
    /// builtin declares as sensitive arrives sealed.
    pub arguments: Vec<(String, Value)>,
    /// Where the step runs.
    pub context: Context,
    /// Where its log goes.
    pub log: Arc<dyn Log>,
    /// What it may use up.
    pub limits: Limits,
    /// Programs it may run. A builtin that imports `stephost:step/process` does not start without them.
    pub programs: Option<Arc<dyn Programs>>,
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets: names are enough to recognise a call.
        let names: Vec<&str> = self
            .arguments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        formatter
            .debug_struct("Call")
            .field("arguments", &names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where a step runs. Names and values only: none of them gives access to anything.
#[derive(Clone, Default)]
pub struct Context {
    /// The directory the step works in.
    pub work_dir: String,
    /// The environment an exec step in this place would have.
    pub environment: Vec<(String, String)>,
    /// The variables of the job.
    pub job_variables: Vec<(String, String)>,
    /// What a step gets to finish once it is asked to stop.
    pub grace: Duration,
    /// The date, as time since 1970-01-01 UTC: the sandbox reads no clock that somebody can set.
    pub began_at: Duration,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may be secrets.
        formatter
            .debug_struct("Context")
            .field("work_dir", &self.work_dir)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// The two streams of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// What the step is asked for.
    Output,
    /// What it has to say about its work.
    Diagnostics,
}

/// Where a guest's log goes. Called on the thread that polls the run or on one of the sandbox's: it may write to
/// a file, and must not wait for anybody. A panic in it ends the run as [`crate::GuestEnding::HostFault`] and
/// nothing else.
pub trait Log: Send + Sync + 'static {
    /// Takes bytes as the guest wrote them: neither split into lines nor masked, at most
    /// [`Limits::host_call_bytes_max`] at a time.
    fn write(&self, channel: Channel, bytes: &[u8]);

    /// Takes note that the guest opened the sensitive input `name`. Once in a run for each.
    fn revealed(&self, _name: &str) {}
}
