//! Builtins as Wasm guests: running one, ending one, and naming how it ended.
//!
//! Owns the engine, the compiled components, the host interfaces, the limits, and a runtime of its own on
//! which guests run that take longer than a moment. What a shipped builtin was compiled to when this program was
//! built is loaded instead, where this machine can run it ([`Builtin::shipped`]).
//!
//! Promises: every run has a fresh store and gets exactly what its [`Call`] says; every run ends in exactly
//! one [`GuestEnding`], soon after it was told to; a guest that breaks, and a host function that breaks,
//! break that run only.
//!
//! Never does: decide what a guest may use (that is `policy`), know what a step or a job is, read the
//! environment, a clock's date or a file. Called by: `run` in the host, and [`precompile()`] by
//! `stephost-precompile`.
//!
//! ```text
//! Builtin ──first use──► compiled ──slot──► store ──► describe / run ──► GuestEnding
//!                                                        │   ▲
//!                             log, control, context, secrets, process (imports/)
//! ```

#![deny(unsafe_code)]

mod bindings;
mod builtin;
mod call;
mod cpu;
mod ending;
mod engine;
mod guest;
mod imports;
mod json;
mod limits;
mod manifest;
mod precompile;
mod programs;
mod run;
mod signature;
mod stop;
mod sys;
#[cfg(test)]
mod tests;
#[cfg_attr(windows, path = "thread_clock/sys.rs")]
mod thread_clock;
mod trap;
mod value;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use stephost_policy::Limits;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

pub use builtin::{Builtin, Wasm};
pub use call::{Call, Channel, Context, Log};
pub use ending::{GuestEnding, HostFault, Trap, TrapKind};
pub use json::DEPTH_MAX as JSON_DEPTH_MAX;
pub use manifest::{Manifest, ManifestError};
pub use precompile::{PrecompileError, precompile};
pub use programs::{
    Answer, CHILDREN_MAX, Command, Exit, FILES_BYTES_MAX, File, Program, ProgramEnding, Programs,
    STARTS_MAX, STRINGS_BYTES_MAX, StartError,
};
pub use signature::{Parameter, Signature, ValueType};
pub use stop::{Stop, StopLevel, StopReason};
pub use value::Value;

use crate::bindings::exports::stephost::step::function::Argument;
use crate::bindings::stephost::step::types as wit;
use crate::builtin::Compiled;
use crate::engine::Ticker;
use crate::guest::Guest;
use crate::imports::process::Children;
use crate::imports::secrets::{Sealed, Vault};
use crate::run::{Closed, Errand, supervise};

/// Threads that compile at the same time. One compilation already uses every core.
const COMPILING_MAX: usize = 2;

/// What the system calls a thread that runs guests.
const GUEST_THREAD: &str = "stephost-guest";

/// Limits of `describe`, which computes nothing: enough for every list of parameters, and short.
const DESCRIBE_LIMITS: Limits = Limits {
    memory_bytes_max: 16 << 20,
    // Microseconds are usual. This is what a caller waits at most, on a machine that has no time.
    wall_max: Some(Duration::from_secs(2)),
    log_bytes_max: 0,
    outputs_bytes_max: 0,
    host_call_bytes_max: 1 << 20,
    ..Limits::shipped()
};

/// How large a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Guests at the same time; one more is [`GuestEnding::Busy`]. Each reserves 4 GiB of address space, and
    /// no memory.
    pub slots_max: u32,
    /// Threads that run guests.
    pub threads: usize,
}

impl Default for SandboxConfig {
    fn default() -> SandboxConfig {
        SandboxConfig {
            slots_max: 256,
            threads: 2,
        }
    }
}

/// When the address space of the slots is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// At the start, all of them.
    Reserved,
    /// For each guest anew, because this machine has too little for all; starting one takes longer then.
    OnDemand,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot run the engine.
    #[error("the sandbox's engine does not start: {message}")]
    Engine {
        /// What the engine said.
        message: String,
    },
    /// The system gives no more threads.
    #[error("the sandbox gets no thread")]
    Thread(#[source] io::Error),
}

