//! What `wit-bindgen` makes of `wit/`. Generated once, here, so that a builtin needs no generator of its own.

wit_bindgen::generate!({
    path: "wit",
    world: "step-process",
    pub_export_macro: true,
    default_bindings_module: "stephost_sdk::bindings",
    export_macro_name: "export",
    additional_derives: [PartialEq],
    generate_unused_types: true,
});
