//! One guest as its store knows it, and the lever that ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use stephost_policy::{LimitName, Limits};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::call::{Context, Log};
use crate::cpu::CpuTime;
use crate::imports::process::Children;
use crate::imports::secrets::Vault;
use crate::limits::{LimitHit, Meter};
use crate::stop::Stop;
use crate::trap::Note;

/// Epochs between two looks at the lever. One: every tick, and every kill, is noticed at the guest's next
/// loop or call.
const EPOCHS: u64 = 1;

/// What the host functions of one guest work on: handles and values that were given to this run, and nothing
/// else.
pub(crate) struct Guest {
    pub(crate) context: Context,
    pub(crate) log: LogBudget,
    pub(crate) stop: Stop,
    /// Its sensitive inputs.
    pub(crate) vault: Vault,
    /// When its store was made.
    pub(crate) began: Instant,
    /// Programs it runs.
    pub(crate) children: Children,
    /// What the guest said before it trapped.
    pub(crate) note: Option<Note>,
    pub(crate) limits: Limits,
    meter: Meter,
}

impl Guest {
    pub(crate) fn new(context: Context, log: Arc<dyn Log>, limits: Limits, stop: Stop) -> Guest {
        let log = LogBudget {
            sink: log,
            bytes_left: limits.log_bytes_max,
            spent: false,
        };
        Guest {
            context,
            log,
            stop,
            vault: Vault::default(),
            began: Instant::now(),
            children: Children::default(),
            note: None,
            meter: Meter::new(limits.clone()),
            limits,
        }
    }

    /// Returns the limit that decides the ending whatever else happens, once it was hit.
    pub(crate) fn limit_hit(&self) -> Option<LimitHit> {
        self.log
            .spent
            .then(|| LimitHit::new(LimitName::Log, &self.limits))
    }
}

/// A log and how much may still be written to it.
pub(crate) struct LogBudget {
    pub(crate) sink: Arc<dyn Log>,
    pub(crate) bytes_left: u64,
    /// Whether a write was cut, and the guest told so.
    pub(crate) spent: bool,
}

/// Ends a guest that computes, wherever it is: when it is pulled, or by itself at the cpu limit.
#[derive(Debug)]
pub(crate) struct Lever {
    pulled: AtomicBool,
    engine: Engine,
    pub(crate) cpu: CpuTime,
}

/// The error that a pulled lever raises in the guest.
#[derive(Debug, thiserror::Error)]
#[error("killed")]
pub(crate) struct Killed;

impl Lever {
    pub(crate) fn new(engine: &Engine) -> Lever {
        Lever {
            pulled: AtomicBool::new(false),
            engine: engine.clone(),
            cpu: CpuTime::default(),
        }
    }

    /// Ends the guest at its next loop or call. A guest that waits in a host function is ended by dropping
    /// its future.
    pub(crate) fn pull(&self) {
        self.pulled.store(true, Ordering::Release);
        // Wakes every guest of the engine for a look at its own lever; that is cheaper than any bookkeeping.
        self.engine.increment_epoch();
    }
}

/// Makes the store of one run. Never reused: what a guest leaves behind goes with it.
pub(crate) fn store(engine: &Engine, guest: Guest, lever: Arc<Lever>) -> Store<Guest> {
    let host_call_bytes_max =
        usize::try_from(guest.limits.host_call_bytes_max).unwrap_or(usize::MAX);
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.meter);
    store.set_hostcall_fuel(host_call_bytes_max);
    store.set_max_component_handles(store.data().limits.handles_max);
    store.set_epoch_deadline(EPOCHS);
    store.epoch_deadline_callback(move |store| {
        if lever.pulled.load(Ordering::Acquire) {
            return Err(Killed.into());
        }
        let limits = &store.data().limits;
        if limits.cpu_max.is_some_and(|max| lever.cpu.tick() > max) {
            return Err(LimitHit::new(LimitName::Cpu, limits).into());
        }
        Ok(UpdateDeadline::Yield(EPOCHS))
    });
    store
}
