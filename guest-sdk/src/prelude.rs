//! What nearly every step uses: `use stephost_sdk::prelude::*;`.

#[cfg(feature = "json")]
pub use crate::Json;
pub use crate::control::Stop;
pub use crate::{
    Failure, Inputs, Outputs, Secret, Step, debug, error, info, say, step, trace, warn,
};
