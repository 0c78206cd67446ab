//! What wasmtime makes of `guest-sdk/wit`. In a module of its own: the package's namespace is called like our
//! crates.

wasmtime::component::bindgen!({
    path: "../../../guest-sdk/wit",
    world: "step",
    imports: { "stephost:step/control.wait": async | trappable, default: trappable },
    exports: { default: async },
    with: { "stephost:step/secrets.secret": crate::imports::secrets::Sealed },
    require_store_data_send: true,
});
