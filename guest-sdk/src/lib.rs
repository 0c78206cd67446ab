//! Write a builtin step for stephost.
//!
//! A builtin is a Wasm component that exports the interface `function` of `wit/`. With this crate it is a
//! function and two structs:
//!
//! ```
//! use stephost_sdk::prelude::*;
//!
//! #[derive(Inputs)]
//! struct Input {
//!     /// What to say
//!     text: String,
//!     /// How often
//!     #[input(default = 1)]
//!     times: u8,
//! }
//!
//! #[derive(Outputs)]
//! struct Output {
//!     /// What was said
//!     shouted: String,
//! }
//!
//! /// Says it louder
//! #[step(needs(exports = ["SHOUTED"]))]
//! fn shout(input: Input, step: &Step) -> Result<Output, Failure> {
//!     let shouted = input.text.to_uppercase();
//!     for _ in 0..input.times {
//!         step.proceed()?;
//!         say!("{shouted}");
//!     }
//!     step.export("SHOUTED", "yes");
//!     Ok(Output { shouted })
//! }
//! ```
//!
//! Doc comments are the descriptions that people see. [`typed`] says which types a field can have. `needs`
//! are the powers that the step asks of a policy. [`Failure`] is every way to fail. What the macros make can
//! be written by hand: [`Function`], [`export!`] and [`needs!`].
//!
//! Built for `wasm32-unknown-unknown` with the linker `wasm-component-ld`, the crate (a `cdylib`) is a
//! component whose imports are exactly the interfaces it uses. That target has no operating system: standard
//! output goes nowhere, files and threads are unsupported, clocks and `thread::sleep` panic. [`log`],
//! [`control`], [`context`] and [`mod@process`] stand in for them, and [`Step`] has the most useful of it. A panic is reported with its text and its place, and ends
//! the step as an internal error.
//!
//! Everything also compiles natively, where [`testing`] plays the host, so that a builtin is tested by plain
//! `cargo test`.

#[doc(hidden)]
pub mod bindings;

mod call;
pub mod context;
pub mod control;
mod declare;
#[doc(hidden)]
pub mod entry;
mod host;
pub mod log;
mod outcome;
pub mod prelude;
pub mod process;
mod secret;
mod step;
#[cfg(target_arch = "wasm32")]
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod typed;
mod value;

pub use bindings::exports::stephost::step::function::{Argument, Outcome};
pub use bindings::stephost::step::types::{
    Denial, FailedStep, Failure, InvalidInput, Parameter, Signature, Value, ValueType,
};
pub use call::Call;
pub use secret::Secret;
pub use step::Step;
pub use stephost_sdk_macros::{Inputs, Outputs, needs, step};
#[cfg(feature = "json")]
pub use typed::Json;
pub use typed::{Inputs, Outputs};

/// A builtin step.
pub trait Function {
    /// Says what the step takes and gives. Must be pure: it runs with very small limits and an empty context.
    fn describe() -> Signature;

    /// Runs the step once.
    ///
    /// # Errors
    /// Whatever made the step fail; [`Failure::failed`] is the usual one.
    fn run(call: &mut Call) -> Result<Outcome, Failure>;
}

/// Exports a [`Function`] as the step of this component. Once per crate, and not beside `#[step]`, which does
/// it by itself; a native build only checks the type.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Signature = <$function as $crate::Function>::describe;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::stephost::step::function::Guest for Exported {
                fn describe() -> $crate::Signature {
                    $crate::entry::describe::<$function>()
                }

                fn run(
                    arguments: ::std::vec::Vec<$crate::Argument>,
                ) -> ::std::result::Result<$crate::Outcome, $crate::Failure> {
                    $crate::entry::run::<$function>(arguments)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
