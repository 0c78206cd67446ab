//! `stephost:step/context`: the names and values of the run's [`crate::Context`].

use crate::bindings::stephost::step::context::Host;
use crate::guest::Guest;

impl Host for Guest {
    fn work_dir(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.work_dir.clone())
    }

    fn environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.context.environment.clone())
    }

    fn job_variables(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.context.job_variables.clone())
    }

    fn grace_millis(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.context.grace.as_millis()).unwrap_or(u64::MAX))
    }
}
