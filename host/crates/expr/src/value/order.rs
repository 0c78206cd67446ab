//! The one order of all values, which is equality too.
//!
//! Promises: total. Values of different kinds go by the rank of the kind; arrays item by item, then the shorter
//! one first; objects by their number of keys, then by the keys, then by the values in the order of the keys
//! (contract 4.4). Marks do not count.

use std::cmp::Ordering;

use super::{Data, Value};

/// Compares two values of any kind. Visits no more than the smaller one has.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left.data(), right.data()) {
        (Data::Bool(left), Data::Bool(right)) => left.cmp(right),
        // Numbers are finite and zero has one form, so this is the order of numbers.
        (Data::Number(left), Data::Number(right)) => left.total_cmp(right),
        (Data::String(left), Data::String(right)) => left.cmp(right),
        (Data::Array(left), Data::Array(right)) => {
            first_difference(left.iter().zip(right.iter())).then(left.len().cmp(&right.len()))
        }
        (Data::Object(left), Data::Object(right)) => left
            .len()
            .cmp(&right.len())
            .then_with(|| left.keys().cmp(right.keys()))
            .then_with(|| first_difference(left.values().zip(right.values()))),
        (Data::Function(left), Data::Function(right)) => left.cmp(right),
        _ => left.kind().cmp(&right.kind()),
    }
}

fn first_difference<'v>(pairs: impl Iterator<Item = (&'v Value, &'v Value)>) -> Ordering {
    pairs
        .map(|(left, right)| compare(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
