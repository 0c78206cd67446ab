//! The wasmtime engine and the thread that keeps its time.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use stephost_policy::Limits;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::{SandboxError, Slots};

/// Native stack of a guest.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Native stack of a guest and the host functions it calls. A host function that overflows it aborts the
/// process, so they get more than they could ever need.
const ASYNC_STACK_BYTES: usize = 2 << 20;

/// Frames kept of a trap; the panic machinery takes a dozen.
const FRAMES_MAX: usize = 40;

/// What a pool slot keeps mapped between two guests. The difference between 8 and 22 µs per step, and with
/// two threads between 150 000 and 23 000 steps a second; memory is only held for slots that were used.
const MEMORY_KEPT_BYTES: usize = 256 << 10;
const TABLE_KEPT_BYTES: usize = 64 << 10;
const STACK_KEPT_BYTES: usize = 64 << 10;

/// Slots that stay warm when they are free.
const WARM_SLOTS_MAX: u32 = 100;

/// What the pool holds for each guest, and the most one component may consist of: as much as the shipped
/// limits allow. A component from our SDK has one memory, two tables, three core instances.
const MEMORIES_PER_GUEST: u32 = 4;
const TABLES_PER_GUEST: u32 = 8;
const CORE_INSTANCES_PER_GUEST: u32 = 16;

/// Elements of one table. Functions that are called by pointer, of which our largest guest has a few hundred.
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// A 32-bit memory cannot be larger. The address space is reserved anyway, and [`crate::limits::Meter`] holds
/// the real limit.
const MEMORY_BYTES_MAX: usize = 4 << 30;

/// What one memory reserves where address space is short (the pool could not be had), and how much more each
/// time it has to move.
const SHORT_RESERVATION_BYTES: u64 = 16 << 20;

/// How often guests that compute let others go first. A short step behind more hogs than threads waits about
/// this long.
const TICK: Duration = Duration::from_millis(5);

/// Ticks for nobody before the thread sleeps. Waking it costs as much as a short step, so it stays awake from one
/// to the next.
const IDLE_TICKS_MAX: u32 = 20;

/// Makes an engine whose slots are reserved at once, or one that reserves on demand where the address space
/// for that is not there; says which.
pub(crate) fn engine(slots_max: u32) -> Result<(Engine, Slots), SandboxError> {
    if let Ok(engine) = Engine::new(&pooled(slots_max)) {
        return Ok((engine, Slots::Reserved));
    }
    let mut on_demand = config();
    on_demand.memory_reservation(SHORT_RESERVATION_BYTES);
    on_demand.memory_reservation_for_growth(SHORT_RESERVATION_BYTES);
    let engine = Engine::new(&on_demand).map_err(|fault| SandboxError::Engine {
        message: format!("{fault:#}"),
    })?;
    Ok((engine, Slots::OnDemand))
}

/// Makes an engine that compiles for every machine of a target, what [`engine`] can load. It runs nothing, so its pool is as
/// small as one can be: how many slots there are changes no code.
pub(crate) fn compiler(target: &str) -> wasmtime::Result<Engine> {
    let mut config = pooled(1);
    // A named target has no more than its baseline; without one it would be this machine, with all that it can.
    config.target(target)?;
    Engine::new(&config)
}

pub(crate) fn pooled(slots_max: u32) -> Config {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots_max)));
    config
}

pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Synchronous functions only. Another crate could switch the feature on by unification, and it
        // doubles the price of a step.
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        // The panic hook of the SDK gives file and line for nothing; reading debug sections takes
        // milliseconds for each trap.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Rust guests need none of these, and what is off cannot have a hole.
    config
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}

/// What a slot of the pool holds, as limits: a component that wants more is refused when it is compiled.
pub(crate) fn slot_limits() -> Limits {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Limits {
        memories_max: count(MEMORIES_PER_GUEST),
        tables_max: count(TABLES_PER_GUEST),
        table_elements_max: u64::try_from(TABLE_ELEMENTS_MAX).unwrap_or(u64::MAX),
        instances_max: count(CORE_INSTANCES_PER_GUEST),
        ..Limits::shipped()
    }
}

