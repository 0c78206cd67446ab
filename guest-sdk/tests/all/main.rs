//! The SDK as an author uses it, natively: typed steps on a stage, and the words of every refusal.

mod json;
mod refusals;
mod stage;
mod values;
