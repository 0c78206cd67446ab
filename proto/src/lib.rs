//! The wire: generated types and both sides of `proto.StepRunner`, the codec they travel through, and how a host is reached.
//!
//! Owns `step_runner.proto` and how its bytes are read. Promises: bytes that are no such message are
//! `InvalidArgument`, never `Internal`; a field whose number we only assume can never break a call
//! ([`codec`]). Never converts to types of another room, never decides anything. Called by `client`, the
//! host's `server` and the tests.

#![forbid(unsafe_code)]

mod assumed;
pub mod codec;
pub mod connect;

#[allow(
    clippy::allow_attributes_without_reason,
    reason = "generated code carries bare allows"
)]
mod generated {
    tonic::include_proto!("proto");
}

pub use generated::*;

/// `step_runner.proto` as the compiler sees it: an encoded `FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