fn pool(slots_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots_max)
        .total_core_instances(slots_max.saturating_mul(CORE_INSTANCES_PER_GUEST))
        .total_memories(slots_max.saturating_mul(MEMORIES_PER_GUEST))
        .total_tables(slots_max.saturating_mul(TABLES_PER_GUEST))
        .total_stacks(slots_max)
        .max_core_instances_per_component(CORE_INSTANCES_PER_GUEST)
        .max_memories_per_component(MEMORIES_PER_GUEST)
        .max_tables_per_component(TABLES_PER_GUEST)
        .max_memories_per_module(MEMORIES_PER_GUEST)
        .max_tables_per_module(TABLES_PER_GUEST)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(slots_max.min(WARM_SLOTS_MAX))
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        // Needs Linux 6.7; `Auto` does without elsewhere.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Advances the engine's epoch while guests compute, so that one that computes for long gives way to others. Not
/// needed for a kill, which advances it itself. Sleeps while all guests wait.
#[derive(Debug)]
pub(crate) struct Ticker {
    ticks: Ticks,
}

/// Where guests say that they compute. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Guests that are on a thread right now.
    computing: AtomicUsize,
    /// Whether any was since the last tick.
    computed: AtomicBool,
    /// Whether the thread sleeps until it is woken, and not until the next tick.
    asleep: AtomicBool,
    closed: AtomicBool,
    /// Held from going to sleep to sleeping, and to wake it.
    sleep: Mutex<()>,
    changed: Condvar,
}

/// A guest is on a thread as long as this lives.
#[derive(Debug)]
pub(crate) struct Computing<'a> {
    shared: &'a Shared,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Ticker, SandboxError> {
        let ticks = Ticks::default();
        let (engine, shared) = (engine.weak(), Arc::clone(&ticks.shared));
        let thread = thread::Builder::new().name("stephost-epoch".to_owned());
        thread
            .spawn(move || tick(&engine, &shared))
            .map_err(SandboxError::Thread)?;
        Ok(Ticker { ticks })
    }

    pub(crate) fn ticks(&self) -> Ticks {
        self.ticks.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.ticks.shared.closed.store(true, Ordering::SeqCst);
        self.ticks.shared.wake();
    }
}

impl Ticks {
    /// Keeps the time for a guest that is about to compute.
    pub(crate) fn compute(&self) -> Computing<'_> {
        let shared = &*self.shared;
        // The other side says that it sleeps and then looks here: one of the two sees the other.
        shared.computing.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) {
            shared.wake();
        }
        Computing { shared }
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.shared.computed.store(true, Ordering::Relaxed);
        self.shared.computing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn wake(&self) {
        drop(self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It protects nothing that could be left half-changed.
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_needed(&self) -> bool {
        self.computing.load(Ordering::SeqCst) > 0 || self.closed.load(Ordering::SeqCst)
    }

    /// Sleeps until a guest computes.
    fn sleep(&self) {
        let held = self.lock();
        self.asleep.store(true, Ordering::SeqCst);
        let held = self.changed.wait_while(held, |()| !self.is_needed());
        drop(held.unwrap_or_else(PoisonError::into_inner));
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Sleeps for a tick.
    fn wait(&self) {
        let held = self.lock();
        let closed = |(): &mut ()| !self.closed.load(Ordering::SeqCst);
        let held = self.changed.wait_timeout_while(held, TICK, closed);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let mut idle = 0;
    while !shared.closed.load(Ordering::SeqCst) {
        let computed = shared.computed.swap(false, Ordering::Relaxed);
        idle = if computed || shared.is_needed() {
            0
        } else {
            idle + 1
        };
        if idle > IDLE_TICKS_MAX {
            shared.sleep();
        }
        shared.wait();
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn becomes(what: &str, condition: impl Fn() -> bool) {
        let since = Instant::now();
        while !condition() {
            assert!(since.elapsed() < Duration::from_secs(10), "never {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_ticker_sleeps_while_nobody_computes_and_wakes_for_who_does() {
        let (engine, _slots) = engine(1).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        let ticks = ticker.ticks();
        let is_asleep = || ticks.shared.asleep.load(Ordering::SeqCst);
        for _ in 0..3 {
            becomes("asleep", is_asleep);
            let computing = ticks.compute();
            becomes("awake", || !is_asleep());
            drop(computing);
        }
    }
}
