//! What names a job.
//!
//! An id is opaque: it is compared, shown and nothing else. It never becomes a part of a path, which is how
//! another host came to delete directories that were not its own (contract K22).

use std::fmt;
use std::sync::Arc;

/// Longest id in bytes. Ids are kept, logged and copied into messages, so they must be short (design D3).
pub const JOB_ID_BYTES_MAX: usize = 256;

/// The id a client gave to a job. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Arc<str>);

/// Why a text is no job id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobIdError {
    /// There is no text.
    #[error("the job id is empty, it needs 1 to {JOB_ID_BYTES_MAX} bytes")]
    Empty,
    /// There is too much.
    #[error("the job id has {bytes} bytes, at most {JOB_ID_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// It cannot be shown on one line.
    #[error("the job id holds the control character U+{:04X} at byte {at}, remove it", u32::from(*.found))]
    Control {
        /// Position in bytes.
        at: usize,
        /// The character.
        found: char,
    },
}

impl JobId {
    /// Takes any text of 1 to 256 bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`JobIdError`] says what is wrong; the message does not repeat the text.
    pub fn parse(text: &str) -> Result<JobId, JobIdError> {
        if text.is_empty() {
            return Err(JobIdError::Empty);
        }
        if text.len() > JOB_ID_BYTES_MAX {
            return Err(JobIdError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, c)| c.is_control()) {
            Some((at, found)) => Err(JobIdError::Control { at, found }),
            None => Ok(JobId(text.into())),
        }
    }

    /// Returns the id as the client gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_short_text_on_one_line_is_an_id() {
        let longest = "é".repeat(JOB_ID_BYTES_MAX / 2);
        for text in [
            "1",
            "1-run",
            " ",
            "../../etc",
            "a/b",
            "日本",
            "%00",
            longest.as_str(),
        ] {
            let id = JobId::parse(text).expect(text);
            assert_eq!(id.as_str(), text);
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        let table = [
            (
                String::new(),
                "the job id is empty, it needs 1 to 256 bytes",
            ),
            (
                "a".repeat(257),
                "the job id has 257 bytes, at most 256 are allowed",
            ),
            (
                "é".repeat(129),
                "the job id has 258 bytes, at most 256 are allowed",
            ),
            (
                "a\nb".into(),
                "the job id holds the control character U+000A at byte 1, remove it",
            ),
            (
                "\0".into(),
                "the job id holds the control character U+0000 at byte 0, remove it",
            ),
            (
                "é\u{7f}".into(),
                "the job id holds the control character U+007F at byte 2, remove it",
            ),
            (
                "\u{85}".into(),
                "the job id holds the control character U+0085 at byte 0, remove it",
            ),
        ];
        for (text, message) in table {
            let refused = JobId::parse(&text).map_err(|error| error.to_string());
            assert_eq!(refused, Err(message.to_owned()), "{text:?}");
        }
    }
}
