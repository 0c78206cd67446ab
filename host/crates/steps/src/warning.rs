//! What a text may hold without being refused, and what is said about it.

use std::fmt;
use std::sync::Arc;

use crate::code::Code;
use crate::error::{Advice, located};
use crate::place::Place;
use crate::quoted::Quoted;

/// Something odd in a text that does not stop it. `Display` is one line, like that of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    source_name: Arc<str>,
    place: Place,
    message: Box<str>,
}

impl Warning {
    pub(crate) fn new(source_name: Arc<str>, place: Place, notice: &Notice) -> Self {
        Self {
            source_name,
            place,
            message: crate::quoted::message(&notice.to_string()).into(),
        }
    }

    /// Returns where the oddity is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns what is odd, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        located(f, &self.source_name, self.place, &self.message)
    }
}

/// What can be odd.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Notice {
    #[error("key {key} is ignored, it is unknown{advice}")]
    UnknownKey { key: Quoted, advice: Advice },

    // The peer lets a later result replace the earlier one (contract K26).
    #[error(
        "step name {name} is used again: the outputs of the later step replace those of the earlier"
    )]
    RepeatedStepName { name: Quoted },

    // Only a proposal of the peer (contract 3.3): never a reason to refuse a job.
    #[error(
        "`cancel_timeout` is ignored: {text} is not a duration, write for example `30s` or `1m30s`"
    )]
    CancelTimeout { text: Quoted },

    #[error("more than {shown} warnings, the others are left out")]
    More { shown: usize },
}

impl Notice {
    /// Returns the code under which the notice is explained.
    pub(crate) fn code(&self) -> &'static str {
        let code = match self {
            Self::UnknownKey { .. } => Code::S003,
            Self::RepeatedStepName { .. } => Code::S014,
            Self::CancelTimeout { .. } => Code::S013,
            Self::More { .. } => Code::Y004,
        };
        code.as_str()
    }
}
