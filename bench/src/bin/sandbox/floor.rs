//! The same component under wasmtime alone: store, instantiate, run, drop, on one thread, with the settings
//! that are the fastest known. No limits, no stop, no runtime to hand over to.

use std::hint::black_box;
use std::time::Instant;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    UpdateDeadline,
};

use self::bindings::StepPre;
use self::bindings::exports::stephost::step::function::Argument;
use self::bindings::stephost::step::{log, types};
use stephost_bench::figure::micros;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../guest-sdk/wit",
        world: "step",
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(crate) struct Floor {
    engine: Engine,
    step: StepPre<Bare>,
}

struct Bare;

impl log::Host for Bare {
    fn write(&mut self, _to: log::Channel, bytes: Vec<u8>) -> Result<(), log::Full> {
        black_box(bytes);
        Ok(())
    }

    fn emit(
        &mut self,
        _level: log::Level,
        message: String,
        _fields: Vec<(String, String)>,
    ) -> Result<(), log::Full> {
        black_box(message);
        Ok(())
    }

    fn panicked(&mut self, message: String, _location: String) {
        black_box(message);
    }
}

impl types::Host for Bare {}

impl Floor {
    pub(crate) fn new(wasm: &[u8]) -> Floor {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(256 << 10)
            .table_keep_resident(64 << 10)
            .async_stack_keep_resident(64 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_binary(&engine, wasm).unwrap();
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasSelf<Bare>>(&mut linker, |bare| bare).unwrap();
        types::add_to_linker::<_, HasSelf<Bare>>(&mut linker, |bare| bare).unwrap();
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let step = StepPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Floor { engine, step }
    }

    /// Microseconds of each of `steps` runs, one after the other.
    pub(crate) async fn times(&self, steps: usize) -> Vec<f64> {
        let mut times = Vec::with_capacity(steps);
        for _ in 0..steps {
            let arguments = [Argument {
                name: "name".to_owned(),
                value: types::Value::Text("Ada".to_owned()),
            }];
            let since = Instant::now();
            self.step(&arguments).await;
            times.push(micros(since.elapsed()));
        }
        times
    }

    async fn step(&self, arguments: &[Argument]) {
        let mut store = Store::new(&self.engine, Bare);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let step = self.step.instantiate_async(&mut store).await.unwrap();
        let answer = step
            .stephost_step_function()
            .call_run(&mut store, arguments)
            .await
            .unwrap();
        black_box(answer.unwrap());
    }
}
