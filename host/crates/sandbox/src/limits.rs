//! Enforcing [`Limits`] on one store. The numbers and their words are the policy crate's; what is counted
//! here is memory and tables, the log is counted where it is written, outputs where they are taken, time
//! inside the guest by `cpu`, wall time by the one who waits, the rest by wasmtime.

use stephost_policy::{LimitName, Limits};
use wasmtime::ResourceLimiter;

use crate::GuestEnding;

/// The error that ends a guest at a limit. Its text is for the step's ending.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{which} limit of {text} exceeded")]
pub(crate) struct LimitHit {
    which: LimitName,
    text: String,
}

impl LimitHit {
    pub(crate) fn new(which: LimitName, limits: &Limits) -> LimitHit {
        LimitHit {
            which,
            text: limits.text(which),
        }
    }

    pub(crate) fn ending(&self) -> GuestEnding {
        GuestEnding::Limit {
            which: self.which,
            message: self.to_string(),
            frames: Vec::new(),
        }
    }
}

/// Counts what a store holds, summed over all its memories and tables: ten small memories are one large one.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    memory_bytes: u64,
    table_elements: u64,
    /// The last growth that was granted, to be given back when the engine could not make it.
    granted: u64,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Meter {
        Meter {
            limits,
            memory_bytes: 0,
            table_elements: 0,
            granted: 0,
        }
    }

    fn grow(used: &mut u64, granted: &mut u64, by: usize, max: u64) -> bool {
        let by = u64::try_from(by).unwrap_or(u64::MAX);
        let fits = used.checked_add(by).filter(|sum| *sum <= max);
        if let Some(sum) = fits {
            *used = sum;
            *granted = by;
        }
        fits.is_some()
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let by = desired.saturating_sub(current);
        if Meter::grow(
            &mut self.memory_bytes,
            &mut self.granted,
            by,
            self.limits.memory_bytes_max,
        ) {
            return Ok(true);
        }
        // An error, where `false` would let the guest's allocator abort without a word: the ending names the
        // limit.
        Err(LimitHit::new(LimitName::Memory, &self.limits).into())
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let by = desired.saturating_sub(current);
        if Meter::grow(
            &mut self.table_elements,
            &mut self.granted,
            by,
            self.limits.table_elements_max,
        ) {
            return Ok(true);
        }
        Err(LimitHit::new(LimitName::TableElements, &self.limits).into())
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn instances(&self) -> usize {
        self.limits.instances_max
    }

    fn tables(&self) -> usize {
        self.limits.tables_max
    }

    fn memories(&self) -> usize {
        self.limits.memories_max
    }
}

/// Names the limit behind one of wasmtime's own messages, whose types are private. A component that is larger
/// than a slot of the pool is refused when it is compiled; the limits are then the pool's.
pub(crate) fn hit_in_message(message: &str, limits: &Limits) -> Option<LimitHit> {
    let table = [
        (
            "fuel allocated for hostcalls has been exhausted",
            LimitName::HostCall,
        ),
        (
            "resource limit exceeded: instance count",
            LimitName::Instances,
        ),
        ("resource limit exceeded: memory count", LimitName::Memories),
        ("resource limit exceeded: table count", LimitName::Tables),
        ("store handle limit exceeded", LimitName::Handles),
        (
            "core module instances, which exceeds the configured maximum",
            LimitName::Instances,
        ),
        (
            "Wasm linear memories, which exceeds the configured maximum",
            LimitName::Memories,
        ),
        (
            "tables, which exceeds the configured maximum",
            LimitName::Tables,
        ),
        ("defined memories count of", LimitName::Memories),
        ("defined tables count of", LimitName::Tables),
        ("has a minimum element size of", LimitName::TableElements),
    ];
    let (_, which) = table
        .into_iter()
        .find(|(words, _)| message.contains(words))?;
    Some(LimitHit::new(which, limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_the_limit_itself_is_allowed() {
        let mut meter = Meter::new(Limits {
            memory_bytes_max: 100,
            ..Limits::shipped()
        });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(
            meter.memory_growing(0, 40, None).unwrap(),
            "a second memory, up to the limit"
        );
        let error = meter
            .memory_growing(60, 61, None)
            .expect_err("one byte more");
        assert_eq!(error.to_string(), "memory limit of 100 bytes exceeded");
    }

    #[test]
    fn a_growth_that_failed_is_given_back_once() {
        let mut meter = Meter::new(Limits {
            memory_bytes_max: 100,
            ..Limits::shipped()
        });
        assert!(meter.memory_growing(0, 50, None).unwrap());
        for _ in 0..2 {
            assert!(meter.memory_growing(50, 100, None).unwrap());
            meter
                .memory_grow_failed(wasmtime::Error::msg("no memory"))
                .unwrap();
        }
        assert_eq!(meter.memory_bytes, 50);
    }

    #[test]
    fn numbers_beyond_every_machine_do_not_overflow() {
        let mut meter = Meter::new(Limits {
            table_elements_max: u64::MAX,
            ..Limits::shipped()
        });
        assert!(meter.table_growing(0, usize::MAX, None).unwrap());
        assert!(meter.table_growing(0, usize::MAX, None).is_err());
    }
}
