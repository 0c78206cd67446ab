//! Every way a step or a job can end, and the one text a client reads about it.
//!
//! The text obeys two readers. A person wants one line that says what went wrong, outer step first. A runner
//! cuts the text at the first `exit status` and takes the rest for a number (contract 2.6), so these words
//! stand at the very end of a failed step that gave a number, and nowhere else, whatever a step's own words
//! are. Called by `host::run` (builds endings), `host::jobs` (publishes), `host::server` (shows).

use crate::state::StopReason;

/// Longest text about an ending, in bytes: it travels in every Status and is shown as one line.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Stands where a long text was cut.
const CUT: &str = " [...] ";

/// The words that a runner looks for.
const MAGIC: &str = "exit status";

/// What stands for [`MAGIC`] where a step's own words held it. As long as the original.
const MAGIC_DISARMED: &str = "exit-status";

/// How a step or a job ended.
///
/// The texts are as the step gave them, of any length; [`Ending::message`] makes them fit for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was done.
    Success,
    /// A step did not do what it was asked for.
    Failed {
        /// What went wrong, without the words `exit status N`.
        message: String,
        /// The number a program or a builtin gave, if it did.
        exit_status: Option<i32>,
    },
    /// A step asked for something that the policy does not grant.
    Denied {
        /// What was refused, and by which rule.
        message: String,
    },
    /// A step used more than it may.
    Limit {
        /// Which limit, and what it was.
        message: String,
    },
    /// A guest trapped, or the host itself broke.
    Internal {
        /// What broke, fit for a client: no panic payload of the host, no stack.
        message: String,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Who, and what the step said last.
        message: String,
    },
    /// The job's own timeout stopped it; nothing else is called a timeout.
    TimedOut {
        /// What the step said last.
        message: String,
    },
}

/// What a client may tell apart about an ending that is not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The step's fault, or one that a step could have faked.
    StepFailure,
    /// A trap, or the host's fault.
    Internal,
    /// Cancel or Close.
    Cancelled,
    /// The job's timeout.
    Timeout,
}

