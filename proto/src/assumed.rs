//! Which field numbers are assumed, and how to leave out the ones that turn out to mean something else.
//!
//! Pure and bounded: one pass over the bytes, one copy. Works on the wire form, because a message that does
//! not decode has no other form. Called by the codec after a plain decode failed.

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::StatusError;

/// A field whose number is not public, and how to see whether its payload is what we assume.
struct Assumed {
    number: u32,
    fits: fn(&[u8]) -> bool,
}

/// How a message's fields are treated.
struct Shape {
    name: &'static str,
    assumed: &'static [Assumed],
    /// Field that repeats another message with assumed fields, and that message's name.
    nested: Option<(u32, &'static str)>,
}

fn is_duration(payload: &[u8]) -> bool {
    prost_types::Duration::decode(payload).is_ok()
}

fn is_status_error(payload: &[u8]) -> bool {
    StatusError::decode(payload).is_ok()
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "RunRequest",
        assumed: &[
            Assumed {
                number: 7,
                fits: is_duration,
            },
            Assumed {
                number: 8,
                fits: is_duration,
            },
        ],
        nested: None,
    },
    Shape {
        name: "StatusResponse",
        assumed: &[],
        nested: Some((1, "Status")),
    },
    Shape {
        name: "Status",
        assumed: &[Assumed {
            number: 7,
            fits: is_status_error,
        }],
        nested: None,
    },
];

/// Returns `bytes` without the assumed fields of message `name` that do not fit, and their numbers.
///
/// `None` when the message has no such fields, when all of them fit, or when the bytes have no field
/// structure at all.
pub(crate) fn without_misfits(name: &str, bytes: &[u8]) -> Option<(Vec<u8>, Vec<u32>)> {
    let shape = SHAPES.iter().find(|shape| shape.name == name)?;
    let mut kept = Vec::with_capacity(bytes.len());
    let mut dropped = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = rest;
        let (number, wire) = decode_key(&mut rest).ok()?;
        let after_key = rest;
        skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?;
        let whole = &field[..field.len() - rest.len()];
        let payload = (wire == WireType::LengthDelimited)
            .then(|| payload(after_key, rest.len()))
            .flatten();
        let misfit = shape
            .assumed
            .iter()
            .any(|assumed| assumed.number == number && !payload.is_some_and(assumed.fits));
        if misfit {
            dropped.push(number);
            continue;
        }
        let cleaned = shape
            .nested
            .filter(|(nested, _)| *nested == number)
            .and_then(|(_, inner)| without_misfits(inner, payload?));
        match cleaned {
            Some((inner, numbers)) => {
                prost::encoding::encode_key(number, WireType::LengthDelimited, &mut kept);
                prost::encoding::encode_varint(inner.len() as u64, &mut kept);
                kept.extend_from_slice(&inner);
                dropped.extend(numbers);
            }
            None => kept.extend_from_slice(whole),
        }
    }
    (!dropped.is_empty()).then_some((kept, dropped))
}

/// The payload of a length-delimited field whose key was read; `left` bytes follow the field.
fn payload(mut after_key: &[u8], left: usize) -> Option<&[u8]> {
    let end = after_key.len().checked_sub(left)?;
    let total = after_key;
    decode_varint(&mut after_key).ok()?;
    total.get(total.len() - after_key.len()..end)
}
