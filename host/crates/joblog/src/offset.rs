//! Positions in a stored log.

use std::fmt;

/// A position in the stored log, in bytes after masking and stamping; 0 is the first byte.
///
/// Clients count the bytes they received to know where to go on, so every byte that is sent moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogOffset(u64);

/// A client asked for a position before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} lies before the start of the log, the first byte is at 0")]
pub struct NegativeOffset(pub i64);

impl LogOffset {
    /// The first byte.
    pub const START: LogOffset = LogOffset(0);

    /// Takes an offset from the wire. One past the end of the log is fine: bytes may still come.
    ///
    /// # Errors
    ///
    /// [`NegativeOffset`].
    pub fn parse(wire: i64) -> Result<LogOffset, NegativeOffset> {
        u64::try_from(wire)
            .map(LogOffset)
            .map_err(|_| NegativeOffset(wire))
    }

    /// Returns the position `len` bytes further. Stays at the last position there is.
    #[must_use]
    pub const fn advance(self, len: u64) -> LogOffset {
        LogOffset(self.0.saturating_add(len))
    }

    /// Returns the number of bytes before this position.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<i64> for LogOffset {
    type Error = NegativeOffset;

    fn try_from(wire: i64) -> Result<LogOffset, NegativeOffset> {
        LogOffset::parse(wire)
    }
}

impl fmt::Display for LogOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_from_zero_on_is_taken() {
        for wire in [0, 1, i64::MAX] {
            assert_eq!(
                LogOffset::parse(wire).map(LogOffset::bytes),
                Ok(wire.unsigned_abs()),
                "{wire}"
            );
        }
    }

    #[test]
    fn a_negative_offset_is_refused_with_the_reason() {
        let refused = LogOffset::parse(-3).map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err("-3 lies before the start of the log, the first byte is at 0".to_owned())
        );
        assert_eq!(LogOffset::try_from(i64::MIN), Err(NegativeOffset(i64::MIN)));
    }

    #[test]
    fn an_offset_moves_by_the_bytes_that_were_sent() {
        assert_eq!(
            LogOffset::START.advance(33).advance(0).advance(2).bytes(),
            35
        );
        assert_eq!(
            LogOffset::START.advance(u64::MAX).advance(1).bytes(),
            u64::MAX
        );
        assert_eq!(LogOffset::START.advance(7).to_string(), "7");
    }
}
