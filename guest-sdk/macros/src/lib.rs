//! The macros of `stephost-sdk`, which re-exports them and documents how a step is written.
//!
//! Owns the translation of attributes into implementations of the SDK's traits, and the words of every
//! mistake that can be seen in tokens; mistakes in types are the compiler's, with the words of the traits.
//! Never decides what a value may be: that is the SDK's `field`. Called by: authors, through `stephost_sdk`.

#![forbid(unsafe_code)]

mod doc;
mod fields;
mod needs;
mod step;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Makes a function the step of this component.
///
/// ```text
/// /// What the step does, in one sentence
/// #[step(needs(process = ["bash"], env = ["CI_*"], exports = ["NAME"]))]
/// fn greet(input: Input, step: &Step) -> Result<Output, Failure> { … }
/// ```
///
/// The first paragraph of the doc comment is the summary. `needs` may be left out; it says which powers the
/// step asks of a policy: programs it starts, environment variables it reads, variables it exports. The last
/// two may end in `*`, and `env` may be `*`. What is not named here the step does not get.
///
/// One function of a crate can be a step. It stays an ordinary function; a type of the same name stands for
/// the step in tests: `Stage::new().run::<greet>(…)`.
#[proc_macro_attribute]
pub fn step(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let needs = parse_macro_input!(attribute as needs::Needs);
    let function = parse_macro_input!(item as ItemFn);
    finish(step::expand(&needs, &function))
}

/// Says what a step needs that is written by hand, beside `export!`: `needs!(process = ["bash"], env = ["CI_*"]);`.
///
/// `#[step(needs(…))]` does the same.
#[proc_macro]
pub fn needs(list: TokenStream) -> TokenStream {
    let list = parse_macro_input!(list with needs::Needs::powers);
    list.section().into()
}

/// Makes a struct the inputs of a step: each field is an input, its doc comment the description.
///
/// `#[input(default = VALUE)]` makes an input optional; so does the type `Option<T>`.
/// `#[input(sensitive)]` says aloud that the input is a `Secret`.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn inputs(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(fields::inputs(&item))
}

/// Makes a struct the outputs of a step: each field is an output, its doc comment the description.
///
/// `#[output(sensitive)]` has the host hide the value. `Option<T>` is an output that may be missing.
#[proc_macro_derive(Outputs, attributes(output))]
pub fn outputs(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(fields::outputs(&item))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
