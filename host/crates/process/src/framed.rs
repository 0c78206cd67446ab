//! Packets over a byte stream, where there are no sockets that keep packets whole (Windows, macOS): each goes behind its length.
//!
//! Both ends are the same program. A length that no packet has is the end of the conversation, never an allocation.
//! Called by: `link` and `supervisor` of those systems.

use crate::wire::REQUEST_BYTES_MAX;

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Puts a packet behind its length.
pub(crate) fn frame(packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), packet].concat()
}

/// What was read of a stream and is not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

/// The stream holds something that is no packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

impl Frames {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole packet.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Nonsense> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > REQUEST_BYTES_MAX {
            return Err(Nonsense);
        }
        let Some(packet) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.bytes.drain(..LENGTH_BYTES + length);
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_arrive_whole_however_the_stream_was_cut() {
        let packets: [&[u8]; 3] = [b"one", b"", &[7; REQUEST_BYTES_MAX]];
        let stream: Vec<u8> = packets.iter().flat_map(|packet| frame(packet)).collect();
        for piece in [1, 3, 4096, stream.len()] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                frames.push(bytes);
                while let Some(packet) = frames.next().unwrap() {
                    got.push(packet);
                }
            }
            assert!(got == packets, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_length_that_no_packet_has_is_refused() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert_eq!(frames.next(), Err(Nonsense));
    }
}