impl Ending {
    /// Returns the kind; `None` for a success.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Ending::Success => None,
            Ending::Failed { .. } | Ending::Denied { .. } | Ending::Limit { .. } => {
                Some(Kind::StepFailure)
            }
            Ending::Internal { .. } => Some(Kind::Internal),
            Ending::Cancelled { .. } => Some(Kind::Cancelled),
            Ending::TimedOut { .. } => Some(Kind::Timeout),
        }
    }

    /// Whether everything was done.
    pub fn is_success(&self) -> bool {
        matches!(self, Ending::Success)
    }

    /// Returns the text for a client: one line of at most [`MESSAGE_BYTES_MAX`] bytes, empty on success.
    ///
    /// Control characters, line breaks and runs of blanks become one blank. The words `exit status N` are
    /// the last ones if a failed step gave a number; elsewhere `exit-status` stands for them. A long text
    /// loses its middle. Does not mask: see [`Ending::map_message`].
    pub fn message(&self) -> String {
        let (text, number) = match self {
            Ending::Success => return String::new(),
            Ending::Failed {
                message,
                exit_status,
            } => (message, *exit_status),
            Ending::Denied { message }
            | Ending::Limit { message }
            | Ending::Internal { message }
            | Ending::Cancelled { message }
            | Ending::TimedOut { message } => (message, None),
        };
        // Flattened first: a line break between the two words must not turn into the blank of the magic.
        let text = one_line(text).replace(MAGIC, MAGIC_DISARMED);
        let Some(number) = number else {
            return cut_in_the_middle(&text, MESSAGE_BYTES_MAX);
        };
        let words = format!("{MAGIC} {number}");
        match text.trim_end_matches([' ', ':']) {
            "" => words,
            text => format!(
                "{}: {words}",
                cut_in_the_middle(text, MESSAGE_BYTES_MAX - ": ".len() - words.len())
            ),
        }
    }

    /// Says in which step this happened: puts `step "NAME": ` in front. A success has nothing to say.
    ///
    /// Nothing is cut here, because a cut before masking could leave half a secret.
    #[must_use]
    pub fn within(self, step: &str) -> Ending {
        self.map_message(|message| match message {
            "" => format!("step \"{step}\""),
            message => format!("step \"{step}\": {message}"),
        })
    }

    /// Changes the text and keeps the rest. The place to mask secrets: it comes before any cut, and it
    /// cannot reach the words `exit status N`.
    #[must_use]
    pub fn map_message(self, change: impl FnOnce(&str) -> String) -> Ending {
        match self {
            Ending::Success => Ending::Success,
            Ending::Failed {
                message,
                exit_status,
            } => Ending::Failed {
                message: change(&message),
                exit_status,
            },
            Ending::Denied { message } => Ending::Denied {
                message: change(&message),
            },
            Ending::Limit { message } => Ending::Limit {
                message: change(&message),
            },
            Ending::Internal { message } => Ending::Internal {
                message: change(&message),
            },
            Ending::Cancelled { message } => Ending::Cancelled {
                message: change(&message),
            },
            Ending::TimedOut { message } => Ending::TimedOut {
                message: change(&message),
            },
        }
    }

    /// The ending of a job that was stopped before anything of it ran.
    pub(crate) fn unstarted(reason: StopReason) -> Ending {
        reason.ending(format!("{} before it started", reason.deed()))
    }

    /// The ending of a job that `reason` interrupted, with what its step said last.
    pub(crate) fn interrupted_by(self, reason: StopReason) -> Ending {
        let last_words = match self {
            Ending::Success => String::new(),
            Ending::Failed {
                message,
                exit_status: None,
            } => message,
            // Not the magic words: the job did not fail with this number, it was stopped.
            Ending::Failed {
                message,
                exit_status: Some(number),
            } => match message.trim_end_matches([' ', ':']) {
                "" => format!("exit code {number}"),
                message => format!("{message}: exit code {number}"),
            },
            Ending::Denied { message }
            | Ending::Limit { message }
            | Ending::Internal { message }
            | Ending::Cancelled { message }
            | Ending::TimedOut { message } => message,
        };
        reason.ending(match last_words.as_str() {
            "" => reason.deed().to_owned(),
            words => format!("{}: {words}", reason.deed()),
        })
    }

    /// The ending of a job that nobody stopped. A step cannot cancel its job or make it time out: what it
    /// calls so is a failure.
    pub(crate) fn unstopped(self) -> Ending {
        match self {
            Ending::Cancelled { message } | Ending::TimedOut { message } => {
                let gave_up = "gave up although nobody stopped the job";
                let message = match message.as_str() {
                    "" => gave_up.to_owned(),
                    message => format!("{message}: {gave_up}"),
                };
                Ending::Failed {
                    message,
                    exit_status: None,
                }
            }
            Ending::Success
            | Ending::Failed { .. }
            | Ending::Denied { .. }
            | Ending::Limit { .. }
            | Ending::Internal { .. } => self,
        }
    }
}

impl StopReason {
    /// What this stop did to the job, as the first words of its text.
    fn deed(self) -> &'static str {
        match self {
            StopReason::Cancel => "job cancelled",
            StopReason::Close => "job cancelled by close",
            StopReason::Timeout => "job timed out",
        }
    }

    fn ending(self, message: String) -> Ending {
        match self {
            StopReason::Cancel | StopReason::Close => Ending::Cancelled { message },
            StopReason::Timeout => Ending::TimedOut { message },
        }
    }
}

/// Turns each run of blanks, line breaks and control characters into one blank.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Keeps the beginning (which step) and the end (what happened) of a text longer than `bytes_max`.
fn cut_in_the_middle(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = bytes_max.saturating_sub(CUT.len());
    let head = text.floor_char_boundary(kept / 2);
    let tail = text.ceil_char_boundary(text.len() - (kept - kept / 2));
    format!("{}{CUT}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests;
