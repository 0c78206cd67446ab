//! What one run of a builtin gets: needs ∩ rule ∩ ceiling. The decisions that a running guest meets are in
//! [`decide`](crate::decide).

use std::sync::Arc;

use crate::limits::Limits;
use crate::names::{Names, Programs};
use crate::needs::{Asked, Needs};
use crate::reason::Decider;
use crate::resolved::Rule;

/// The powers of one run of one function. Nothing that is not in here is given to its guest.
///
/// Made by [`Policy::resolve`](crate::Policy::resolve) only, and never changed: a run keeps what it started with.
#[derive(Debug, Clone)]
pub struct Grant {
    /// How much of everything.
    pub limits: Limits,
    /// Programs that may be started.
    pub programs: Programs,
    /// Environment variables that may be read.
    pub environment: Names,
    /// Environment variables that may be set for later steps.
    pub exports: Names,
    pub(crate) rule: Arc<Rule>,
    pub(crate) decider: Decider,
    pub(crate) needs: Needs,
}

impl Grant {
    /// Lays the needs of a component over the rule for it, which lies within the ceiling already.
    pub(crate) fn new(rule: Arc<Rule>, decider: Decider, needs: &Needs) -> Grant {
        let mut limits = rule.limits.clone();
        needs.lower(&mut limits);
        let names = |asked: &Asked<Names>, allowed: &Names| match asked {
            Asked::Listed(asked) => allowed.intersection(asked),
            Asked::Unstated => allowed.clone(),
        };
        Grant {
            limits,
            programs: match &needs.process {
                Asked::Listed(asked) => rule.programs.intersection(asked),
                Asked::Unstated => rule.programs.clone(),
            },
            environment: names(&needs.environment, &rule.environment),
            exports: names(&needs.exports, &rule.exports),
            rule,
            decider,
            needs: needs.clone(),
        }
    }
}
