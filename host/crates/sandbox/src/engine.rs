//! The wasmtime engine and the thread that keeps its time.

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use stephost_policy::Limits;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::SandboxError;

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

/// Makes an engine whose slots are reserved at once, or one that reserves on demand where the address space
/// for that is not there.
pub(crate) fn engine(slots_max: u32) -> Result<Engine, SandboxError> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots_max)));
    if let Ok(engine) = Engine::new(&pooled) {
        return Ok(engine);
    }
    let mut on_demand = config();
    on_demand.memory_reservation(SHORT_RESERVATION_BYTES);
    on_demand.memory_reservation_for_growth(SHORT_RESERVATION_BYTES);
    Engine::new(&on_demand).map_err(|fault| SandboxError::Engine {
        message: format!("{fault:#}"),
    })
}

fn config() -> Config {
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

/// Advances the engine's epoch while guests run, so that one that computes gives way to others. Not needed
/// for stopping a guest.
///
/// Its thread sleeps without a tick while no guest runs, and ends with the ticker.
#[derive(Debug)]
pub(crate) struct Ticker {
    watched: Arc<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    state: Mutex<TickerState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TickerState {
    guests: usize,
    closed: bool,
}

/// A guest runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticking {
    watched: Arc<Watched>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Ticker, SandboxError> {
        let watched = Arc::<Watched>::default();
        let (engine, seen) = (engine.weak(), Arc::clone(&watched));
        let thread = thread::Builder::new().name("stephost-epoch".to_owned());
        thread
            .spawn(move || tick(&engine, &seen))
            .map_err(SandboxError::Thread)?;
        Ok(Ticker { watched })
    }

    /// Keeps the time for one more guest.
    pub(crate) fn enter(&self) -> Ticking {
        self.watched.change(|state| state.guests += 1);
        Ticking {
            watched: Arc::clone(&self.watched),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.watched.change(|state| state.closed = true);
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.watched.change(|state| state.guests -= 1);
    }
}

impl Watched {
    fn change(&self, change: impl FnOnce(&mut TickerState)) {
        // Nothing in here panics while it holds the lock, and two counters cannot be left half-changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = state.guests == 0;
        change(&mut state);
        if (idle && state.guests > 0) || state.closed {
            self.changed.notify_one();
        }
    }
}

fn tick(engine: &EngineWeak, watched: &Watched) {
    let mut state = watched.state.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.closed {
        if state.guests == 0 {
            state = watched
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        (state, _) = watched
            .changed
            .wait_timeout(state, TICK)
            .unwrap_or_else(PoisonError::into_inner);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
