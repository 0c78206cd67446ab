//! Calls with hand-made bytes, for what no generated client can say.

use bytes::{Buf as _, BufMut as _};
use stephost_tests::Host;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Calls `method` of `proto.StepRunner` with `message`; the answer's bytes, of a stream the first message's.
pub(crate) async fn call(host: &Host, method: &str, message: &[u8]) -> Result<Vec<u8>, Status> {
    call_over(host.channel().await, method, message).await
}

/// The same over this connection.
pub(crate) async fn call_over(
    channel: Channel,
    method: &str,
    message: &[u8],
) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("the host listens");
    let path = format!("/proto.StepRunner/{method}")
        .parse()
        .expect("a method makes a path");
    let request = Request::new(message.to_vec());
    let mut answers = client
        .server_streaming(request, path, Bytes)
        .await?
        .into_inner();
    Ok(answers.message().await?.unwrap_or_default())
}

/// The code of an answer.
pub(crate) fn code(answer: Result<Vec<u8>, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// Leaves every byte as it is.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
