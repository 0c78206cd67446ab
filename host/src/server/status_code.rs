//! Every error of the host as a gRPC status: one exhaustive match each (design D3).

use tonic::{Code, Status};

use crate::jobs::{LookupError, RefusedJob, RunError};
use crate::logfile::follow::FollowError;

/// Longest error text in bytes; clients lose much longer ones.
const MESSAGE_BYTES_MAX: usize = 512;

/// The status of a Run that started nothing.
pub(super) fn run(error: RunError) -> Status {
    let code = match &error {
        RunError::Refused(refused) => match refused {
            RefusedJob::Steps(_) | RefusedJob::LogLevel { .. } | RefusedJob::Variable(_) => {
                Code::InvalidArgument
            }
            RefusedJob::TooMuchToHide(_) => Code::ResourceExhausted,
            RefusedJob::Directory { .. } => Code::FailedPrecondition,
            RefusedJob::Unlimited { .. } => Code::Unavailable,
            RefusedJob::Storage { source } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Code::ResourceExhausted
                }
                _ => Code::Unavailable,
            },
            RefusedJob::Broken(_) => Code::Unavailable,
        },
        RunError::Broken(_) | RunError::OfDeadHost(_) => Code::FailedPrecondition,
        RunError::Draining => Code::Unavailable,
    };
    status(code, &error.to_string())
}

/// The status of a call about a job that cannot be answered.
pub(super) fn lookup(error: LookupError) -> Status {
    let code = match &error {
        LookupError::Unknown(_) => Code::NotFound,
        LookupError::Broken(_) | LookupError::Lost(_) => Code::Internal,
        LookupError::LogGone(_) => Code::DataLoss,
    };
    status(code, &error.to_string())
}

/// The status that ends a broken log stream. Never a clean end.
pub(super) fn follow(error: &FollowError) -> Status {
    let code = match error {
        FollowError::Broken(_) | FollowError::WriterLost | FollowError::Read(_) => Code::Internal,
    };
    status(code, &error.to_string())
}

fn status(code: Code, text: &str) -> Status {
    let mut message = text.replace(['\n', '\r'], " ");
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    Status::new(code, message)
}

#[cfg(test)]
mod tests {
    use stephost_job::JobId;

    use super::*;
    use crate::observe::panics::Incident;
    use crate::server::refine;

    #[test]
    fn every_error_has_its_code() {
        let id = || JobId::parse("7").unwrap();
        let full = || std::io::ErrorKind::StorageFull.into();
        let denied = || std::io::ErrorKind::PermissionDenied.into();
        let table = [
            (RunError::Draining, Code::Unavailable),
            (RunError::Broken(id()), Code::FailedPrecondition),
            (RunError::OfDeadHost(id()), Code::FailedPrecondition),
            (
                RefusedJob::LogLevel { found: "x".into() }.into(),
                Code::InvalidArgument,
            ),
            (
                RefusedJob::Variable("x".into()).into(),
                Code::InvalidArgument,
            ),
            (
                RefusedJob::Unlimited { source: denied() }.into(),
                Code::Unavailable,
            ),
            (
                RefusedJob::Directory { source: denied() }.into(),
                Code::FailedPrecondition,
            ),
            (
                RefusedJob::Storage { source: full() }.into(),
                Code::ResourceExhausted,
            ),
            (
                RefusedJob::Storage { source: denied() }.into(),
                Code::Unavailable,
            ),
        ];
        for (error, code) in table {
            let row = format!("{error:?}: see design D3");
            assert_eq!(run(error).code(), code, "{row}");
        }
        assert_eq!(lookup(LookupError::Unknown(id())).code(), Code::NotFound);
        assert_eq!(
            lookup(LookupError::Broken("x".into())).code(),
            Code::Internal
        );
        assert_eq!(lookup(LookupError::Lost(id())).code(), Code::Internal);
        assert_eq!(lookup(LookupError::LogGone(id())).code(), Code::DataLoss);
        assert_eq!(follow(&FollowError::WriterLost).code(), Code::Internal);
    }

    #[test]
    fn every_internal_is_known_to_be_ours() {
        let id = || JobId::parse("7").unwrap();
        let broken = Incident::of_this_unwinding().to_string();
        let all = [
            lookup(LookupError::Broken(broken.clone())),
            lookup(LookupError::Lost(id())),
            follow(&FollowError::Broken(broken)),
            follow(&FollowError::WriterLost),
            follow(&FollowError::Read(std::io::ErrorKind::NotFound.into())),
        ];
        for status in all {
            assert_eq!(status.code(), Code::Internal, "{status:?}");
            let text = status.message();
            assert!(text.starts_with(refine::OURS), "{text}: would not stay so");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_stays_one_line() {
        let status = status(Code::Unknown, &format!("a\nb{}", "ä".repeat(400)));
        assert!(status.message().starts_with("a bä"));
        assert!(status.message().len() <= MESSAGE_BYTES_MAX);
    }
}