/// Runs builtins. Clones are the same sandbox; the last one ends its threads.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    runtime: GuestRuntime,
    slots: Arc<Semaphore>,
    reserved: Slots,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("slots_free", &self.inner.slots.available_permits())
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Prepares a sandbox. Compiles nothing.
    ///
    /// # Errors
    /// [`SandboxError`] when the machine refuses; too little address space for every slot is no reason.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        let (engine, reserved) = engine::engine(config.slots_max)?;
        let linker = imports::linker(&engine).map_err(|fault| SandboxError::Engine {
            message: format!("{fault:#}"),
        })?;
        Sandbox::assemble(config, engine, reserved, linker)
    }

    /// Returns when the address space of the slots is reserved.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.inner.reserved
    }

    fn assemble(
        config: SandboxConfig,
        engine: Engine,
        reserved: Slots,
        linker: Linker<Guest>,
    ) -> Result<Sandbox, SandboxError> {
        let SandboxConfig { slots_max, threads } = config;
        let ticker = Ticker::start(&engine)?;
        let runtime = GuestRuntime::start(threads.max(1))?;
        let slots = Arc::new(Semaphore::new(
            usize::try_from(slots_max).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        Ok(Sandbox {
            inner: Arc::new(Inner {
                engine,
                linker,
                ticker,
                runtime,
                slots,
                reserved,
            }),
        })
    }

    /// Returns what a builtin takes and gives. Asks the builtin once, without any grant, and remembers the
    /// answer.
    ///
    /// Needs a tokio runtime with a clock, like [`Sandbox::run`].
    ///
    /// # Errors
    /// How the builtin ended instead of answering. A failure is not remembered: it may have been the
    /// machine's.
    pub async fn describe(&self, builtin: &Builtin) -> Result<Arc<Signature>, GuestEnding> {
        let ask = || async {
            let compiled = self.compiled(builtin).await?;
            let guest = Guest::new(
                Context::default(),
                Arc::new(Silence),
                DESCRIBE_LIMITS,
                Stop::never(),
            );
            match supervise(self, compiled, guest, Errand::Describe).await {
                Closed::Described(signature) => Ok(Arc::new(signature)),
                Closed::Ended(ending) => Err(ending),
            }
        };
        builtin.signature().get_or_try_init(ask).await.cloned()
    }

    /// Runs a builtin once and returns how it ended. Dropping the future ends the guest as a kill does.
    pub async fn run(&self, builtin: &Builtin, call: Call, stop: Stop) -> GuestEnding {
        let Call {
            arguments,
            context,
            log,
            limits,
            programs,
        } = call;
        let mut lowered = Vec::with_capacity(arguments.len());
        for (name, value) in arguments {
            match value::lower(value) {
                Ok(value) => lowered.push(Argument { name, value }),
                Err(fault) => {
                    return GuestEnding::InvalidInput {
                        name,
                        message: fault.to_string(),
                    };
                }
            }
        }
        let mut killed = stop.clone();
        // What is sensitive is the builtin's own word, whoever calls: it is asked before it is given anything.
        let known = async {
            let signature = self.describe(builtin).await?;
            Ok((signature, self.compiled(builtin).await?))
        };
        let known: Result<_, GuestEnding> = tokio::select! {
            biased;
            _reason = killed.killed() => return GuestEnding::Cancelled { killed: false },
            known = known => known,
        };
        let (signature, compiled) = match known {
            Ok(known) => known,
            Err(ending) => return ending,
        };
        if let (Some(process), None) = (&compiled.process, &programs) {
            return GuestEnding::Link {
                missing: process.clone(),
                message: "this run was given no programs".to_owned(),
            };
        }
        let is_sensitive = |argument: &mut Argument| {
            let mut inputs = signature.inputs.iter();
            inputs.any(|input| input.sensitive && input.name == argument.name)
        };
        let sealed = lowered.extract_if(.., is_sensitive);
        let sealed = sealed.filter(|argument| !matches!(argument.value, wit::Value::Null));
        let vault = Vault::new(
            sealed
                .map(|Argument { name, value }| Sealed::new(name, value))
                .collect(),
        );
        let mut guest = Guest::new(context, log, limits, stop);
        guest.vault = vault;
        guest.children = Children::new(programs);
        match supervise(self, compiled, guest, Errand::Run(lowered)).await {
            Closed::Ended(ending) => ending,
            Closed::Described(_) => unreachable!("`attend` answers the errand it was given"),
        }
    }

    /// Returns the compiled component. The work goes on when the caller goes away, for the next one to find.
    async fn compiled<'a>(&self, builtin: &'a Builtin) -> Result<&'a Compiled, GuestEnding> {
        let foreign = || {
            let message = format!("builtin `{}` belongs to another sandbox", builtin.name());
            GuestEnding::HostFault(HostFault::new(message))
        };
        if builtin.compiled().is_none() {
            let (compiling, engine, linker) = (
                builtin.clone(),
                self.inner.engine.clone(),
                self.inner.linker.clone(),
            );
            let task = self
                .inner
                .runtime
                .handle()
                .spawn(async move { compiling.compile(&engine, &linker).await });
            // Its panic is caught inside; what is left is a runtime that closes, and then nothing is
            // compiled.
            task.await.unwrap_or_default();
        }
        match builtin.compiled() {
            Some(Ok(compiled)) if !Engine::same(compiled.step.engine(), &self.inner.engine) => {
                Err(foreign())
            }
            Some(Ok(compiled)) => Ok(compiled),
            Some(Err(ending)) => Err(ending.clone()),
            None => Err(GuestEnding::HostFault(HostFault::new(
                "the sandbox was closed while it compiled",
            ))),
        }
    }
}

/// The runtime of the guests. Ends in the background: a runtime must not be waited for inside another one.
struct GuestRuntime(Option<Runtime>);

impl GuestRuntime {
    fn start(threads: usize) -> Result<GuestRuntime, SandboxError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(COMPILING_MAX)
            .thread_name(GUEST_THREAD)
            .enable_time()
            .build()
            .map_err(SandboxError::Thread)?;
        Ok(GuestRuntime(Some(runtime)))
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        self.0
            .as_ref()
            .expect("it is taken only when it is dropped")
            .handle()
    }
}

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The log of a guest that has nothing to say.
struct Silence;

impl Log for Silence {
    fn write(&self, _channel: Channel, _bytes: &[u8]) {}
}
