//! Reads and writes messages on a gRPC stream.
//!
//! Differs from tonic's own codec in two points (design D1, D3). Bytes that are no message of the expected
//! type are the sender's fault and end the call with `InvalidArgument`, where tonic says `Internal`, which a
//! runner reads as "the host broke". And before such bytes are refused, fields with an assumed number are
//! looked at: the ones that do not fit are dropped, and the rest counts.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::assumed;

/// A message that travels through the codec, and what it is called where it is refused.
pub trait Named {
    /// Name in `step_runner.proto`.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident),+ $(,)?) => {
        $(impl Named for crate::$message { const NAME: &'static str = stringify!($message); })+
    };
}
named!(
    RunRequest,
    RunResponse,
    FollowLogsRequest,
    FollowLogsResponse,
    StatusRequest,
    StatusResponse,
    CancelRequest,
    CancelResponse,
    CloseRequest,
    CloseResponse,
);

/// The codec of every call of `proto.StepRunner`.
#[derive(Debug, Clone, Copy)]
pub struct TolerantCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for TolerantCodec<T, U> {
    fn default() -> Self {
        TolerantCodec(PhantomData)
    }
}

impl<T, U> Codec for TolerantCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Named + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

/// Writes messages.
#[derive(Debug, Clone, Copy)]
pub struct MessageEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(buffer)
            .expect("an EncodeBuf grows, so encoding cannot run out of room");
        Ok(())
    }
}

/// Reads messages.
#[derive(Debug, Clone, Copy)]
pub struct MessageDecoder<U>(PhantomData<U>);

impl<U: Message + Named + Default> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        decode(bytes).map(Some)
    }
}

/// Reads one message.
///
/// # Errors
///
/// `InvalidArgument` when the bytes are not a `U`, even after assumed fields that do not fit were dropped.
pub fn decode<U: Message + Named + Default>(bytes: Bytes) -> Result<U, Status> {
    let fault = match U::decode(bytes.clone()) {
        Ok(message) => return Ok(message),
        Err(fault) => fault,
    };
    if let Some((kept, dropped)) = assumed::without_misfits(U::NAME, &bytes)
        && let Ok(message) = U::decode(kept.as_slice())
    {
        tracing::warn!(
            message = U::NAME,
            fields = ?dropped,
            "fields with an assumed number arrived in another form and were dropped"
        );
        return Ok(message);
    }
    Err(Status::invalid_argument(format!(
        "not a {}: {fault}",
        U::NAME
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunRequest, StatusResponse};

    /// A `RunRequest` with id "7", then `field` as raw bytes.
    fn run_request_with(field: &[u8]) -> Bytes {
        let mut bytes = vec![0x0a, 1, b'7'];
        bytes.extend_from_slice(field);
        bytes.into()
    }

    #[test]
    fn an_assumed_field_of_another_form_is_dropped_and_the_rest_counts() {
        let table: [(&str, &[u8]); 5] = [
            ("timeout as a varint", &[0x38, 0x05]),
            ("timeout as a double", &[0x39, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("timeout as a string", &[0x3a, 2, b'5', b's']),
            ("grace as a fixed32", &[0x45, 1, 0, 0, 0]),
            ("both as varints", &[0x38, 0x05, 0x40, 0x01]),
        ];
        for (row, field) in table {
            let request: RunRequest = decode(run_request_with(field)).expect(row);
            assert_eq!(request.id, "7", "{row}");
            assert_eq!(
                (request.timeout, request.graceful_exit_timeout),
                (None, None),
                "{row}"
            );
        }
    }

    #[test]
    fn an_assumed_field_that_fits_stays_when_another_is_dropped() {
        // timeout = 3 s, graceful_exit_timeout as a varint
        let request: RunRequest = decode(run_request_with(&[0x3a, 2, 0x08, 3, 0x40, 1])).unwrap();
        assert_eq!(request.timeout.map(|timeout| timeout.seconds), Some(3));
        assert_eq!(request.graceful_exit_timeout, None);
    }

    #[test]
    fn a_status_error_of_another_form_is_dropped_inside_the_list() {
        // jobs = [{ id: "7", status: failure, field 7 as a varint }]
        let response: StatusResponse = decode(Bytes::from_static(&[
            0x0a, 7, 0x0a, 1, b'7', 0x18, 3, 0x38, 1,
        ]))
        .unwrap();
        assert_eq!(response.jobs.len(), 1);
        assert_eq!(response.jobs[0].id, "7");
        assert_eq!(response.jobs[0].status, 3);
        assert_eq!(response.jobs[0].error, None);
    }

    #[test]
    fn unknown_fields_are_accepted() {
        let request: RunRequest = decode(run_request_with(&[0xa2, 0x06, 1, b'x'])).unwrap();
        assert_eq!(request.id, "7");
    }

    #[test]
    fn bytes_that_are_no_message_are_the_senders_fault() {
        let table: [(&str, &'static [u8]); 4] = [
            ("a cut varint", &[0x38, 0x80]),
            ("a length past the end", &[0x0a, 200, b'x']),
            ("a known field of another type", &[0x08, 1]),
            ("text that is not UTF-8", &[0x0a, 1, 0xff]),
        ];
        for (row, bytes) in table {
            let status = decode::<RunRequest>(Bytes::from_static(bytes)).expect_err(row);
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{row}");
            assert!(
                status.message().starts_with("not a RunRequest: "),
                "{row}: {status:?}"
            );
        }
    }
}
