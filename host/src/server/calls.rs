//! The calls that there are. A client may ask for any other, so what is told and counted of calls goes by these names.

/// The call that makes jobs.
pub(super) const RUN: &str = "/proto.StepRunner/Run";

/// Paths and names.
const CALLS: [(&str, &str); 7] = [
    (RUN, "Run"),
    ("/proto.StepRunner/FollowLogs", "FollowLogs"),
    ("/proto.StepRunner/Status", "Status"),
    ("/proto.StepRunner/Cancel", "Cancel"),
    ("/proto.StepRunner/Close", "Close"),
    ("/grpc.health.v1.Health/Check", "Check"),
    ("/grpc.health.v1.Health/Watch", "Watch"),
];

/// The name of the call at this path; `None` of one that there is not.
pub(super) fn name(path: &str) -> Option<&'static str> {
    let known = CALLS.iter().find(|(known, _)| *known == path);
    known.map(|(_, name)| *name)
}

/// The names of all.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_call_of_ours_is_known_by_its_name() {
        use prost::Message as _;
        let set = prost_types::FileDescriptorSet::decode(stephost_proto::FILE_DESCRIPTOR_SET);
        for file in set.unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let name = method.name();
                    let path = format!("/{}.{}/{name}", file.package(), service.name());
                    assert_eq!(
                        super::name(&path),
                        Some(name),
                        "{path} would be counted as unknown"
                    );
                }
            }
        }
    }
}
