//! Write a builtin step for stephost.
//!
//! A builtin is a Wasm component that exports the interface `function` of `wit/`. With this crate it is a
//! type that implements [`Function`], and one line that exports it:
//!
//! ```
//! use stephost_sdk::{Call, Failure, Function, Outcome, Parameter, Signature, log};
//!
//! struct Shout;
//!
//! impl Function for Shout {
//!     fn describe() -> Signature {
//!         Signature::new("Says it louder")
//!             .input(Parameter::text("text", "What to say"))
//!             .output(Parameter::text("shouted", "What was said"))
//!     }
//!
//!     fn run(call: &mut Call) -> Result<Outcome, Failure> {
//!         let shouted = call.text("text")?.to_uppercase();
//!         log::line(&shouted)?;
//!         Ok(Outcome::empty().output("shouted", shouted))
//!     }
//! }
//!
//! stephost_sdk::export!(Shout);
//! ```
//!
//! Built for `wasm32-unknown-unknown` with the linker `wasm-component-ld`, the crate (a `cdylib`) is a
//! component whose imports are exactly the interfaces it uses. That target has no operating system: standard
//! output goes nowhere, files and threads are unsupported, clocks and `thread::sleep` panic. [`log`],
//! [`control`], [`context`] and [`process`] stand in for them. A panic is reported with its text and its place, and ends
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
pub mod process;
#[cfg(target_arch = "wasm32")]
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;

pub use bindings::exports::stephost::step::function::{Argument, Outcome};
pub use bindings::stephost::step::types::{
    Denial, FailedStep, Failure, InvalidInput, Parameter, Signature, Value, ValueType,
};
pub use call::Call;

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

/// Exports a [`Function`] as the step of this component. Once per crate; a native build only checks the type.
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
