//! What wasmtime makes of `guest-sdk/wit`. In a module of its own: the package's namespace is called like our
//! crates.

wasmtime::component::bindgen!({
    path: "../../../guest-sdk/wit",
    world: "step-process",
    imports: {
        "stephost:step/control.wait": async | trappable,
        "stephost:step/process.start": async | trappable,
        "stephost:step/process.which": async | trappable,
        "stephost:step/process.[method]child.wait": async | trappable,
        default: trappable,
    },
    with: { "stephost:step/process.child": crate::imports::process::Child },
    exports: { default: async },
    with: { "stephost:step/secrets.secret": crate::imports::secrets::Sealed },
    require_store_data_send: true,
});

// The world with every import. A component has those it uses, and exports the same.
pub(crate) use StepProcess as Step;
pub(crate) use StepProcessPre as StepPre;
