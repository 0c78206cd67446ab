//! Finds quickly where no secret begins.
//!
//! The first bytes of each secret, its window, are cut into grams of up to four bytes, and a bit set knows
//! them all. If a secret begins somewhere, then one of `window - gram + 1` neighbouring positions shows a
//! known gram, whichever of them one looks at. So one look per so many bytes is enough, and the longer the
//! shortest secret the fewer looks. The set may say yes by chance, which costs time, never a leak.

use std::sync::Arc;

/// Longest window. More would find fewer places to look at than it costs bits in the set.
const WINDOW_BYTES_MAX: usize = 16;

/// Longest gram: what one load can compare.
const GRAM_BYTES_MAX: usize = 4;

/// Bits per known gram: one look in so many is a false alarm.
const BITS_PER_GRAM: usize = 64;

/// Smallest and largest bit set: 2 KiB, so that few short secrets raise few false alarms, and 128 KiB, which
/// a second-level cache holds.
const BITS_MIN: usize = 1 << 14;
const BITS_MAX: usize = 1 << 20;

pub(super) struct Filter {
    /// Bytes of a gram; 0 if there is no secret.
    gram: usize,
    /// Bytes between two looks, and the number of places that a known gram makes suspicious.
    stride: usize,
    /// Keeps the upper bits of a hash.
    shift: u32,
    bits: Box<[u64]>,
}

impl Filter {
    /// `texts` are not empty.
    pub(super) fn new(texts: &[Arc<[u8]>]) -> Filter {
        let window = texts
            .iter()
            .map(|text| text.len())
            .min()
            .unwrap_or(0)
            .min(WINDOW_BYTES_MAX);
        let gram = window.min(GRAM_BYTES_MAX);
        let stride = window - gram + 1;
        let bits = (texts.len() * stride * BITS_PER_GRAM)
            .next_power_of_two()
            .clamp(BITS_MIN, BITS_MAX);
        let mut filter = Filter {
            gram,
            stride,
            shift: u32::BITS - bits.ilog2(),
            bits: vec![0; bits / 64].into_boxed_slice(),
        };
        if gram > 0 {
            for known in texts.iter().flat_map(|text| text[..window].windows(gram)) {
                let bit = filter.bit(known);
                filter.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        filter
    }

    /// Returns the first place from `from` on at which a secret may begin, or at which too few bytes are
    /// left to tell; the length of `text` if there is none.
    pub(super) fn next_suspect(&self, text: &[u8], from: usize) -> usize {
        match self.gram {
            0 => text.len(),
            1 => self.look::<1>(text, from),
            2 => self.look::<2>(text, from),
            3 => self.look::<3>(text, from),
            _ => self.look::<GRAM_BYTES_MAX>(text, from),
        }
    }

    /// How many places from [`Filter::next_suspect`] on are suspicious.
    pub(super) fn suspicion_bytes(&self) -> usize {
        self.stride
    }

    fn look<const GRAM: usize>(&self, text: &[u8], from: usize) -> usize {
        // A gram at the last place of a window speaks for all windows that it can lie in.
        let mut at = from + self.stride - 1;
        while let Some(gram) = text.get(at..).and_then(|rest| rest.first_chunk::<GRAM>()) {
            if self.knows(gram) {
                break;
            }
            at += self.stride;
        }
        at + 1 - self.stride
    }

    /// Whether a window may hold this gram.
    #[inline]
    fn knows(&self, gram: &[u8]) -> bool {
        let bit = self.bit(gram);
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }

    #[inline]
    fn bit(&self, gram: &[u8]) -> usize {
        let mut bytes = [0; GRAM_BYTES_MAX];
        bytes[..gram.len()].copy_from_slice(gram);
        // Multiplying by an odd number mixes all bytes into the upper bits (Fibonacci hashing).
        (u32::from_le_bytes(bytes).wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(texts: &[&str]) -> Filter {
        let texts: Vec<Arc<[u8]>> = texts
            .iter()
            .map(|text| Arc::from(text.as_bytes()))
            .collect();
        Filter::new(&texts)
    }

    #[test]
    fn without_secrets_nothing_is_suspicious() {
        assert_eq!(filter(&[]).next_suspect(b"anything", 0), 8);
        assert_eq!(filter(&[]).next_suspect(b"anything", 8), 8);
    }

    #[test]
    fn a_secret_of_any_length_at_any_place_is_not_missed() {
        let secret = "s3cr3t-v4lu3-0f-s0m3-l3ngth";
        for len in 1..=secret.len() {
            let filter = filter(&[
                &secret[..len],
                "another text that is longer than each window",
            ]);
            for before in 0..40 {
                let text = format!("{}{}........", "x".repeat(before), &secret[..len]);
                let mut from = 0;
                // Follows the filter as the masker does, past what it had to read for nothing.
                loop {
                    let suspect = filter.next_suspect(text.as_bytes(), from);
                    assert!(
                        suspect <= before,
                        "length {len} at {before}: skipped to {suspect}"
                    );
                    from = suspect + filter.suspicion_bytes();
                    if from > before {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn the_last_bytes_of_a_text_are_left_to_the_reader() {
        let filter = filter(&["0123456789abcdef"]);
        for len in 0..50 {
            let text = vec![b'x'; len];
            let suspect = filter.next_suspect(&text, 0);
            assert!(suspect <= len && len - suspect < 16, "{suspect} of {len}");
        }
    }

    #[test]
    fn long_secrets_are_looked_for_in_long_strides() {
        assert_eq!(
            filter(&["0123456789abcdef", "0123456789abcdefg"]).suspicion_bytes(),
            13
        );
        assert_eq!(filter(&["01234567"]).suspicion_bytes(), 5);
        assert_eq!(filter(&["01234567", "1"]).suspicion_bytes(), 1);
    }
}
