//! One builtin: a name, a component, and what became of it once it was used.

use std::fmt;
use std::sync::{Arc, OnceLock};

use stephost_builtins::Builtin as Shipped;
use tokio::sync::OnceCell;
use wasmtime::component::{Component, Linker};
use wasmtime::{CodeBuilder, Engine};

use crate::bindings::StepPre;
use crate::ending::plain;
use crate::engine::slot_limits;
use crate::guest::Guest;
use crate::imports::{INTERFACES, process};
use crate::limits::hit_in_message;
use crate::sys::Code;
use crate::{GuestEnding, HostFault, Manifest, ManifestError, Signature};

/// A named component. Compiled on first use, or loaded if it was compiled when this program was built; once,
/// however many use it first. Clones share that.
///
/// It belongs to the first [`crate::Sandbox`] that runs it.
#[derive(Clone)]
pub struct Builtin {
    shared: Arc<Shared>,
}

struct Shared {
    name: Box<str>,
    wasm: Wasm,
    code: Option<Code>,
    manifest: OnceLock<Result<Manifest, ManifestError>>,
    compiled: OnceCell<Result<Compiled, GuestEnding>>,
    signature: OnceCell<Arc<Signature>>,
}

/// The bytes of a component.
#[derive(Clone)]
pub enum Wasm {
    /// Part of this binary.
    Embedded(&'static [u8]),
    /// Read from somewhere.
    Loaded(Arc<[u8]>),
}

impl From<&'static [u8]> for Wasm {
    fn from(bytes: &'static [u8]) -> Wasm {
        Wasm::Embedded(bytes)
    }
}

impl From<Arc<[u8]>> for Wasm {
    fn from(bytes: Arc<[u8]>) -> Wasm {
        Wasm::Loaded(bytes)
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builtin")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A component that is linked: every fault of the component itself lies behind us.
#[derive(Clone)]
pub(crate) struct Compiled {
    pub(crate) step: StepPre<Guest>,
    /// The import by which it asks for programs, if it does.
    pub(crate) process: Option<String>,
}

impl Builtin {
    /// Names a component. Does not look at it yet.
    pub fn new(name: &str, wasm: impl Into<Wasm>) -> Builtin {
        Builtin::with_code(name, wasm.into(), None)
    }

    /// A builtin that came with this program, and what it was compiled to.
    #[must_use]
    pub fn shipped(shipped: &Shipped) -> Builtin {
        Builtin::with_code(shipped.name, shipped.wasm.into(), Code::of(shipped))
    }

    pub(crate) fn with_code(name: &str, wasm: Wasm, code: Option<Code>) -> Builtin {
        let shared = Shared {
            name: name.into(),
            wasm,
            code,
            manifest: OnceLock::new(),
            compiled: OnceCell::new(),
            signature: OnceCell::new(),
        };
        Builtin {
            shared: Arc::new(shared),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the component's bytes.
    #[must_use]
    pub fn wasm(&self) -> &[u8] {
        match &self.shared.wasm {
            Wasm::Embedded(bytes) => bytes,
            Wasm::Loaded(bytes) => bytes,
        }
    }

    /// Returns what the component says about itself. Read on first use.
    ///
    /// # Errors
    /// What is wrong with the component.
    pub fn manifest(&self) -> Result<&Manifest, ManifestError> {
        let read = || Manifest::read(self.wasm());
        let manifest = self.shared.manifest.get_or_init(read);
        manifest.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn signature(&self) -> &OnceCell<Arc<Signature>> {
        &self.shared.signature
    }

    /// Returns what compiling gave, if it is known already.
    pub(crate) fn compiled(&self) -> Option<&Result<Compiled, GuestEnding>> {
        self.shared.compiled.get()
    }

    /// Compiles unless that is done; who comes meanwhile waits for the same result. A component that cannot
    /// run cannot run later either, so faults are remembered too.
    ///
    /// To be called in a task that is never dropped, or the next one would start again while the compiler
    /// still works.
    pub(crate) async fn compile(&self, engine: &Engine, linker: &Linker<Guest>) {
        let compile = || async {
            let (builtin, engine, linker) = (self.clone(), engine.clone(), linker.clone());
            let compiling = tokio::task::spawn_blocking(move || link(&engine, &linker, &builtin));
            compiling.await.unwrap_or_else(|_panic| {
                Err(GuestEnding::HostFault(HostFault::new(
                    "the compiler could not cope with the component",
                )))
            })
        };
        self.shared.compiled.get_or_init(compile).await;
    }
}

pub(crate) fn link(
    engine: &Engine,
    linker: &Linker<Guest>,
    builtin: &Builtin,
) -> Result<Compiled, GuestEnding> {
    let component = match loaded(engine, builtin) {
        Some(component) => component,
        None => compiled(engine, builtin)?,
    };
    let pre = linker
        .instantiate_pre(&component)
        .map_err(|fault| missing_import(&component, engine, &fault))?;
    let step = StepPre::new(pre).map_err(|fault| GuestEnding::Link {
        missing: "stephost:step/function".to_owned(),
        message: plain(&format!("{fault:#}")),
    })?;
    let process = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name)
        .find(|name| name.starts_with(process::INTERFACE))
        .map(str::to_owned);
    Ok(Compiled { step, process })
}

/// The code that came with this program, if there is any and this machine can run it.
fn loaded(engine: &Engine, builtin: &Builtin) -> Option<Component> {
    let Some(code) = builtin.shared.code else {
        tracing::info!(func.ref = builtin.name(), "a builtin is compiled");
        return None;
    };
    match code.load(engine) {
        Ok(component) => {
            tracing::info!(func.ref = builtin.name(), "a builtin was loaded as it was compiled with this program");
            Some(component)
        }
        Err(fault) => {
            let reason = plain(&format!("{fault:#}"));
            tracing::warn!(
                func.ref = builtin.name(),
                reason,
                "a builtin is compiled, because the code that came with this program does not suit this machine"
            );
            None
        }
    }
}

fn compiled(engine: &Engine, builtin: &Builtin) -> Result<Component, GuestEnding> {
    let refused = |fault: wasmtime::Error| {
        let too_large = hit_in_message(&fault.root_cause().to_string(), &slot_limits());
        too_large.map_or_else(
            || GuestEnding::NotAComponent {
                message: plain(&format!("{fault:#}")),
            },
            |hit| hit.ending(),
        )
    };
    // Binary only: the text format is a feature of the engine that another crate could switch on.
    CodeBuilder::new(engine)
        .wasm_binary(builtin.wasm(), None)
        .and_then(|code| code.compile_component())
        .map_err(refused)
}

/// Names what a component asks for and we do not have: an interface we do not know, else one of ours in
/// another shape.
fn missing_import(component: &Component, engine: &Engine, fault: &wasmtime::Error) -> GuestEnding {
    let message = plain(&format!("{fault:#}"));
    let component_type = component.component_type();
    let mut imports = component_type.imports(engine).map(|(name, _)| name);
    let unknown = imports.find(|name| !INTERFACES.iter().any(|ours| name.starts_with(ours)));
    let missing = unknown.or_else(|| {
        component_type
            .imports(engine)
            .map(|(name, _)| name)
            .find(|name| message.contains(name))
    });
    GuestEnding::Link {
        missing: plain(missing.unwrap_or("an import")),
        message,
    }
}
