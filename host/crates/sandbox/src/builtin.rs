//! One builtin: a name, a component, and what became of it once it was used.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::OnceCell;
use wasmtime::component::{Component, Linker};
use wasmtime::{CodeBuilder, Engine};

use crate::bindings::StepPre;
use crate::ending::plain;
use crate::engine::slot_limits;
use crate::guest::Guest;
use crate::imports::{INTERFACES, process};
use crate::limits::hit_in_message;
use crate::{GuestEnding, HostFault, Manifest, ManifestError, Signature};

/// A named component. Compiled on first use, once, however many use it first; clones share that.
///
/// It belongs to the first [`crate::Sandbox`] that runs it.
#[derive(Clone)]
pub struct Builtin {
    shared: Arc<Shared>,
}

struct Shared {
    name: Box<str>,
    wasm: Wasm,
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
        let shared = Shared {
            name: name.into(),
            wasm: wasm.into(),
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
            let compiling =
                tokio::task::spawn_blocking(move || link(&engine, &linker, builtin.wasm()));
            compiling.await.unwrap_or_else(|_panic| {
                Err(GuestEnding::HostFault(HostFault::new(
                    "the compiler could not cope with the component",
                )))
            })
        };
        self.shared.compiled.get_or_init(compile).await;
    }
}

fn link(engine: &Engine, linker: &Linker<Guest>, wasm: &[u8]) -> Result<Compiled, GuestEnding> {
    let compiler = |fault: wasmtime::Error| {
        let too_large = hit_in_message(&fault.root_cause().to_string(), &slot_limits());
        too_large.map_or_else(
            || GuestEnding::NotAComponent {
                message: plain(&format!("{fault:#}")),
            },
            |hit| hit.ending(),
        )
    };
    // Binary only: the text format is a feature of the engine that another crate could switch on.
    let component = CodeBuilder::new(engine)
        .wasm_binary(wasm, None)
        .and_then(|code| code.compile_component())
        .map_err(compiler)?;
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
