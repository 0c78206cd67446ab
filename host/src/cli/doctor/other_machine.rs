//! What the surroundings of the host offer where they are not Linux: little that could be looked at.

use super::{Check, program};

/// Looks at everything here; also says whether steps get a cgroup: they do not.
pub(super) fn checks() -> (Vec<Check>, bool) {
    let kernel = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    (vec![Check::ok("kernel", kernel), program::shells()], false)
}

/// The layers that hold a step's processes.
pub(super) fn containment(_has_cgroup: bool) -> Check {
    let layers = if cfg!(windows) {
        "job object, supervisor: nobody who descends from a step outlives the job; jobs cannot be limited"
    } else {
        "process group, supervisor: who leaves his group is not found; jobs cannot be limited"
    };
    Check::ok("containment", layers)
}

/// How this process's address space is limited: by nothing that could be asked.
pub(super) fn address_space_limits() -> String {
    "no limit of its own".to_owned()
}
